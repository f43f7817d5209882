"""Expected and found run times, from records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanjin.model.job import JobSpec, JobState
from sanjin.model.record import JobRecord
from sanjin.model.runtimes import run_times
from sanjin.regions.load import bundled, load_region

SHANXI = load_region(bundled("shanxi"))


def record(number: int, site: str, expected_s: int, took_s: int, **more: object) -> JobRecord:
    pool = SHANXI.nodes[site].site.pools[0].id
    spec = JobSpec(name="j", command=("true",), duration_s=expected_s, kind="train", **more)  # type: ignore[arg-type]
    return JobRecord(
        id=f"taiyuan-{number}", key="", spec=spec, state=JobState.SUCCEEDED, site=site, pool=pool, start_s=1000,
        end_s=1000 + took_s,
    )  # fmt: skip


def test_error_and_bias_are_of_what_was_expected_at_the_speed_of_the_pool() -> None:
    speed = SHANXI.nodes["datong"].site.pools[0].speed.value
    found = run_times(SHANXI, [record(1, "datong", 1000, 900), record(2, "datong", 1000, 1500)])
    both, at_datong = found
    assert (both.site, at_datong.site, both.jobs) == ("", "datong", 2)
    assert at_datong.expected_s == pytest.approx(1000 / speed) and at_datong.found_s == 1200
    assert at_datong.bias == pytest.approx(1.2 * speed - 1)
    assert at_datong.error == pytest.approx((abs(0.9 * speed - 1) + abs(1.5 * speed - 1)) / 2)


def test_what_was_not_one_run_is_left_out() -> None:
    odd = [
        record(1, "datong", 10, 10, members=3), record(2, "datong", 10, 10, stoppable=True),
        record(3, "datong", 10, 10, reserves=True), JobRecord(id="taiyuan-4", key="", spec=odd_spec(),
        state=JobState.FAILED, site="datong", pool="general", start_s=5, end_s=9),
    ]  # fmt: skip
    assert run_times(SHANXI, odd) == []


def odd_spec() -> JobSpec:
    return JobSpec(name="j", command=("false",))


SECONDS = st.integers(1, 10**5)


@given(st.lists(st.tuples(st.sampled_from(["datong", "linfen"]), SECONDS, SECONDS), max_size=30))
def test_sites_add_up_to_the_kind(jobs: list[tuple[str, int, int]]) -> None:
    found = run_times(SHANXI, [record(n, *job) for n, job in enumerate(jobs)])
    whole = sum(t.jobs for t in found if not t.site)
    assert whole == sum(t.jobs for t in found if t.site) == len(jobs)
    for t in found:
        assert t.error >= 0 and t.ratio_p90 >= 0 and t.bias >= -1
