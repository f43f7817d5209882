"""``sanjin replay --through-node`` and ``--through-flow``: the live code beside the compiled loop."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.progress import Progress

from sanjin.adapters.store.memory import MemoryStore
from sanjin.adapters.store.sqlite import SqliteStore
from sanjin.cli.output import Format, data, note, text
from sanjin.model.catalogue import problem
from sanjin.model.errors import ProblemsFound
from sanjin.model.policy import Policy
from sanjin.model.units import SLOT_S
from sanjin.replay.online import replay_online
from sanjin.replay.outcome import Outcome
from sanjin.replay.through_flow import at_the_root, by_epoch, replay_through_flow
from sanjin.replay.through_node import in_whole_fen, replay_through_nodes
from sanjin.replay.workload import Workload

MEASURED = -1
"""A decision takes what it takes on this machine."""


def through_nodes(work: Workload, policy: Policy | None, output: Format) -> int:
    """The region's real loop, stores and messages beside the compiled loop; 1 where they decide differently."""
    work, own = in_whole_fen(work), replace(policy or Policy(), move_gain_fen=-1, stop_gain_fen=-1)
    compiled = replay_online(work, own)
    with tempfile.TemporaryDirectory(prefix="sanjin-replay-") as folder:
        live = _shown(
            work, lambda progress: replay_through_nodes(work, own, Path(folder), SqliteStore, progress)
        )
    same = _same(live, compiled)
    told = {"jobs": len(work), "same": same, "digest": compiled.digest(), "digest_through_nodes": live.digest()}
    if not data(told, output):
        print(text("cli.through_nodes", same=same, jobs=len(work), digest=live.digest()))
        note(text("cli.through_nodes_how"))
    return 0 if same == len(work) else 1


def through_flow(work: Workload, policy: Policy | None, epoch_s: int, decision_us: int, output: Format) -> int:
    """The live flow of one node beside the compiled loop; 1 where they decide differently though decisions take no
    time (``decision_us`` 0; :data:`MEASURED`: what they take here). Raises ProblemsFound where work that can stop meets
    an epoch that does not end where slots do."""
    if epoch_s and SLOT_S % epoch_s and work.stoppable.any():
        raise ProblemsFound([problem("stoppable_epoch", "--epoch", value=epoch_s, slot=SLOT_S)])
    work, own = at_the_root(in_whole_fen(work)), policy or Policy()
    compiled = replay_online(by_epoch(work, epoch_s) if epoch_s else work, own)
    charged = None if decision_us == MEASURED else decision_us
    began = time.perf_counter()
    live = _shown(
        work, lambda progress: replay_through_flow(work, own, epoch_s, MemoryStore(), progress, charged)
    )
    took_s = time.perf_counter() - began
    same, arrive = _same(live, compiled), work.begin_s + work.trace.arrive_s
    ran = (live.place >= 0) & (compiled.place >= 0)
    waits = {name: float((o.start_s - arrive)[ran].mean()) if ran.any() else 0.0 for name, o in
             (("compiled", compiled), ("through_flow", live))}  # fmt: skip
    told = {
        "jobs": len(work), "same": same, "digest": compiled.digest(), "digest_through_flow": live.digest(),
        "epoch_s": epoch_s, "decision_us": "measured" if charged is None else charged,
        "wait_mean_s": {name: round(value, 1) for name, value in waits.items()}, "took_s": round(took_s, 2),
    }  # fmt: skip
    if not data(told, output):
        rate = f"{len(work) / took_s:,.0f}"
        print(text("cli.through_flow", same=same, jobs=len(work), digest=live.digest(), rate=rate))
        print(text("cli.through_flow_waits", **{name: f"{value:,.1f}" for name, value in waits.items()}))
        note(text("cli.through_flow_how"))
    return 0 if charged != 0 or same == len(work) else 1


def _same(one: Outcome, other: Outcome) -> int:
    return int(((one.place == other.place) & (one.start_s == other.start_s)).sum())


def _shown(work: Workload, replay: Callable[[Callable[[int], None]], Outcome]) -> Outcome:
    """A replay under a bar that fills."""
    with Progress(transient=True) as bar:
        task = bar.add_task("", total=len(work))
        return replay(lambda n: bar.update(task, completed=n))
