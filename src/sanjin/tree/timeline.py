"""Timelines: the jobs of a region over time, from the records of the nodes where they were submitted.

Everything here only reads. It may be called from any thread while the nodes work.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from sanjin.model.access import Reach
from sanjin.model.job import JobState
from sanjin.model.listing import JobQuery
from sanjin.model.record import JobRecord
from sanjin.model.what_if import Timeline, TimelineJob, TimelineSums
from sanjin.tree import job_list

if TYPE_CHECKING:  # with it come the kernels
    from sanjin.tree.region import LiveRegion

JOBS_READ = 50_000
"""Of the jobs submitted last, so many are looked at."""

A_PAGE = 1000


def timeline(records: Collection[JobRecord], begin_s: int, end_s: int, most: int) -> Timeline:
    """The work of these records over ``[begin_s, end_s)``; ``most`` of the jobs are shown."""
    shown = sorted(records, key=lambda r: (r.submitted_s, r.id))[:most]
    return Timeline(
        begin_s=begin_s, end_s=end_s, sums=sums_of(records, end_s), jobs=tuple(job_of(r) for r in shown),
        cut=len(records) - len(shown),
    )  # fmt: skip


def job_of(record: JobRecord) -> TimelineJob:
    """A record as a timeline shows it."""
    spec = record.spec
    return TimelineJob(
        job=record.id, name=spec.name, tenant=spec.tenant, kind=spec.kind, state=record.state,
        origin=record.id.rpartition("-")[0], site=record.site, pool=record.pool, cores=spec.all_cores(),
        submitted_s=record.submitted_s, start_s=record.start_s, end_s=record.end_s, fen=record.fen,
        facility_mwh=record.facility_mwh, carbon_mg=record.carbon_mg,
    )  # fmt: skip


def sums_of(records: Collection[JobRecord], now_s: int) -> TimelineSums:
    """What these jobs come to; one that is not over at ``now_s`` is late where its deadline has passed."""
    waits = [r.start_s - r.submitted_s for r in records if r.start_s]
    return TimelineSums(
        jobs=len(records),
        succeeded=sum(r.state is JobState.SUCCEEDED for r in records),
        fen=sum(r.fen for r in records),
        facility_mwh=sum(r.facility_mwh for r in records),
        carbon_mg=sum(r.carbon_mg for r in records),
        mean_wait_s=sum(waits) / len(waits) if waits else 0.0,
        late=sum(is_late(r, now_s) for r in records),
    )


def is_late(record: JobRecord, now_s: int) -> bool:
    """Whether a job missed its deadline, or can no longer keep it."""
    due_s = record.spec.deadline_s
    return bool(due_s) and (over_s(record) or now_s) > due_s


def over_s(record: JobRecord) -> int:
    """When a job was over, also one that never ran, seconds UTC; 0 where it is not."""
    return (record.end_s or record.updated_s) if record.state.ended else 0


def lived(live: LiveRegion, reach: Reach, from_s: int, until_s: int, most: int) -> Timeline:
    """The region's own jobs within ``reach`` that were there at some time in ``[from_s, until_s)``, of the last
    :data:`JOBS_READ`."""
    now_s = live.clock.now()
    there = [
        r for r in latest(live, reach) if r.submitted_s < until_s and (over_s(r) or max(now_s, until_s)) > from_s
    ]
    return timeline(there, from_s, until_s, most)


def latest(live: LiveRegion, reach: Reach, most: int = JOBS_READ) -> Iterator[JobRecord]:
    """The jobs within ``reach`` that were submitted last, newest first."""
    after = ""
    for _ in range(-(-most // A_PAGE)):
        page = job_list.jobs(live, JobQuery(limit=A_PAGE), "", after, reach)
        yield from page.jobs
        after = page.next
        if not after:
            return


def within(whole: Timeline, reach: Reach) -> Timeline:
    """A timeline with the jobs alone that are within ``reach``; sums are those of all."""
    shown = tuple(j for j in whole.jobs if reach.covers(j.tenant, j.site))
    return Timeline(
        begin_s=whole.begin_s, end_s=whole.end_s, sums=whole.sums, jobs=shown, cut=whole.cut,
        hidden=len(whole.jobs) - len(shown),
    )  # fmt: skip
