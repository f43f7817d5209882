"""What-ifs that were asked for: one is replayed at a time, in a process of its own, and some wait for their turn.

Each is a file in the state folder (``what-if/<number>.json``), so that answers are there after a restart; the last
:data:`KEPT` are kept.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from sanjin.adapters.files import write_secret
from sanjin.adapters.store.sqlite import SqliteStore
from sanjin.model.catalogue import problem, say
from sanjin.model.errors import NotFound, Problem, ProblemsFound, TooBusy
from sanjin.model.job import ENDED
from sanjin.model.what_if import RunState, Timeline, WhatIf, WhatIfRun
from sanjin.regions.what_if import check
from sanjin.tree.region import LiveRegion

KEPT = 20
WAITING_MAX = 4
JOBS_MAX = 20_000
"""Jobs that are not over, at most."""

WALL_MAX_S = 3600.0
"""A replay that takes longer is given up."""

log = logging.getLogger("sanjin.what_if")


class _Line(msgspec.Struct):
    """What the process says; see :mod:`sanjin.replay.what_if`."""

    progress: float | None = None
    fault: str | None = None
    begin_s: int = 0
    as_is: Timeline | None = None
    changed: Timeline | None = None


class WhatIfs:
    """The what-ifs of a live region with its state in ``state`` (None: there is none, and nothing can be asked).

    From any thread. Making it touches nothing.
    """

    def __init__(self, live: LiveRegion, state: Path | None) -> None:
        self._live, self._state = live, state
        self._lock = threading.Lock()
        self._runs: dict[int, WhatIfRun] | None = None
        self._worker: threading.Thread | None = None

    def ask(self, change: WhatIf, by: str) -> WhatIfRun:
        """Take a question. Raises ProblemsFound with all that is wrong with it or keeps this region from answering,
        TooBusy where too many wait."""
        found = [*check(change, self._live.region.nodes), *self._hindered()]
        if found:
            raise ProblemsFound(found)
        with self._lock:
            runs = self._read()
            if sum(r.state is RunState.WAITING for r in runs.values()) >= WAITING_MAX:
                raise TooBusy(say("whatif.busy", "both", most=WAITING_MAX))
            number, now = max(runs, default=0) + 1, self._live.clock.now()
            made = WhatIfRun(
                id=str(number), asked_by=by, asked_s=now, begin_s=now, change=change, state=RunState.WAITING
            )
            self._put(number, made)
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(target=self._work, name="what-if", daemon=True)
                self._worker.start()
        return made

    def all(self) -> list[WhatIfRun]:
        """Every one, newest first, without timelines."""
        with self._lock:
            return [replace(r, as_is=None, changed=None) for _, r in sorted(self._read().items(), reverse=True)]

    def one(self, name: str) -> WhatIfRun:
        """One of them. Raises NotFound."""
        with self._lock:
            found = self._read().get(int(name)) if name.isascii() and name.isdecimal() and len(name) < 10 else None
        if found is None:
            raise NotFound(f"there is no what-if {name}; the last {KEPT} are kept")
        return found

    def _hindered(self) -> Iterator[Problem]:
        """What keeps this region from answering."""
        nodes = self._live.nodes
        if self._state is None:
            yield problem("what_if_folder", "")
            return
        away = [n for n in self._live.region.nodes if n not in nodes]
        if away:
            yield problem("what_if_nodes", "", away=", ".join(away))
        other = [n for n, node in nodes.items() if not isinstance(node.parts.store, SqliteStore)]
        if other:
            yield problem("what_if_stores", "", nodes=", ".join(other))
        counts = [node.parts.store.counts() for node in nodes.values()]
        jobs = sum(n for each in counts for state, n in each.items() if state not in ENDED)
        if jobs > JOBS_MAX:
            yield problem("what_if_jobs", "", value=jobs, most=JOBS_MAX)

    # -- what is kept

    def _read(self) -> dict[int, WhatIfRun]:
        """All, by number. What was under way when the region went down is not any more."""
        if self._runs is None:
            self._runs = {}
            folder = self._folder()
            for path in sorted(folder.glob("*.json")) if folder else ():
                with contextlib.suppress(ValueError, OSError):  # one that cannot be read is not there
                    run = msgspec.json.decode(path.read_bytes(), type=WhatIfRun)
                    if run.state in (RunState.WAITING, RunState.RUNNING):
                        run = replace(run, state=RunState.FAILED, fault=say("whatif.stopped", "both"))
                    self._runs[int(path.stem)] = run
        return self._runs

    def _folder(self) -> Path | None:
        return self._state / "what-if" if self._state else None

    def _put(self, number: int, run: WhatIfRun) -> None:
        """Keep a run as it is now, and no more than the last ones. Holding the lock."""
        runs, folder = self._read(), self._folder()
        runs[number] = run
        if folder is None:
            return
        write_secret(folder / f"{number}.json", msgspec.json.encode(run))
        over = [n for n, r in sorted(runs.items()) if r.state in (RunState.DONE, RunState.FAILED)]
        for old in over[: max(len(runs) - KEPT, 0)]:
            del runs[old]
            (folder / f"{old}.json").unlink(missing_ok=True)

    def _change(self, number: int, how: Callable[[WhatIfRun], WhatIfRun], keep: bool = True) -> None:
        with self._lock:
            run = how(self._read()[number])
            if keep:
                self._put(number, run)
            else:
                self._read()[number] = run

    # -- the work

    def _work(self) -> None:
        """Answer what waits, one after the other, until nothing does."""
        while True:
            with self._lock:
                waits = [n for n, r in self._read().items() if r.state is RunState.WAITING]
                if not waits:
                    self._worker = None
                    return
            number, began = min(waits), time.monotonic()
            try:
                self._change(number, lambda r: replace(r, state=RunState.RUNNING))
                said = self._replay(number)
            except Exception as fault:
                log.exception("what-if %s failed", number)
                said = _Line(fault=str(fault))
            took = round(time.monotonic() - began, 1)
            with contextlib.suppress(Exception):  # a full disk: the answer is in memory until the restart
                self._change(number, lambda r, said=said, took=took: _over(r, said, took))

    def _replay(self, number: int) -> _Line:
        """What the process that replays says last."""
        run, said, state = self._runs_now(number), _Line(), self._state
        assert state is not None
        command = [sys.executable, "-P", "-m", "sanjin.replay.what_if", str(state.absolute())]
        threads = {name: "1" for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **threads}
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            late = threading.Timer(WALL_MAX_S, process.kill)
            late.start()
            try:
                process.stdin.write(msgspec.json.encode(run.change) + b"\n")
                process.stdin.flush()  # and left open: it ends when this process does
                for line in process.stdout:
                    said = msgspec.json.decode(line, type=_Line)
                    if (share := said.progress) is not None:
                        self._change(number, lambda r, share=share: replace(r, progress=share), keep=False)
            finally:
                late.cancel()
                process.kill()
        return said

    def _runs_now(self, number: int) -> WhatIfRun:
        with self._lock:
            return self._read()[number]


def _over(run: WhatIfRun, said: _Line, took_s: float) -> WhatIfRun:
    """A run after its process has ended, which said this last."""
    if said.as_is is None or said.changed is None:
        fault = said.fault or say("whatif.died", "both")
        return replace(run, state=RunState.FAILED, fault=fault, took_s=took_s)
    return replace(
        run, state=RunState.DONE, begin_s=said.begin_s, took_s=took_s, progress=1.0, as_is=said.as_is,
        changed=said.changed,
    )  # fmt: skip
