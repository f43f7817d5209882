"""Compiled inner loops. Compiled code is kept beside the sources, in a folder named after all of them.

Numba looks only at the file in which a function stands, and would go on using what was compiled from
an older version of another file that the function calls.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from numba.core import config


def _keep_compiled() -> None:
    here = Path(__file__).parent
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(here.glob("*.py")))).hexdigest()[:12]
    folder = here / "__pycache__" / f"numba-{digest}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # a read-only installation: numba finds a place of its own
    config.CACHE_DIR = str(folder)


if not config.CACHE_DIR:  # else the user said where
    _keep_compiled()
