"""The demo's table says truly why a job ran where and when it did."""

from __future__ import annotations

import pytest

from sanjin.cli.demo import _why
from sanjin.model import event as ev
from sanjin.model.job import JobSpec, JobState
from sanjin.model.record import JobRecord
from sanjin.model.region import DataGrade
from sanjin.report.comparison import Run

HOUR_S = 3600


def run(site: str, planned_s: int, **fields: object) -> Run:
    """A job of datong as its owner keeps it: where it was sent on, without a placement of its own."""
    spec = JobSpec(name="x", command=("x",), **fields)  # type: ignore[arg-type]
    record = JobRecord(id="datong-1", key="", spec=spec, state=JobState.SUCCEEDED, site=site, submitted_s=1000)
    ended = ev.Ended(
        job="datong-1", state=JobState.SUCCEEDED, reason=None, exit_status=0, signal=0, start_s=planned_s,  # type: ignore[arg-type]
        end_s=planned_s + 9, wall_ms=1, cpu_ms=1, memory_peak_bytes=1, sandbox="", detail="",
    )  # fmt: skip
    settled = ev.Settled(job="datong-1", tenant="t", fen=1, it_mwh=1, facility_mwh=1, carbon_mg=1, postings=())
    return Run(record=record, planned_s=planned_s, ended=ended, settled=settled)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (run("luliang", 1000), "why.away"),
        (run("luliang", 1000 + 3 * HOUR_S), "why.later_away"),
        (run("datong", 1000), "why.home"),
        (run("datong", 1000 + 3 * HOUR_S), "why.later_home"),
        (run("datong", 1000, latency_class_ms=1), "why.latency"),
        (run("datong", 1000, grade=DataGrade.CORE), "why.residency"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_the_reason_follows_from_rule_place_and_planned_start(made: Run, why: str) -> None:
    assert _why(made) == why
