"""Seeds of the fault simulator: the region keeps its promises, and the simulator finds bugs planted on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sanjin.flow import apply
from sanjin.flow.loop import Loop
from sanjin.flow.view import View
from sanjin.model import event as ev
from sanjin.model.struct import changed
from sanjin.ports import Batch
from sanjin.tree.node import Node
from tests.faults.plan import draw
from tests.faults.shrink import shrink, story
from tests.faults.simulate import live, replay_line
from tests.faults.world import World

SEEDS = range(20)
NODES, HOURS = 8, 1.5


@pytest.mark.parametrize("seed", SEEDS)
def test_the_region_keeps_its_promises(seed: int) -> None:
    life = live(seed, NODES, HOURS)
    if life.violation:
        small = shrink(draw(seed, NODES, HOURS), life.violation[0], 60.0)
        pytest.fail(f"{life.violation}\nagain: {replay_line(seed, NODES, HOURS)}\n{story(small)}", pytrace=False)


def test_a_seed_lives_the_same_life_again() -> None:
    lives = [World(draw(3, 5, 0.5), traced=True) for _ in range(2)]
    for world in lives:
        world.run()
    assert lives[0].trace == lives[1].trace and len(lives[0].trace) > 100
    assert lives[0].counts == lives[1].counts


# -- bugs planted on purpose


def late_assignment_is_applied(patch: pytest.MonkeyPatch) -> None:
    """Mail of an old lease is taken for new: neither its number nor its epoch is looked at."""
    right = Loop._mail

    def wrong(self: Loop, work: object) -> None:
        for mail in work.mail:
            if mail.kind == "assign" and mail.seq <= self.view.mark(mail.peer).received:
                word = self.router.read(mail)
                self._record_all(self.router.receive(self.view, mail.peer, word, None, self.now_s))
        right(self, work)

    patch.setattr(Loop, "_mail", wrong)


def mail_goes_out_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """A turn's messages are handed to the parent and the children, and then the turn is written."""
    right = Node._rebuild

    def wrong(self: Node) -> None:
        right(self)
        store = self.loop.store

        class Eager:
            def commit(_, batch: Batch) -> None:
                for mail in batch.outbox:
                    self.loop.outbox.setdefault(mail.peer, []).append(mail)
                self._answer_children()
                self._call_parent()
                store.commit(batch)
                for box in self.loop.outbox.values():
                    box[:] = [m for m in box if m not in batch.outbox]  # the turn puts them there itself

            def __getattr__(_, name: str) -> object:
                return getattr(store, name)

        self.loop.store = Eager()

    patch.setattr(Node, "_rebuild", wrong)


def an_envelope_is_not_reserved(patch: pytest.MonkeyPatch) -> None:
    """What was admitted is not counted when the next job is looked at."""
    right = apply._APPLY[ev.Admitted]

    def wrong(at: View, event: ev.Admitted, at_s: int) -> object:
        use = at.tenant(at.jobs[event.job].spec.tenant)
        before = replace(use)
        record = right(at, event, at_s)
        use.cores, use.reserved_fen = before.cores, before.reserved_fen
        return record

    patch.setitem(apply._APPLY, ev.Admitted, wrong)


def what_is_lent_is_not_reserved(patch: pytest.MonkeyPatch) -> None:
    """A parent lends of a tenant's envelope and goes on as if it had not."""
    right = apply._APPLY[ev.EnvelopeLent]

    def wrong(at: View, event: ev.EnvelopeLent, at_s: int) -> object:
        return right(at, changed(event, cores=0, fen=0), at_s)

    patch.setitem(apply._APPLY, ev.EnvelopeLent, wrong)


PLANTS = (
    late_assignment_is_applied, mail_goes_out_before_the_commit, an_envelope_is_not_reserved,
    what_is_lent_is_not_reserved,
)  # fmt: skip


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_caught(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    for seed in range(100):
        life = live(seed, 5, 0.7, jobs=40, compare=False)  # the harder way: memory is not compared with the store
        if life.violation:
            print(f"{plant.__name__}: seed {seed} catches it: {life.violation}")
            return
    pytest.fail(f"{plant.__name__} was not caught by any of 100 seeds")


def test_a_failing_seed_is_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    an_envelope_is_not_reserved(monkeypatch)
    seed, life = next((s, found) for s in range(100) if (found := live(s, 5, 1.0)).violation)
    assert life.violation is not None
    plan = draw(seed, 5, 1.0)
    small = shrink(plan, life.violation[0], 20.0)
    assert len(small.events) < len(plan.events) / 3
    told = story(small)
    assert life.violation[0] in told and "submit" in told
