"""How many replays of a long trace one core does in a minute, as a sweep over parameters would ask for them.

The trace is as long as RICC's whole log (some 450,000 jobs), in Shanxi with its 11 sites, once under EASY at home and
once under the region's own rule (every site and slot priced). Replays of a sweep are equal in kind: a few, each with
another seed of what is drawn, are timed, and the number a minute is reckoned from their mean. Timed is what a sweep
does again for each point: the replay itself; and, apart, with mapping, accounts and checks.

Where all jobs of a user come from one city, as ``sanjin replay`` has it, the busiest users of a generated trace ask
for more than their city has, and queues there grow to days: EASY is timed with such queues too.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from sanjin.model.policy import Policy
from sanjin.model.units import HORIZON_SLOTS, HOUR_S
from sanjin.regions.load import bundled, load_region
from sanjin.replay.generate import Recipe, generate
from sanjin.replay.online import replay_online
from sanjin.replay.outcome import account
from sanjin.replay.rules import queue_at_home
from sanjin.replay.workload import Rule, workload

JOBS = 450_000
DAYS = 150


@dataclass(frozen=True, slots=True)
class Sweep:
    """Replays that one core does in a minute, of the rule alone, and with mapping, accounts and checks; ``wait_h`` is
    the mean wait in hours, ``timed`` how many were timed."""

    name: str
    timed: int
    a_minute: float
    whole_a_minute: float
    wait_h: float


CASES = (
    ("EASY at home", lambda work: queue_at_home(work, True), False),
    ("EASY at home, users in one city each", lambda work: queue_at_home(work, True), True),
    ("own rule", lambda work: replay_online(work, Policy()), False),
)


def sweeps(jobs: int = JOBS, timed: int = 3) -> list[Sweep]:
    """The cases on one core, ``timed`` replays each, after one of a few jobs that compiles."""
    region = load_region(bundled("shanxi"))
    traces = [generate(Recipe(jobs=count, days=DAYS, over_asked=2.0)) for count in (1000, jobs)]
    found: list[Sweep] = []
    for name, rule, by_user in CASES:
        alone = whole = wait = 0.0
        for seed in range(timed + 1):
            trace = traces[seed > 0]
            trace = trace if by_user else replace(trace, user=np.full(len(trace), -1))
            began = time.perf_counter()
            work = workload(region, trace, Rule(seed=seed), 7 * 96 + 2 * HORIZON_SLOTS)
            ready = time.perf_counter()
            outcome = rule(work)
            done = time.perf_counter()
            waits = account(work, outcome).wait_s
            if seed:
                alone, whole = alone + done - ready, whole + time.perf_counter() - began
                wait += float(waits.mean()) / HOUR_S / timed
        found.append(Sweep(name, timed, 60 * timed / alone, 60 * timed / whole, wait))
    return found
