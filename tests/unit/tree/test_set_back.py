"""A node whose state is that of yesterday: what it must not say, and what must not run again."""

from __future__ import annotations

from pathlib import Path

from sanjin.adapters.store.sqlite import SqliteStore, snapshot
from sanjin.flow.audit import verify
from sanjin.model.job import Effects, JobSpec, JobState, Submission
from sanjin.tree.overview import entries
from sanjin.tree.set_back import SKIP, Restored
from tests.tree_world import World, worlds

NODE, PARENT = "datong", "taiyuan"


def spec(effects: Effects = Effects.ONCE, site: str = NODE, later_s: int = 0) -> JobSpec:
    return JobSpec(
        name="j", command=("true",), duration_s=600, effects=effects, site=site, earliest_start_s=later_s
    )  # fmt: skip


def submit(world: World, key: str, wanted: JobSpec) -> str:
    future = world.nodes[NODE].submit([Submission(key=key, spec=wanted)])
    world.turn(8)
    return future.result(0)[0].id


def set_back(world: World, copy: Path, skip: bool, moved: bool = False) -> None:
    """Datong's state is that of the copy; its runs are gone, as on a new machine."""
    world.nodes[NODE].stop()
    path = world.folder / NODE / "state.db"
    path.write_bytes(copy.read_bytes())
    world.engines[NODE].started.clear()
    if skip:
        store = SqliteStore(path)
        store.skip_ahead([PARENT], SKIP)
        store.close()
    world.open(NODE, Restored(of="yesterday", moved=moved) if skip else None)
    world.run(600)  # calls that failed are tried again


def state(world: World, job: str, node: str = NODE) -> JobState:
    record = world.nodes[node].parts.store.job(job)
    assert record is not None
    return record.state


def test_a_state_that_was_set_back_unseen_exchanges_nothing(tmp_path: Path) -> None:
    with worlds(tmp_path) as build:
        world = build()
        snapshot(world.folder / NODE / "state.db", tmp_path / "copy")
        before = world.nodes[PARENT].view.mark(NODE).received
        submit(world, "a", spec(site="linfen"))  # goes up
        heard = world.nodes[PARENT].view.mark(NODE).received
        assert heard > before
        set_back(world, tmp_path / "copy", skip=False)
        node = world.nodes[NODE]
        assert node.lines.behind == {PARENT} and "set back" in node.lines.fault()
        assert not node.view.parent_reachable
        lost = submit(world, "b", spec(site="linfen"))
        world.run(600)
        assert world.nodes[PARENT].view.mark(NODE).received == heard  # nothing of it was taken for a repeat
        assert state(world, lost).live and node.loop.outbox.get(PARENT, []) == []


def test_after_skipping_ahead_it_speaks_again_and_gives_no_number_twice(tmp_path: Path) -> None:
    with worlds(tmp_path) as build:
        world = build()
        submit(world, "0", spec())
        snapshot(world.folder / NODE / "state.db", tmp_path / "copy")
        gone = submit(world, "a", spec(site="linfen"))
        set_back(world, tmp_path / "copy", skip=True)
        node = world.nodes[NODE]
        assert not node.lines.behind and node.view.parent_reachable
        again = submit(world, "b", spec(site="linfen"))
        assert int(again.rpartition("-")[2]) > SKIP > int(gone.rpartition("-")[2])
        world.run(3600)
        assert state(world, again) is JobState.SUCCEEDED
        assert node.parts.store.job(gone) is None  # submitted after the copy: its client has to ask again


def test_what_must_not_run_twice_is_given_up_and_what_may_runs_again(tmp_path: Path) -> None:
    with worlds(tmp_path) as build:
        world = build()
        later = world.clock.now() + 1800
        jobs = {
            "running": submit(world, "1", spec()),
            "waiting": submit(world, "2", spec(later_s=later)),
            "repeatable": submit(world, "3", spec(Effects.REPEATABLE, later_s=later)),
            "away": submit(world, "4", spec(site="linfen", later_s=later)),
        }
        epoch = world.nodes[NODE].view.jobs[jobs["repeatable"]].epoch
        assert state(world, jobs["running"]) is JobState.RUNNING
        snapshot(world.folder / NODE / "state.db", tmp_path / "copy")
        world.run(3600)
        assert {state(world, j) for j in jobs.values()} == {JobState.SUCCEEDED}
        set_back(world, tmp_path / "copy", skip=True)
        assert state(world, jobs["running"]) is state(world, jobs["waiting"]) is JobState.INTERRUPTED
        record = world.nodes[NODE].parts.store.job(jobs["waiting"])
        assert record is not None and "yesterday" in record.detail
        world.run(3600)
        record = world.nodes[NODE].parts.store.job(jobs["repeatable"])
        assert record is not None and record.state is JobState.SUCCEEDED and record.epoch == epoch + SKIP
        assert [k for k in world.engines[NODE].started if k.startswith(f"{jobs['waiting']}.")] == []
        # the word of its end was heard once and is gone: it waits, in sight, and does not run again
        assert state(world, jobs["away"]).live
        assert len([k for k in world.engines["linfen"].started if k.startswith(f"{jobs['away']}.")]) == 1
        store = world.nodes[NODE].parts.store
        assert verify(NODE, entries(store), store.tip(), store.ledger()).problems == ()


def test_of_a_state_that_was_moved_only_what_ran_is_given_up(tmp_path: Path) -> None:
    with worlds(tmp_path) as build:
        world = build()
        running = submit(world, "1", spec())
        waiting = submit(world, "2", spec(later_s=world.clock.now() + 1800))
        snapshot(world.folder / NODE / "state.db", tmp_path / "copy")
        set_back(world, tmp_path / "copy", skip=True, moved=True)
        assert state(world, running) is JobState.INTERRUPTED
        world.run(3600)
        assert state(world, waiting) is JobState.SUCCEEDED
