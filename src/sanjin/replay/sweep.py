"""Many scenarios of the same work: on this machine's cores, or on a Ray cluster."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

from sanjin.flow.submit import problem
from sanjin.model.errors import ProblemsFound
from sanjin.replay.compare import RULES, Figures, Held, figures_of
from sanjin.replay.outcome import account
from sanjin.replay.scenario import Scenario
from sanjin.replay.workload import Workload, in_other_world

ANSWER_S = 5.0
"""Wall seconds in which a cluster has to answer."""

Progress = Callable[[str], None]
Result = tuple[Scenario, Figures]


def replay_scenario(work: Workload, scenario: Scenario, base: Held | None) -> Figures:
    """The figures of one scenario; savings are against ``base``, the same work in the unchanged region."""
    world = in_other_world(work, scenario.region, scenario.load, scenario.outages, scenario.series)
    outcome = RULES[scenario.rule](world, scenario.policy)
    return figures_of(world, scenario.id, outcome, account(world, outcome), base)


def sweep(
    work: Workload, scenarios: Sequence[Scenario], base: Held | None, workers: int = 0, ray: str = "",
    progress: Progress = lambda _: None,
) -> list[Result]:
    """Every scenario's figures, in their order. ``workers`` processes (0: one a core, 1: in this one), or the Ray
    cluster at ``ray`` (``auto``: the one that runs on this machine). Raises ProblemsFound where Ray is not installed
    or the cluster does not answer. None is started here: Ray listens on the machine's outward address.

    The same seed gives the same figures wherever they are reckoned.
    """
    workers = min(workers or os.cpu_count() or 1, len(scenarios))
    if ray:
        found = _on_ray(work, scenarios, base, ray)
    elif workers > 1:
        found = _in_processes(work, scenarios, base, workers)
    else:
        found = ((i, replay_scenario(work, s, base)) for i, s in enumerate(scenarios))
    done: dict[int, Figures] = {}
    for i, numbers in found:
        done[i] = numbers
        progress(scenarios[i].id)
    return [(scenario, done[i]) for i, scenario in enumerate(scenarios)]


_shared: tuple[Workload, Held | None] | None = None
"""What all scenarios of a process work on: sent once to each, not with every scenario."""


def _share(work: Workload, base: Held | None) -> None:
    global _shared
    _shared = (work, base)


def _task(scenario: Scenario) -> Figures:
    if _shared is None:
        raise RuntimeError("a worker without work")
    return replay_scenario(_shared[0], scenario, _shared[1])


def _in_processes(
    work: Workload, scenarios: Sequence[Scenario], base: Held | None, workers: int
) -> Iterator[tuple[int, Figures]]:
    # spawned, not forked: a fork would copy other threads' locks
    with ProcessPoolExecutor(workers, get_context("spawn"), _share, (work, base)) as pool:
        waiting = {pool.submit(_task, s): i for i, s in enumerate(scenarios)}
        for future in as_completed(waiting):
            yield waiting[future], future.result()


def _on_ray(
    work: Workload, scenarios: Sequence[Scenario], base: Held | None, address: str
) -> Iterator[tuple[int, Figures]]:
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
        given = ray.put((work, base))
        # a run that a lost worker took with it is begun again: the figures do not depend on where it ran
        task = ray.remote(_ray_task).options(max_retries=3)
        waiting = {task.remote(given, s): i for i, s in enumerate(scenarios)}
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=1)
            for ref in ready:
                yield waiting.pop(ref), ray.get(ref)
    finally:
        ray.shutdown()


def _ray_task(given: tuple[Workload, Held | None], scenario: Scenario) -> Figures:
    return replay_scenario(given[0], scenario, given[1])
