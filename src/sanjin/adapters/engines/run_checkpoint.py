"""What a run goes on from: its checkpoint as a dataset, put in place of what an earlier run left in the folder here.

The supervisor loads this file by itself where it is needed, so it imports the standard library alone.
"""

from __future__ import annotations

import os
import shutil

MANIFEST = "MANIFEST.json"
"""In a dataset's folder, the list of its files, which is none of them."""


def restore(dataset: str, checkpoint: str) -> None:
    """Make ``checkpoint`` a folder with the files of the dataset in the folder ``dataset``, which has no links.

    Called again after a crash it begins anew. Raises OSError.
    """
    coming, old = f"{checkpoint}.coming", f"{checkpoint}.old"
    for path in (coming, old):
        shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(dataset, coming, copy_function=_copy, ignore=lambda at, _: [MANIFEST] if at == dataset else [])
    os.chmod(coming, 0o700)
    if os.path.lexists(checkpoint):
        os.rename(checkpoint, old)
    os.rename(coming, checkpoint)
    shutil.rmtree(old, ignore_errors=True)


def _copy(source: str, target: str) -> None:
    """Copy a file with new rights: the command may write what it goes on from."""
    shutil.copyfile(source, target, follow_symlinks=False)
    os.chmod(target, 0o700 if os.stat(source).st_mode & 0o100 else 0o600)
