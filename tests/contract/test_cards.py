"""Runs that ask for accelerators: the device files and variables that they find, with stand-ins for cards."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sanjin.adapters.engines import run_cards, run_folder
from sanjin.adapters.engines.local import LocalEngine
from sanjin.adapters.engines.sandbox import find_landlock
from sanjin.ports import EndReason, RunOrder, RunReport
from tests.support import needs_bwrap, until

Opens = """
import os
def opens(path):
    try: return len(open(path, "rb", 0).read(4)) in (0, 4)
    except OSError: return False
names = [f"{os.environ['DEV']}/{n}" for n in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "dri/renderD128", "kfd")]
print(",".join(os.path.basename(n) for n in names if opens(n)), os.environ.get("CUDA_VISIBLE_DEVICES", "-"))
import sys; sys.stdout.flush()
if os.environ.get("HOLD"): import time; time.sleep(60)
"""


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with stand-ins: three cards of one kind and one of another, which are `null` and `zero` in truth."""
    made = tmp_path / "dev"
    (made / "dri").mkdir(parents=True)
    try:
        for number, name in enumerate(("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "dri/renderD128", "kfd")):
            os.mknod(made / name, stat.S_IFCHR | 0o666, os.makedev(1, 5 if number else 3))
            (made / name).chmod(0o666)
            (made / name).open("rb").close()
    except OSError as error:
        pytest.skip(f"no device files can be made here: {error}")
    other = tmp_path / "run_cards.py"
    text = Path(run_cards.__file__).read_text()
    other.write_text(re.sub(r'^DEV = .*$', f"DEV = {str(made)!r}", text, flags=re.MULTILINE))
    monkeypatch.setitem(run_folder.PROGRAMS, "run_cards", str(other))
    return made


@pytest.fixture(params=["none", "landlock", "bwrap"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "bwrap":
        needs_bwrap()
    if request.param == "landlock" and find_landlock().kind != "landlock":
        pytest.skip(find_landlock().remark)
    return str(request.param)


@pytest.fixture
def make(dev: Path, kind: str, tmp_path: Path) -> Iterator[Callable[[], LocalEngine]]:
    made: list[LocalEngine] = []

    def build() -> LocalEngine:
        made.append(LocalEngine(tmp_path / f"site{len(made)}", sandbox=kind))
        return made[-1]

    yield build
    for engine in made:
        engine.cancel(os.listdir(engine._files.runs))
        engine.close()


def asks(dev: Path, kind: str, key: str, cards: int, **more: object) -> RunOrder:
    environment = {"DEV": "/dev" if kind == "bwrap" else str(dev), **more.pop("environment", {})}  # type: ignore[dict-item]
    command = ("python3", "-S", "-c", Opens)
    return RunOrder(key=key, command=command, accelerators=cards, environment=environment, **more)  # type: ignore[arg-type]


def ends(engine: LocalEngine, key: str) -> RunReport:
    found: dict[str, RunReport] = {}

    def ended() -> bool:
        found.update((r.key, r) for r in engine.watch())
        return key in found

    until(ended, f"end of {key}", within_s=60.0)
    return found[key]


def test_a_run_opens_its_own_cards_and_no_others(make: Callable[[], LocalEngine], dev: Path, kind: str) -> None:
    first, second = make(), make()  # two sites on one machine
    first.start([asks(dev, kind, "one", 2, environment={"HOLD": "1"})])
    until(lambda: b"\n" in first.logs("one", "stdout", 0, 100), "first run")
    second.start([asks(dev, kind, "two", 1)])
    ends(second, "two")
    second.start([asks(dev, kind, "many", 2), asks(dev, kind, "plain", 0)])
    everything = "nvidia0,nvidia1,nvidia2,nvidiactl,renderD128,kfd"
    apart = kind != "none"
    assert first.logs("one", "stdout", 0, 100).decode() == (
        "nvidia0,nvidia1,nvidiactl 0,1\n" if apart else f"{everything} 0,1\n"
    )
    assert second.logs("two", "stdout", 0, 100).decode() == ("nvidia2,nvidiactl 0\n" if apart else f"{everything} 2\n")
    ends(second, "plain")
    assert second.logs("plain", "stdout", 0, 100).decode() == (" -\n" if apart else f"{everything} -\n")
    many = ends(second, "many")
    assert many.reason is EndReason.NOT_STARTED and "asks for 2 cards" in many.detail
    first.cancel(["one"])
    ends(first, "one")
    second.start([asks(dev, kind, "three", 3)])  # given back
    assert ends(second, "three").exit_status == 0
    assert second.logs("three", "stdout", 0, 100).split()[-1] == b"0,1,2"


def test_members_of_an_array_run_as_many_at_once_as_there_are_cards(
    make: Callable[[], LocalEngine], dev: Path, kind: str
) -> None:
    engine = make()
    engine.start([asks(dev, kind, "array", 2, members=3, parallel=3)])
    assert ends(engine, "array").members_done == 3


# -- what an engine gives ---------------------------------------------------------------------


def taken(environment: dict[str, str], *, apart: bool = True, each: int = 1) -> run_cards.Cards:
    cards = run_cards.Cards(1)
    cards.take(each, True, environment, apart)
    return cards


def files(cards: run_cards.Cards) -> list[str]:
    return [name.removeprefix("/dev/") for name in cards.files.values()]


def test_the_cards_that_a_cluster_gives(dev: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_cards, "DEV", str(dev))
    monkeypatch.setattr(run_cards, "PROC", str(tmp_path / "gpus"))
    (tmp_path / "gpus/0000:17:00.0").mkdir(parents=True)
    about = "Model: \t stand-in\nGPU UUID:\t GPU-5\nDevice Minor: \t 1\n"
    (tmp_path / "gpus/0000:17:00.0/information").write_text(about)
    ray = taken({"CUDA_VISIBLE_DEVICES": "0,2", "SANJIN_BATCH": "b"}, each=2)
    assert files(ray) == ["nvidia0", "nvidia2", "nvidiactl"]
    assert ray.variables["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert taken({"CUDA_VISIBLE_DEVICES": "2"}, apart=False).variables["CUDA_VISIBLE_DEVICES"] == "2"
    slurm = {"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_JOB_GPUS": "1-2", "SANJIN_BATCH": "b"}
    assert files(taken(slurm)) == ["nvidia1", "nvidia2", "nvidiactl"]
    by_name = taken({"CUDA_VISIBLE_DEVICES": "GPU-5"})
    assert (files(by_name), by_name.variables["CUDA_VISIBLE_DEVICES"]) == (["nvidia1", "nvidiactl"], "GPU-5")
    rocm = taken({"ROCR_VISIBLE_DEVICES": "0"})
    assert (files(rocm), rocm.variables) == (["dri/renderD128", "kfd"], {"ROCR_VISIBLE_DEVICES": "0"})
    for odd in ("7", "GPU-6", "MIG-1", "../sda", "0-"):
        with pytest.raises(OSError, match="no device files"):
            taken({"CUDA_VISIBLE_DEVICES": odd})
    with pytest.raises(OSError, match="does not say"):
        taken({"SANJIN_BATCH": "b"})
