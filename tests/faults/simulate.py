"""The fault simulator's command line: ``python -m tests.faults.simulate --seeds 0:1000 --nodes 14 --hours 24``.

Each seed is one life of a region; see :mod:`tests.faults.plan` for what can happen in it and
:mod:`tests.faults.invariants` for what must hold. A failing seed is reduced and told; the last line is JSON. The
exit status is 1 where an invariant did not hold.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import platform
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tests.faults.invariants import Violation
from tests.faults.plan import draw
from tests.faults.shrink import shrink, story
from tests.faults.world import World

SHOWN = ("steps", "commits", "messages", "drops", "repeats", "cuts", "crashes", "store failures", "power cuts", "jumps",
         "jobs", "starts", "cancels", "refused")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Life:
    """What came of one seed: counts of what happened, and the violation (name, what), where there was one."""

    seed: int
    nodes: int
    hours: float
    wall_s: float
    counts: Counter[str]
    violation: tuple[str, str] | None


def live(seed: int, nodes: int, hours: float, jobs: int = 0, compare: bool = True) -> Life:
    """Live one seed; ``compare`` as in :class:`World`."""
    logging.getLogger("sanjin.node").setLevel(logging.CRITICAL)
    began, world, violation = time.monotonic(), World(draw(seed, nodes, hours, jobs), compare=compare), None
    try:
        world.run()
    except Violation as found:
        violation = (found.name, found.what)
    size = len(world.plan.parents)
    return Life(seed, size, world.time.now / 3600, time.monotonic() - began, world.counts, violation)


def replay_line(seed: int, nodes: int, hours: float, jobs: int = 0) -> str:
    """The command that lives a seed again."""
    more = f" --jobs {jobs}" if jobs else ""
    return f"python -m tests.faults.simulate --seed {seed} --nodes {nodes} --hours {hours:g}{more}"


def _live(given: tuple[int, int, float, int]) -> Life:
    return live(*given)


def _lives(seeds: range, options: argparse.Namespace) -> Iterator[Life]:
    given = [(seed, options.nodes, options.hours, options.jobs) for seed in seeds]
    if options.workers == 1:
        yield from map(_live, given)
        return
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        yield from pool.imap_unordered(_live, given)


def _seeds(text: str) -> range:
    first, _, last = text.partition(":")
    return range(int(first), int(last)) if last else range(int(first), int(first) + 1)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.simulate", description=__doc__)
    parser.add_argument("--seeds", type=_seeds, help="FIRST:LAST, the last not included")
    parser.add_argument("--seed", type=_seeds, help="one seed, with its story")
    parser.add_argument("--nodes", type=int, default=14, help="nodes of a tree at most (half as many at least)")
    parser.add_argument("--hours", type=float, default=24.0, help="hours in which things go wrong, before all heals")
    parser.add_argument("--jobs", type=int, default=0, help="jobs a seed (0: as suits the hours)")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--shrink-seconds", type=float, default=120.0, help="for each failing seed (0: leave it)")
    parser.add_argument("--stories", type=int, default=3, help="failing seeds that are reduced and told, at most")
    options = parser.parse_args(arguments)
    if (options.seeds is None) == (options.seed is None):
        parser.error("give either --seeds or --seed")
    return options


def main(arguments: list[str]) -> int:
    """Live the seeds; the exit status."""
    options = _options(arguments)
    seeds, began = options.seeds or options.seed, time.monotonic()
    total, failed, hours, worked, shown_at = Counter[str](), list[Life](), 0.0, 0.0, 0.0
    for number, life in enumerate(_lives(seeds, options), 1):
        total += life.counts
        hours += life.hours
        worked += life.wall_s
        if life.violation:
            failed.append(life)
            print(f"seed {life.seed} FAILS: {life.violation[0]}: {life.violation[1]}")
            print(f"  again: {replay_line(life.seed, options.nodes, options.hours, options.jobs)}", flush=True)
        if time.monotonic() - shown_at > 10 or number == len(seeds):
            shown_at = time.monotonic()
            what = ", ".join(f"{total[name]:,} {name}" for name in SHOWN)
            print(f"{number}/{len(seeds)} seeds in {shown_at - began:.0f} s: {what}; {len(failed)} fail", flush=True)
    for life in failed[: options.stories] if options.shrink_seconds else ():
        plan = draw(life.seed, options.nodes, options.hours, options.jobs)
        name = life.violation[0] if life.violation else ""
        small = shrink(plan, name, options.shrink_seconds, lambda text: print(f"  {text}", flush=True))
        print(f"--- seed {life.seed}, reduced: {name}\n{story(small)}\n---")
    wall = time.monotonic() - began
    found = Counter(life.violation[0] for life in failed if life.violation)
    result = {
        "name": "fault simulator", "value": len(failed), "unit": "failing seeds", "goal": 0, "seeds": len(seeds),
        "nodes_max": options.nodes, "hours": options.hours, "simulated_hours": round(hours, 1),
        "wall_s": round(wall, 1), "steps_per_cpu_s": round(total["steps"] / max(worked, 1e-9)),
        **{k.replace(" ", "_"): v for k, v in sorted(total.items())}, "violations": dict(found),
        "failing": sorted(life.seed for life in failed), "machine": f"{platform.machine()}, {options.workers} workers",
    }  # fmt: skip
    print(json.dumps(result))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
