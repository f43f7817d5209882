"""Python functions as jobs of a real region: real processes at several sites, killed, cancelled and compared."""

from __future__ import annotations

import doctest
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sanjin
from sanjin import Client, JobState
from sanjin.adapters.engines.run_limits import descendants
from sanjin.model.errors import TaskFailed
from tests.live import Region
from tests.support import until

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "functions.md"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    found = Region(tmp_path_factory.mktemp("region") / "state")
    found.up("--sample-data")
    yield found
    assert found.down() == 0


@pytest.fixture(scope="module")
def client(region: Region) -> Iterator[Client]:
    with Client.here(region.state) as found:
        until(lambda: all(s.parent_reachable for s in found.sites()), "reachable tree", 60)
        yield found


def script(region: Region, code: str, folder: Path) -> str:
    """What a script of a user says, with this region."""
    (folder / "script.py").write_text(code, encoding="utf-8")
    environment = {**os.environ, "SANJIN_STATE": str(region.state)}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_notebook_prints_what_it_shows(region: Region, client: Client, tmp_path: Path) -> None:
    cells = json.loads(PAGE.with_suffix(".ipynb").read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    shown = "".join("".join(each["text"]) for cell in code for each in cell["outputs"])
    assert script(region, "\n".join("".join(cell["source"]) for cell in code), tmp_path) == shown


def paths_simulated(seed: int) -> tuple[int, float]:
    """A part of a Monte Carlo value: what a cap on a price pays, over some random paths."""
    import math
    import random

    chance = random.Random(seed)
    drawn = (340 * math.exp(0.25 * chance.gauss(0, 1) - 0.03) for _ in range(2000))
    return seed, math.fsum(max(price - 380, 0.0) for price in drawn)


def watched(seed: int) -> tuple[int, float]:
    """The same, once somebody lets it go on."""
    import os
    import time

    folder = os.environ["SANJIN_OUTPUTS"]
    with open(f"{folder}/begun", "w"):
        pass
    while not os.path.exists(f"{folder}/go-on"):
        time.sleep(0.02)
    return paths_simulated(seed)


class Killer(threading.Thread):
    """Looks at the runs of a region as they begin: the first loses its processes to kill -9, the second its supervisor
    too, and all others may go on."""

    def __init__(self, state: Path) -> None:
        super().__init__(daemon=True)
        self.state, self.killed, self.over = state, list[Path](), threading.Event()
        self.before = set(state.glob("*/engine/runs/*"))

    def run(self) -> None:
        while not self.over.wait(0.02):
            for begun in self.state.glob("*/engine/runs/*/outputs/begun"):
                run = begun.parents[1]
                if run not in self.before:
                    self.before.add(run)
                    self._met(run)

    def _met(self, run: Path) -> None:
        supervisor = int((run / "started").read_text().split()[0])
        if len(self.killed) < 2:
            below = descendants(supervisor)
            assert below
            for pid in [supervisor, *below] if self.killed else below:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self.killed.append(run)
        else:
            (run / "outputs" / "go-on").touch()


def test_a_map_over_four_sites_with_two_killed_parts_is_the_serial_answer(region: Region, client: Client) -> None:
    seeds = list(range(24))
    killer = Killer(region.state)
    killer.start()
    try:
        # this module is not installed where the parts run: it travels with them
        found = sanjin.map(
            watched, seeds, parts=8, sites=4, client=client, carry=[sys.modules[__name__]], kind="monte-carlo",
            duration_s=60, timeout_s=120,
        )  # fmt: skip
    finally:
        killer.over.set()
        killer.join()
    assert found == [paths_simulated(seed) for seed in seeds]
    assert len(killer.killed) == 2
    records = [r for r in client.jobs(limit=1000).jobs if r.spec.kind == "monte-carlo"]
    assert len({r.site for r in records}) == 4
    # one part was sent again by the client, as another job; the other run again by its node
    assert (len(records), [r.state for r in records].count(JobState.SUCCEEDED)) == (9, 8)
    runs = [sum(h.kind == "job.started" for h in client.happenings(r.id)) for r in records]
    assert sorted(runs) == [1] * 8 + [2]
    assert region.run("audit", "verify").returncode == 0


def test_one_call_is_a_job_with_a_state_a_cost_and_an_explanation(client: Client) -> None:
    handle = sanjin.task(client=client, kind="one", duration_s=60)(lambda x, y=1: {"sum": x + y}).submit(2, y=3)
    assert handle.result(60) == {"sum": 5}
    assert handle.state() is JobState.SUCCEEDED
    assert handle.cost().job == handle.job and handle.explain()[0].choice() is not None
    again: sanjin.Handle[Any] = sanjin.Handle(handle.job, client)  # as another session would
    assert again.result(60) == {"sum": 5}


def test_what_a_function_raises_is_raised_here_with_the_traceback_of_there(client: Client) -> None:
    def looks_up(key: str) -> int:
        return {"a": 1}[key]

    with pytest.raises(KeyError, match="b") as caught:
        sanjin.map(looks_up, ["a", "b", "c"], parts=3, client=client, timeout_s=60)
    assert "looks_up" in str(caught.value.__cause__)
    assert "item 1, in taiyuan-" in caught.value.__notes__[0]


def test_who_kills_itself_each_time_is_given_up_and_its_last_words_told(client: Client) -> None:
    def suicide(_: int) -> None:
        import os
        import sys

        print("farewell", file=sys.stderr, flush=True)
        os.kill(os.getpid(), 9)

    handle = sanjin.task(client=client, duration_s=60)(suicide).submit(1)
    with pytest.raises(TaskFailed, match=r"(?s)signal.*farewell"):
        handle.result(90)
    assert len(handle.jobs) == 3


def test_cancelled_and_late_calls_are_told_apart(client: Client) -> None:
    def sleeps(_: int) -> None:
        import time

        time.sleep(600)

    handle = sanjin.task(client=client)(sleeps).submit(1)
    with pytest.raises(TimeoutError):
        handle.result(0.1)
    assert handle.cancel()
    with pytest.raises(TaskFailed, match="cancelled"):
        handle.result(60)
    with pytest.raises(TimeoutError):
        sanjin.map(sleeps, [1, 2], kind="late", client=client, timeout_s=0.1)
    late = [r.id for r in client.jobs(limit=1000).jobs if r.spec.kind == "late"]
    assert [r.state for r in client.wait(late, 60)] == [JobState.CANCELLED] * 2


def test_a_module_that_is_not_at_the_site_is_named(client: Client, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "own_module.py").write_text("def twice(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import own_module  # type: ignore[import-not-found]

    module: ModuleType = own_module
    twice: Callable[[int], int] = own_module.twice
    with pytest.raises(ModuleNotFoundError, match="own_module"):
        sanjin.map(twice, [1], client=client, timeout_s=60)
    assert sanjin.map(twice, [1], carry=[module], client=client, timeout_s=60) == [2]


SCRIPT = """\
import sanjin
from dataclasses import dataclass

RATE = 3  # as in a cell of a notebook: nothing of this can be imported at a site

@dataclass
class Point:
    x: int

@sanjin.task(duration_s=60)
def doubled(p):
    return Point(p.x * RATE) if p.x < 10 else doubled(Point(p.x - 10))

def adder(n):
    return lambda x: x + n

found = sanjin.map(doubled, [Point(n) for n in range(12)], parts=3)
assert found == [doubled(Point(n)) for n in range(12)], found
print(found[11], sanjin.map(adder(4), range(3), results="json"), doubled.submit(Point(2)).result(60))
"""


def test_functions_of_a_script_or_notebook_travel_with_what_they_use(
    region: Region, client: Client, tmp_path: Path
) -> None:
    assert script(region, SCRIPT, tmp_path) == "Point(x=3) [4, 5, 6] Point(x=6)\n"


def test_the_how_to_says_what_is_so(region: Region, client: Client, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) > 2
    for code, expected in blocks:
        got = script(region, code, tmp_path)
        assert doctest.OutputChecker().check_output(expected, got, FLAGS), f"{code}\nexpected:\n{expected}\ngot:\n{got}"
