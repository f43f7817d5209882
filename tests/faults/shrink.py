"""Find a small plan that still fails in the same way: fewer nodes, fewer submissions, fewer faults, less time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from sanjin.model.units import HOUR_S
from tests.faults.invariants import Violation
from tests.faults.plan import Plan, Planned, Submit
from tests.faults.world import World

TRIES = 300


def violation_of(plan: Plan) -> tuple[Violation | None, float]:
    """The violation that a plan ends in, and when, seconds since its beginning."""
    world = World(plan)
    try:
        world.run()
    except Violation as found:
        return found, world.time.now
    return None, world.time.now


def shrink(plan: Plan, name: str, seconds: float, tell: Callable[[str], None] = lambda _: None) -> Plan:
    """The smallest plan found, within so many seconds of this machine's time, that ends in the violation ``name``.

    Events are left out by halves, quarters and so on down to single ones; then leaves of the tree with all that
    speaks of them; then jobs of one call. The result depends on nothing but the plan, but for the time limit.
    """
    until, tries = time.monotonic() + seconds, 0

    def fails(candidate: Plan) -> bool:
        nonlocal tries
        if time.monotonic() > until or tries >= TRIES:
            return False
        tries += 1
        found, _ = violation_of(candidate)
        return found is not None and found.name == name

    _, when = violation_of(plan)
    if when < plan.length_s:
        plan = replace(plan, events=tuple(e for e in plan.events if e.at_s <= when))
    if plan.sqlite and fails(replace(plan, sqlite=False)):
        plan = replace(plan, sqlite=False)
    before: tuple[int, int] | None = None
    while before != (len(plan.events), len(plan.parents)):
        before = len(plan.events), len(plan.parents)
        plan = _fewer_events(plan, fails)
        plan = _fewer_nodes(plan, fails)
        plan = _fewer_jobs(plan, fails)
        tell(f"{len(plan.parents)} nodes and {len(plan.events)} events after {tries} tries")
    _, when = violation_of(plan)
    shorter = replace(plan, hours=max(when / HOUR_S, 0.1))
    return shorter if when < plan.length_s and fails(shorter) else plan


def _fewer_events(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    size = max(len(plan.events) // 2, 1)
    while True:
        at = 0
        while at < len(plan.events):
            candidate = replace(plan, events=plan.events[:at] + plan.events[at + size :])
            if fails(candidate):
                plan = candidate
            else:
                at += size
        if size == 1:
            return plan
        size //= 2


def _fewer_nodes(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    for name in reversed(plan.parents):
        if len(plan.parents) > 1 and name not in plan.parents.values():
            events = tuple(e for e in plan.events if not _speaks_of(e, name))
            parents = {n: p for n, p in plan.parents.items() if n != name}
            candidate = replace(plan, parents=parents, events=events)
            if fails(candidate):
                plan = candidate
    return plan


def _speaks_of(event: Planned, node: str) -> bool:
    if isinstance(event, Submit):
        return event.node == node or any(s.site == node for s in event.specs)
    return node in (getattr(event, "node", ""), getattr(event, "child", ""))


def _fewer_jobs(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    for i, event in enumerate(plan.events):
        if isinstance(event, Submit):
            for spec in event.specs if len(event.specs) > 1 else ():
                candidate = _with(plan, i, replace(event, specs=(spec,)))
                if fails(candidate):
                    plan = candidate
                    break
    return plan


def _with(plan: Plan, at: int, event: Planned) -> Plan:
    events: Sequence[Planned] = plan.events
    return replace(plan, events=(*events[:at], event, *events[at + 1 :]))


def story(plan: Plan, lines: int = 120) -> str:
    """The plan in words, and the last lines of what happened."""
    world = World(plan, traced=True)
    found = ""
    try:
        world.run()
    except Violation as violation:
        found = str(violation)
    tree = ", ".join(f"{n} {plan.cores[n]}" + (f" under {p}" if p else "") for n, p in plan.parents.items())
    planned = [f"{e.at_s:10.3f}  {_in_words(e)}" for e in plan.events]
    return "\n".join([f"nodes: {tree}", "planned:", *planned, "happened:", *world.trace[-lines:], found])


def _in_words(event: Planned) -> str:
    if isinstance(event, Submit):
        jobs = "; ".join(
            f"{s.width()} x {s.cores} cores, {s.duration_s} s, {s.effects}, {s.tenant}"
            + (", stoppable" if s.stoppable else "") + (f", at {s.site}" if s.site else "")
            + (f", inputs {s.inputs}" if s.inputs else "")
            for s in event.specs
        )  # fmt: skip
        return f"submit {event.key} at {event.node}: {jobs}"
    return repr(event)
