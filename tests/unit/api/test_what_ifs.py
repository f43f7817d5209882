"""What-ifs that wait, are kept and are found again; what becomes of them is tested in a region that is really up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sanjin.api import what_ifs
from sanjin.api.what_ifs import WhatIfs, _Line
from sanjin.model.errors import NotFound, ProblemsFound, TooBusy
from sanjin.model.what_if import RunState, Timeline, TimelineSums, WhatIf
from tests.support import until
from tests.unit.api.conftest import AccessWorld

SUMS = TimelineSums(jobs=0, succeeded=0, fen=0, facility_mwh=0, carbon_mg=0, mean_wait_s=0.0, late=0)
EMPTY = Timeline(begin_s=7, end_s=9, sums=SUMS, jobs=())


class _Held(WhatIfs):
    """Answers are given when ``go`` is set, and say when they began."""

    go = threading.Event()

    def _replay(self, number: int) -> _Line:
        assert self.go.wait(30)
        if number == 3:
            raise OSError("no more processes")
        return _Line(begin_s=number, as_is=EMPTY, changed=EMPTY)


@pytest.fixture
def held(access: AccessWorld, tmp_path: Path) -> Iterator[_Held]:
    _Held.go = threading.Event()
    yield _Held(access.live, tmp_path)
    _Held.go.set()


def test_one_is_replayed_at_a_time_some_wait_and_no_more(held: _Held) -> None:
    first = held.ask(WhatIf(), "op")
    until(lambda: held.one(first.id).state is RunState.RUNNING, "it is replayed")
    waiting = [held.ask(WhatIf(solar=i), "op") for i in range(what_ifs.WAITING_MAX)]
    assert {held.one(w.id).state for w in waiting} == {RunState.WAITING}
    with pytest.raises(TooBusy):
        held.ask(WhatIf(), "op")
    held.go.set()
    until(lambda: all(r.state in (RunState.DONE, RunState.FAILED) for r in held.all()), "all are over")
    assert [r.id for r in held.all()] == ["5", "4", "3", "2", "1"]
    assert all(r.as_is is None and r.changed is None for r in held.all())
    assert held.one("3").state is RunState.FAILED and held.one("3").fault == "no more processes"
    done = held.one("5")
    assert (done.state, done.begin_s, done.as_is, done.asked_by, done.change.solar) == (
        RunState.DONE, 5, EMPTY, "op", 3.0,
    )  # fmt: skip


def test_the_last_are_kept_and_found_again_and_what_was_under_way_is_not(
    held: _Held, access: AccessWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(what_ifs, "KEPT", 3)
    held.go.set()
    for _ in range(6):
        asked = held.ask(WhatIf(), "op").id
        until(lambda asked=asked: held.one(asked).state in (RunState.DONE, RunState.FAILED), "it is over")
    held.go.clear()
    open_ = held.ask(WhatIf(), "op").id
    until(lambda: held.one(open_).state is RunState.RUNNING, "it is replayed")
    assert sorted(p.stem for p in (tmp_path / "what-if").glob("*.json")) == ["5", "6", "7"]
    assert all(p.stat().st_mode & 0o077 == 0 for p in (tmp_path / "what-if").glob("*.json"))
    (tmp_path / "what-if" / "9.json").write_text("{")
    again = WhatIfs(access.live, tmp_path)
    assert [(r.id, r.state) for r in again.all()] == [
        ("7", RunState.FAILED), ("6", RunState.DONE), ("5", RunState.DONE),
    ]  # fmt: skip
    assert again.one("6").as_is == EMPTY
    for name in ("1", "8", "x", "²", "-1", "9" * 50, ""):
        with pytest.raises(NotFound):
            again.one(name)


def test_what_keeps_a_region_from_answering_is_said_beside_what_is_wrong(
    access: AccessWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ProblemsFound) as nowhere:
        WhatIfs(access.live, None).ask(WhatIf(tariff=-1), "op")
    assert [p.code for p in nowhere.value.problems] == ["too_small", "what_if_folder"]
    monkeypatch.setattr(what_ifs, "JOBS_MAX", 0)  # the world has a job that runs
    with pytest.raises(ProblemsFound) as many:
        WhatIfs(access.live, tmp_path).ask(WhatIf(), "op")
    assert [p.code for p in many.value.problems] == ["what_if_jobs"]
    monkeypatch.setattr(what_ifs, "SqliteStore", type("Another", (), {}))
    monkeypatch.setattr(what_ifs, "JOBS_MAX", 10**6)
    with pytest.raises(ProblemsFound) as stores:
        WhatIfs(access.live, tmp_path).ask(WhatIf(), "op")
    assert [p.code for p in stores.value.problems] == ["what_if_stores"]
