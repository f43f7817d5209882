"""How far a replayed queue is from what was recorded, and a baseline that comes nearer.

Where a trace says how long jobs waited, it can be asked what a replay is worth: the jobs go, unfolded and unscaled,
through one queue on the machine that the log states, and their waits stand beside those recorded. A log does not
tell by what discipline the queue was kept, nor how much of the machine was there to be used (nodes down, set apart,
left idle by partitions); both are searched for the least distance on the first half of the jobs, in order of arrival,
and judged on the second half, whose recorded waits the search does not see.

The distance is the 1-Wasserstein distance of the waits: how many seconds, on average, waits would have to change to
be distributed like those recorded. A difference job by job would be dominated by chance: one job that starts a second
later changes who overtakes whom from then on. It is stated too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sanjin.kernels.easy import queue_starts
from sanjin.replay.trace import Ints, Trace

LEAST_KNOWN = 0.5
"""Share of the jobs that must carry a wait."""

LEAST_USABLE = 0.6
"""Share of the machine below which is not searched."""

COARSE, FINE = 0.05, 0.01
"""Steps of the search for the usable share."""

DISCIPLINES = {"easy": True, "fcfs": False}
"""Names of queue disciplines, the usual baseline first; whether they backfill."""

NEVER_DOWN = np.zeros((0, 3), np.int64)
"""Outages are not in the logs."""

ASSUMED = ("gap.one_queue", "gap.empty_at_first", "gap.as_recorded")
"""What every figure here rests on, as keys of the catalogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Of ``jobs`` jobs, in seconds."""

    jobs: int
    mean_s: float
    p50_s: float
    p95_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Replayed waits beside those recorded of the same jobs: the distance of the two distributions, the mean absolute
    difference a job, and Pearson's correlation (None where one of the two does not vary)."""

    waits: Waits
    distance_s: float
    off_a_job_s: float
    correlation: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """The baseline that came nearest on the first half, and how near it comes on the second.

    ``fit_distance_s`` is its distance on the first half; the others are of the second, which the search has not
    seen: what was ``measured`` there, ``before`` (EASY on the whole machine) and ``after``. ``narrowed_share`` is how
    much of the distance went (negative: it grew; None: there was none).
    """

    discipline: str
    usable_share: float
    cores: int
    fit_jobs: int
    fit_distance_s: float
    replays: int
    measured: Waits
    before: Beside
    after: Beside
    narrowed_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What neither was recorded nor fitted: the machine (and whether the log states it), the jobs that were replayed
    but carry no wait or are wider than the machine, and ``texts``, keys of the catalogue."""

    machine_cores: int
    stated_by_log: bool
    without_wait: int
    too_wide: int
    texts: tuple[str, ...] = ASSUMED


@dataclass(frozen=True, slots=True, kw_only=True)
class RealityGap:
    """Recorded waits, replayed ones by discipline, calibrated ones, and what all rests on; apart."""

    measured: Waits
    replayed: dict[str, Beside]
    calibrated: Calibrated
    assumed: Assumed


def why_no_gap(trace: Trace, machine_cores: int = 0) -> str | None:
    """Why no gap can be stated, as a key of the catalogue; None where it can."""
    known = int((trace.waited_s >= 0).sum())
    if known < 2 or known < LEAST_KNOWN * len(trace):
        return "gap.no_waits"
    if not (machine_cores or trace.machine_cores):
        return "gap.no_machine"
    fits = trace.cores <= (machine_cores or trace.machine_cores)
    compared, half = (trace.waited_s >= 0) & fits, len(trace) // 2
    return None if compared[:half].any() and compared[half:].any() else "gap.no_waits"


def reality_gap(
    trace: Trace, machine_cores: int = 0, progress: Callable[[str], None] | None = None
) -> RealityGap | None:
    """The gap of a trace as it was recorded (not folded, not scaled); None where :func:`why_no_gap` says why.

    ``machine_cores`` overrides the machine that the log states.
    """
    if why_no_gap(trace, machine_cores):
        return None
    size = machine_cores or trace.machine_cores
    compared = (trace.waited_s >= 0) & (trace.cores <= size)
    recorded = trace.waited_s[compared]
    if progress:
        progress("reality_gap")
    full = {name: _waits(trace, size, fills) for name, fills in DISCIPLINES.items()}
    return RealityGap(
        measured=_summed(recorded),
        replayed={name: _beside(waits[compared], recorded) for name, waits in full.items()},
        calibrated=_calibrated(trace, size, compared, full["easy"]),
        assumed=Assumed(
            machine_cores=size,
            stated_by_log=not machine_cores,
            without_wait=int((trace.waited_s < 0).sum()),
            too_wide=int((trace.cores > size).sum()),
        ),
    )


def _calibrated(trace: Trace, size: int, compared: NDArray[np.bool_], before: Ints) -> Calibrated:
    half = len(trace) // 2
    early = trace.part(slice(0, half))
    fits = compared[:half]
    wanted = np.sort(early.waited_s[fits])
    widest = int(trace.cores[trace.cores <= size].max())
    tried: dict[tuple[str, float], float] = {}

    def distance(name: str, share: float) -> float:
        if (name, share) not in tried:
            waits = _waits(early, round(size * share), DISCIPLINES[name])[fits]
            tried[name, share] = _distance(np.sort(waits), wanted)
        return tried[name, share]

    for name in DISCIPLINES:
        _search(lambda share, name=name: distance(name, share), max(LEAST_USABLE, widest / size))
    name, share = min(tried, key=lambda key: tried[key])  # of equals the first tried: EASY, the whole machine
    late = compared & (np.arange(len(trace)) >= half)
    recorded = trace.waited_s[late]
    old = _beside(before[late], recorded)
    new = _beside(_waits(trace, round(size * share), DISCIPLINES[name])[late], recorded)
    return Calibrated(
        discipline=name,
        usable_share=share,
        cores=round(size * share),
        fit_jobs=len(wanted),
        fit_distance_s=round(tried[name, share], 1),
        replays=len(tried),
        measured=_summed(recorded),
        before=old,
        after=new,
        narrowed_share=round(1 - new.distance_s / old.distance_s, 4) if old.distance_s else None,
    )


def _search(distance: Callable[[float], float], least: float) -> None:
    """Try usable shares from the whole machine down, coarsely, then finely around the best.

    The walk ends where the distance is more than twice the best: further down queues only grow, without bound where
    the machine cannot do the work.
    """
    best, at, share = distance(1.0), 1.0, 1.0
    while (share := round(share - COARSE, 2)) >= least:
        found = distance(share)
        if found < best:
            best, at = found, share
        elif found > 2 * best:
            break
    steps = round(COARSE / FINE) - 1
    for step in range(-steps, steps + 1):
        share = round(at + step * FINE, 2)
        if least <= share <= 1:
            distance(share)


def _waits(trace: Trace, size: int, backfill: bool) -> Ints:
    """int64[J]: the wait of each job in one queue of a pool of ``size`` cores; meaningless for what is wider."""
    start = np.empty(len(trace), np.int64)
    queue_starts(trace.arrive_s, trace.cores, trace.run_s, trace.asked_s, size, backfill, start, NEVER_DOWN)
    return start - trace.arrive_s


def _distance(one: Ints, other: Ints) -> float:
    """1-Wasserstein distance of two sorted samples of one length."""
    return float(np.abs(one - other).mean())


def _beside(replayed: Ints, recorded: Ints) -> Beside:
    varies = bool(np.ptp(replayed)) and bool(np.ptp(recorded))
    return Beside(
        waits=_summed(replayed),
        distance_s=round(_distance(np.sort(replayed), np.sort(recorded)), 1),
        off_a_job_s=round(float(np.abs(replayed - recorded).mean()), 1),
        correlation=round(float(np.corrcoef(replayed, recorded)[0, 1]), 4) if varies else None,
    )


def _summed(waits: Ints) -> Waits:
    p50, p95 = (round(float(np.percentile(waits, p)), 1) for p in (50, 95))
    return Waits(jobs=len(waits), mean_s=round(float(waits.mean()), 1), p50_s=p50, p95_s=p95)
