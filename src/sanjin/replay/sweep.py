"""Many scenarios of the same work: on this machine's cores, or on a Ray cluster."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any, NamedTuple

from sanjin.flow.supply import PriceBook, Supply
from sanjin.kernels import tables
from sanjin.model.catalogue import problem
from sanjin.model.errors import Problem, ProblemsFound
from sanjin.model.policy import Policy
from sanjin.model.units import HOUR_S
from sanjin.replay.compare import QUEUES, RULES, Figures, Held, figures_of
from sanjin.replay.online import checkpoint
from sanjin.replay.outcome import account
from sanjin.replay.scenario import Scenario
from sanjin.replay.workload import Checkpoint, Workload, in_other_world

ANSWER_S = 5.0
"""Wall seconds in which a cluster has to answer."""

Progress = Callable[[str], None]
Result = tuple[Scenario, Figures]


Checkpoints = dict[int, Checkpoint]
"""By its time, seconds from the trace's begin."""


def replay_scenario(work: Workload, base: Held | None, held: Checkpoints, scenario: Scenario) -> Figures:
    """The figures of one scenario; savings are against ``base``, the same work in the unchanged region."""
    at = held[scenario.from_s] if scenario.from_s else None
    world = in_other_world(work, scenario.region, scenario.load, scenario.outages, scenario.series, at)
    outcome = RULES[scenario.rule](world, scenario.policy)
    return figures_of(world, scenario.id, outcome, account(world, outcome), base)


def sweep(
    work: Workload, scenarios: Sequence[Scenario], base: Held | None, workers: int = 0, ray: str = "",
    progress: Progress = lambda _: None, own: Policy | None = None,
) -> list[Result]:
    """Every scenario's figures, in their order. ``workers`` processes (0: one a core, 1: in this one), or the Ray
    cluster at ``ray`` (``auto``: the one that runs on this machine). Raises ProblemsFound where Ray is not installed
    or the cluster does not answer. None is started here: Ray listens on the machine's outward address.

    Those that fork go on from one replay of the region as it is, under ``own``, its policy; it is done once for all.
    Raises ProblemsFound where one cannot. The same seed gives the same figures wherever they are reckoned.
    """
    faults = [p for s in scenarios if s.from_s for p in _not_forkable(work, s)]
    if faults:
        raise ProblemsFound(faults)
    forks = sorted({s.from_s for s in scenarios if s.from_s})
    given = Given(work, base, {at_s: checkpoint(work, own or Policy(), at_s) for at_s in forks})
    workers = min(workers or os.cpu_count() or 1, len(scenarios))
    if ray:
        found = _on_ray(given, scenarios, ray)
    elif workers > 1:
        found = _in_processes(given, scenarios, workers)
    else:
        found = ((i, replay_scenario(*given, s)) for i, s in enumerate(scenarios))
    done: dict[int, Figures] = {}
    for i, numbers in found:
        done[i] = numbers
        progress(scenarios[i].id)
    return [(scenario, done[i]) for i, scenario in enumerate(scenarios)]


def _not_forkable(work: Workload, scenario: Scenario) -> list[Problem]:
    """What a scenario changes that cannot change in the middle of a replay."""
    faults: list[Problem] = []
    at, path = f"{scenario.from_s / HOUR_S:g}", f"scenarios.{scenario.id}"
    if work.begin_s + scenario.from_s > work.begin_s + work.trace.span_s():
        faults.append(problem("fork_after_all", f"{path}.from_h", value=at, most=f"{work.trace.span_s() / HOUR_S:.2f}"))
    if scenario.rule in QUEUES:
        faults.append(problem("fork_of_queues", f"{path}.rule", value=scenario.rule))
    if any(o.from_s < scenario.from_s for o in scenario.outages):
        faults.append(problem("fork_after_outage", f"{path}.outages", value=at))
    if work.stoppable.any():
        faults.append(problem("fork_of_stoppable", f"{path}.from_h"))
    region = scenario.region
    new, old = Supply(region, region.root().id, PriceBook(region), 1), work.supply
    fixed = [c for c in range(old.pool.shape[1]) if c not in (tables.CORES, tables.MEM, tables.CARDS)]
    same = new.sites == old.sites and new.pools == old.pools
    if not same or (new.pool[:, fixed] != old.pool[:, fixed]).any():
        faults.append(problem("fork_of_pools", f"{path}.region"))
    return faults


class Given(NamedTuple):
    """What all scenarios work on: sent once to each process, not with every scenario."""

    work: Workload
    base: Held | None
    held: Checkpoints


_shared: Given | None = None


def _share(given: Given) -> None:
    global _shared
    _shared = given


def _task(scenario: Scenario) -> Figures:
    if _shared is None:
        raise RuntimeError("a worker without work")
    return replay_scenario(*_shared, scenario)


def _in_processes(given: Given, scenarios: Sequence[Scenario], workers: int) -> Iterator[tuple[int, Figures]]:
    # spawned, not forked: a fork would copy other threads' locks
    with ProcessPoolExecutor(workers, get_context("spawn"), _share, (given,)) as pool:
        waiting = {pool.submit(_task, s): i for i, s in enumerate(scenarios)}
        for future in as_completed(waiting):
            yield waiting[future], future.result()


def _on_ray(given: Given, scenarios: Sequence[Scenario], address: str) -> Iterator[tuple[int, Figures]]:
    try:
        import ray as library  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ProblemsFound([problem("no_ray", "--ray")]) from None
    ray: Any = library
    try:
        if ":" in address.rpartition("/")[2]:  # Ray itself would try for minutes
            host, _, port = address.rpartition("/")[2].rpartition(":")
            socket.create_connection((host, int(port)), ANSWER_S).close()
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False, logging_level="ERROR")
    except (OSError, ValueError) as fault:
        raise ProblemsFound([problem("no_ray_there", "--ray", value=address, fault=fault)]) from fault
    try:
        shared = ray.put(tuple(given))
        # a run that a lost worker took with it is begun again: the figures do not depend on where it ran
        task = ray.remote(_ray_task).options(max_retries=3)
        waiting = {task.remote(shared, s): i for i, s in enumerate(scenarios)}
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=1)
            for ref in ready:
                yield waiting.pop(ref), ray.get(ref)
    finally:
        ray.shutdown()


def _ray_task(given: tuple[Workload, Held | None, Checkpoints], scenario: Scenario) -> Figures:
    return replay_scenario(*given, scenario)
