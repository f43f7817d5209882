"""Engines whose site has a cluster with a queue of its own: Slurm, and others that take commands in the same way.

Each run is a task of the cluster, and becomes the supervisor that the ``local`` engine starts too
(:mod:`sanjin.adapters.engines.local_runner`); so limits, gangs, members, stops and results are the same. The engine's
folder must lie on a file system that the cluster's machines share with this one, under the same name.

What begins, begins once: the supervisor makes the ``started`` marker of its run, and one that finds it made ends. So a
run may be submitted again where it is not known whether the cluster took it (a crash, a lost answer); of two tasks the
later does nothing. What the cluster ends without a result of ours (a machine lost, its own limits) is learnt from its
queue, one call for the whole site.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from sanjin.adapters.engines.cluster import (
    Cluster,
    ClusterAway,
    ClusterRefused,
    Machine,
    Seen,
    Shape,
    Tasks,
    TaskState,
)
from sanjin.adapters.engines.folder_engine import FolderEngine
from sanjin.adapters.engines.output_keeper import OutputKeeper
from sanjin.adapters.engines.run_folder import Refused, check, not_started, valid_name
from sanjin.model.engines import DEFAULT_BOUNDS, Bounds, ImageSettings, Keep
from sanjin.ports import ClusterUse, EndReason, EngineInfo, RunOrder, RunReport, RunState

_log = logging.getLogger("sanjin.engines")

BATCH_PREFIX = "sanjin-"
_BY = "submitted"
"""The file in a run's folder that says which task is to begin it: batch, index, shape."""
POLL_S = 5.0
"""Seconds between two looks at the cluster's tasks while any is there; ends with a result need no look."""
RETRY_S = 5.0
"""Seconds until what the cluster did not answer is asked again."""
CLOSE_S = 10.0
"""Seconds that a command under way is waited for when the engine is closed."""
LIST_S = 3600.0
"""Seconds that the list of a batch stays at least."""
SETTLE_S = 60.0
"""Seconds that a task must be over before the lack of a result counts: on NFS a new file may be unseen for so long."""
ACCOUNTS_S = 300.0
"""Seconds that the end of a run that had begun is waited for where the cluster's queue has forgotten it, and its
accounts do not know of it yet or do not answer."""
MACHINE_S = 600.0
"""Seconds for which the cluster's largest machine is taken to be the same."""
MIB_A_CORE = 1024
"""Asked for where an order names no memory: without, Slurm would give it a whole machine."""
SPARE_MIB = 64
"""What the supervisor may need beside its run."""
SPARE_S = 60
"""The cluster's own limit is so much later than the run's, which the supervisor keeps."""

_REASONS = {
    TaskState.TIME_LIMIT: EndReason.TIME_LIMIT,
    TaskState.MEMORY_LIMIT: EndReason.MEMORY_LIMIT,
    TaskState.CANCELLED: EndReason.CANCELLED,
}
"""Why a run ended that the cluster ended so that no result of ours was left; any other way it was interrupted."""


@dataclass(slots=True)
class _Sent:
    """A run that was submitted: since when, and since when no task of it lives, in monotonic seconds."""

    since_s: float
    over_s: float = 0.0


class ClusterEngine(FolderEngine):
    """Runs work in a cluster. ``folder`` as above; how runs are confined is tried on this machine. ``python`` is the
    Python of the cluster's machines that runs the supervisor; empty: the one in use here, which must be there under the
    same name. ``shared_s``: others use the cluster too, and it is asked every so many seconds what they have of it; 0:
    never. For the rest see :class:`FolderEngine`."""

    def __init__(
        self,
        folder: Path,
        cluster: Cluster,
        *,
        sandbox: str = "auto",
        read_only: Sequence[str | Path] = (),
        bounds: Bounds = DEFAULT_BOUNDS,
        python: str = "",
        keeper: OutputKeeper | None = None,
        keep: Keep | None = None,
        images: ImageSettings | None = None,
        shared_s: float = 0.0,
    ) -> None:
        super().__init__(
            folder, sandbox=sandbox, read_only=read_only, bounds=bounds, keeper=keeper, keep=keep, images=images
        )
        self._cluster = cluster
        self._use: ClusterUse | None = None
        self._use_s, self._next_use_s = shared_s, 0.0 if shared_s else math.inf
        program = self._files.supervisor_source() if python else self._files.supervisor()
        self._launch = (python or sys.executable, program)
        self._batches = self._files.root / "batches"
        self._batches.mkdir(exist_ok=True, mode=0o700)
        self._news = threading.Condition(self._guard)
        self._queued: dict[str, RunOrder] = {}  # to be prepared and submitted
        self._prepared: dict[str, Shape] = {}  # to be submitted
        self._sent: dict[str, _Sent] = {}
        self._fetching = set[str]()  # of the queued: those whose image is still to come
        self._ask_waiting = False  # whether a task that may not have begun is to end
        self._machine, self._machine_s = Machine(cores=0, memory_mib=0, cards=0), -MACHINE_S
        self._fault = ""  # why the cluster did not answer last
        self._accounts_fault = ""  # and why its accounts did not
        self._next_poll_s = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=cluster.name, daemon=True)
        self._thread.start()

    def info(self) -> EngineInfo:
        """How runs are confined, and whether the cluster answers."""
        with self._guard:
            remarks = (self._sandbox.remark,) if self._sandbox.remark else ()
            return EngineInfo(name=self._cluster.name, sandbox=self._sandbox.kind, remarks=remarks, fault=self._fault)

    def others(self) -> ClusterUse | None:
        """What others had of the cluster at the last look."""
        return self._use

    def start(self, orders: Sequence[RunOrder]) -> list[RunReport]:
        """Take these runs on; they are submitted together, at once. A report for each that cannot be."""
        failed: list[RunReport] = []
        with self._guard:
            for order in orders:
                try:
                    check(order)
                except Refused as refused:
                    failed.append(not_started(order.key, str(refused)))
                    continue
                if not self._follow(order.key):
                    self._queued[order.key] = order
            self._news.notify_all()
        return failed

    def _follow(self, key: str) -> bool:
        """See that the end of a run is told, where it is known here or has begun."""
        if key in self._told or key in self._sent or key in self._queued or key in self._prepared:
            return True
        if (known := self._known(key)) is not None:
            self._told[key] = known
        elif self._files.marker(key) is not None:
            self._send(key)
        else:
            return False
        return True

    def _send(self, key: str) -> None:
        """Take a run for submitted: look after it from now on."""
        if not self._sent:
            self._next_poll_s = time.monotonic() + POLL_S
        self._sent[key] = _Sent(since_s=time.monotonic())

    def watch(self) -> list[RunReport]:
        """Runs that ended and are not forgotten."""
        with self._guard:
            self._collect()
            return list(self._told.values())

    def find(self, keys: Sequence[str]) -> list[RunReport]:
        """What became of these keys; one look at the cluster where the files do not tell."""
        with self._guard:
            self._collect()
            unsure = [k for k in filter(valid_name, keys) if self._known(k) is None and self._files.read(k, _BY, 0, 1)]
        tasks: Tasks | None = None
        if unsure:
            try:
                tasks = self._cluster.tasks(BATCH_PREFIX)
            except (ClusterAway, ClusterRefused) as fault:
                self._fault = str(fault)
        with self._guard:
            for key in unsure:
                if self._known(key) is None and (tasks is None or self._lives(key, tasks) or self._files.marker(key)):
                    self._send(key)
                    self._ask_waiting |= bool(self._files.asked(key))  # another engine may not have come to it
            self._news.notify_all()
            return [self._known(k) or self._look_at_files(k) for k in keys]

    def close(self) -> None:
        """Let go; what was submitted goes on, and what was not is dropped."""
        with self._guard:
            self._closed = True
            self._news.notify_all()
        self._thread.join(CLOSE_S)
        super().close()

    def _image_came(self) -> None:
        with self._guard:
            self._fetching.clear()
            self._news.notify_all()

    def _let_go(self, key: str) -> None:
        self._sent.pop(key, None)

    # -- what is known ---------------------------------------------------------------------

    def _collect(self) -> None:
        """Take in the results that came."""
        for key in self._files.ended_keys():
            if key not in self._told:
                report = self._files.result(key)
                if report is not None:
                    self._told[key] = report
                    self._sent.pop(key, None)

    def _known(self, key: str) -> RunReport | None:
        """What is known of a run without asking the cluster, if that is enough to tell."""
        if not valid_name(key):
            return None
        if key in self._told:
            return self._told[key]
        if (result := self._files.result(key)) is not None:
            return result
        if self._files.forgotten(key):
            return RunReport(key=key, state=RunState.INTERRUPTED, detail="told before")
        if key in self._queued or key in self._prepared:
            return RunReport(key=key, state=RunState.RUNNING, detail="waits to be submitted")
        if key in self._sent:
            marker = self._files.marker(key)
            detail = "" if marker else f"waits in the queue of {self._cluster.name}"
            return RunReport(key=key, state=RunState.RUNNING, started_at=marker[1] if marker else 0.0, detail=detail)
        return None

    def _look_at_files(self, key: str) -> RunReport:
        """What the files say of a run that has no task: an engine of another kind may have begun it here."""
        return self._files.look(key) if valid_name(key) else RunReport(key=key, state=RunState.ABSENT)

    def _seen(self, key: str, tasks: Tasks) -> Seen | None:
        """What the cluster says of the task of a run."""
        by = self._by(key)
        return tasks.get(*by) if by else None

    def _by(self, key: str) -> tuple[str, int] | None:
        """Batch and index of the task that began a run, or else of the last that is to begin it."""
        words = self._files.read(key, "started", 0, 200).decode(errors="replace").split()[2:4]
        words = words or self._files.read(key, _BY, 0, 200).decode(errors="replace").split()[:2]
        return (words[0], int(words[1])) if len(words) == 2 and words[1].isdecimal() else None

    def _lives(self, key: str, tasks: Tasks) -> bool:
        """Whether that task may still do something."""
        seen = self._seen(key, tasks)
        return seen is not None and seen.state in (TaskState.WAITS, TaskState.LIVES)

    # -- asking for an end -----------------------------------------------------------------

    def _ask(self, keys: Sequence[str], request: str, reason: EndReason) -> None:
        with self._guard:
            for key in filter(valid_name, keys):
                waits = key in self._queued or key in self._prepared
                if waits and self._end_unbegun(key, reason, f"{reason} before it began"):
                    continue
                if (waits or self._follow(key)) and self._files.result(key) is None:
                    self._files.leave(key, request)
                    self._ask_waiting |= self._files.marker(key) is None
            self._news.notify_all()

    def _end_unbegun(self, key: str, reason: EndReason, detail: str) -> bool:
        """Tell the end of a run that has not begun, and see that it never will: the cluster may have a task of it all
        the same. False where it has begun by now; then its own result comes."""
        begins = not self._files.withhold(key)
        self._queued.pop(key, None)
        self._prepared.pop(key, None)
        if begins:
            self._send(key)
            return False
        status = 126 if reason is EndReason.NOT_STARTED else 0
        self._tell(replace(not_started(key, detail), reason=reason, exit_status=status, sandbox=self._sandbox.kind))
        return True

    def _tell(self, report: RunReport) -> None:
        self._told[report.key] = report
        self._sent.pop(report.key, None)
        with contextlib.suppress(OSError):  # a full disk: we still tell it
            self._files.put_result(report)

    # -- the cluster -----------------------------------------------------------------------

    def _work(self) -> None:
        """Submit what is queued, and look after what was submitted, until the engine is closed."""
        retry_s = 0.0
        while True:
            with self._guard:
                while not self._closed and (due_s := self._due_s(retry_s)) > (now := time.monotonic()):
                    self._news.wait(None if due_s == math.inf else due_s - now)
                if self._closed:
                    return
                now = time.monotonic()
                look = bool(self._fault) or (bool(self._sent) and (self._ask_waiting or now >= self._next_poll_s))
            todo = (self._submit, *((self._look,) if look else ()), *((self._see,) if now >= self._next_use_s else ()))
            faults = [fault for what in todo if (fault := _try(what))]
            if faults:
                retry_s = time.monotonic() + RETRY_S
                if faults[0] != self._fault:
                    _log.warning("%s: %s", self._cluster.name, faults[0])
            self._fault = faults[0] if faults else ""

    def _due_s(self, retry_s: float) -> float:
        """When there is something to do, monotonic seconds; not before ``retry_s``."""
        if self._queued.keys() - self._fetching or self._prepared or self._fault or (self._ask_waiting and self._sent):
            return retry_s
        return max(retry_s, min(self._next_poll_s if self._sent else math.inf, self._next_use_s))

    def _see(self) -> None:
        """One look at what others have of the cluster."""
        with self._guard:
            shapes = [self._asked_for(key) for key in self._sent if self._files.marker(key) is not None]
        held = Shape(*map(sum, zip(*filter(None, shapes), strict=True))) if any(shapes) else Shape(0, 0, 0, 0)
        self._use = self._cluster.use(lambda batch: (self._batches / batch).exists(), held)
        self._next_use_s = time.monotonic() + self._use_s

    def _asked_for(self, key: str) -> Shape | None:
        """What the task of a run asked for, where that is known."""
        return Shape.of(self._files.read(key, _BY, 0, 200).decode(errors="replace").split()[-1:])

    def _submit(self) -> None:
        """Submit what is to be, one shape at a time. Raises :class:`ClusterAway`; what was not submitted stays."""
        with self._guard:
            orders = list(self._queued.values())
        for order in orders:
            try:
                with self._guard:  # so that no image comes between the two
                    if self._waits_for_image(order):
                        self._fetching.add(order.key)
                        continue
                self._prepare(order)
            except (Refused, ClusterRefused) as refused:
                self._refuse([order.key], str(refused))
            except OSError as error:
                self._refuse([order.key], f"{error.strerror or error}: {error.filename or order.key}")
        with self._guard:
            prepared = sorted(self._prepared.items(), key=lambda item: item[1])
        for shape, alike in groupby(prepared, key=lambda item: item[1]):
            keys = [key for key, _ in alike]
            for first in range(0, len(keys), self._cluster.batch_max):
                self._submit_batch(shape, keys[first : first + self._cluster.batch_max])

    def _prepare(self, order: RunOrder) -> None:
        """Make the folder of a run, unless an end was asked for. Raises as :meth:`_shape`, and ``OSError``."""
        shape, order = self._shape(order)
        with self._guard:
            if self._queued.get(order.key) is None:
                return
            more = self._confined(order)
            if shape.machines > 1 and (spread := self._cluster.spread(shape)):
                each = shape.cores // max(order.cores, 1)
                more["spread"] = {**spread._asdict(), "machines": shape.machines, "each": each}
            more["passed"] = self._cluster.passes(str(more["sandbox"]))
            lock = self._files.prepare(order, more)
            del self._queued[order.key]
            if lock is None:  # another engine has begun it
                self.find([order.key])
                return
            os.close(lock)
            self._prepared[order.key] = shape

    def _shape(self, order: RunOrder) -> tuple[Shape, RunOrder]:
        """What an order asks for of a machine, and the order with as many members at once as fit on one."""
        if time.monotonic() >= self._machine_s + MACHINE_S:
            self._machine, self._machine_s = self._cluster.largest(), time.monotonic()
        machine, copies = self._machine, max(order.nodes, order.members, 1)
        each = max(-(-order.memory_bytes // copies) // 2**20, 1) if order.memory_bytes else MIB_A_CORE * order.cores
        fit = min(machine.cores // max(order.cores, 1), (machine.memory_mib - SPARE_MIB) // max(each, 1))
        fit = min(fit, machine.cards // order.accelerators) if order.accelerators else fit
        machines = -(-order.nodes // max(fit, 1))
        asked = f"{order.nodes} x ({order.cores} cores, {each} MiB, {order.accelerators} cards) at once are more than "
        if fit < 1 or machines > machine.count:
            raise Refused(
                f"{asked}the largest machine of the cluster has ({machine.cores}, {machine.memory_mib}, "
                f"{machine.cards}), of which there are {machine.count}"
            )
        if machines > 1 and self._cluster.spread(Shape(1, 1, 0, 0, machines)) is None:
            raise Refused(
                f"{asked}the largest machine of the cluster has, and {self._cluster.name} runs a gang on one machine"
            )
        here = -(-order.nodes // machines)  # copies on each machine, at most
        machines = -(-order.nodes // here)
        at_once = max(here, min(order.parallel, order.members or 1, fit))
        bound = -(-order.memory_bytes * at_once // copies)  # of each machine
        whole = order.memory_bytes if order.nodes > 1 else bound
        order = replace(order, parallel=at_once if order.members else 1, memory_bytes=whole)
        memory = -(-bound // 2**20) or each * at_once
        seconds = order.time_limit_s * -(-max(order.members, 1) // order.parallel) + order.stop_grace_s + SPARE_S
        shape = Shape(
            cores=order.cores * at_once,
            memory_mib=memory + SPARE_MIB,
            cards=order.accelerators * at_once,
            minutes=math.ceil(seconds / 60) if order.time_limit_s > 0 else 0,
            machines=machines,
        )
        return shape, order

    def _submit_batch(self, shape: Shape, keys: Sequence[str]) -> None:
        """Submit these as one batch. Raises :class:`ClusterAway`: then the cluster may have them or not."""
        name = BATCH_PREFIX + secrets.token_hex(8)
        with self._guard:
            keys = [key for key in keys if key in self._prepared]  # of the others an end was asked for
            for index, key in enumerate(keys):
                self._files.leave(key, _BY, f"{name} {index} {shape.told()}\n".encode())
        if not keys:
            return
        listed = self._batches / name
        listed.write_text("".join(f"{self._files.runs / key}\n" for key in keys))
        task = Path(__file__).with_name("cluster_task.sh")
        script = [str(word) for word in (task, listed, *self._launch, self._files.ended)]
        try:
            self._cluster.submit(name, len(keys), shape, script, self._files.root)
        except ClusterRefused as refused:
            if len(keys) == 1:
                self._refuse(keys, str(refused))
                return
            half = len(keys) // 2  # a limit may be met by all of them and not by some
            self._submit_batch(shape, keys[:half])
            self._submit_batch(shape, keys[half:])
            return
        with self._guard:
            for key in keys:
                if self._prepared.pop(key, None) is None:  # an end was asked for while it was submitted
                    self._ask_waiting = True
                self._send(key)

    def _refuse(self, keys: Iterable[str], why: str) -> None:
        with self._guard:
            for key in keys:
                self._end_unbegun(key, EndReason.NOT_STARTED, why)

    def _look(self) -> None:
        """One look at all tasks: end what waits and is asked to end, and tell what is over without a result."""
        began = time.monotonic()
        with self._guard:
            self._next_poll_s = began + POLL_S
            asked, self._ask_waiting = self._ask_waiting, False
        try:
            tasks = self._cluster.tasks(BATCH_PREFIX)
            if asked:
                with self._guard:
                    ended = [k for k in self._sent if self._files.asked(k) and self._files.marker(k) is None]
                    waits = [self._seen(k, tasks) for k in ended]
                if jobs := [seen.task for seen in waits if seen is not None and seen.state is TaskState.WAITS]:
                    self._cluster.cancel_waiting(jobs)
                    tasks = self._cluster.tasks(BATCH_PREFIX)
        except BaseException:
            self._ask_waiting |= asked
            raise
        with self._guard:
            self._collect()
            self._drop_lists(tasks)
            over, unbegun = dict[str, Seen | None](), set[str]()
            for key, sent in [(k, s) for k, s in self._sent.items() if s.since_s < began and k not in self._told]:
                if self._lives(key, tasks):
                    sent.over_s = 0.0
                    continue
                sent.over_s = sent.over_s or time.monotonic()
                marked = self._files.marker(key) is not None
                unbegun |= set() if marked else {key}
                begun = marked and self._files.terminated(key) is None
                settle_s = SETTLE_S if begun else 0.0
                if time.monotonic() >= sent.over_s + settle_s:
                    over[key] = self._seen(key, tasks)
        self._ask_accounts(over)
        with self._guard:
            for key, seen in over.items():
                begins = key in unbegun and self._files.marker(key) is not None  # a task of an earlier batch, just now
                if key in self._sent and not begins:
                    self._conclude(key, seen)

    def _ask_accounts(self, over: dict[str, Seen | None]) -> None:
        """Fill in what the cluster's queue has forgotten of these. Those are left out whose end may still be learnt."""
        with self._guard:
            forgotten = {key: by for key, seen in over.items() if seen is None and (by := self._by(key)) is not None}
        if (accounts := self._cluster.accounts) is None or not forgotten:
            return
        ended, fault = Tasks(), ""
        try:
            if not accounts.kept():
                return
            batches = sorted({batch for batch, _ in forgotten.values()})
            ended = accounts.ended(batches, min(map(self._since, forgotten)))
        except (ClusterAway, ClusterRefused) as away:
            fault = str(away)
            if fault != self._accounts_fault:
                _log.warning("%s: %s", self._cluster.name, fault)
        self._accounts_fault = fault
        with self._guard:
            for key, (batch, index) in forgotten.items():
                over[key] = ended.get(batch, index)
                sent = self._sent.get(key)
                begun = self._files.marker(key) is not None  # what has not is submitted again, and begins once
                if sent and over[key] is None and begun and time.monotonic() < sent.over_s + ACCOUNTS_S:
                    del over[key]

    def _since(self, key: str) -> float:
        """When a task that was to begin a run was there, wall seconds: it ended later."""
        marker = self._files.marker(key)
        return marker[1] if marker else (self._files.runs / key / _BY).stat().st_mtime

    def _drop_lists(self, tasks: Tasks) -> None:
        """Remove the lists of batches that are over; none that is new, which another engine may be about to submit."""
        known = tasks.batches()
        for path in self._batches.iterdir():
            if path.name not in known and path.stat().st_mtime < time.time() - LIST_S:
                path.unlink(missing_ok=True)

    def _conclude(self, key: str, seen: Seen | None) -> None:
        """Tell the end of a run whose task is over, or nowhere, and left no result; or submit it again."""
        if (result := self._files.result(key)) is not None:
            self._told[key] = result
            self._sent.pop(key, None)
            return
        said, state = self._files.tail(key, "supervisor"), seen.state if seen else TaskState.OVER
        detail = f"{self._cluster.name}: {seen.said if seen else 'unknown'}"
        detail += f"; {said}" if said else ""
        if (marker := self._files.marker(key)) is not None:
            self._end_begun(key, marker[1], state, detail)
        elif asked := self._files.asked(key):
            reason = EndReason.STOPPED if asked == "stop" else EndReason.CANCELLED
            self._end_unbegun(key, reason, f"{reason} before it began")
        elif state is TaskState.OVER:  # the cluster lost it, or its machine: it has not begun
            if (shape := self._asked_for(key)) is None:
                self._end_unbegun(key, EndReason.NOT_STARTED, f"{_BY}: damaged")
                return
            self._sent.pop(key, None)
            self._prepared[key] = shape
            self._news.notify_all()
        elif state is TaskState.CANCELLED:
            self._end_unbegun(key, EndReason.CANCELLED, detail)
        else:
            self._end_unbegun(key, EndReason.NOT_STARTED, detail)

    def _end_begun(self, key: str, started_at: float, state: TaskState, detail: str) -> None:
        """Tell the end of a run that the cluster ended before its supervisor could say so."""
        report = RunReport(
            key=key, state=RunState.INTERRUPTED, started_at=started_at, sandbox=self._sandbox.kind, detail=detail
        )
        if reason := _REASONS.get(state):
            left = self._files.terminated(key) or replace(report, ended_at=time.time())
            self._tell(replace(left, state=RunState.ENDED, reason=reason, detail=detail))
            return
        with contextlib.suppress(OSError):
            self._files.leave(key, "cancel")  # should it live all the same, it must not go on beside a repeat
        self._sent.pop(key, None)
        self._told[key] = report


def _try(what: Callable[[], None]) -> str:
    """Do it; what went wrong, if anything did: whatever it is, it may be over later."""
    try:
        what()
    except (ClusterAway, ClusterRefused, OSError, ValueError) as fault:
        return str(fault) or type(fault).__name__
    except Exception as fault:
        _log.exception("engine")
        return f"{type(fault).__name__}: {fault}"
    return ""
