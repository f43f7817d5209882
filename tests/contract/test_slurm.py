"""What the ``slurm`` engine does when Slurm is full, away, forgetful or overruled; the rest is in ``test_engine``."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sanjin.adapters.engines import cluster_engine
from sanjin.adapters.engines.cluster import ClusterAway, Shape
from sanjin.adapters.engines.cluster_engine import ClusterEngine
from sanjin.adapters.engines.slurm import SlurmCluster
from sanjin.model.engines import EngineSettings
from sanjin.ports import EndReason, RunOrder, RunReport, RunState, TakenBy
from tests.slurm_lab import MACHINE_CARDS, MACHINE_CORES, SlurmLab
from tests.support import until

Make = Callable[..., ClusterEngine]
COUNT = "echo x >> $SANJIN_OUTPUTS/count"


@pytest.fixture
def make(lab: SlurmLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(cluster_engine, "POLL_S", 0.5)
    monkeypatch.setattr(cluster_engine, "RETRY_S", 0.5)
    monkeypatch.setattr(cluster_engine, "SETTLE_S", 1.0)
    made: list[ClusterEngine] = []

    def build(cluster: SlurmCluster | None = None, **options: Any) -> ClusterEngine:
        made.append(ClusterEngine(tmp_path / "site", cluster or SlurmCluster(lab.settings), **options))
        return made[-1]

    yield build
    lab.say("scancel", "--user=root")
    for engine in made:
        engine.close()


def order(key: str, code: str, cores: int = 1) -> RunOrder:
    return RunOrder(key=key, command=("sh", "-c", code), cores=cores, memory_bytes=64 << 20, time_limit_s=60.0)


def ends(engine: ClusterEngine, *keys: str) -> list[RunReport]:
    found: dict[str, RunReport] = {}

    def all_there() -> bool:
        found.update({report.key: report for report in engine.watch()})
        return all(key in found for key in keys)

    until(all_there, f"end of {keys}", 60)
    return [found[key] for key in keys]


def times_run(folder: Path, key: str) -> int:
    return (folder / "site/runs" / key / "outputs/count").read_text().count("x")


def pending(lab: SlurmLab) -> list[str]:
    """What waits in Slurm's queue."""
    return lab.say("squeue", "--noheader", "--array", "--states=PENDING", "--format=%i").split()


def fill(engine: ClusterEngine, lab: SlurmLab) -> list[str]:
    """Take all of the cluster, until it is told to let go."""
    keys = [f"full{n}" for n in range(len(lab.machines))]
    engine.start([order(key, "while [ ! -e $SANJIN_OUTPUTS/go ]; do sleep 0.05; done", MACHINE_CORES) for key in keys])
    until(lambda: all(engine.logs(k, "stdout", 0, 1) == b"" and engine.find([k])[0].started_at for k in keys), "start")
    return keys


def test_what_waits_in_the_queue_ends_when_asked_and_never_begins(make: Make, lab: SlurmLab, tmp_path: Path) -> None:
    engine = make()
    full = fill(engine, lab)
    engine.start([order("waits", COUNT), order("stops", COUNT), order("begins", COUNT)])
    until(lambda: len(pending(lab)) == 3, "a queue")
    assert {r.detail for r in engine.find(["waits", "stops"])} == {"waits in the queue of slurm"}
    engine.cancel(["waits"])
    engine.stop(["stops"])
    waits, stops = ends(engine, "waits", "stops")
    assert (waits.reason, stops.reason) == (EndReason.CANCELLED, EndReason.STOPPED)
    engine.forget(["waits", "stops"])
    for key in full:
        (tmp_path / "site/runs" / key / "outputs/go").touch()
    assert ends(engine, "begins")[0].exit_status == 0
    assert engine.find(["waits"])[0].reason is EndReason.CANCELLED
    assert not (tmp_path / "site/runs/waits/outputs/count").exists()


def test_a_new_engine_adopts_what_waits_in_the_queue(make: Make, lab: SlurmLab, tmp_path: Path) -> None:
    first = make()
    full = fill(first, lab)
    first.start([order("waits", COUNT)])
    until(lambda: pending(lab) != [], "a queue")
    first.close()
    second = make()
    assert [r.state for r in second.find(["waits", *full, "never"])] == [RunState.RUNNING] * 3 + [RunState.ABSENT]
    for key in full:
        (tmp_path / "site/runs" / key / "outputs/go").touch()
    assert all(r.exit_status == 0 for r in ends(second, "waits", *full))
    assert times_run(tmp_path, "waits") == 1


def test_what_an_administrator_ends_is_cancelled(make: Make, lab: SlurmLab) -> None:
    engine = make()
    fill(engine, lab)
    engine.start([order("waits", COUNT)])
    until(lambda: pending(lab) != [], "a queue")
    lab.say("scancel", *pending(lab))
    until(lambda: pending(lab) == [], "an empty queue")
    lab.say("scancel", "--user=root")
    waits, full = ends(engine, "waits", "full0")
    assert waits.reason is full.reason is EndReason.CANCELLED
    assert waits.detail.startswith("slurm: CANCELLED")


def test_a_controller_that_is_killed_loses_and_repeats_nothing(make: Make, lab: SlurmLab, tmp_path: Path) -> None:
    engine = make()
    keys = [f"r{n}" for n in range(60)]
    engine.start([order(key, f"{COUNT}; while [ ! -e $SANJIN_OUTPUTS/go ]; do sleep 0.2; done") for key in keys[:40]])
    places = MACHINE_CORES * len(lab.machines)
    until(lambda: sum(engine.find([k])[0].started_at > 0 for k in keys) == places, "a full cluster")
    # A controller saves what it knows at most 5 s late; killed sooner, it ends runs of which it knows no more.
    time.sleep(6)
    with lab.without_controller():
        asked = time.monotonic()
        assert engine.start([order(key, COUNT) for key in keys[40:]]) == []
        assert time.monotonic() - asked < 5  # Slurm's commands wait longer for a controller that is away
        until(lambda: engine.info().fault != "", "a fault", 120)
    for key in keys[:40]:
        until((tmp_path / "site/runs" / key / "outputs").exists, "its folder")
        (tmp_path / "site/runs" / key / "outputs/go").touch()
    assert all((r.reason, r.exit_status) == (EndReason.EXIT, 0) for r in ends(engine, *keys))
    assert [times_run(tmp_path, key) for key in keys] == [1] * len(keys)
    until(lambda: engine.info().fault == "", "an answer")


class Forgetful(SlurmCluster):
    """A cluster that takes what it is given, and whose answer is lost, some times."""

    def __init__(self, settings: EngineSettings, times: int) -> None:
        super().__init__(settings)
        self.left = times

    def submit(self, batch: str, count: int, shape: Shape, script: Sequence[str], folder: Path) -> None:
        super().submit(batch, count, shape, script, folder)
        self.left -= 1
        if self.left >= 0:
            raise ClusterAway("the answer was lost")


def test_what_is_submitted_twice_runs_once(make: Make, lab: SlurmLab, tmp_path: Path) -> None:
    engine = make(Forgetful(lab.settings, 2))
    keys = [f"r{n}" for n in range(10)]
    engine.start([order(key, f"{COUNT}; sleep 0.5") for key in keys])
    assert all((r.reason, r.exit_status) == (EndReason.EXIT, 0) for r in ends(engine, *keys))
    until(lambda: not lab.say("squeue", "--noheader").strip(), "an empty queue")
    assert [times_run(tmp_path, key) for key in keys] == [1] * len(keys)
    assert len({line for line in lab.say("squeue", "--noheader", "--states=all", "--format=%j").split()}) >= 3


def test_what_slurm_lost_before_it_began_is_submitted_again(make: Make, lab: SlurmLab, tmp_path: Path) -> None:
    class Lossy(SlurmCluster):
        lost = False

        def submit(self, batch: str, count: int, shape: Shape, script: Sequence[str], folder: Path) -> None:
            if self.lost:
                super().submit(batch, count, shape, script, folder)
            self.lost = True  # the first is taken, and never heard of again

    engine = make(Lossy(lab.settings))
    engine.start([order("lost", COUNT)])
    assert ends(engine, "lost")[0].exit_status == 0
    assert times_run(tmp_path, "lost") == 1


def test_what_no_machine_has_room_for_is_refused_with_the_reason(make: Make) -> None:
    engine = make()
    engine.start([order("wide", "true", MACHINE_CORES + 1), order("fits", "true", MACHINE_CORES)])
    wide, fits = ends(engine, "wide", "fits")
    assert (wide.reason, fits.exit_status) == (EndReason.NOT_STARTED, 0)
    assert f"({MACHINE_CORES}, " in wide.detail


def test_a_setting_that_slurm_does_not_know_is_said(make: Make, lab: SlurmLab) -> None:
    engine = make(SlurmCluster(EngineSettings(conf=lab.settings.conf, partition="nowhere")))
    engine.start([order("odd", "true")])
    (odd,) = ends(engine, "odd")
    assert odd.reason is EndReason.NOT_STARTED
    assert "nowhere" in odd.detail


def test_what_others_have_is_told_and_until_when(make: Make, lab: SlurmLab) -> None:
    engine = make(shared_s=0.5)
    engine.start([order("ours", "sleep 60", 4)])
    others = ["--output=/dev/null", "--mem=64", "--time=30", "--job-name=他人", "--wrap=sleep 600"]
    lab.say("sbatch", "--ntasks=12", *others)
    lab.say("sbatch", f"--ntasks={MACHINE_CORES}", *others)
    lab.say("sbatch", f"--ntasks={MACHINE_CORES}", *others)

    def taken() -> dict[TakenBy, tuple[float, int]]:
        use = engine.others()
        found: dict[TakenBy, tuple[float, int]] = {}
        for each in use.taken if use else ():
            cores, count = found.get(each.by, (0.0, 0))
            found[each.by] = cores + each.amount.cores, count + each.count
        return found

    full = {TakenBy.OURS: (4, 1), TakenBy.OTHERS: (12 + MACHINE_CORES, 2), TakenBy.QUEUE: (MACHINE_CORES, 1)}
    until(lambda: taken() == full, "a full cluster", 60)
    use = engine.others()
    assert use is not None and use.plain.cores == MACHINE_CORES * len(lab.machines)
    ends = {t.by: t.lasts_s for t in use.taken}
    assert 1700 < ends[TakenBy.OTHERS] <= 1800 and ends[TakenBy.QUEUE] == 1800 and 60 < ends[TakenBy.OURS] <= 240
    lab.say("scancel", "--user=root")
    lab.say("scontrol", "create", "reservation", "reservationname=kept", "starttime=now+60minutes", "duration=60",
            "nodes=n0", "users=root")  # fmt: skip
    lab.say("scontrol", "update", "nodename=n1", "state=drain", "reason=test")
    try:
        down = {TakenBy.DOWN: (MACHINE_CORES, 1), TakenBy.RESERVED: (MACHINE_CORES, 1)}
        until(lambda: taken() == down, "machines that take no work", 60)
    finally:
        lab.say("scontrol", "update", "nodename=n1", "state=resume")
        lab.say("scontrol", "delete", "reservationname=kept")
    until(lambda: taken() == {}, "an empty cluster")


HALF = MACHINE_CORES // 2
MEET = "touch $SANJIN_GANG/$SANJIN_RANK; while [ $(ls $SANJIN_GANG | wc -l) -lt $SANJIN_NODES ]; do sleep 0.05; done"
BUSY = "while [ ! -e $SANJIN_GANG/go ]; do sleep 0.05; done"


def gang(key: str, code: str, nodes: int = 3, **more: object) -> RunOrder:
    """Of which two copies fit on a machine."""
    found = RunOrder(
        key=key, command=("sh", "-c", code), cores=HALF, nodes=nodes, memory_bytes=nodes * (100 << 20), time_limit_s=60
    )
    return replace(found, **more)


def test_a_gang_that_fits_on_no_machine_runs_on_several_and_meets(make: Make, lab: SlurmLab, tmp_path: Path) -> None:
    engine = make()
    said = "echo $SANJIN_RANK of $SANJIN_NODES on $SANJIN_HOSTS $SANJIN_PORTS"
    count = "echo x >> $SANJIN_OUTPUTS/count.$SANJIN_RANK"
    engine.start([gang("meets", f"{MEET}; {said}; {count}; sleep 0.3")])
    (report,) = ends(engine, "meets")
    assert (report.reason, report.exit_status) == (EndReason.EXIT, 0), report
    lines = sorted(engine.logs("meets", "stdout", 0, 1000).decode().splitlines())
    assert [line.rpartition(" ")[0] for line in lines] == [f"{n} of 3 on n0,n0,n1" for n in range(3)]
    assert len({line.rpartition(" ")[2] for line in lines}) == 1 and "-" in lines[0]
    assert engine.logs("meets", "stderr", 0, 1000) == b""
    counts = [(tmp_path / f"site/runs/meets/outputs/count.{n}").read_text() for n in range(3)]
    assert counts == ["x\n"] * 3
    assert report.usage.busy_s > 0.9 and report.usage.memory_peak_bytes > 0 and report.usage.cpu_s > 0
    assert "memory peaks: n0 " in report.detail and "n1 " in report.detail


def test_the_first_failure_on_a_machine_ends_the_copies_on_the_others(make: Make, tmp_path: Path) -> None:
    engine = make()
    fails = f"trap 'echo bye $SANJIN_RANK; exit 0' TERM; {MEET}; [ $SANJIN_RANK != 2 ] || exit 7; {BUSY}"
    eat = "kept = []\nwhile True: kept.append(bytearray(8 << 20))"
    eats = f"[ $SANJIN_RANK != 2 ] || exec python3 -S -c '{eat}'; {BUSY}"
    engine.start([gang("fails", fails)])
    (failed,) = ends(engine, "fails")
    assert (failed.reason, failed.exit_status) == (EndReason.EXIT, 7)
    assert failed.detail.startswith("on n1")
    assert sorted(engine.logs("fails", "stdout", 0, 1000).split()) == [b"0", b"1", b"bye", b"bye"]
    engine.start([gang("eats", eats)])
    (big,) = ends(engine, "eats")
    assert big.reason is EndReason.MEMORY_LIMIT, big


def test_a_gang_on_several_machines_is_cancelled_stopped_and_limited_whole(make: Make, tmp_path: Path) -> None:
    engine = make()

    def begun(key: str) -> None:
        until(lambda: engine.logs(key, "stdout", 0, 100).count(b"up") == 3, "all copies")

    polite = f"trap 'echo bye; exit 5' TERM; echo up; {BUSY}"
    engine.start([gang("cancelled", polite)])
    begun("cancelled")
    engine.cancel(["cancelled"])
    assert ends(engine, "cancelled")[0].reason is EndReason.CANCELLED
    assert engine.logs("cancelled", "stdout", 0, 100).count(b"bye") == 3
    engine.start([gang("stopped", polite, checkpoint="kept")])
    begun("stopped")
    engine.stop(["stopped"])
    assert ends(engine, "stopped")[0].reason is EndReason.STOPPED
    engine.start([gang("late", f"echo up; {BUSY}", time_limit_s=1.5)])
    assert ends(engine, "late")[0].reason is EndReason.TIME_LIMIT


def part_on(run: Path, machine: str) -> int:
    """The supervisor of the part of a gang that is on a machine."""
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            there = f"SLURMD_NODENAME={machine}".encode() in Path(f"/proc/{name}/environ").read_bytes().split(b"\0")
            if there and words[-2:] == [str(run).encode(), b""] and b"-I" in words[:3]:
                return int(name)
    raise AssertionError(machine)


def test_what_slurm_ends_of_a_gang_is_told_by_what_slurm_says(make: Make, lab: SlurmLab, tmp_path: Path) -> None:
    engine = make()
    engine.start([gang("ended", f"echo up; {BUSY}")])
    until(lambda: engine.logs("ended", "stdout", 0, 100).count(b"up") == 3, "all copies")
    lab.say("scancel", "--user=root")
    assert ends(engine, "ended")[0].reason is EndReason.CANCELLED
    engine.start([gang("killed", f"echo up; {BUSY}")])
    until(lambda: engine.logs("killed", "stdout", 0, 100).count(b"up") == 3, "all copies")
    pid = int((tmp_path / "site/runs/killed/started").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    assert ends(engine, "killed")[0].state is RunState.INTERRUPTED
    engine.start([gang("lost", f"echo up; {BUSY}")])
    until(lambda: engine.logs("lost", "stdout", 0, 100).count(b"up") == 3, "all copies")
    os.kill(part_on(tmp_path / "site/runs/lost", "n1"), signal.SIGKILL)
    (lost,) = ends(engine, "lost")
    assert (lost.state, "no word from n1" in lost.detail) == (RunState.INTERRUPTED, True), lost
    until(lambda: not lab.say("squeue", "--noheader").strip(), "an empty queue")


def test_a_gang_for_which_there_are_too_few_machines_is_refused(make: Make) -> None:
    engine = make()
    engine.start([gang("wide", "true", 5)])
    (wide,) = ends(engine, "wide")
    assert wide.reason is EndReason.NOT_STARTED and "of which there are 2" in wide.detail


def test_a_run_that_slurm_preempts_is_interrupted(make: Make, lab: SlurmLab) -> None:
    engine = make()
    fill(engine, lab)
    engine.start([order("waits", "true")])
    until(lambda: pending(lab) != [], "a queue")
    lab.say("sbatch", "--partition=urgent", "--output=/dev/null", "--mem=64", "--time=5", "--wrap=true",
            f"--ntasks={MACHINE_CORES * len(lab.machines)}")  # fmt: skip
    for report in ends(engine, "full0", "full1"):
        assert (report.state, "PREEMPTED" in report.detail) == (RunState.INTERRUPTED, True), report
    assert ends(engine, "waits")[0].exit_status == 0


def test_cards_are_asked_for_by_their_name_and_type(make: Make, lab: SlurmLab) -> None:
    # made-up cards have no devices that a sandbox could show
    engine = make(SlurmCluster(EngineSettings(conf=lab.settings.conf, gres="npu:910b")), sandbox="none")
    cards = [replace(order(f"c{n}", "sleep 0.2"), accelerators=n) for n in (1, MACHINE_CARDS, MACHINE_CARDS + 1)]
    engine.start(cards)
    one, all_, more = ends(engine, *(c.key for c in cards))
    assert (one.exit_status, all_.exit_status, more.reason) == (0, 0, EndReason.NOT_STARTED)
    asked = lab.say("squeue", "--noheader", "--states=all", "--format=%b").split()
    assert {f"gres:npu:910b:{n}" for n in (1, MACHINE_CARDS)} <= set(asked)
    use = SlurmCluster(EngineSettings(conf=lab.settings.conf, gres="npu")).use(lambda _: False, Shape(0, 0, 0, 0))
    assert use.carded.accelerators == MACHINE_CARDS * len(lab.machines)
