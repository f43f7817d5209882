"""What a run that means harm can do: attacks on the machine, the node and other runs, each small and harmless."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sanjin.adapters.engines import run_folder, run_limits
from sanjin.adapters.engines.local import LocalEngine
from sanjin.adapters.engines.run_limits import group_homes
from sanjin.adapters.engines.sandbox import find_landlock
from sanjin.model.engines import Bounds
from sanjin.ports import EndReason, RunOrder, RunReport, RunState
from tests.support import needs_bwrap, until

Make = Callable[..., LocalEngine]
MIB = 1 << 20
AGES_S = 60.0
"""A run that lives as long has not been caught."""


@pytest.fixture(params=["none", "landlock", "bwrap"])
def kind(request: pytest.FixtureRequest) -> str:
    """How runs are confined."""
    if request.param == "bwrap":
        needs_bwrap()
    if request.param == "landlock" and find_landlock().kind != "landlock":
        pytest.skip(find_landlock().remark)
    return str(request.param)


@pytest.fixture
def confined(kind: str) -> str:
    """How runs are confined, where they are."""
    if kind == "none":
        pytest.skip("confined by nothing")
    return kind


@pytest.fixture(params=["kernel", "samples"])
def bounded(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who keeps runs to memory and processes: control groups, or the supervisor as on a machine without."""
    if request.param == "kernel":
        needs_groups()
    else:
        without = tmp_path / "run_limits.py"
        without.write_text(Path(run_limits.__file__).read_text() + "\n\ndef group_homes(proc=''):\n    return {}\n")
        monkeypatch.setitem(run_folder.PROGRAMS, "run_limits", str(without))
    return str(request.param)


def needs_groups() -> None:
    if set(group_homes()) != {"memory", "pids"}:
        pytest.skip("no control groups of memory and processes can be made here")


@pytest.fixture
def make(kind: str, tmp_path: Path) -> Iterator[Make]:
    made: list[LocalEngine] = []

    def build(**bounds: int) -> LocalEngine:
        made.append(LocalEngine(tmp_path / "node" / "site", sandbox=kind, bounds=Bounds(**bounds)))
        return made[-1]

    yield build
    for engine in made:
        keys = os.listdir(tmp_path / "node" / "site" / "runs")
        engine.cancel(keys)
        until(lambda e=engine, k=keys: all(r.state is not RunState.RUNNING for r in e.find(k)), "end of all runs")
        engine.close()


def run(engine: LocalEngine, key: str, *command: str, memory_bytes: int = 0, **inputs: str) -> RunReport:
    """Run one command to its end."""
    order = RunOrder(key=key, command=command, memory_bytes=memory_bytes, inputs=inputs, time_limit_s=AGES_S)
    assert engine.start([order]) == []
    found: dict[str, RunReport] = {}

    def ended() -> bool:
        found.update((r.key, r) for r in engine.watch())
        return key in found

    until(ended, f"end of {key}", within_s=AGES_S + 20)
    return found[key]


def python(engine: LocalEngine, key: str, code: str, **more: int) -> RunReport:
    return run(engine, key, "python3", "-S", "-c", code, **more)  # type: ignore[arg-type]


def said(engine: LocalEngine, key: str) -> str:
    return (engine.logs(key, "stdout", 0, 5000) + engine.logs(key, "stderr", 0, 5000)).decode()


def processes_of(key: str) -> list[int]:
    """Processes that carry the variables of a run."""
    found: list[int] = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if f"SANJIN_KEY={key}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(int(pid))
        except OSError:
            continue
    return found


# 2 ** 8 processes, if nobody ends it; each holds some memory
BOMB = """
import os, time
for _ in range(8):
    try: os.fork()
    except OSError: pass
kept = bytearray(%d)
time.sleep(100)
"""


def test_a_fork_bomb_is_ended_and_the_next_run_is_fine(make: Make, bounded: str) -> None:
    engine = make(processes=40)
    bomb = python(engine, "bomb", BOMB % 0)
    assert bomb.reason is EndReason.PROCESS_LIMIT
    assert bomb.usage.wall_s < AGES_S
    assert processes_of("bomb") == []
    assert run(engine, "next", "sh", "-c", "true & wait").exit_status == 0


def test_memory_spread_over_many_processes_is_caught(make: Make, bounded: str) -> None:
    engine = make()
    spread = python(engine, "spread", BOMB % MIB, memory_bytes=100 * MIB)
    assert spread.reason is EndReason.MEMORY_LIMIT
    assert spread.usage.memory_peak_bytes >= 100 * MIB
    assert spread.usage.wall_s < AGES_S
    assert processes_of("spread") == []
    assert run(engine, "next", "true", memory_bytes=100 * MIB).exit_status == 0


def test_memory_in_dev_shm_counts(make: Make, kind: str, tmp_path: Path) -> None:
    needs_groups()
    engine, name = make(), f"/dev/shm/sanjin-test-{os.getpid()}"
    code = f"import time; f = open({name!r}, 'wb'); f.write(bytes({60 * MIB})); f.flush(); kept = b'x' * {60 * MIB}\n"
    try:
        found = python(engine, "shm", code + "time.sleep(100)", memory_bytes=100 * MIB)
    finally:
        Path(name).unlink(missing_ok=True)
    if kind == "landlock":
        assert (found.reason, found.exit_status) == (EndReason.EXIT, 1)
        assert "Permission denied" in said(engine, "shm")
    else:
        assert found.reason is EndReason.MEMORY_LIMIT


# Each writes into its work folder for as long as it may, some 60 MB and 3,000 files at most.
DISK_BOMBS = {
    "one big file": "f = open('big', 'wb')\nfor _ in range(60): f.write(bytes(1 << 20))\n",
    "files of some size": "for n in range(60): open(f'part{n}', 'wb').write(bytes(1 << 20))\n",
    "many small files": "import os\nfor n in range(3000): os.mkdir(str(n)) if n % 2 else open(f'{n}.txt', 'w')\n",
    "deleted but open": "import os\nkept = []\nfor n in range(20):\n  kept.append(open('x', 'wb', 0))\n"
    "  kept[-1].write(bytes(3 << 20)); os.unlink('x')\n",
    "too deep to look into": "import os\nfor n in range(70):\n  os.mkdir('x' * 100); os.chdir('x' * 100)\n",
    "the output stream": "import os\nfor n in range(60): os.write(1, bytes(1 << 20))\n",
    "the outputs folder": "import os\nos.chdir(os.environ['SANJIN_OUTPUTS'])\n"
    "for n in range(60): open(f'part{n}', 'wb').write(bytes(1 << 20))\n",
}


def test_a_program_finds_the_packages_of_the_nodes_python(make: Make, kind: str) -> None:
    engine = make()
    done = run(engine, "ours", sys.executable, "-c", "import sanjin.examples.spectra, duckdb; duckdb.connect()")
    assert done.exit_status == 0, said(engine, "ours")


@pytest.mark.parametrize("bomb", DISK_BOMBS)
@pytest.mark.parametrize("stays", [True, False])
def test_what_fills_the_disk_is_ended(make: Make, bomb: str, stays: bool) -> None:
    if bomb == "deleted but open" and not stays:
        pytest.skip("it leaves nothing")
    engine = make(output_bytes=10 * MIB, output_files=500)
    found = python(engine, "bomb", DISK_BOMBS[bomb] + ("\nimport time\ntime.sleep(100)" if stays else ""))
    assert found.reason is EndReason.OUTPUT_LIMIT, (found, said(engine, "bomb"))
    assert found.usage.wall_s < AGES_S
    assert "disk" in found.detail or "files" in found.detail or "looked into" in found.detail
    assert run(engine, "next", "sh", "-c", "echo fine > $SANJIN_OUTPUTS/a").reason is EndReason.EXIT


def test_the_default_quota_lets_usual_work_be(make: Make) -> None:
    engine = make()
    code = "import os\nos.truncate(os.open('hole', os.O_RDWR | os.O_CREAT), 1 << 33)\n"
    code += "open('real', 'wb').write(bytes(5 << 20))\n"
    assert python(engine, "usual", code).exit_status == 0


# -- the node, and other runs -----------------------------------------------------------------


def test_another_runs_files_and_the_nodes_keys_cannot_be_read(make: Make, confined: str, tmp_path: Path) -> None:
    (tmp_path / "node/token").parent.mkdir()
    (tmp_path / "node/token").write_text("SECRET")
    engine = make()
    assert run(engine, "first", "sh", "-c", "echo SECRET > $SANJIN_OUTPUTS/a; echo SECRET > b").exit_status == 0
    site = tmp_path / "node/site"
    places = [tmp_path / "node/token", site / "runs/first/outputs/a", site / "runs/first/work/b"]
    places += [site / "runs/first/order.json", Path.home() / ".bashrc", Path("/etc/shadow")]
    loop = "for p in %s; do cat $p && echo READ; ls $(dirname $p) | grep -q . && echo LISTED; done; exit 0"
    assert run(engine, "second", "sh", "-c", loop % " ".join(map(str, places[:5]))).exit_status == 0
    run(engine, "third", "cat", "/etc/shadow")
    told = engine.logs("second", "stdout", 0, 5000) + engine.logs("third", "stdout", 0, 5000)
    assert told == b""


def test_inputs_programs_and_the_runs_own_records_cannot_be_changed(make: Make, confined: str, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a").write_text("alpha")
    engine, own = make(), tmp_path / "node/site/runs/writes"
    code = """
import os, sys
def tried(what, call, *given):
    try: call(*given)
    except OSError: return
    print(what)
inputs = os.environ["SANJIN_INPUTS"]
tried("write", lambda: open(inputs + "/coal/a", "a").write("x"))
tried("empty", os.truncate, inputs + "/coal/a", 0)
tried("unlink", os.unlink, inputs + "/coal/a")
tried("chmod", lambda: os.fchmod(os.open(inputs + "/coal/new", os.O_CREAT | os.O_WRONLY), 0o777))
tried("swap", lambda: (os.unlink(inputs + "/coal"), os.symlink("/etc", inputs + "/coal")))
tried("program", lambda: open(sys.executable, "a"))
for name in ("order.json", "started", "cancel", "result.tmp", "lock"):
    tried(name, lambda: open(os.environ["OWN"] + "/" + name, "w"))
"""
    order = RunOrder(
        key="writes",
        command=("python3", "-S", "-c", code),
        inputs={"coal": str(tmp_path / "set")},
        environment={"OWN": str(own)},
    )
    engine.start([order])
    until(lambda: bool(engine.watch()), "end")
    assert said(engine, "writes") == ""
    assert engine.watch()[0].reason is EndReason.EXIT
    assert (tmp_path / "set/a").read_text() == "alpha"
    assert os.listdir(tmp_path / "set") == ["a"]


def test_other_processes_cannot_be_killed_or_looked_into(make: Make, confined: str) -> None:
    engine = make()
    if confined == "landlock" and "signals" in find_landlock().remark:
        pytest.skip(find_landlock().remark)
    code = """
import os, sys
there = "/proc/" + sys.argv[1]
for call in (
    lambda: os.kill(int(sys.argv[1]), 9),
    lambda: open(there + "/environ").read(),
    lambda: open(there + "/mem", "rb+"),
    lambda: os.listdir(there + "/root"),
):
    try: print(call())
    except OSError: pass
"""
    with subprocess.Popen(["sleep", "100"], env={"KEY": "SECRET"}) as victim:
        for name, pid in (("victim", victim.pid), ("node", os.getpid())):
            run(engine, name, "python3", "-S", "-c", code, str(pid))
            assert said(engine, name) == ""
        assert victim.poll() is None
        victim.kill()


def test_there_is_no_network(make: Make, confined: str) -> None:
    engine = make()
    code = """
import socket, sys
port = int(sys.argv[1])
def tried(what, call):
    try: call()
    except OSError: return
    print(what)
def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(b"out", ("127.0.0.1", port))
tried("tcp", lambda: socket.create_connection(("127.0.0.1", port), 2))
tried("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).sendto(b"", ("127.0.0.1", 0)))
tried("udp", udp)
a, b = socket.socketpair(); a.send(b"x"); assert b.recv(1) == b"x"
"""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(type=socket.SOCK_DGRAM) as heard:
        heard.bind(("127.0.0.1", server.getsockname()[1]))
        heard.setblocking(False)
        assert run(engine, "net", "python3", "-S", "-c", code, str(server.getsockname()[1])).exit_status == 0
        with pytest.raises(BlockingIOError):
            heard.recv(10)
    assert "tcp" not in said(engine, "net")


def test_no_program_gains_rights(make: Make, kind: str) -> None:
    engine = make()
    assert run(engine, "rights", "cat", "/proc/self/status").exit_status == 0
    status = dict(line.split(":\t", 1) for line in said(engine, "rights").splitlines() if ":\t" in line)
    assert status["NoNewPrivs"] == "1"
    if kind != "none":
        assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    if kind == "bwrap" or (kind == "landlock" and os.geteuid() == 0):
        assert int(status["CapBnd"], 16) == 0


# -- control groups ---------------------------------------------------------------------------


def groups_left() -> list[str]:
    found = [name for home, _ in group_homes().values() for name in os.listdir(home)]
    return [name for name in found if name.startswith(run_limits.PREFIX)]


def test_a_runs_groups_are_removed_and_what_a_killed_supervisor_left_is_ended(
    make: Make, kind: str, tmp_path: Path
) -> None:
    needs_groups()
    before = set(groups_left())
    engine = make()
    assert run(engine, "short", "true").exit_status == 0
    # one that carries nothing of ours, and is nobody's child
    hides = "env -i setsid sh -c 'while :; do date +%N > '$SANJIN_OUTPUTS'/beat; sleep 0.02; done' & sleep 100"
    engine.start([RunOrder(key="cut", command=("sh", "-c", hides), time_limit_s=AGES_S)])
    beat = tmp_path / "node/site/runs/cut/outputs/beat"
    until(beat.exists, "heart beat")
    supervisor = int((beat.parents[1] / "started").read_text().split()[0])
    own = run_limits.group_name(supervisor)
    assert own in groups_left()
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: engine.find(["cut"])[0].state is RunState.INTERRUPTED, "interruption")

    def stopped() -> bool:
        seen = beat.read_text()
        time.sleep(0.15)
        return beat.read_text() == seen

    until(stopped, "end of what was left")

    def swept() -> bool:
        make().close()
        return own not in groups_left()

    until(swept, "removal of the group")
    assert run_limits.group_name(os.getpid()) not in set(groups_left()) - before
