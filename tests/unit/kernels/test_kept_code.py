"""Compiled code is kept rightly though several processes compile at once."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest
from numba.core.caching import IndexDataCacheFile

import sanjin.kernels  # noqa: F401  it is this that makes saving safe


def test_two_that_save_at_once_are_both_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them stands between its look at the index and its write; the other comes then."""
    one, other = (IndexDataCacheFile(str(tmp_path), "kernel", (1.0, 1)) for _ in range(2))
    meanwhile, write = Thread(target=lambda: other.save("for floats", "code for floats")), one._save_index

    def slowly(overloads: dict[str, str]) -> None:
        meanwhile.start()
        meanwhile.join(0.3)  # unless it has to wait, it is long through
        write(overloads)

    monkeypatch.setattr(one, "_save_index", slowly)
    one.save("for integers", "code for integers")
    meanwhile.join()
    assert one.load("for integers") == "code for integers"
    assert other.load("for floats") == "code for floats"
