"""Plan a workshop (job shop) with OR-Tools; prints the minutes against the plain queue order.

Uses the constraint solver that ships with routing: importing CP-SAT's Python layer pulls in
pandas, which takes longer than the whole job. The search stops after a number of branches, so
the answer does not depend on the machine's speed.
"""

# The library ships type stubs without types.
# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ortools.constraint_solver import pywrapcp

from sanjin.examples import common

MACHINES = 5
BRANCHES = 10_000
"""Branches searched for one day's plan; most days need far fewer."""

Plan = tuple[tuple[tuple[int, int], ...], ...]
"""For each order its steps as (machine, minutes)."""

Starts = tuple[tuple[int, ...], ...]
"""For each order the minute in which each step starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Makespans in minutes, summed over the days; ``bound_min`` is below every possible plan.

    ``proven`` counts the days whose plan is known to be the best there is.
    """

    days: int
    orders: int
    makespan_min: int
    queue_min: int
    bound_min: int
    proven: int
    starts_min: tuple[Starts, ...]


def instance(seed: int, day: int, orders: int) -> Plan:
    """A day's orders: each visits every machine once, in an order of its own."""
    rng = random.Random(f"{seed} {day}")
    return tuple(
        tuple((machine, rng.randint(5, 60)) for machine in rng.sample(range(MACHINES), MACHINES))
        for _ in range(orders)
    )


def run(*, seed: int = 2026, size: int = 8, days: int = 20) -> Result:
    """Plan ``size`` orders for each of ``days`` days."""
    plans = [instance(seed, day, size) for day in range(days)]
    solved = [_solve(plan) for plan in plans]
    return Result(
        days=days,
        orders=size * days,
        makespan_min=sum(_makespan(p, s) for p, (s, _) in zip(plans, solved, strict=True)),
        queue_min=sum(_makespan(p, _queue(p)) for p in plans),
        bound_min=sum(_bound(p) for p in plans),
        proven=sum(proven for _, proven in solved),
        starts_min=tuple(starts for starts, _ in solved),
    )


def _bound(plan: Plan) -> int:
    """The busiest machine's work or the longest order, whichever is more."""
    by_machine = [sum(t for o in plan for m, t in o if m == machine) for machine in range(MACHINES)]
    return max(*by_machine, *(sum(t for _, t in o) for o in plan))


def _makespan(plan: Plan, starts: Starts) -> int:
    """When the last step of the last order ends."""
    return max(s[-1] + o[-1][1] for s, o in zip(starts, plan, strict=True))


def _queue(plan: Plan) -> Starts:
    """Starts when the orders go through step by step in the order they came."""
    starts: list[list[int]] = [[] for _ in plan]
    machine_free, order_free = [0] * MACHINES, [0] * len(plan)
    for step in range(MACHINES):
        for number, order in enumerate(plan):
            machine, minutes = order[step]
            begin = max(machine_free[machine], order_free[number])
            starts[number].append(begin)
            machine_free[machine] = order_free[number] = begin + minutes
    return tuple(tuple(s) for s in starts)


def _solve(plan: Plan) -> tuple[Starts, bool]:
    """Starts of the best plan found, never worse than the queue order, and whether it is proven best."""
    solver: Any = pywrapcp.Solver("workshop")  # Any: the library's types are empty
    queue = _queue(plan)
    horizon = _makespan(plan, queue)
    steps = [
        [solver.FixedDurationIntervalVar(0, horizon - t, t, False, f"{n}-{m}") for m, t in order]
        for n, order in enumerate(plan)
    ]
    for order in steps:
        for before, after in itertools.pairwise(order):
            solver.Add(after.StartsAfterEnd(before))
    sequences: list[Any] = []
    for machine in range(MACHINES):
        used = [steps[n][s] for n, o in enumerate(plan) for s, (m, _) in enumerate(o) if m == machine]
        disjunctive = solver.DisjunctiveConstraint(used, f"machine {machine}")
        solver.Add(disjunctive)
        sequences.append(disjunctive.SequenceVar())
    makespan = solver.Max([order[-1].EndExpr() for order in steps]).Var()
    for order in steps:
        solver.Add(makespan >= order[-1].EndExpr())
    goal = solver.Minimize(makespan, 1)
    phase = solver.Compose(
        [
            solver.Phase(sequences, solver.SEQUENCE_DEFAULT),
            solver.Phase([makespan], solver.CHOOSE_FIRST_UNBOUND, solver.ASSIGN_MIN_VALUE),
        ]
    )
    collector = solver.LastSolutionCollector()
    for order in steps:
        for step in order:
            collector.Add(step)
    solver.Solve(phase, [goal, collector, solver.BranchesLimit(BRANCHES)])
    if not collector.SolutionCount():
        return queue, False
    best = collector.Solution(0)
    starts = tuple(tuple(best.StartMin(step) for step in order) for order in steps)
    return starts, solver.Branches() < BRANCHES


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a job."""
    options = common.parser(__doc__, size=8, size_help="orders a day")
    options.add_argument("--days", type=int, default=20, help="days to plan, each on its own")
    chosen = options.parse_args(argv)
    result = run(seed=chosen.seed, size=chosen.size, days=chosen.days)
    line = f"{result.makespan_min} min for {result.orders} orders, queue order {result.queue_min} min"
    common.finish("schedule", asdict(result), f"{line}, {result.proven} of {result.days} days proven best")
    return 0


if __name__ == "__main__":
    sys.exit(main())
