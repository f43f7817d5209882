"""Compiled inner loops. Compiled code is kept beside the sources, in a folder named after all of them.

Numba looks only at the file in which a function stands, and would go on using what was compiled from
an older version of another file that the function calls.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Any

from numba.core import config
from numba.core.caching import IndexDataCacheFile


def _keep_compiled() -> None:
    here = Path(__file__).parent
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(here.glob("*.py")))).hexdigest()[:12]
    folder = here / "__pycache__" / f"numba-{digest}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # a read-only installation: numba finds a place of its own
    config.CACHE_DIR = str(folder)


_save = IndexDataCacheFile.save


def _save_alone(self: Any, key: Any, data: Any) -> None:
    """Numba reads the index, takes the next free file name and writes both. Two processes that compile the same kernel
    for other types at one instant would take one name, and one of them would later be given the other's code."""
    with open(os.path.join(self._cache_path, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _save(self, key, data)


IndexDataCacheFile.save = _save_alone

if not config.CACHE_DIR:  # else the user said where
    _keep_compiled()
