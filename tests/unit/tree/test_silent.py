"""What becomes of work whose node falls silent: it waits, is placed again, or waits for an operator's word."""

from __future__ import annotations

from pathlib import Path

import pytest

from sanjin.model.errors import ProblemsFound
from sanjin.model.job import Effects, JobSpec, JobState, Submission
from sanjin.model.record import JobRecord
from sanjin.tree.node import SILENT_WALL_S
from tests.tree_world import World, worlds


def spec(effects: Effects, after_s: int = 0, site: str = "") -> JobSpec:
    return JobSpec(name="j", command=("true",), duration_s=600, effects=effects, replace_after_s=after_s, site=site)


def job_at(world: World, job: str) -> JobRecord:
    """As Taiyuan knows it, live or ended."""
    record = world.nodes["taiyuan"].parts.store.job(job)
    assert record is not None
    return record


def given_to_datong(world: World, wanted: JobSpec, key: str) -> JobRecord:
    """A job that Taiyuan gave to Datong, which has not started it when the line is cut."""
    future = world.nodes["taiyuan"].submit([Submission(key=key, spec=wanted)])
    world.turn(8)
    return future.result(0)[0]


def test_work_that_may_run_twice_is_placed_again_and_the_old_copy_is_ended(tmp_path: Path) -> None:
    with worlds(tmp_path) as build:
        world = build()
        wanted = JobSpec(
            name="j", command=("true",), duration_s=600, effects=Effects.REPEATABLE, replace_after_s=900,
            earliest_start_s=world.clock.now() + 4000, accelerators=8,
        )  # fmt: skip
        job = given_to_datong(world, wanted, "a").id
        record = job_at(world, job)
        child = record.sent_to
        assert child
        world.board.cut(child)
        world.run(300)
        assert world.nodes["taiyuan"].view.jobs[job].sent_to == child  # not yet
        world.run(1200)
        after = job_at(world, job)
        assert after.sent_to != child and after.site != record.site
        world.board.heal(child)
        world.run(7200)
        assert job_at(world, job).state is JobState.SUCCEEDED
        starts = [e for n in world.nodes for e in world.engines[n].started if e.startswith(job)]
        assert len(starts) == 1  # the copy that was given up was ended before it began
        assert world.nodes[child].parts.store.job(job).state is JobState.CANCELLED


def test_what_must_not_run_twice_waits_for_its_node_or_for_an_operator(tmp_path: Path) -> None:
    with worlds(tmp_path) as build:
        world = build()
        wait = given_to_datong(world, spec(Effects.ONCE, site="datong"), "w").id
        world.board.cut("datong")
        world.run(3600)
        assert job_at(world, wait).sent_to == "datong"
        assert "datong" in world.nodes["taiyuan"].view.silent
        confirmed = world.nodes["taiyuan"].confirm(wait)
        world.turn(8)
        assert confirmed.result(0) is True
        assert job_at(world, wait).sent_to == ""
        again = world.nodes["taiyuan"].confirm(wait)
        world.turn(8)
        assert again.result(0) is False  # it is here now


def test_nothing_new_is_given_to_a_silent_node(tmp_path: Path) -> None:
    with worlds(tmp_path) as build:
        world = build()
        world.turn(8)
        world.board.cut("datong")
        world.run(int(4 * SILENT_WALL_S), 5)
        job = given_to_datong(world, spec(Effects.ONCE, site="datong"), "n").id
        assert job_at(world, job).state is JobState.QUEUED
        world.board.heal("datong")
        world.run(3600)
        assert job_at(world, job).state is JobState.SUCCEEDED


def test_a_time_needs_work_that_may_run_twice(tmp_path: Path) -> None:
    with worlds(tmp_path) as build, pytest.raises(ProblemsFound) as fault:
        build().nodes["taiyuan"].submit([Submission(key="x", spec=spec(Effects.ONCE, 900))])
    assert [p.code for p in fault.value.problems] == ["replace_once"]
