"""Functions as jobs, their laws: a map is what a loop says, however it is cut and in whichever order parts end.

The site here is a stand-in that runs the very program of a job in this process; real ones are in
``tests/acceptance/test_functions.py``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import cloudpickle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sanjin
from sanjin import Client, Effects, JobSpec, JobState
from sanjin.client.functions import Task
from sanjin.client.packing import PACKED_MAX, RESULT
from sanjin.model.data import DataFile, JobOutputs
from sanjin.model.errors import ProblemsFound, TaskFailed
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord


class Site:
    """Runs jobs as they are submitted, one after the other; they are seen to end in the order that ``shuffle`` makes.

    ``kills``: how many runs from the first on leave nothing, as if they were killed.
    """

    def __init__(self, shuffle: Callable[[list[str]], list[str]] = list, kills: int = 0) -> None:
        self.specs: dict[str, JobSpec] = {}
        self.left: dict[str, bytes] = {}
        self.records: dict[str, JobRecord] = {}
        self.cancelled: list[str] = []
        self.kills = kills
        self._shuffle = shuffle

    def patient(self) -> Site:
        return self

    def submit(self, specs: Sequence[JobSpec], node: str = "") -> list[str]:
        return [self._run(spec) for spec in specs]

    def _run(self, spec: JobSpec) -> str:
        job = f"home-{len(self.specs) + 1}"
        self.specs[job] = spec
        state, reason = JobState.FAILED, Reason.SIGNAL
        if self.kills:
            self.kills -= 1
        else:
            with tempfile.TemporaryDirectory() as outputs:
                before = dict(os.environ)
                os.environ.update(spec.environment, SANJIN_OUTPUTS=outputs)
                try:
                    exec(spec.environment["TASK_RUNNER"], {"__name__": "__main__"})
                except SystemExit as end:
                    state = JobState.FAILED if end.code else JobState.SUCCEEDED
                    reason = Reason.EXIT_STATUS if end.code else Reason.EXIT_ZERO
                finally:
                    os.environ.clear()
                    os.environ.update(before)
                self.left[job] = (Path(outputs) / RESULT).read_bytes()
        self.records[job] = JobRecord(id=job, key=job, spec=spec, state=state, reason=reason, site="home")
        return job

    def ended(self, jobs: Sequence[str], timeout_s: float | None = None) -> Iterator[JobRecord]:
        yield from (self.records[job] for job in self._shuffle(list(jobs)))

    def wait(self, jobs: Sequence[str], timeout_s: float | None = None) -> list[JobRecord]:
        return [self.records[job] for job in jobs]

    def cancel(self, job: str) -> bool:
        self.cancelled.append(job)
        return True

    def outputs(self, job: str) -> JobOutputs:
        raw = self.left.get(job)
        files = () if raw is None else (DataFile(RESULT, len(raw), hashlib.sha256(raw).hexdigest()),)
        return JobOutputs(job=job, complete=True, files=files)

    def output(self, job: str, name: str, offset: int = 0) -> Iterator[bytes]:
        yield self.left[job][offset:]


def client(**how: Any) -> Any:
    return cast(Client, Site(**how))


def odd_one(x: int) -> int:
    if x % 7 == 3:
        raise KeyError(x)
    return x


def leaves(x: int) -> int:
    if x == 5:
        sys.exit(f"left at {x}")
    return -x


FUNCTIONS: list[Callable[[Any], Any]] = [
    lambda x: x * x,
    lambda x: {"of": x, "also": (x, [x])},
    lambda x: b"x" * x if x >= 0 else None,
    lambda x: 10 / x,
    odd_one,
    leaves,
]


def outcome(f: Callable[[], Any]) -> Any:
    try:
        return f()
    except BaseException as error:
        return type(error), str(error)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(FUNCTIONS),
    st.lists(st.integers(-3, 20), max_size=12),
    st.sampled_from([{}, {"parts": 1}, {"parts": 5}, {"parts": 50}, {"chunk": 1}, {"chunk": 4}]),
    st.randoms(use_true_random=False),
)
def test_a_map_is_what_a_loop_says(f: Callable[[Any], Any], items: list[int], cut: Any, order: Any) -> None:
    site = client(shuffle=lambda jobs: order.sample(jobs, len(jobs)))
    serial = outcome(lambda: [f(x) for x in items])
    assert outcome(lambda: sanjin.map(f, iter(items), client=site, **cut)) == serial
    if isinstance(serial, list):
        pairs = list(sanjin.as_completed(f, items, client=site, **cut))
        assert sorted(n for n, _ in pairs) == list(range(len(items)))
        assert all(value == serial[n] for n, value in pairs)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(), min_size=1, max_size=8), st.integers(1, 2))
def test_what_was_killed_is_done_again_as_often_as_is_said(items: list[int], kills: int) -> None:
    site = client(kills=kills)
    assert sanjin.map(abs, items, parts=1, client=site) == [abs(x) for x in items]
    assert len(site.specs) == 1 + kills
    site = client(kills=3)
    site.logs = lambda *_: []
    with pytest.raises(TaskFailed, match="signal"):
        sanjin.map(abs, items, parts=1, client=site)
    site = client(kills=1)
    site.logs = lambda *_: []
    with pytest.raises(TaskFailed, match="signal"):
        sanjin.map(abs, items, parts=1, client=site, effects=Effects.ONCE)
    assert len(site.specs) == 1


def test_nothing_is_sent_for_no_items() -> None:
    site = client()
    assert sanjin.map(abs, [], client=site) == []
    assert list(sanjin.as_completed(abs, iter(()), client=site)) == []
    assert site.specs == {}


def test_an_exception_says_where_it_was_and_later_parts_are_cancelled() -> None:
    site = client(shuffle=lambda jobs: jobs[::-1])  # the last ends first
    with pytest.raises(KeyError) as caught:
        sanjin.map(odd_one, [1, 3, 2, 10, 4], parts=5, client=site)
    assert caught.value.args == (3,)
    assert "odd_one" in str(caught.value.__cause__)
    assert caught.value.__notes__ == [
        "item 1, in home-2 at home; of the other 4 parts 4 had ended and 0 were cancelled"
    ]
    site = client()
    with pytest.raises(KeyError) as caught:
        sanjin.map(odd_one, [1, 3, 2, 10, 4], parts=5, client=site)
    assert site.cancelled == ["home-3", "home-4", "home-5"]
    assert "1 had ended and 3 were cancelled" in caught.value.__notes__[0]


def test_who_stops_reading_cancels_the_rest() -> None:
    site = client()
    found = list(itertools.islice(pairs := sanjin.as_completed(abs, [-1, -2, -3], parts=3, client=site), 1))
    pairs.close()  # type: ignore[attr-defined]
    assert found == [(0, 1)]
    assert site.cancelled == ["home-2", "home-3"]


def test_what_cannot_travel_is_said_before_anything_is_sent() -> None:
    site = client()
    with pytest.raises(ProblemsFound, match="cannot be pickled"):
        sanjin.map(abs, [threading.Lock()], client=site)
    with pytest.raises(ProblemsFound, match="64 KiB at most"):
        sanjin.map(len, [os.urandom(PACKED_MAX)], client=site)
    with pytest.raises(ProblemsFound, match="no condition"):
        sanjin.task(coress=3)  # type: ignore[call-overload]
    with pytest.raises(ProblemsFound, match="form"):
        sanjin.task(results="yaml")  # type: ignore[call-overload]
    for wrong in ({"parts": 0}, {"chunk": -1}, {"sites": 0}):
        with pytest.raises(ProblemsFound, match="below 1"):
            sanjin.map(abs, [1], client=site, **cast(Any, wrong))
    assert site.specs == {}


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 12))
def test_parts_are_of_like_size(count: int, most: int) -> None:
    site = client()
    for cut in ({"parts": most}, {"chunk": most}):
        site.specs.clear()
        sanjin.map(abs, range(count), client=site, **cast(Any, cut))
        sizes = [_size(spec) for spec in site.specs.values()]
        assert sum(sizes) == count and max(sizes) - min(sizes) <= 1
        assert len(sizes) == min(most, count) if "parts" in cut else max(sizes) <= most


def _size(spec: JobSpec) -> int:
    first, last = spec.name.removeprefix("abs[").rstrip("]").split(":")
    return int(last) - int(first)


def test_parts_that_are_too_large_are_halved() -> None:
    site = client()
    items = [os.urandom(12_000) for _ in range(16)]
    assert sanjin.map(len, items, parts=1, client=site) == [12_000] * 16
    assert len(site.specs) == 4
    assert all(len(spec.environment["TASK_CALLS"]) <= PACKED_MAX for spec in site.specs.values())


def test_what_cannot_come_back_is_named() -> None:
    site = client()
    with pytest.raises(TaskFailed, match=r"cannot be sent back as pickle.*generator") as caught:
        sanjin.map(lambda x: (y for y in [x]) if x > 1 else x, [1, 2], parts=1, client=site)
    assert caught.value.__notes__[0].startswith("item 1, ")

    def clears(x: int) -> int:
        raise ValueError("\x1b[2J")

    with pytest.raises(TaskFailed, match=r"ValueError: \\x1b\[2J"):  # a terminal shows it, and does not do it
        sanjin.map(clears, [1], client=site, results="json")
    with pytest.raises(TaskFailed, match="as json"):
        sanjin.map(lambda x: {x}, [1], client=site, results="json")

    class Twice(Exception):
        def __init__(self, a: int, b: int) -> None:
            super().__init__(f"{a} and {b}")

    def raises(x: int) -> int:
        raise Twice(x, x)

    with pytest.raises(TaskFailed, match="Twice: 1 and 1"):  # it can be pickled, but not back
        sanjin.map(raises, [1], client=site)


def test_with_json_nothing_is_unpickled_whatever_a_site_sends(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "harm"),)

    heads = [{"count": 1}, {"error": "E", "text": "said", "traceback": "there"}, {"fault": ["python", "2.7", "3.11"]}]
    for head in heads:
        site = client()
        handle = sanjin.task(client=site, results="json")(abs).submit(-1)
        site.left[handle.job] = json.dumps(head).encode() + b"\n" + cloudpickle.dumps([Harm()])
        with pytest.raises(TaskFailed):
            handle.result()
    assert not (tmp_path / "harm").exists()


def test_a_site_that_sends_another_number_of_values_gives_no_wrong_answer() -> None:
    class Liar(Site):
        def _run(self, spec: JobSpec) -> str:
            job = super()._run(spec)
            self.left[job] = b'{"count": %d}\n' % self.count + json.dumps(list(range(self.count))).encode()
            return job

    for count in (0, 1, 3):
        site = cast(Any, Liar())
        site.count = count
        with pytest.raises(TaskFailed, match="cannot be read"):
            sanjin.map(abs, [1, 2, 3, 4], parts=2, client=site, results="json")
    site.count = 0
    with pytest.raises(TaskFailed, match="cannot be read"):
        sanjin.task(client=site, results="json")(abs).submit(1).result()


@settings(deadline=None, max_examples=40)
@given(st.binary(max_size=40))
def test_whatever_a_site_sends_is_a_failed_task_at_worst(raw: bytes) -> None:
    site = client()
    handle = sanjin.task(client=site, results="json")(abs).submit(-1)
    site.left[handle.job] = raw
    with pytest.raises(TaskFailed):
        handle.result()


def test_another_python_at_the_site_is_said_before_anything_is_unpickled(monkeypatch: pytest.MonkeyPatch) -> None:
    class Older(Site):
        def _run(self, spec: JobSpec) -> str:
            about = {**json.loads(spec.environment["TASK_ABOUT"]), "python": "3.7"}
            spec.environment.update(TASK_ABOUT=json.dumps(about), TASK_CALLS="nothing that could be read")
            return super()._run(spec)

    with pytest.raises(TaskFailed, match=r"the site has Python 3\.\d+, and the function was sent by Python 3\.7"):
        sanjin.map(abs, [1], client=cast(Any, Older()))


def test_a_task_is_called_as_before_and_travels_as_the_plain_function() -> None:
    site = client()

    @sanjin.task(cores=2, client=site, name="count down")
    def down(x: int, *, step: int = 1) -> int:
        """Counts."""
        return x if x <= 0 else down(x - step, step=step)

    assert isinstance(down, Task) and down.__doc__ == "Counts." and down(5, step=2) == -1
    assert down.submit(5, step=2).result() == -1
    assert down.using(cores=3, site="datong").map([1, 2]) == [0, 0]
    assert [(s.cores, s.site, s.name) for s in site.specs.values()] == [
        (2, "", "count down"), (3, "datong", "count down[0:1]"), (3, "datong", "count down[1:2]"),
    ]  # fmt: skip
    assert all(s.effects is Effects.REPEATABLE for s in site.specs.values())
    assert isinstance(cloudpickle.loads(cloudpickle.dumps(down)), type(odd_one))


def test_a_part_of_a_map_of_before_is_read_as_a_list() -> None:
    site = client()
    sanjin.map(abs, [-1, -2, -3], parts=2, client=site)
    assert [sanjin.Handle(job, site).result() for job in site.specs] == [[1], [2, 3]]
    one = sanjin.task(client=site)(abs).submit(-4)
    assert sanjin.Handle(one.job, site).result() == 4


def test_sites_take_the_parts_in_turn_and_progress_is_told() -> None:
    site, told = client(), list[tuple[int, int]]()
    sanjin.map(abs, range(6), parts=3, sites=("a", "b"), client=site, progress=lambda *done: told.append(done))
    assert [s.site for s in site.specs.values()] == ["a", "b", "a"]
    assert told == [(0, 6), (2, 6), (4, 6), (6, 6)]


def test_a_sweep_is_a_loop_over_the_grid_and_names_the_parameters_at_fault() -> None:
    site = client()
    found = sanjin.sweep(lambda a, b: a * 10 + b, {"a": [1, 2], "b": (3, 4, 5)}, parts=2, client=site)
    pairs = [(a, b) for a in (1, 2) for b in (3, 4, 5)]
    assert [(r.parameters, r.value) for r in found] == [({"a": a, "b": b}, a * 10 + b) for a, b in pairs]
    points = sanjin.grid({"a": [1, 0]})
    assert dict(sanjin.as_completed(lambda a: -a, points, client=site)) == {0: -1, 1: 0}
    assert sanjin.sweep(abs, {"x": []}, client=site) == []
    with pytest.raises(ZeroDivisionError) as caught:
        sanjin.sweep(lambda a, b: a // b, {"a": [1], "b": [2, 0]}, parts=1, client=site)
    assert caught.value.__notes__[0].startswith("item 1 (a=1, b=0), in home-")
