"""The ``local`` engine: real processes on this machine, for one site.

Each run has a supervisor of its own (:mod:`sanjin.adapters.engines.local_runner`), which outlives
the node and leaves its result in a folder; so the engine keeps nothing in memory that a new engine on
the same folder could not find again. Output streams are kept whole, and count as what a run leaves on disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sanjin.adapters.engines import local_runner
from sanjin.adapters.engines.folder_engine import FolderEngine
from sanjin.adapters.engines.host_slots import HostSlots, Ticket
from sanjin.adapters.engines.output_keeper import OutputKeeper
from sanjin.adapters.engines.run_folder import Refused, check, not_started, valid_name
from sanjin.adapters.engines.run_limits import group_homes, sweep_groups
from sanjin.model.engines import DEFAULT_BOUNDS, Bounds, ImageSettings, Keep
from sanjin.ports import EndReason, EngineInfo, RunOrder, RunReport, RunState


@dataclass(frozen=True, slots=True)
class _Live:
    """A supervisor at work: its process id and whether it is a child of this process."""

    key: str
    pid: int
    ours: bool


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A run that waits for the host, since the monotonic time ``since_s``."""

    order: RunOrder
    since_s: float


class LocalEngine(FolderEngine):
    """Runs processes on this machine, confined where that is possible.

    ``folder`` holds everything of this site's runs. ``slots`` limits how many runs are active on the
    host; runs above it wait here, in the order of ``start``, and are absent after a crash of the node.
    For the rest see :class:`FolderEngine`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sandbox: str = "auto",
        slots: HostSlots | None = None,
        read_only: Sequence[str | Path] = (),
        bounds: Bounds = DEFAULT_BOUNDS,
        keeper: OutputKeeper | None = None,
        keep: Keep | None = None,
        images: ImageSettings | None = None,
    ) -> None:
        super().__init__(
            folder, sandbox=sandbox, read_only=read_only, bounds=bounds, keeper=keeper, keep=keep, images=images
        )
        self._program = self._files.supervisor()
        self._slots = slots
        sweep_groups(group_homes())
        self._waiting: dict[str, _Waiting] = {}
        self._live: dict[int, _Live] = {}  # by process descriptor (pidfd)
        self._unwatched: list[_Live] = []  # where the system gives no pidfd
        self._poll = select.epoll()
        self._closed = False

    def info(self) -> EngineInfo:
        """How runs are confined here, and why not if they are not."""
        remarks = (self._sandbox.remark,) if self._sandbox.remark else ()
        return EngineInfo(name="local", sandbox=self._sandbox.kind, remarks=remarks)

    def start(self, orders: Sequence[RunOrder]) -> list[RunReport]:
        """Start the runs, or let them wait for the host. A report for each that could not start."""
        failed: list[RunReport] = []
        with self._guard:
            self._collect()
            for order in orders:
                try:
                    check(order)
                except Refused as refused:
                    failed.append(not_started(order.key, str(refused)))
                    continue
                if order.key in self._waiting or order.key in self._told:
                    continue
                if self._files.begun(order.key):
                    self._find(order.key)  # if it is active, follow it
                    continue
                if self._slots is not None:
                    self._slots.ask(self._ticket(order.key))
                self._waiting[order.key] = _Waiting(order, time.monotonic())
            failed += self._start_waiting()
        return failed

    def watch(self) -> list[RunReport]:
        """Runs that ended and are not forgotten, also those whose supervisor was killed."""
        with self._guard:
            self._collect()
            self._go_on()
            return list(self._told.values())

    def _go_on(self) -> None:
        """Start what may start by now. Nobody waits for the answer any more: what cannot is told like an end."""
        for report in self._start_waiting():
            self._told[report.key] = report

    def _image_came(self) -> None:
        with self._guard:
            if not self._closed:
                self._go_on()

    def find(self, keys: Sequence[str]) -> list[RunReport]:
        """What became of these keys. Runs that are still active are watched from now on."""
        with self._guard:
            self._reap()
            return [self._find(key) for key in keys]

    def close(self) -> None:
        """Let go; runs go on, and those that wait for the host are dropped."""
        super().close()
        with self._guard:
            if self._closed:
                return
            self._closed = True
            for key in self._waiting:
                self._leave(key)
            self._waiting.clear()
            for fd in self._live:
                os.close(fd)
            self._live.clear()
            self._poll.close()

    # -- starting --------------------------------------------------------------------------

    def _start_waiting(self) -> list[RunReport]:
        """Start what may start now, in order, without what waits for its image. Reports of what could not."""
        failed: list[RunReport] = []
        for key in list(self._waiting):
            try:
                if self._waits_for_image(self._waiting[key].order):
                    continue
            except Refused as refused:
                del self._waiting[key]
                self._leave(key)
                failed.append(not_started(key, str(refused)))
                continue
            if self._slots is not None and not self._slots.enter(self._ticket(key)):
                break
            waiting = self._waiting.pop(key)
            try:
                started = self._spawn(waiting)
            except Refused as refused:
                failed.append(not_started(key, str(refused)))
                started = False
            except OSError as error:
                place = f": {error.filename}" if error.filename else ""
                failed.append(not_started(key, f"{error.strerror or error}{place}"))
                started = False
            if not started:
                self._leave(key)
                self._find(key)  # another engine may have begun it
        return failed

    def _spawn(self, waiting: _Waiting) -> bool:
        """Start the supervisor of a run. False when the run has begun already."""
        order = replace(waiting.order, parallel=min(waiting.order.parallel, os.cpu_count() or 1))
        run, more = self._files.runs / order.key, self._confined(order)
        if self._slots is not None:
            more["queued_s"] = round(time.monotonic() - waiting.since_s, 3)
        lock = self._files.prepare(order, more)
        if lock is None:
            return False
        try:
            pid = _start_supervisor(self._program, run, self._files.ended, lock)
        finally:
            # The supervisor has the same open file, so the lock stays taken without a gap.
            os.close(lock)
        self._follow(_Live(order.key, pid, ours=True))
        return True

    def _follow(self, live: _Live) -> None:
        """Get to know of a supervisor's end without asking each one each time."""
        try:
            fd = os.pidfd_open(live.pid)
        except OSError:
            if live.ours:
                self._unwatched.append(live)
            return
        self._live[fd] = live
        self._poll.register(fd, select.EPOLLIN)

    # -- endings ---------------------------------------------------------------------------

    def _collect(self) -> None:
        """Take in what ended since the last look."""
        self._reap()
        for key in self._files.ended_keys():
            if key not in self._told:
                report = self._files.result(key)
                if report is not None:
                    self._told[key] = report
                    self._leave(key)

    def _reap(self) -> None:
        gone: list[_Live] = []
        while self._live and (events := self._poll.poll(0, 1024)):
            for fd, _ in events:
                gone.append(self._live.pop(fd))
                # Closing alone would leave it in the set while a process just being spawned has a copy.
                self._poll.unregister(fd)
                os.close(fd)
        gone += [live for live in self._unwatched if _has_ended(live.pid)]
        self._unwatched = [live for live in self._unwatched if live not in gone]
        for live in gone:
            if live.ours:
                _has_ended(live.pid)
            self._leave(live.key)
            report = self._files.look(live.key)
            if report.state is RunState.ABSENT:
                said = self._files.tail(live.key, "supervisor")
                report = not_started(live.key, f"the supervisor ended before it began: {said}")
            if report.state is RunState.INTERRUPTED:
                self._end_orphans(live.key)
            if self._files.result(live.key) is None:
                self._told[live.key] = report

    def _find(self, key: str) -> RunReport:
        if not valid_name(key):
            return RunReport(key=key, state=RunState.ABSENT)
        if key in self._waiting:
            order = self._waiting[key].order
            what = "its image" if order.image and key not in self._image_of else "the host"
            return RunReport(key=key, state=RunState.RUNNING, detail=f"waits for {what}")
        if key in self._told:
            return self._told[key]
        report = self._files.look(key)
        if report.state is RunState.INTERRUPTED:
            self._end_orphans(key)
        if report.state is RunState.RUNNING and all(live.key != key for live in self._live.values()):
            if self._slots is not None:
                self._slots.adopt(self._ticket(key))
            marker = self._files.marker(key)
            if marker is not None and marker[0]:
                self._follow(_Live(key, marker[0], ours=False))
        return report

    def _end_orphans(self, key: str) -> None:
        """Kill what a killed supervisor left behind without a sandbox: those that carry its folder's name.

        Under bwrap there is nothing: the sandbox dies with its supervisor. Where there are control groups, all that is
        left in those of a supervisor that is gone goes too, whatever it carries.
        """
        sweep_groups(group_homes())
        mark = f"SANJIN_OUTPUTS={self._files.runs / key}/outputs".encode()
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    if mark in file.read().split(b"\0"):
                        os.kill(int(name), signal.SIGKILL)
            except OSError:
                continue

    def _ask(self, keys: Sequence[str], request: str, reason: EndReason) -> None:
        """Ask runs to end; those that still wait for the host end here, for this reason."""
        with self._guard:
            live = {item.key: fd for fd, item in self._live.items()}
            for key in filter(valid_name, keys):
                waiting = self._waiting.pop(key, None)
                if waiting is not None:
                    self._end_waiting(key, waiting, reason)
                    continue
                asked = self._files.result(key) is None and self._files.ask(key, request)
                # The request is seen within a tenth of a second; the signal saves that. Before the
                # supervisor has made its own marker it does not yet withstand signals.
                if asked and key in live and self._files.marker(key) is not None:
                    _signal(live[key])

    def _end_waiting(self, key: str, waiting: _Waiting, reason: EndReason) -> None:
        self._leave(key)
        now = time.time()
        queued_s = round(time.monotonic() - waiting.since_s, 3)
        report = RunReport(
            key=key,
            state=RunState.ENDED,
            reason=reason,
            started_at=now,
            ended_at=now,
            sandbox=self._sandbox.kind,
            detail=f"queued_s={queued_s}; {reason} before it began",
        )
        self._told[key] = report
        with contextlib.suppress(OSError):  # a full disk: we still tell it, a later engine finds it absent
            self._files.put_result(report)

    def _ticket(self, key: str) -> Ticket:
        return (str(self._files.root), key)

    def _leave(self, key: str) -> None:
        if self._slots is not None:
            self._slots.leave(self._ticket(key))


def _start_supervisor(program: str, run: Path, ended: Path, lock: int) -> int:
    """Spawn the supervisor of a run in a session of its own, with the lock as descriptor 3."""
    # A number well away from 3: giving a descriptor its own number would leave it closed by exec.
    moved = fcntl.fcntl(lock, fcntl.F_DUPFD_CLOEXEC, 10)
    log = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-E", program, str(run), str(ended)],
            {"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, str(run / "supervisor"), log, 0o600),
                (os.POSIX_SPAWN_DUP2, moved, local_runner.LOCK_FD),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
        )
    finally:
        os.close(moved)


def _has_ended(pid: int) -> bool:
    """Collect a child that has ended. True also when somebody else has collected it."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _signal(process: int) -> None:
    with contextlib.suppress(OSError):  # it may just have ended
        signal.pidfd_send_signal(process, signal.SIGTERM)
