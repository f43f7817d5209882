"""What the fault simulator found: leases that come back, ends asked for on the way, machines not free in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sanjin.flow.loop import REFUSED_S
from sanjin.flow.turn import Work
from sanjin.model.job import Effects, JobSpec, JobState, Submission
from sanjin.model.reason import Reason
from sanjin.ports import Mail, RunReport, RunState
from sanjin.tree.mail import Decline, Raise, _encode
from tests.tree_world import HOME, World, worlds


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., World]]:
    with worlds(tmp_path) as build:
        yield build


def submit(world: World, node: str, key: str, **fields: object) -> str:
    spec = replace(JobSpec(name="lease", command=("true",), delay_price_fen_per_hour=100_000), **fields)
    future = world.nodes[node].submit([Submission(key=key, spec=spec)])
    world.nodes[node].step(0.0)
    return future.result(0)[0].id


def record(world: World, job: str):
    return world.nodes[job.rpartition("-")[0]].parts.store.job(job)


def test_a_start_waits_while_a_run_outlasts_its_window(make: Callable[..., World]) -> None:
    world = make(cores=8)
    long = {"RUN_S": "3000"}
    first = submit(world, HOME, "1", site=HOME, cores=8, duration_s=600, environment=long)
    second = submit(world, HOME, "2", site=HOME, cores=8, duration_s=600)
    world.run(1500)
    assert record(world, first).state is JobState.RUNNING
    assert record(world, second).state is JobState.PLACED
    assert record(world, second).placement.start_s <= world.clock.now(), "its time has come"
    world.run(3000)
    one, two = record(world, first), record(world, second)
    assert one.state is two.state is JobState.SUCCEEDED
    assert two.start_s >= one.end_s


def test_a_start_waits_where_a_restarted_node_finds_such_a_run(make: Callable[..., World]) -> None:
    world = make(cores=8)
    submit(world, HOME, "1", site=HOME, cores=8, duration_s=600, environment={"RUN_S": "3000"})
    second = submit(world, HOME, "2", site=HOME, cores=8, duration_s=600)
    world.run(300)
    world.nodes[HOME].stop()
    world.open(HOME)
    world.run(1200)
    assert record(world, second).state is JobState.PLACED


def assigned(world: World, **fields: object) -> tuple[str, str]:
    """A job that the root has given to a child, and the child; the mail is not yet on its way."""
    job = submit(world, "taiyuan", "1", site="datong", **fields)
    assert record(world, job).state is JobState.ASSIGNED
    return job, record(world, job).sent_to


def says(world: World, child: str, word: Decline | Raise, seen: int | None = None) -> None:
    """The child's next mail to Taiyuan, written when it had read so much of Taiyuan's (None: all)."""
    node = world.nodes["taiyuan"]
    mark = node.view.mark(child)
    word = replace(word, seen=mark.sent if seen is None else seen)
    node.loop.turn(Work(mail=[Mail(peer=child, seq=mark.received + 1, kind=word.kind, body=_encode(word))]))


def declined(world: World, job: str, child: str, epoch: int) -> None:
    says(world, child, Decline(job=job, epoch=epoch, reason=Reason.NO_PLACE))


def test_a_lease_that_came_back_hands_its_epoch_on(make: Callable[..., World]) -> None:
    world = make()
    job, child = assigned(world)
    before = record(world, job).epoch
    declined(world, job, child, before + 3)  # the child had given it on, and that came back declined
    assert record(world, job).epoch >= before + 3


def test_a_job_cancelled_while_it_was_away_ends_when_it_is_declined(make: Callable[..., World]) -> None:
    world = make()
    job, child = assigned(world)
    world.nodes["taiyuan"].loop.turn(Work(cancels=[job]))
    assert record(world, job).state is JobState.ASSIGNED
    declined(world, job, child, record(world, job).epoch)
    assert record(world, job).state is JobState.CANCELLED


@pytest.mark.parametrize("asked", ["cancel_asked", "stop_asked"])
def test_what_was_asked_of_a_run_that_had_not_begun_is_asked_again(make: Callable[..., World], asked: str) -> None:
    world = make()
    job = submit(world, HOME, "1", site=HOME, stoppable=True)
    world.run(60)
    node = world.nodes[HOME]
    found = node.view.jobs[job]
    assert found.state is JobState.RUNNING
    node.view.change(job, world.clock.now(), **{asked: True})
    done = node.loop.turn(Work(runs=[RunReport(key=found.run, state=RunState.ABSENT)]))
    assert [o.key for o in done.starts] == [found.run]
    assert (done.cancels if asked == "cancel_asked" else done.stops) == [found.run]


def test_a_call_that_acknowledges_nothing_new_writes_nothing(make: Callable[..., World]) -> None:
    world = make()
    node = world.nodes["taiyuan"]
    assert not node.loop.turn(Work(acked={"datong": 0})).worked


def test_a_budget_for_the_place_does_not_bound_what_is_set_aside(make: Callable[..., World]) -> None:
    """The budget bounds the price of the expected time; the run may take up to its limit."""
    world = make()
    jobs = [submit(world, HOME, key, site=HOME, cores=64, duration_s=3600, budget_fen=budget)
            for key, budget in (("1", 0), ("2", 400))]  # fmt: skip
    free, bound = (world.nodes[HOME].view.jobs[job].reserved_fen for job in jobs)
    assert free == bound > 400


def test_a_restart_keeps_what_a_paused_job_has_already_cost(make: Callable[..., World]) -> None:
    world = make()
    job = submit(world, HOME, "1", site=HOME, cores=640, duration_s=6000, stoppable=True)
    world.run(300)
    node = world.nodes[HOME]
    found = node.view.jobs[job]
    assert found.state is JobState.RUNNING
    node.parts.engine.stop([found.run])
    node.step(0.0)
    before = node.view.tenant("public").spent_fen
    assert node.view.jobs[job].fen == before > 0
    node.stop()
    assert world.open(HOME).view.tenant("public").spent_fen == before


def raised(world: World, job: str) -> Raise:
    found = record(world, job)
    return Raise(job=job, key=found.key, spec=found.spec, submitted_s=found.submitted_s, epoch=9, full=False)


def taken_back(world: World) -> tuple[str, str]:
    """A job that was given to a child which then fell silent; it is here again, and has no other place."""
    job, child = assigned(world, effects=Effects.REPEATABLE, replace_after_s=60)
    world.board.cut(child)
    world.run(200)
    assert record(world, job).state is JobState.QUEUED
    return job, child


def test_what_a_child_wrote_before_it_had_the_job_is_not_about_it(make: Callable[..., World]) -> None:
    world = make()
    job, child = assigned(world)
    given = world.nodes["taiyuan"].view.mark(child).sent
    says(world, child, Decline(job=job, epoch=9, reason=Reason.NO_PLACE), seen=given - 1)
    assert record(world, job).state is JobState.ASSIGNED
    says(world, child, Decline(job=job, epoch=9, reason=Reason.NO_PLACE), seen=given)
    assert record(world, job).epoch == 9


def test_a_copy_that_was_given_up_does_not_come_back(make: Callable[..., World]) -> None:
    world = make()
    job, child = taken_back(world)
    node = world.nodes["taiyuan"]
    told = node.view.mark(child).sent
    says(world, child, raised(world, job), seen=told - 1)
    assert record(world, job).epoch < 9
    node.loop.turn(Work(cancels=[job]))
    assert record(world, job).state is JobState.CANCELLED
    says(world, child, raised(world, job), seen=told - 1)  # nor when the job is over here
    assert record(world, job).state is JobState.CANCELLED


def test_a_job_whose_earlier_copy_is_here_still_is_refused_and_tried_again_later(make: Callable[..., World]) -> None:
    world = make()
    job, child = assigned(world)
    says(world, child, Decline(job=job, epoch=3, reason=Reason.EARLIER_COPY))
    assert record(world, job).reason is Reason.EARLIER_COPY
    node = world.nodes["taiyuan"]
    before = node.view.tip_seq
    for _ in range(5):
        node.loop.turn(Work())
    assert node.view.tip_seq == before, "not again at once"
    world.run(REFUSED_S + 10)
    assert record(world, job).state is not JobState.QUEUED


def test_a_node_refuses_a_job_of_which_it_has_a_copy(make: Callable[..., World]) -> None:
    world = make()
    job = submit(world, "taiyuan", "1", site="taiyuan", duration_s=6000)
    world.run(60)
    assert record(world, job).state is JobState.RUNNING
    says(world, "datong", raised(world, job))
    assert record(world, job).state is JobState.RUNNING
    sent = world.nodes["taiyuan"].loop.outbox["datong"][-1]
    assert sent.kind == "decline"
