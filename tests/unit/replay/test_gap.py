"""The reality gap: exact where the replay is what was recorded, and narrowed where a hidden machine recorded it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanjin.kernels.easy import queue_starts
from sanjin.model.messages import MESSAGES
from sanjin.replay.gap import ASSUMED, NEVER_DOWN, Beside, _distance, reality_gap, why_no_gap
from sanjin.replay.generate import Recipe, generate
from sanjin.replay.read import read_trace
from sanjin.replay.trace import Trace

RICC = Path(__file__).resolve().parents[4] / "shared" / "traces" / "ricc_first10k.swf"


def recorded(easy: bool, usable: float, jobs: int = 6000, seed: int = 3) -> Trace:
    """A trace whose waits come from a machine of which only a part was usable, under a discipline."""
    trace = generate(Recipe(jobs=jobs, days=5, seed=seed, over_asked=3.0, widest=5))
    size = int(trace.core_seconds() / trace.span_s() / 0.65)
    start = np.empty(len(trace), np.int64)
    queue_starts(
        trace.arrive_s, trace.cores, trace.run_s, trace.asked_s, round(size * usable), easy, start, NEVER_DOWN
    )
    return replace(trace, waited_s=start - trace.arrive_s, machine_cores=size)


@pytest.mark.parametrize(("easy", "usable"), [(True, 0.83), (False, 0.87), (True, 1.0), (False, 1.0)])
@pytest.mark.parametrize("seed", [3, 4])
def test_a_hidden_machine_is_found_and_the_gap_narrows(easy: bool, usable: float, seed: int) -> None:
    gap = reality_gap(recorded(easy, usable, seed=seed))
    assert gap is not None
    fit = gap.calibrated
    assert fit.discipline == ("easy" if easy else "fcfs")
    assert fit.usable_share == pytest.approx(usable, abs=0.011)
    if easy and usable == 1:
        assert fit.before.distance_s == fit.after.distance_s == 0 and fit.narrowed_share is None
        assert fit.after.off_a_job_s == 0 and fit.after.correlation == 1
    else:
        assert fit.after.distance_s < fit.before.distance_s / 4
        assert fit.after.off_a_job_s < fit.before.off_a_job_s
        assert fit.narrowed_share == pytest.approx(1 - fit.after.distance_s / fit.before.distance_s, abs=1e-3)


def test_waits_of_another_machine_still_are_told_apart_under_noise() -> None:
    """Not all waits known, and those that are blurred by a tenth: near the truth, and better than before."""
    trace, rng = recorded(easy=False, usable=0.85), np.random.default_rng(1)
    waited = np.rint(trace.waited_s * rng.uniform(0.9, 1.1, len(trace))).astype(np.int64)
    trace = replace(trace, waited_s=np.where(rng.random(len(trace)) < 0.3, -1, waited))
    gap = reality_gap(trace)
    assert gap is not None and gap.assumed.without_wait == int((trace.waited_s < 0).sum()) > 0
    assert gap.measured.jobs == len(trace) - gap.assumed.without_wait
    assert gap.calibrated.discipline == "fcfs" and gap.calibrated.usable_share == pytest.approx(0.85, abs=0.03)
    assert gap.calibrated.after.distance_s < gap.calibrated.before.distance_s / 2


def test_the_fit_sees_nothing_of_the_second_half() -> None:
    """Other waits there change how it is judged, never what is fitted."""
    trace = recorded(easy=True, usable=0.85)
    later = np.arange(len(trace)) >= len(trace) // 2
    one, other = reality_gap(trace), reality_gap(replace(trace, waited_s=trace.waited_s + later * 3600))
    assert one is not None and other is not None
    for name in ("discipline", "usable_share", "fit_distance_s", "fit_jobs", "replays"):
        assert getattr(one.calibrated, name) == getattr(other.calibrated, name)
    assert other.calibrated.after.distance_s > one.calibrated.after.distance_s + 1800


def test_measured_replayed_calibrated_and_assumed_stand_apart_and_go_into_json() -> None:
    trace = recorded(easy=True, usable=0.9, jobs=800)
    cores = trace.cores.copy()
    cores[7] = trace.machine_cores + 1
    trace = replace(trace, cores=cores)
    gap = reality_gap(trace)
    told = msgspec.json.decode(msgspec.json.encode(gap))
    assert list(told) == ["measured", "replayed", "calibrated", "assumed"]
    assert told["measured"]["mean_s"] == pytest.approx(np.delete(trace.waited_s, 7).mean(), abs=0.1)
    assert set(told["replayed"]) == {"easy", "fcfs"}
    assert told["assumed"]["too_wide"] == 1 and told["measured"]["jobs"] == 799
    assert told["assumed"]["stated_by_log"] and told["assumed"]["machine_cores"] == trace.machine_cores
    assert set(ASSUMED) <= MESSAGES.keys()
    given_size = reality_gap(trace, trace.machine_cores * 2)
    assert given_size is not None and not given_size.assumed.stated_by_log
    assert given_size.assumed.machine_cores == 2 * trace.machine_cores and given_size.assumed.too_wide == 0


def test_why_there_is_none_is_said() -> None:
    trace = recorded(easy=True, usable=1.0, jobs=400)
    assert why_no_gap(trace) is None
    unknown = np.arange(400) % 5 > 1
    few = replace(trace, waited_s=np.where(unknown, -1, trace.waited_s))
    one_half = replace(trace, waited_s=np.where(np.arange(400) >= 200, -1, trace.waited_s))
    nowhere = replace(trace, machine_cores=0)
    for case, why in ((few, "gap.no_waits"), (one_half, "gap.no_waits"), (nowhere, "gap.no_machine")):
        assert why_no_gap(case) == why and why in MESSAGES and reality_gap(case) is None
    assert why_no_gap(nowhere, machine_cores=64) is None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=60))
def test_the_distance_is_that_of_scipy(pairs: list[tuple[int, int]]) -> None:
    from scipy.stats import wasserstein_distance

    one, other = (np.array(c, np.int64) for c in zip(*pairs, strict=True))
    assert _distance(np.sort(one), np.sort(other)) == pytest.approx(wasserstein_distance(one, other))


@pytest.mark.skipif(not RICC.exists(), reason="needs ../shared/traces beside the repository")
def test_a_recorded_trace_without_waits_says_so_and_with_them_is_compared() -> None:
    trace = read_trace(RICC)
    assert trace.machine_cores == 8192
    assert (trace.waited_s == -1).all() and why_no_gap(trace) == "gap.no_waits"
    start = np.empty(len(trace), np.int64)
    queue_starts(trace.arrive_s, trace.cores, trace.run_s, trace.asked_s, 7000, True, start, NEVER_DOWN)
    gap = reality_gap(replace(trace, waited_s=start - trace.arrive_s))
    assert gap is not None
    assert isinstance(gap.replayed["fcfs"], Beside)
    assert gap.calibrated.discipline == "easy" and gap.calibrated.usable_share == pytest.approx(7000 / 8192, abs=0.01)
    assert gap.calibrated.after.distance_s < gap.calibrated.before.distance_s
