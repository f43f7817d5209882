"""An input whose store does not answer: the job waits, says why, and goes on; its deadline and a cancel end that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from sanjin.flow.stage import RETRY_MOST_WALL_S, RETRY_WALL_S
from sanjin.model.job import JobSpec, JobState, Submission
from sanjin.model.reason import Reason
from sanjin.ports import Transfer, TransferReport
from sanjin.tree.inbox import Moved
from tests.tree_world import World

DATA, SITE = "parcels-2026", "linfen"
AWAY = TransferReport(dataset=DATA, fault="the store does not answer", away=True)


@dataclass
class Site:
    """A site whose transfers end when a test says so."""

    world: World
    asked: list[Transfer] = field(default_factory=list)

    def record(self, job: str):
        return self.world.nodes[SITE].parts.store.job(job)

    def submit(self, **fields: object) -> str:
        spec = JobSpec(name="uses", command=("true",), site=SITE, inputs=(DATA,), duration_s=600, **fields)
        done = self.world.nodes[SITE].submit([Submission(key=f"k{len(self.asked)}", spec=spec)])
        self.world.turn(4)
        return done.result(1)[0].id

    def comes(self, report: TransferReport) -> None:
        """The transfer that is under way ends, at its time."""
        self.world.clock.advance(max(self.asked[-1].done_at_s, self.world.clock.now()))
        self.world.nodes[SITE]._inbox.put(Moved([report]))
        self.world.turn(3)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    world = World(tmp_path)
    found = Site(world)
    world.nodes[SITE].carrier.fetch = found.asked.extend  # type: ignore[method-assign]
    world.turn(6)
    yield found
    world.close()


def test_it_waits_longer_each_time_says_why_and_then_runs(site: Site) -> None:
    job = site.submit()
    assert (site.record(job).state, site.record(job).reason) == (JobState.STAGING, Reason.INPUTS_MOVING)
    waits: list[int] = []
    for _ in range(8):
        site.comes(AWAY)
        record = site.record(job)
        assert (record.state, record.reason, record.detail) == (JobState.STAGING, Reason.INPUT_AWAY, AWAY.fault)
        waits.append(site.asked[-1].done_at_s - site.world.clock.now())
    assert waits[:3] == [RETRY_WALL_S, RETRY_WALL_S * 2, RETRY_WALL_S * 4] and waits[-1] == RETRY_MOST_WALL_S
    journal = site.world.nodes[SITE].parts.store.journal(job=job)
    assert [e.kind for e in journal].count("transfer.delayed") == 1  # what is known already is not written again
    site.comes(TransferReport(dataset=DATA, path="/there"))
    site.world.run(1200)
    assert (site.record(job).state, site.record(job).detail) == (JobState.SUCCEEDED, "")


def test_one_that_comes_later_waits_for_the_same_transfer(site: Site) -> None:
    first = site.submit()
    site.comes(AWAY)
    asked = len(site.asked)
    second = site.submit()
    assert len(site.asked) == asked
    site.world.nodes[SITE]._inbox.put(Moved([AWAY]))  # of a try from before the node was made anew
    site.world.turn(3)
    assert len(site.asked) == asked
    assert {site.record(j).reason for j in (first, second)} == {Reason.INPUT_AWAY}


def test_a_cancel_ends_it_and_nothing_is_tried_any_more(site: Site) -> None:
    job = site.submit()
    site.comes(AWAY)
    site.world.nodes[SITE].cancel(job)
    site.world.turn(3)
    assert site.record(job).state is JobState.CANCELLED
    asked = len(site.asked)
    site.comes(AWAY)
    assert len(site.asked) == asked and DATA not in site.world.nodes[SITE].view.moving


def test_a_firm_deadline_ends_it(site: Site) -> None:
    job = site.submit(deadline_s=site.world.clock.now() + 7200, deadline_firm=True)
    site.comes(AWAY)
    assert site.record(job).state is JobState.STAGING
    site.world.clock.advance(site.world.clock.now() + 7200)
    site.comes(AWAY)
    record = site.record(job)
    assert (record.state, record.reason, record.detail) == (JobState.FAILED, Reason.DEADLINE, AWAY.fault)


def test_what_is_not_whole_anywhere_still_ends_it(site: Site) -> None:
    job = site.submit()
    site.comes(replace(AWAY, away=False))
    assert (site.record(job).state, site.record(job).reason) == (JobState.FAILED, Reason.INPUT_MISSING)
