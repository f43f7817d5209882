"""What every engine must do; run against each adapter that is here."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pytest

from sanjin.adapters.engines import cluster_engine, run_limits
from sanjin.adapters.engines.cluster import Cluster
from sanjin.adapters.engines.cluster_engine import ClusterEngine
from sanjin.adapters.engines.host_slots import HostSlots
from sanjin.adapters.engines.kubernetes import KubernetesCluster
from sanjin.adapters.engines.local import LocalEngine
from sanjin.adapters.engines.ray import RayCluster
from sanjin.adapters.engines.run_folder import RunFolder
from sanjin.adapters.engines.run_sweeper import RunSweeper
from sanjin.adapters.engines.sandbox import find_bwrap, find_landlock
from sanjin.adapters.engines.slurm import SlurmCluster
from sanjin.model.data import RunOutputs
from sanjin.model.engines import EngineSettings, ImageSettings, Keep
from sanjin.model.errors import NotFound
from sanjin.ports import EndReason, Engine, RunOrder, RunReport, RunState, Usage
from tests import support
from tests.images import make_layout, needs_tools
from tests.support import needs_bwrap

Make = Callable[..., Engine]

until = partial(support.until, within_s=300.0)
"""Ray takes more than a second of a core to begin a job, and others may want the cores too."""

# A process that forks twice, leaves its session and writes its mark until somebody kills it.
HIDDEN = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            open(os.environ["SANJIN_OUTPUTS"] + "/beat", "w").write(str(time.time()))
            time.sleep(0.02)
    os._exit(0)
os.wait()
while not os.path.exists(os.environ["SANJIN_OUTPUTS"] + "/beat"):
    time.sleep(0.01)
"""


CLUSTERS: dict[str, tuple[str, Callable[[EngineSettings], Cluster]]] = {
    "slurm": ("lab", SlurmCluster),
    "ray": ("ray_lab", RayCluster),
    "kubernetes": ("kube_lab", KubernetesCluster),
}
"""The cluster of a kind of engine: the fixture that has one, and what speaks to it."""


@pytest.fixture(params=["none", "landlock", "bwrap", *CLUSTERS])
def kind(request: pytest.FixtureRequest) -> str:
    """The engine: ``local`` without and with a sandbox, and those of clusters, with one where there is one."""
    if request.param == "bwrap":
        needs_bwrap()
    if request.param == "landlock" and find_landlock().kind != "landlock":
        pytest.skip(find_landlock().remark)
    return str(request.param)


@pytest.fixture
def confined(kind: str) -> str:
    """How runs are confined."""
    return find_bwrap().kind if kind in CLUSTERS else kind


@pytest.fixture
def make(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Make]:
    made: list[Engine] = []
    monkeypatch.setattr(cluster_engine, "SETTLE_S", 1.0)  # the file system here does not lag
    monkeypatch.setattr(cluster_engine, "POLL_S", 1.0)

    def build(slots: HostSlots | None = None, images: ImageSettings | None = None) -> Engine:
        if kind in CLUSTERS:
            if slots is not None:
                pytest.skip("the slots of this host are for the local engine alone")
            lab, cluster = CLUSTERS[kind]
            reached = cluster(request.getfixturevalue(lab).settings)
            engine: Engine = ClusterEngine(tmp_path / "site", reached, images=images)
        else:
            engine = LocalEngine(tmp_path / "site", sandbox=kind, slots=slots, images=images)
        made.append(engine)
        return engine

    yield build
    runs = tmp_path / "site" / "runs"
    keys = os.listdir(runs) if runs.exists() else []
    if made:
        last = build()
        last.find(keys)
        last.cancel(keys)
        until(lambda: all(r.state is not RunState.RUNNING for r in last.find(keys)), "end of all runs")
    for engine in made:
        engine.close()


def order(
    key: str,
    *command: str,
    environment: dict[str, str] | None = None,
    inputs: dict[str, str] | None = None,
    cores: int = 1,
    memory_bytes: int = 0,
    time_limit_s: float = 60.0,
) -> RunOrder:
    return RunOrder(
        key=key,
        command=command,
        environment=environment or {},
        inputs=inputs or {},
        cores=cores,
        memory_bytes=memory_bytes,
        time_limit_s=time_limit_s,
    )


def python(key: str, code: str, **more: float) -> RunOrder:
    limits = {
        "memory_bytes": int(more.get("memory_bytes", 0)),
        "time_limit_s": more.get("time_limit_s", 60.0),
    }
    return RunOrder(
        key=key,
        command=("python3", "-S", "-c", code),
        memory_bytes=int(limits["memory_bytes"]),
        time_limit_s=limits["time_limit_s"],
    )


def ends(engine: Engine, *keys: str) -> list[RunReport]:
    """Wait for the end of these runs; their reports in this order."""
    found: dict[str, RunReport] = {}

    def all_there() -> bool:
        found.update({report.key: report for report in engine.watch()})
        return all(key in found for key in keys)

    until(all_there, f"end of {keys}")
    return [found[key] for key in keys]


def state(engine: Engine, key: str) -> RunState:
    return engine.find([key])[0].state


def still(path: Path) -> bool:
    """Whether a file that a process keeps writing has stopped changing."""
    before = path.read_text()
    time.sleep(0.15)
    return path.read_text() == before


def test_ends_are_told_with_status_signal_streams_and_usage(make: Make, confined: str) -> None:
    engine = make()
    assert engine.info().sandbox == confined
    refused = engine.start(
        [
            order("good", "sh", "-c", "echo out; echo err >&2"),
            order("bad", "sh", "-c", "exit 3"),
            order("signal", "sh", "-c", "kill -9 $$"),
            order("missing", "no-such-program"),
            order("denied", "/etc/passwd"),
        ]
    )
    assert refused == []
    good, bad, killed, missing, denied = ends(engine, "good", "bad", "signal", "missing", "denied")
    assert (good.state, good.reason, good.exit_status, good.sandbox) == ("ended", EndReason.EXIT, 0, confined)
    assert engine.logs("good", "stdout", 0, 100) == b"out\n"
    assert engine.logs("good", "stderr", 0, 100) == b"err\n"
    assert 0 < good.started_at <= good.ended_at
    assert good.usage.wall_s > 0
    assert good.usage.memory_peak_bytes > 0
    assert (bad.reason, bad.exit_status) == (EndReason.EXIT, 3)
    assert (killed.reason, killed.signal) == (EndReason.SIGNAL, 9)
    for report in (missing, denied):
        assert report.reason is EndReason.NOT_STARTED
        assert report.exit_status != 0
    assert "no-such-program" in missing.detail
    assert "Permission denied" in denied.detail


def test_environment_is_the_orders_alone(make: Make, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_SECRET", "x")
    engine = make()
    given = {"COLOUR": "绿 $HOME `id`", "OMP_NUM_THREADS": "7", "SANJIN_KEY": "forged"}
    engine.start([order("env", "env", "-0", cores=2, environment=given), order("cwd", "pwd")])
    ends(engine, "env", "cwd")
    text = engine.logs("env", "stdout", 0, 10000).decode()
    found = dict(line.split("=", 1) for line in text.split("\0") if line)
    assert found["COLOUR"] == given["COLOUR"]
    assert found["SANJIN_KEY"] == "env"
    assert (found["OMP_NUM_THREADS"], found["NUMBA_NUM_THREADS"]) == ("7", "2")
    expected = {"PATH", "HOME", "TMPDIR", "LANG", "SANJIN_KEY", "SANJIN_INPUTS", "SANJIN_OUTPUTS", "COLOUR"}
    threads = {f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    told = {"RAY_ADDRESS"} if kind == "ray" else set[str]()
    assert set(found) - {"PWD", "SHLVL", "_"} == expected | threads | told
    cwd = engine.logs("cwd", "stdout", 0, 1000).decode().strip()
    assert found["HOME"] == cwd.replace("/cwd/", "/env/")


def test_limits_end_a_run_and_all_its_descendants(make: Make, tmp_path: Path) -> None:
    engine = make()
    eat = "kept = []\nwhile True: kept.append(bytearray(8 << 20))\n"
    engine.start(
        [
            python("time", HIDDEN + "time.sleep(100)", time_limit_s=1.5),
            python("memory", HIDDEN + eat, memory_bytes=150 << 20),
            python("daemon", HIDDEN),
        ]
    )
    late, big, left = ends(engine, "time", "memory", "daemon")
    assert late.reason is EndReason.TIME_LIMIT
    assert late.usage.wall_s >= 1.5
    assert big.reason is EndReason.MEMORY_LIMIT
    assert big.usage.memory_peak_bytes >= 150 << 20
    assert (left.reason, left.exit_status) == (EndReason.EXIT, 0)
    for key in ("time", "memory", "daemon"):
        assert still(tmp_path / "site" / "runs" / key / "outputs" / "beat"), key


def test_cancel_asks_first_and_then_kills(make: Make) -> None:
    engine = make()
    polite = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done"
    stubborn = (
        "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(99)"
    )
    engine.start([order("polite", "sh", "-c", polite), python("stubborn", stubborn)])
    for key in ("polite", "stubborn"):
        until(lambda key=key: engine.logs(key, "stdout", 0, 10) == b"up\n", "start")
    engine.cancel(["polite", "stubborn", "unknown", "../bad"])
    gentle, forced = ends(engine, "polite", "stubborn")
    assert gentle.reason is forced.reason is EndReason.CANCELLED
    assert engine.logs("polite", "stdout", 0, 100) == b"up\nbye\n"
    assert (gentle.exit_status, forced.signal) == (5, 9)
    engine.cancel(["polite"])
    assert state(engine, "unknown") is RunState.ABSENT


def test_one_key_is_one_process(make: Make, tmp_path: Path) -> None:
    first, second = make(), make()
    once = order("once", "sh", "-c", "echo x >> $SANJIN_OUTPUTS/count; sleep 0.3")
    first.start([once, once])
    second.start([once])
    first.start([once])
    ends(first, "once")
    first.forget(["once"])
    assert first.watch() == second.watch() == []
    first.start([once])
    second.start([once])
    time.sleep(0.1)
    assert (tmp_path / "site/runs/once/outputs/count").read_text() == "x\n"
    assert first.find(["once"])[0].reason is EndReason.EXIT


def test_a_new_engine_adopts_what_runs(make: Make, tmp_path: Path) -> None:
    first = make()
    hold = "echo hi; while [ ! -e $SANJIN_OUTPUTS/go ]; do sleep 0.05; done"
    first.start([order("long", "sh", "-c", hold), order("short", "true")])
    ends(first, "short")
    first.close()
    second = make()
    reports = second.find(["long", "short", "never"])
    assert [r.state for r in reports] == [RunState.RUNNING, RunState.ENDED, RunState.ABSENT]
    until((tmp_path / "site/runs/long/outputs").exists, "its folder")
    (tmp_path / "site/runs/long/outputs/go").touch()
    long, short = ends(second, "long", "short")
    assert long.reason is short.reason is EndReason.EXIT
    assert second.logs("long", "stdout", 0, 10) == b"hi\n"
    second.forget(["short"])
    assert {r.key for r in second.watch()} == {"long"}


@pytest.mark.parametrize("watcher", ["own", "adopted", "found"])
def test_a_killed_supervisor_leaves_an_interrupted_run_and_no_orphan(
    make: Make, tmp_path: Path, watcher: str
) -> None:
    engine = make()
    engine.start([python("cut", HIDDEN + "time.sleep(100)")])
    beat = tmp_path / "site/runs/cut/outputs/beat"
    until(beat.exists, "heart beat")
    if watcher != "own":
        engine = make()
    if watcher == "adopted":
        assert state(engine, "cut") is RunState.RUNNING
    pid = int((tmp_path / "site/runs/cut/started").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    if watcher == "found":
        until(lambda: state(engine, "cut") is RunState.INTERRUPTED, "interruption")
    else:
        assert ends(engine, "cut")[0].state is RunState.INTERRUPTED
        engine.forget(["cut"])
        assert engine.watch() == []
    until(lambda: still(beat), "end of the orphan")
    engine.start([order("cut", "touch", "again")])
    assert state(engine, "cut") is RunState.INTERRUPTED


NODE = """
import json, sys, time
from pathlib import Path
from sanjin.adapters.engines.local import LocalEngine
from sanjin.adapters.engines.cluster_engine import ClusterEngine
from sanjin.adapters.engines.kubernetes import KubernetesCluster
from sanjin.adapters.engines.ray import RayCluster
from sanjin.adapters.engines.slurm import SlurmCluster
from sanjin.model.engines import EngineSettings
from sanjin.ports import RunOrder
folder, kind, settings = sys.argv[1:]
if settings:
    cluster = {"slurm": SlurmCluster, "ray": RayCluster, "kubernetes": KubernetesCluster}[kind]
    engine = ClusterEngine(Path(folder), cluster(EngineSettings(**json.loads(settings))))
else:
    engine = LocalEngine(Path(folder), sandbox=kind)
code = "echo x >> $SANJIN_OUTPUTS/count; sleep 0.6"
orders = [RunOrder(key=f"r{n}", command=("sh", "-c", code)) for n in range(8)]
print("go", flush=True)
for order in orders:
    engine.start([order])
time.sleep(60)
"""


@pytest.mark.parametrize("after_s", [0.0, 0.03])
def test_a_killed_node_loses_and_repeats_nothing(
    make: Make, kind: str, tmp_path: Path, after_s: float, request: pytest.FixtureRequest
) -> None:
    settings = json.dumps(asdict(request.getfixturevalue(CLUSTERS[kind][0]).settings)) if kind in CLUSTERS else ""
    command = [sys.executable, "-c", NODE, str(tmp_path / "site"), kind, settings]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as node:
        assert node.stdout is not None
        node.stdout.readline()
        time.sleep(after_s)
        node.send_signal(signal.SIGKILL)
    engine = make()
    keys = [f"r{n}" for n in range(8)]
    found = engine.find(keys)
    assert {r.state for r in found} <= {RunState.RUNNING, RunState.ENDED, RunState.ABSENT}
    again = "echo x >> $SANJIN_OUTPUTS/count"
    engine.start([order(key, "sh", "-c", again) for key in keys])
    assert all(r.reason is EndReason.EXIT for r in ends(engine, *keys))
    for key in keys:
        assert (tmp_path / f"site/runs/{key}/outputs/count").read_text() == "x\n"


def test_inputs_are_found_under_their_names(make: Make, confined: str, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.txt").write_text("alpha")
    engine = make()
    code = "cat $SANJIN_INPUTS/coal/a.txt; echo changed > $SANJIN_INPUTS/coal/a.txt || echo refused"
    if confined == "none":  # only a sandbox can keep a run from writing
        code = "cat $SANJIN_INPUTS/coal/a.txt"
    refused = engine.start(
        [
            order("reads", "sh", "-c", code, inputs={"coal": str(tmp_path / "set")}),
            order("lacks", "true", inputs={"coal": str(tmp_path / "none")}),
            order("names", "true", inputs={"../coal": str(tmp_path / "set")}),
        ]
    )
    assert [(r.key, r.reason) for r in refused] == [
        ("lacks", EndReason.NOT_STARTED),
        ("names", EndReason.NOT_STARTED),
    ]
    ends(engine, "reads")
    text = engine.logs("reads", "stdout", 0, 100).decode()
    assert text == ("alpha" if confined == "none" else "alpharefused\n")
    assert (tmp_path / "set/a.txt").read_text() == "alpha"


@pytest.mark.parametrize("key", ["", ".", "..", "a/b", "a b", "x" * 101, "ä"])
def test_a_bad_key_is_refused_everywhere(make: Make, tmp_path: Path, key: str) -> None:
    engine = make()
    (report,) = engine.start([order(key, "true")])
    assert (report.key, report.reason) == (key, EndReason.NOT_STARTED)
    assert report.detail.startswith("key ")
    engine.cancel([key])
    engine.forget([key])
    assert state(engine, key) is RunState.ABSENT
    assert engine.logs(key, "stdout", 0, 10) == b""
    assert os.listdir(tmp_path / "site/runs") == []


def test_logs_are_read_in_ranges_while_running_and_after(make: Make) -> None:
    engine = make()
    engine.start([order("talks", "sh", "-c", "printf 0123456789; sleep 0.5; printf abc")])
    until(lambda: engine.logs("talks", "stdout", 0, 100) == b"0123456789", "output")
    assert engine.logs("talks", "stdout", 4, 3) == b"456"
    assert state(engine, "talks") is RunState.RUNNING
    ends(engine, "talks")
    assert engine.logs("talks", "stdout", 8, 100) == b"89abc"
    assert engine.logs("talks", "stdout", 99, 10) == b""
    assert engine.logs("talks", "order.json", 0, 10) == b""
    assert engine.logs("unknown", "stdout", 0, 10) == b""


LEAVES = """
cd $SANJIN_OUTPUTS; printf alpha > a.txt; mkdir -p deep/er; printf 0123456789 > deep/er/零; : > empty
ln -s a.txt link; ln -s / root; ln -s ../order.json order; mkfifo pipe; printf x > "new
line"; printf x > "$(printf 'caf\\351')"
"""


def test_outputs_of_an_ended_run_are_listed_and_summed_and_nothing_else_is_read(make: Make, tmp_path: Path) -> None:
    engine = make()
    engine.start([order("left", "sh", "-c", LEAVES + "sleep 0.3"), order("none", "true")])
    until((tmp_path / "site/runs/left/outputs/deep/er/零").exists, "output")
    assert not engine.outputs("left").registered  # it runs
    ends(engine, "left", "none")
    until(lambda: engine.outputs("left").registered, "list of outputs")
    found = engine.outputs("left")
    digits = hashlib.sha256(b"0123456789").hexdigest()
    assert {f.name: f.bytes for f in found.files} == {"a.txt": 5, "deep/er/零": 10, "empty": 0}
    assert next(f for f in found.files if f.bytes == 10).sha256 == digits
    assert {each.name: each.why for each in found.left_out} == {
        "link": "link", "root": "link", "order": "link", "pipe": "no_file", "new\\nline": "name", "caf\\udce9": "name",
    }  # fmt: skip
    assert found.left_out_count == 6
    assert engine.output("left", "deep/er/零", 4, 3) == b"456"
    assert engine.output("left", "deep/er/零", 8, 100) == b"89"
    assert engine.output("left", "deep/er/零", 10, 1) == b""
    for name in ("link", "root/etc/passwd", "pipe", "order", "../order.json", "deep", "/etc/passwd", "", "a.txt/x"):
        assert engine.output("left", name, 0, 10) == b""
    assert engine.outputs("none") == RunOutputs(registered=True)
    engine.forget(["left", "none"])
    (tmp_path / "site/runs/left/outputs/deep/er/零").write_bytes(b"changed")
    assert make().outputs("left") == found  # what was left, and not what became of it
    for key in ("../left", "never", ""):
        assert [each.why for each in engine.outputs(key).left_out] == ["gone"]
        assert engine.output(key, "a.txt", 0, 10) == b""


def test_outputs_of_a_run_whose_supervisor_was_killed_are_listed_when_asked_for(make: Make, tmp_path: Path) -> None:
    engine = make()
    engine.start([python("cut", HIDDEN + "time.sleep(100)")])
    until((tmp_path / "site/runs/cut/outputs/beat").exists, "heart beat")
    os.kill(int((tmp_path / "site/runs/cut/started").read_text().split()[0]), signal.SIGKILL)
    ends(engine, "cut")
    engine.forget(["cut"])
    until(lambda: engine.outputs("cut").registered, "list of outputs")
    assert [f.name for f in engine.outputs("cut").files] == ["beat"]


def test_what_was_kept_long_enough_is_removed_said_so_and_never_begun_again(make: Make, tmp_path: Path) -> None:
    engine = make()
    code = "echo said; echo x > $SANJIN_OUTPUTS/x"
    engine.start([
        order("old", "sh", "-c", code), order("untold", "true"), order("lives", "sleep", "300"),
        RunOrder(key="paused", command=("true",), checkpoint="job-1", time_limit_s=60.0),
    ])  # fmt: skip
    ends(engine, "old", "untold", "paused")
    until(lambda: state(engine, "lives") is RunState.RUNNING, "start")
    until(lambda: engine.outputs("old").registered, "list of outputs")
    engine.forget(["old", "paused"])
    (was,) = engine.find(["old"])
    sweeper = RunSweeper(RunFolder(tmp_path / "site"), Keep(), stored=False)
    day_s, now_s = 86400, time.time()
    assert sweeper.sweep(now_s + 29 * day_s) == []
    until(lambda: sweeper.sweep(now_s + 31 * day_s) == ["old"], "removal")  # its supervisor may be about to end
    assert not (tmp_path / "site/runs/old").exists() and not os.listdir(tmp_path / "site/discarded")
    for each in (engine, make()):
        left = each.outputs("old")
        assert left.registered and not left.files and left.removed_at_s >= int(now_s)
        with pytest.raises(NotFound, match="printed was removed at 20"):
            each.logs("old", "stdout", 0, 100)
        assert each.find(["old"]) == [was]
    engine.start([order("old", "sh", "-c", code)])  # a node that was set back may ask for it
    assert engine.find(["old"]) == [was] and not (tmp_path / "site/runs/old/started").exists()
    engine.discard(["job-1"])
    until(lambda: sweeper.sweep(now_s + 31 * day_s) == ["paused"], "removal")


def test_usage_of_a_busy_loop_and_of_children_that_nobody_waits_for(make: Make) -> None:
    engine = make()
    burn = "import time\nwhile time.process_time() < 0.4: pass\n"
    auto = (
        f"import os, signal, time\nsignal.signal(17, signal.SIG_IGN)\nif os.fork() == 0:\n exec({burn!r})\n"
    )
    auto += " os._exit(0)\ntime.sleep(1.0)\n"
    hold = "import time\nkept = bytearray(100 << 20)\ntime.sleep(0.3)\n"
    engine.start([python("burns", burn), python("hides", auto), python("holds", hold)])
    burns, hides, holds = ends(engine, "burns", "hides", "holds")
    assert 0.35 < burns.usage.cpu_s < 2
    assert burns.usage.wall_s >= 0.35
    assert 0.1 < hides.usage.cpu_s < 2
    assert 100 << 20 < holds.usage.memory_peak_bytes < 200 << 20


def test_many_runs_at_once(make: Make, kind: str) -> None:
    engine = make()
    keys = [f"m{n}" for n in range(8 if kind == "ray" else 30)]  # a job costs Ray more than a second of a core
    assert engine.start([order(key, "sh", "-c", f"echo {key}") for key in keys]) == []
    assert all(r.reason is EndReason.EXIT and r.exit_status == 0 for r in ends(engine, *keys))
    assert all(engine.logs(key, "stdout", 0, 10).decode().strip() == key for key in keys)
    engine.forget(keys)
    assert engine.watch() == []


def test_host_slots_let_runs_in_by_turn(make: Make) -> None:
    slots = HostSlots(1)
    engine = make(slots)
    log = ("sh", "-c", "sleep 0.2")
    engine.start([order("a", *log), order("b", *log), order("c", *log)])
    assert slots.active() == 1
    assert engine.find(["c"])[0].detail == "waits for the host"
    engine.cancel(["c"])
    a, b, c = ends(engine, "a", "b", "c")
    assert (c.state, c.reason) == (RunState.ENDED, EndReason.CANCELLED)
    assert b.started_at >= a.started_at + a.usage.wall_s
    assert a.detail.startswith("queued_s=0.")
    assert float(b.detail.removeprefix("queued_s=")) >= 0.2
    assert slots.active() == 0
    engine.start([order("c", "true")])
    assert engine.find(["c"])[0].reason is EndReason.CANCELLED


def shell(key: str, code: str, **shape: int) -> RunOrder:
    """A gang or a part of an array that runs a shell script."""
    ordered = order(key, "sh", "-c", code)
    return replace(ordered, **shape)


def lines(engine: Engine, key: str) -> list[str]:
    return engine.logs(key, "stdout", 0, 100_000).decode().splitlines()


# Ends only when asked, and says so.
POLITE = "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.05; done"
MEET = """
: > $SANJIN_GANG/$SANJIN_RANK; touch shared_work
while [ $(ls $SANJIN_GANG | wc -l) -lt $SANJIN_NODES ]; do sleep 0.01; done
"""


def test_a_gang_starts_whole_and_its_copies_meet(make: Make, tmp_path: Path) -> None:
    engine = make()
    assert engine.start([shell("gang", MEET + "echo $SANJIN_RANK of $SANJIN_NODES; ls", nodes=3)]) == []
    (gang,) = ends(engine, "gang")
    assert (gang.reason, gang.exit_status, gang.members_done) == (EndReason.EXIT, 0, 0)
    assert sorted(lines(engine, "gang")) == ["0 of 3", "1 of 3", "2 of 3"] + ["shared_work"] * 3
    engine.forget(["gang"])
    assert not (tmp_path / "site/runs/gang/gang").exists()


def test_the_first_failure_in_a_gang_ends_the_others_and_is_the_result(make: Make, tmp_path: Path) -> None:
    engine = make()
    fails = "if [ $SANJIN_RANK = 1 ]; then while [ ! -e $SANJIN_OUTPUTS/go ]; do sleep 0.01; done; %s; fi\n"
    deaf = "trap '' TERM; echo up; while :; do date +%N > $SANJIN_OUTPUTS/beat; sleep 0.01; done"
    engine.start(
        [
            shell("exit", fails % "exit 3" + POLITE, nodes=3),
            shell("signal", fails % "kill -9 $$" + deaf, nodes=2),
            replace(order("missing", "no-such-program"), nodes=2),
        ]
    )
    for key, others in (("exit", 2), ("signal", 1)):
        until(lambda key=key, others=others: lines(engine, key) == ["up"] * others, "start")
        (tmp_path / f"site/runs/{key}/outputs/go").touch()
    left, killed, missing = ends(engine, "exit", "signal", "missing")
    assert (left.reason, left.exit_status) == (EndReason.EXIT, 3)
    assert lines(engine, "exit") == ["up", "up", "asked", "asked"]
    assert (killed.reason, killed.signal) == (EndReason.SIGNAL, 9)
    assert still(tmp_path / "site/runs/signal/outputs/beat")
    assert missing.reason is EndReason.NOT_STARTED
    assert "no-such-program" in missing.detail


def test_the_memory_limit_is_for_the_whole_gang(make: Make) -> None:
    engine = make()
    hold = python("gang", "import time\nkept = bytearray(80 << 20)\ntime.sleep(100)", memory_bytes=200 << 20)
    engine.start([replace(hold, nodes=3)])
    (gang,) = ends(engine, "gang")
    assert gang.reason is EndReason.MEMORY_LIMIT
    assert gang.usage.memory_peak_bytes >= 200 << 20


def test_an_array_runs_each_index_once_and_counts_failures(make: Make) -> None:
    engine = make()
    code = "echo $SANJIN_INDEX; case $SANJIN_INDEX in 107) exit 4;; 123) kill -9 $$;; esac"
    lacks = replace(order("lacks", "no-such-program"), members=20, parallel=2)
    engine.start([shell("part", code, first_member=100, members=50, parallel=3), lacks])
    part, none = ends(engine, "part", "lacks")
    assert sorted(map(int, lines(engine, "part"))) == list(range(100, 150))
    assert (part.reason, part.exit_status, part.members_done, part.members_failed) == (EndReason.EXIT, 1, 48, 2)
    assert part.detail.startswith("2 of 50 members failed: ")
    assert "107 (exit status 4)" in part.detail and "123 (signal 9)" in part.detail
    assert (none.exit_status, none.members_done, none.members_failed) == (1, 0, 20)
    assert "0 (not started: " in none.detail and none.detail.endswith(", ...")


def test_no_more_members_run_at_once_than_ordered(make: Make) -> None:
    engine = make()
    # the first two meet, however late one of them begins
    code = """mkdir -p now; : > now/$SANJIN_INDEX
    while [ $SANJIN_INDEX = 1 ] && [ ! -e now/0 ]; do sleep 0.01; done; ls now | wc -l; : > seen$SANJIN_INDEX
    while [ $SANJIN_INDEX = 0 ] && [ ! -e seen1 ]; do sleep 0.01; done; rm now/$SANJIN_INDEX"""
    engine.start([shell("part", code, members=12, parallel=2)])
    (part,) = ends(engine, "part")
    assert (part.exit_status, part.members_done, part.members_failed) == (0, 12, 0)
    assert max(map(int, lines(engine, "part"))) == 2


def test_a_member_that_is_late_or_leaves_something_behind_ends_alone(make: Make) -> None:
    engine = make()
    watch = """
import os, sys, time
beat = os.environ["SANJIN_OUTPUTS"] + "/beat"
def read():
    return open(beat).read()
if os.environ["SANJIN_INDEX"] == "1":
    last = ""
    while last != (last := read()):
        time.sleep(0.2)
    sys.exit()
"""
    left = python("left", watch + HIDDEN)
    late = replace(shell("late", "[ $SANJIN_INDEX != 1 ] || sleep 100", members=3), time_limit_s=2.0)
    engine.start([late, replace(left, members=2)])
    slow, tidy = ends(engine, "late", "left")
    assert (slow.reason, slow.exit_status, slow.members_done) == (EndReason.EXIT, 1, 2)
    assert slow.detail == "1 of 3 members failed: 1 (time limit)"
    assert (tidy.members_done, tidy.members_failed) == (2, 0)


def test_a_stopped_run_goes_on_from_its_checkpoint_until_that_is_discarded(make: Make) -> None:
    engine = make()
    code = "trap 'echo saved >> $SANJIN_CHECKPOINT/state; exit 7' TERM; cat $SANJIN_CHECKPOINT/state; "
    code += "echo up; while :; do sleep 0.05; done"
    found: list[list[str]] = []
    for key in ("one", "two", "three"):
        engine.start([replace(order(key, "sh", "-c", code), checkpoint="c.1")])
        until(lambda key=key: "up" in lines(engine, key), "start")
        found.append(lines(engine, key))
        engine.stop([key, "unknown", "../bad"])
        (report,) = ends(engine, key)
        assert (report.state, report.reason, report.exit_status) == (RunState.ENDED, EndReason.STOPPED, 7)
        engine.forget([key])
        if key == "two":
            engine.discard(["c.1", "unknown", "../runs", ""])
    assert found == [["up"], ["saved", "up"], ["up"]]
    assert engine.find(["one"])[0].reason is EndReason.STOPPED


def test_a_run_goes_on_from_a_checkpoint_that_came_as_a_dataset(make: Make, tmp_path: Path) -> None:
    engine = make()
    came = tmp_path / "came"
    (came / "part").mkdir(parents=True)
    (came / "state").write_text("42\n")
    (came / "part" / "more").write_text("too\n")
    (came / "MANIFEST.json").write_text("{}")
    for path in (came, came / "part"):
        path.chmod(0o555)
    code = "cat $SANJIN_CHECKPOINT/state; ls $SANJIN_CHECKPOINT; cat $SANJIN_CHECKPOINT/part/more; "
    code += "echo mine > $SANJIN_CHECKPOINT/state; trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"
    for key in ("one", "two"):  # what the first left there is gone
        engine.start([replace(order(key, "sh", "-c", code), checkpoint="c.1", checkpoint_from=str(came))])
        until(lambda key=key: "up" in lines(engine, key), "start")
        engine.stop([key])
        (report,) = ends(engine, key)
        assert lines(engine, key) == ["42", "part", "state", "too", "up"]
        assert (report.reason, Path(report.checkpoint, "state").read_text()) == (EndReason.STOPPED, "mine\n")
    assert (came / "state").read_text() == "42\n"
    engine.start([replace(order("lost", "true"), checkpoint="c.2", checkpoint_from=str(tmp_path / "nothing"))])
    (report,) = ends(engine, "lost")
    assert report.reason is EndReason.NOT_STARTED


def test_gangs_and_arrays_are_stopped_whole(make: Make) -> None:
    engine = make()
    some = shell("part", f"[ $SANJIN_INDEX = 0 ] || {{ {POLITE}; }}", members=1000, parallel=2)
    engine.start([shell("gang", POLITE, nodes=2), some])
    for key in ("gang", "part"):
        until(lambda key=key: lines(engine, key) == ["up", "up"], "start")
    engine.stop(["gang", "part"])
    gang, part = ends(engine, "gang", "part")
    assert gang.reason is part.reason is EndReason.STOPPED
    assert lines(engine, "gang") == lines(engine, "part") == ["up", "up", "asked", "asked"]
    assert (part.members_done, part.members_failed) == (1, 0)


def test_a_cancel_wins_over_a_stop(make: Make) -> None:
    engine = make()
    deaf = "trap '' TERM; echo up; while :; do sleep 0.05; done"
    engine.start([replace(order(key, "sh", "-c", deaf), stop_grace_s=3600.0) for key in ("later", "before")])
    engine.start([replace(order("alone", "sh", "-c", deaf), stop_grace_s=0.1)])
    for key in ("later", "before", "alone"):
        until(lambda key=key: lines(engine, key) == ["up"], "start")
    engine.stop(["later", "alone"])
    engine.cancel(["before"])
    (alone,) = ends(engine, "alone")
    assert (alone.reason, alone.signal) == (EndReason.STOPPED, 9)
    assert state(engine, "later") is RunState.RUNNING
    engine.cancel(["later"])
    engine.stop(["before"])
    for report in ends(engine, "later", "before"):
        assert (report.reason, report.signal) == (EndReason.CANCELLED, 9)


@pytest.mark.parametrize("request_first", [True, False])
def test_what_ended_by_itself_before_the_request_was_seen_is_no_stop(
    make: Make, tmp_path: Path, request_first: bool
) -> None:
    engine = make()
    wait = "trap 'exit 0' TERM; echo up; while [ ! -e $SANJIN_OUTPUTS/go ]; do sleep 0.01; done"
    engine.start([order("race", "sh", "-c", wait)])
    until(lambda: lines(engine, "race") == ["up"], "start")
    if request_first:
        engine.stop(["race"])
    else:
        supervisor = int((tmp_path / "site/runs/race/started").read_text().split()[0])
        os.kill(supervisor, signal.SIGSTOP)
        (tmp_path / "site/runs/race/outputs/go").touch()
        until(lambda: all(_dead(pid) for pid in run_limits.descendants(supervisor)), "end of the command")
        engine.stop(["race"])
        os.kill(supervisor, signal.SIGCONT)
    (report,) = ends(engine, "race")
    assert report.reason is (EndReason.STOPPED if request_first else EndReason.EXIT)
    assert report.exit_status == 0


def _dead(pid: int) -> bool:
    """Whether this process has ended and only waits to be collected."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_run_that_waits_for_the_host_is_stopped_at_once(make: Make) -> None:
    engine = make(HostSlots(1))
    engine.start([order("first", "sh", "-c", POLITE), order("second", "touch", "begun")])
    engine.stop(["second"])
    (second,) = ends(engine, "second")
    assert (second.reason, second.usage) == (EndReason.STOPPED, Usage())
    engine.start([order("second", "true")])
    assert engine.find(["second"])[0].reason is EndReason.STOPPED


def test_an_order_of_no_known_shape_is_refused(make: Make, tmp_path: Path) -> None:
    engine, plain = make(), order("odd", "true")
    orders = [
        replace(plain, nodes=0),
        replace(plain, members=-1),
        replace(plain, first_member=-1, members=1),
        replace(plain, members=2, parallel=0),
        replace(plain, nodes=2, members=2),
        replace(plain, checkpoint="../x"),
        replace(plain, stop_grace_s=float("nan")),
    ]
    assert [r.reason for r in engine.start(orders)] == [EndReason.NOT_STARTED] * len(orders)
    assert os.listdir(tmp_path / "site/runs") == []


def test_a_run_in_an_image_finds_what_others_find(make: Make, tmp_path: Path) -> None:
    needs_bwrap()
    needs_tools()
    (tmp_path / "coal").write_text("coal\n")
    reference = make_layout(tmp_path / "shelf", "box", "v1", {"etc/said": b"image\n"})
    engine = make(images=ImageSettings(allow=("oci:box:*",), folder=str(tmp_path / "shelf")))
    script = "cat /etc/said $SANJIN_INPUTS/coal >> $SANJIN_OUTPUTS/a; echo $SANJIN_RANK$SANJIN_INDEX"
    plain = order("plain", "sh", "-c", f"{script}; echo x >> $SANJIN_CHECKPOINT/seen; cat $SANJIN_CHECKPOINT/seen")
    plain = replace(plain, inputs={"coal": str(tmp_path / "coal")}, checkpoint="kept", image=reference)
    gang = "touch $SANJIN_GANG/$SANJIN_RANK; until [ -e $SANJIN_GANG/0 ] && [ -e $SANJIN_GANG/1 ]; do sleep 0.05; done"
    several = order("gang", "sh", "-c", gang)
    array = order("array", "sh", "-c", "echo $SANJIN_INDEX; [ $SANJIN_INDEX = 3 ]")
    stop = order("stop", "sh", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done")
    engine.start([plain, replace(several, nodes=2, image=reference), replace(stop, image=reference)])
    engine.start([replace(array, members=2, first_member=3, image=reference)])  # four: Ray takes seconds for each
    refusals = engine.start([replace(plain, key="other", image="oci:other:v1")])
    until(lambda: engine.logs("stop", "stdout", 0, 10) == b"up\n", "start")
    engine.stop(["stop"])
    one, both, members, stopped = ends(engine, "plain", "gang", "array", "stop")
    refused = refusals[0] if refusals else ends(engine, "other")[0]
    assert (one.exit_status, one.sandbox, both.exit_status) == (0, "bwrap", 0)
    assert engine.output("plain", "a", 0, 100) == b"image\ncoal\n"
    assert engine.logs("plain", "stdout", 0, 100) == b"\nx\n"
    assert (members.members_done, members.members_failed) == (1, 1)
    assert stopped.reason is EndReason.STOPPED
    assert all(f"image={reference}@sha256:" in r.detail for r in (one, both, members, stopped))
    assert refused.reason is EndReason.NOT_STARTED and "allows" in refused.detail
