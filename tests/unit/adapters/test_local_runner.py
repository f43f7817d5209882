"""The local engine's own promises: its sandbox, its supervisor, its files."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from sanjin.adapters.engines import local_runner, run_folder, run_limits, sandbox
from sanjin.adapters.engines.host_slots import HostSlots
from sanjin.adapters.engines.local import LocalEngine
from sanjin.model.errors import ProblemsFound
from sanjin.ports import EndReason, RunOrder, RunReport, RunState
from tests.support import needs_bwrap, until


def run(engine: LocalEngine, key: str, *command: str, **environment: str) -> RunReport:
    """Run one command to its end."""
    assert engine.start([RunOrder(key=key, command=command, environment=environment)]) == []
    until(lambda: any(r.key == key for r in engine.watch()), "end")
    return next(r for r in engine.watch() if r.key == key)


@pytest.fixture
def confined(tmp_path: Path) -> LocalEngine:
    needs_bwrap()
    return LocalEngine(tmp_path / "node" / "runs", sandbox="bwrap")


def test_a_confined_run_has_no_network(confined: LocalEngine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"
        report = run(confined, "net", "python3", "-c", code)
        assert report.exit_status == 1
    devices = "import os; print(os.listdir('/proc/self/net'), open('/proc/net/dev').read().count(':'))"
    run(confined, "devices", "python3", "-c", devices)
    assert confined.logs("devices", "stdout", 0, 5000).rstrip().endswith(b" 1")  # loopback alone


def test_a_confined_run_sees_its_own_files_alone(confined: LocalEngine, tmp_path: Path) -> None:
    (tmp_path / "node/node.db").write_text("secret")
    run(confined, "first", "sh", "-c", "echo mine > $SANJIN_OUTPUTS/a; echo hers > b; echo t > /tmp/t")
    look = f"ls {tmp_path} {tmp_path}/node/runs/runs/first/outputs /tmp /job/outputs /job/work; ps ax | wc -l"
    run(confined, "second", "sh", "-c", look)
    out = confined.logs("second", "stdout", 0, 5000).decode()
    assert "first" not in out
    assert "node" not in out
    assert confined.logs("second", "stderr", 0, 5000).count(b"No such file") == 2
    for path in ("/usr/x", "/x", "/etc/x", "/dev/x", "/job/inputs/x", os.path.join(sandbox.__file__, "..")):
        assert run(confined, f"w{abs(hash(path))}", "sh", "-c", f"echo > {path}").exit_status != 0, path
    assert run(confined, "shm", "sh", "-c", "echo > /dev/shm/x && echo > /tmp/x").exit_status == 0


def test_a_preloaded_library_does_not_reach_the_sandbox_program(confined: LocalEngine) -> None:
    assert run(confined, "preload", "true", LD_PRELOAD="/no/such.so").exit_status == 0
    # The loader would have complained twice if bwrap itself had been given the variable.
    assert confined.logs("preload", "stderr", 0, 5000).count(b"/no/such.so") == 1


def test_the_engines_folder_is_covered_where_a_shown_folder_holds_it(tmp_path: Path) -> None:
    needs_bwrap()
    engine = LocalEngine(tmp_path / "e", sandbox="bwrap", read_only=[tmp_path])
    (tmp_path / "tool").write_text("tool")
    assert run(engine, "a", "cat", str(tmp_path / "tool")).exit_status == 0
    assert run(engine, "b", "ls", "-A", str(tmp_path / "e")).exit_status == 0
    assert engine.logs("b", "stdout", 0, 100) == b""
    assert run(engine, "c", "touch", str(tmp_path / "new")).exit_status == 1


def test_the_python_in_use_works_in_the_sandbox(confined: LocalEngine) -> None:
    report = run(confined, "py", "python", "-c", "import numpy, sanjin; print(numpy.ones(3).sum())")
    assert (report.exit_status, confined.logs("py", "stdout", 0, 100)) == (0, b"3.0\n")


def test_a_missing_sandbox_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    missing = sandbox.Sandbox(kind="none", remark="bwrap is not installed: apt install bubblewrap")
    monkeypatch.setattr(sandbox, "find_bwrap", lambda: missing)
    assert LocalEngine(tmp_path).info().remarks == (missing.remark,)
    for wanted in ("bwrap", "jail"):
        with pytest.raises(ProblemsFound):
            LocalEngine(tmp_path, sandbox=wanted)


def test_a_bwrap_that_cannot_make_namespaces_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = sandbox.find_bwrap.__wrapped__()
    assert found.kind == "none"
    assert found.remark == "bwrap cannot make namespaces here: No permissions to create new namespace"


def test_a_full_disk_refuses_the_run_and_raises_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    engine = LocalEngine(tmp_path, sandbox="none")
    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "_write", full)
        (report,) = engine.start([RunOrder(key="a", command=("true",))])
    assert report.reason is EndReason.NOT_STARTED
    assert report.detail.startswith("No space left on device")
    assert engine.find(["a"])[0].state is RunState.ABSENT
    assert run(engine, "a", "true").exit_status == 0


def test_the_supervisor_keeps_the_lock_from_its_job(tmp_path: Path) -> None:
    engine = LocalEngine(tmp_path, sandbox="none")
    run(engine, "fds", "ls", "/proc/self/fd")
    assert engine.logs("fds", "stdout", 0, 100).split() == [b"0", b"1", b"2", b"3"]  # 3: the listing
    assert not list((tmp_path / "runs/fds").glob("result.tmp"))


def test_a_beginning_run_is_running_before_it_has_made_its_mark(tmp_path: Path) -> None:
    files = run_folder.RunFolder(tmp_path)
    order = RunOrder(key="a", command=("true",))
    lock = files.prepare(order, {"sandbox": "none"})
    assert lock is not None
    assert files.look("a").state is RunState.RUNNING
    assert not (tmp_path / "runs/a/started").exists()
    os.close(lock)
    assert files.look("a").state is RunState.ABSENT


def test_two_starts_at_once_give_one_lock(tmp_path: Path) -> None:
    order = RunOrder(key="a", command=("true",))
    got: list[int | None] = []

    def start() -> None:
        lock = run_folder.RunFolder(tmp_path).prepare(order, {"sandbox": "none"})
        got.append(lock)
        if lock is not None:
            time.sleep(0.2)
            (tmp_path / "runs/a/started").write_text("1 1.0")
            os.close(lock)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(lock is not None for lock in got) == 1


def test_a_result_that_cannot_be_read_is_an_interruption(tmp_path: Path) -> None:
    engine = LocalEngine(tmp_path, sandbox="none")
    (tmp_path / "ended/a.json").write_text("{")
    assert engine.watch()[0].state is RunState.INTERRUPTED


def test_descendants_are_found_with_and_without_the_kernels_list(monkeypatch: pytest.MonkeyPatch) -> None:
    child = os.fork()
    if child == 0:
        time.sleep(30)
        os._exit(0)

    def never(_path: str) -> bool:
        return False

    try:
        assert child in run_limits.descendants(os.getpid())
        monkeypatch.setattr(local_runner.os.path, "exists", never)
        assert child in run_limits.descendants(os.getpid())
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_host_slots_are_given_in_order_and_follow_the_key() -> None:
    slots = HostSlots(2)
    a, b, c = ("x", "a"), ("y", "b"), ("x", "c")
    for ticket in (a, b, c, a):
        slots.ask(ticket)
    assert not slots.enter(c)
    assert slots.enter(b)
    assert slots.enter(a)
    assert not slots.enter(c)
    slots.adopt(a)
    slots.leave(a)
    assert slots.enter(c)
    slots.leave(b)
    slots.leave(c)
    assert slots.active() == 0
    with pytest.raises(ValueError, match="at least one"):
        HostSlots(0)
