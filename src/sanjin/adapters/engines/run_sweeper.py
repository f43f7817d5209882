"""Removes finished runs of a site once they have been kept for as long as its settings say, in a thread of its own."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

from sanjin.adapters.engines.run_folder import RunFolder
from sanjin.model.engines import Keep
from sanjin.model.units import HOUR_S

_log = logging.getLogger("sanjin.data")

SWEEP_S = HOUR_S
"""Wall seconds between two looks."""
CLOSE_S = 5.0
"""Seconds that a removal under way is waited for when this is closed."""
_DAY_S = 24 * HOUR_S


class RunSweeper:
    """Looks through the runs in ``files``, once started at once and every hour. ``stored``: what runs leave goes to an
    object store, and a run whose outputs are not there yet stays."""

    def __init__(self, files: RunFolder, keep: Keep, stored: bool) -> None:
        self._files, self._keep, self._stored = files, keep, stored
        self._sizes: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sweeper", daemon=True)

    def start(self) -> RunSweeper:
        """Begin to look."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Let go; what is half removed is so at the next start."""
        self._stop.set()
        self._thread.join(CLOSE_S)

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                self.sweep(time.time())
            except OSError as fault:
                _log.warning("finished runs could not be removed: %s", fault)
            self._stop.wait(SWEEP_S)

    def sweep(self, now_s: float) -> list[str]:
        """Remove what has been kept long enough at the wall time ``now_s``, then the oldest of what is too much.

        Returns the keys of the runs that were removed. Raises OSError.
        """
        over = sorted((ended_s, key) for key, ended_s in self._files.over())
        last_s = now_s - self._keep.keep_days * _DAY_S if self._keep.keep_days else 0.0
        gone = [key for ended_s, key in over if ended_s < last_s and self._may_go(key)]
        if self._keep.keep_bytes:
            going = set(gone)
            left = [key for _, key in over if key not in going]
            self._sizes = {key: self._sizes.get(key) or size_of(self._files.runs / key)[1] for key in left}
            much = sum(self._sizes.values()) - self._keep.keep_bytes
            for key in left:
                if much <= 0:
                    break
                if self._may_go(key):
                    gone.append(key)
                    much -= self._sizes.pop(key)
        if gone:
            self._files.remove(gone)
            _log.info("%d finished runs were removed", len(gone))
        return gone

    def _may_go(self, key: str) -> bool:
        """Whether all is done that a run that is over has to be there for."""
        stored = not self._stored or (self._files.runs / key / "kept").exists()
        return stored and not self._files.in_use(key) and self._files.outputs(key).registered


def size_of(folder: Path, most: int = 0) -> tuple[int, int]:
    """Files below a folder, and bytes on disk; no more than ``most`` files are looked at, 0 for all of them."""
    files = used = 0
    for at, _, names in os.walk(folder):
        for name in names:
            try:
                used += os.lstat(os.path.join(at, name)).st_blocks * 512
            except OSError:
                continue
            files += 1
            if files == most:
                return files, used
    return files, used
