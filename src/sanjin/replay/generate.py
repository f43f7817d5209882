"""Generated traces: arrivals that follow the day and the week, run times and widths with long tails.

The shape is that of batch work as described for the Parallel Workloads Archive (Feitelson, Workload Modeling,
2015): a daily cycle with its peak in the afternoon, quiet weekends, log-normal run times, widths that are
powers of two. The figures below are assumptions, not fitted to any site; the same seed gives the same trace.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sanjin.model.energy import sin_turns
from sanjin.model.units import DAY_S, HOUR_S
from sanjin.replay.trace import Ints, Trace, tidy

WEEK_DAYS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What to generate. ``daily`` is how far the rate swings around its mean over a day (0: Poisson arrivals),
    ``weekend`` the weekend's rate over that of other days; run times are log-normal with this median in seconds
    and this sigma, at most ``longest_s``; widths are powers of two up to ``2**widest``; jobs ask for up to
    ``over_asked`` times what they run."""

    jobs: int = 100_000
    days: float = 30.0
    seed: int = 1
    daily: float = 0.5
    weekend: float = 0.6
    median_s: float = 900.0
    sigma: float = 1.4
    longest_s: int = 3 * DAY_S
    widest: int = 6
    over_asked: float = 1.0
    users: int = 200


def generate(recipe: Recipe) -> Trace:
    """The trace of a recipe."""
    rng = np.random.default_rng(recipe.seed)
    hours = max(int(recipe.days * 24), 1)
    hour = np.arange(hours)
    rate = 1.0 + recipe.daily * sin_turns((hour % 24 - 9) / 24.0)
    rate = np.where((hour // 24) % WEEK_DAYS >= 5, rate * recipe.weekend, rate)
    counts = rng.multinomial(recipe.jobs, rate / rate.sum())
    arrive = np.repeat(hour * HOUR_S, counts) + rng.integers(0, HOUR_S, recipe.jobs)
    run = np.minimum(rng.lognormal(np.log(recipe.median_s), recipe.sigma, recipe.jobs), recipe.longest_s)
    run = np.maximum(np.rint(run), 1).astype(np.int64)
    asked = np.ceil(run * rng.uniform(1.0, max(recipe.over_asked, 1.0), recipe.jobs)).astype(np.int64)
    none = np.full(recipe.jobs, -1, np.int64)
    return tidy(
        Trace(
            name=f"generated-{recipe.jobs}-seed-{recipe.seed}",
            arrive_s=np.sort(arrive).astype(np.int64),
            run_s=run,
            asked_s=asked,
            cores=(2 ** rng.integers(0, recipe.widest + 1, recipe.jobs)).astype(np.int64),
            cards=np.zeros(recipe.jobs, np.int64),
            user=_users(recipe),
            queue=none,
            waited_s=none,
        )
    )


def _users(recipe: Recipe) -> Ints:
    """Who sent each job: some send much more than others, log-normally, and none most of it."""
    rng = np.random.default_rng([recipe.seed, 1])
    weight = rng.lognormal(0.0, 1.0, recipe.users)
    return rng.choice(recipe.users, recipe.jobs, p=weight / weight.sum()).astype(np.int64)
