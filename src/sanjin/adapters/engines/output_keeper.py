"""Puts what runs left into the object store of their site, in a thread of its own.

A run whose outputs are there has the file ``kept`` in its folder; so a new keeper on the same folder finds what an
earlier one did not come to. The files in the folder stay.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sanjin.adapters.engines.run_folder import RunFolder

if TYPE_CHECKING:  # the library behind it is loaded where a site has an object store
    from sanjin.adapters.movers.objects import DataObjects

_log = logging.getLogger("sanjin.data")

RETRY_S = 10.0
"""Seconds until what the store did not take, or is not registered yet, is tried again."""
REGISTER_S = 0.2
CLOSE_S = 5.0
"""Seconds that a file on its way is waited for when the keeper is closed; it is put anew at the next start."""


class OutputKeeper:
    """Puts the outputs of the runs in the engine's ``folder`` into ``objects``, from now on and of before."""

    def __init__(self, folder: Path, objects: DataObjects) -> None:
        self._files, self._objects = RunFolder(folder), objects
        self._news = threading.Condition()
        runs = self._files.runs
        ended = (key for key in os.listdir(runs) if (runs / key / "result.json").exists() or self._files.forgotten(key))
        self._waiting = {key: None for key in ended if not (runs / key / "kept").exists()}
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="outputs", daemon=True)
        self._thread.start()

    def keep(self, keys: Sequence[str]) -> None:
        """Put what these ended runs left into the store, as soon as it takes it."""
        with self._news:
            self._waiting.update(dict.fromkeys(keys))
            self._news.notify()

    def close(self) -> None:
        """Let go; what is not kept yet is at the next start."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join(CLOSE_S)

    def _work(self) -> None:
        wait_s: float | None = None
        while True:
            with self._news:
                if not self._closed and (wait_s or not self._waiting):
                    self._news.wait(wait_s)
                if self._closed:
                    return
                keys = list(self._waiting)
            wait_s = None
            for key in keys:
                try:
                    if not self._kept(key):
                        wait_s = wait_s or REGISTER_S
                        continue
                except Exception as fault:  # whatever it is, it may be over later
                    _log.warning("the outputs of run %s are not in the store yet: %s", key, fault)
                    wait_s = RETRY_S
                    break
                with self._news:
                    del self._waiting[key]
                    if self._closed:
                        return

    def _kept(self, key: str) -> bool:
        """Put what a run left into the store. False where that is not registered yet."""
        if self._files.result(key) is None and not self._files.forgotten(key):
            return True  # it never began
        outputs = self._files.outputs(key)
        if not outputs.registered:
            return False
        if outputs.files:
            for name in self._objects.put_outputs(key, outputs, lambda name: self._files.open_output(key, name)):
                _log.error("run %s: output %s is not what the run left, or has a name no store takes", key, name)
        self._files.leave(key, "kept")
        return True
