"""What bounds a run, and the words in which the kernel is asked to confine it."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from sanjin.adapters.engines import run_landlock, run_limits, sandbox
from sanjin.adapters.engines.run_folder import Refused, RunFolder
from sanjin.adapters.engines.run_limits import Groups, Quota, group_homes
from sanjin.cli import doctor
from sanjin.model.engines import Bounds
from sanjin.model.errors import ProblemsFound
from sanjin.ports import RunOrder
from sanjin.regions.engines import read_engines

LINE = "30 20 0:30 {root} {point} rw,relatime - {kind} {kind} rw,{options}"


def v2_tree(tmp_path: Path, own: str, *groups: str, enabled: str = "memory pids") -> str:
    """A ``/proc/self`` of a process in the group ``own``, on a machine with these v2 groups of a delegated unit."""
    point, proc = tmp_path / "fs", tmp_path / "proc"
    proc.mkdir()
    for group in groups:
        (point / group).mkdir(parents=True)
        (point / group / "cgroup.controllers").write_text("cpu memory pids\n")
        (point / group / "cgroup.subtree_control").write_text(enabled)
        (point / group / "cgroup.procs").touch()
    (proc / "cgroup").write_text(f"0::/{own}\n")
    (proc / "mountinfo").write_text(LINE.format(root="/", point=point, kind="cgroup2", options="nsdelegate") + "\n")
    return str(proc)


def test_v2_groups_are_made_beside_the_node_where_systemd_delegates(tmp_path: Path) -> None:
    proc = v2_tree(tmp_path, "system.slice/sanjin.service/node", "system.slice/sanjin.service")
    unit = str(tmp_path / "fs/system.slice/sanjin.service")
    assert group_homes(proc) == {"memory": (unit, True), "pids": (unit, True)}


def test_v2_controllers_are_handed_down_where_they_are_not_yet(tmp_path: Path) -> None:
    proc = v2_tree(tmp_path, "a.service/node", "a.service", enabled="")
    assert set(group_homes(proc)) == {"memory", "pids"}
    assert (tmp_path / "fs/a.service/cgroup.subtree_control").read_text().startswith("+pids")  # written last


def test_a_slice_of_systemd_is_left_alone_and_a_machine_without_groups_has_none(tmp_path: Path) -> None:
    assert group_homes(v2_tree(tmp_path, "user.slice/x.scope", "user.slice")) == {}
    assert group_homes(str(tmp_path / "nothing")) == {}


def test_v1_groups_are_made_below_ones_own_also_where_a_container_shows_a_part(tmp_path: Path) -> None:
    proc, point = tmp_path / "proc", tmp_path / "memory"
    proc.mkdir()
    (point / "mine").mkdir(parents=True)
    (proc / "cgroup").write_text("4:memory:/docker/1/mine\n8:pids:/elsewhere\n")
    lines = [
        LINE.format(root="/docker/1", point=point, kind="cgroup", options="memory"),
        LINE.format(root="/docker/1", point=point, kind="cgroup", options="pids"),
    ]
    (proc / "mountinfo").write_text("\n".join(lines))
    assert group_homes(str(proc)) == {"memory": (str(point / "mine"), False)}


def test_v2_groups_are_bounded_read_and_joined_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes = {"memory": (str(tmp_path), True), "pids": (str(tmp_path), True)}
    made = tmp_path / run_limits.group_name(os.getpid())
    mkdir = os.mkdir

    def with_files(path: str) -> None:
        mkdir(path)
        for name in ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cgroup.procs"):
            (made / name).touch()

    monkeypatch.setattr(os, "mkdir", with_files)
    groups = Groups(homes, memory_bytes=5000, processes=7)
    assert {f.name: f.read_text() for f in made.iterdir() if f.name != "cgroup.procs"} == {
        "memory.max": "5000", "memory.swap.max": "0", "memory.oom.group": "1", "pids.max": "7",
    }  # fmt: skip
    (made / "memory.stat").write_text("anon 300\nfile 9000\nshmem 40\nshmem_thp 9\n")
    (made / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    (made / "memory.events").write_text("low 0\nmax 12\noom 1\noom_kill 0\noom_group_kill 0\n")
    (made / "pids.events").write_text("max 0\n")
    assert (groups.memory(), groups.cpu_s(), groups.struck()) == (340, 2.5, "")
    (made / "pids.events").write_text("max 3\n")
    assert groups.struck() == "process_limit"
    (made / "memory.events").write_text("max 12\noom_kill 2\n")
    assert groups.struck() == "memory_limit"
    groups.join()
    assert (made / "cgroup.procs").read_text() == "0"


def test_where_no_group_can_be_made_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    groups = Groups({"memory": (str(tmp_path / "file"), False), "pids": (str(tmp_path / "no"), True)}, 1, 1)
    assert (groups.folders, groups.memory(), groups.cpu_s(), groups.struck()) == ({}, -1, 0.0, "")
    groups.join()
    groups.empty()
    groups.remove()


def settled(folder: Path, bytes_max: int = 0, files_max: int = 0) -> Quota:
    quota = Quota([str(folder), str(folder / "missing")], bytes_max, files_max)
    quota.settle()
    return quota


def test_on_disk_a_hole_is_nothing_and_a_file_of_two_names_is_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    plain = settled(tmp_path)
    assert plain.files == 1 and 100_000 <= plain.bytes < 120_000
    os.link(tmp_path / "a", tmp_path / "b")
    os.truncate(os.open(tmp_path / "hole", os.O_RDWR | os.O_CREAT), 1 << 30)
    (tmp_path / "link").symlink_to("/usr")
    both = settled(tmp_path)
    assert both.files == 4 and both.bytes == plain.bytes
    assert settled(tmp_path, files_max=3).over() == "more than 3 files"
    assert settled(tmp_path, bytes_max=50_000).over() == "more than 50000 bytes on disk"


def test_a_long_count_is_done_in_pieces_and_then_rests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(50):
        (tmp_path / str(n)).mkdir()
    monkeypatch.setattr(run_limits, "BUDGET_S", -1.0)  # one entry at a look
    quota = Quota([str(tmp_path)], 0, 40)
    now = time.monotonic()
    looks = 1
    while not (over := quota.look(now)):
        looks += 1
    assert over == "more than 40 files" and looks == 41
    (tmp_path / "0").rmdir()
    assert quota.look(now) == ""  # it rests


def test_bounds_stand_in_the_document_of_engines() -> None:
    text = "engines:\n  datong: {engine: local, sandbox: landlock, output_bytes: 1e9, processes: 50, output_files: 0}\n"
    found = read_engines(text, "e.yaml")["datong"]
    assert found.sandbox == "landlock"
    assert found.bounds == Bounds(processes=50, output_bytes=10**9, output_files=0)
    for wrong in ("output_bytes: -1", "processes: many", "output_files: 0.5"):
        with pytest.raises(ProblemsFound):
            read_engines(f"engines:\n  datong: {{engine: local, {wrong}}}\n", "e.yaml")


def test_bounds_of_processes_are_for_each_that_runs_at_once(tmp_path: Path) -> None:
    files, free, bounds = RunFolder(tmp_path / "site"), sandbox.Sandbox(kind="none"), Bounds(processes=10)
    for shape, processes in (({}, 10), ({"nodes": 3}, 30), ({"members": 9, "parallel": 4}, 40)):
        order = RunOrder(key="k", command=("true",), **shape)
        assert sandbox.confine(order, files, free, (), bounds)["processes"] == processes


# -- Landlock and seccomp, in the words of the kernel ------------------------------------------


@pytest.mark.parametrize(("version", "words"), [(1, 1), (3, 1), (4, 2), (5, 2), (6, 3), (9, 3)])
def test_a_version_is_asked_for_what_it_knows_alone(version: int, words: int) -> None:
    asked = run_landlock.attributes(version)
    assert len(asked) == 8 * words
    count = {1: 13, 3: 15, 4: 15, 5: 16, 6: 16, 9: 16}[version]
    assert int.from_bytes(asked[:8], "little") == (1 << count) - 1


def answer(steps: bytes, architecture: int, number: int, first: int = 0) -> int:
    """What a classic BPF program of the four kinds of steps in use says of a system call."""
    data = number.to_bytes(4, "little") + architecture.to_bytes(4, "little") + bytes(8) + first.to_bytes(8, "little")
    at = held = 0
    while True:
        step = steps[8 * at : 8 * at + 8]
        code, k = int.from_bytes(step[:2], "little"), int.from_bytes(step[4:], "little")
        if code == 0x20:
            held = int.from_bytes(data[k : k + 4], "little")
        elif code == 0x06:
            return k
        else:
            at += step[2] if (held == k if code == 0x15 else held >= k) else step[3]
        at += 1


@pytest.mark.parametrize(("machine", "made_of"), [("x86_64", (0xC000003E, 41)), ("aarch64", (0xC00000B7, 198))])
def test_sockets_but_local_ones_are_refused(machine: str, made_of: tuple[int, int]) -> None:
    architecture, number = made_of
    steps = run_landlock.network_filter(machine)
    allowed, refused = 0x7FFF0000, 0x00050000
    assert answer(steps, architecture, number, 1) == allowed
    for family in (0, 2, 10, 16, 17, 40):
        assert answer(steps, architecture, number, family) == refused | errno.EACCES
    assert answer(steps, architecture, 425) == refused | errno.ENOSYS
    assert answer(steps, architecture, 0) == answer(steps, architecture, 59) == allowed
    assert answer(steps, 0x40000003, 359, 1) == refused | errno.EPERM  # 32 bits
    assert answer(steps, architecture, 0x40000000 | 41, 1) == refused | errno.EPERM  # x32
    assert run_landlock.network_filter("pdp11") == b""


def test_landlock_does_not_show_a_folder_that_holds_all_runs(tmp_path: Path) -> None:
    files = RunFolder(tmp_path / "site")
    order = RunOrder(key="k", command=("true",), inputs={"all": str(tmp_path)})
    with pytest.raises(Refused, match="Landlock cannot hide"):
        sandbox.landlock_paths(order, files, ())
    shown = sandbox.landlock_paths(RunOrder(key="k", command=("true",)), files, ())
    assert not [path for path in shown["read"] if str(tmp_path).startswith(path)]
    assert [path for path in shown["write"] if not path.startswith("/dev/")] == [
        f"{files.runs}/k/{name}" for name in ("work", "outputs", "tmp")
    ]


def test_auto_takes_the_best_there_is_and_says_why_not_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "find_bwrap", lambda: sandbox.Sandbox(kind="none", remark="no bwrap"))
    monkeypatch.setattr(sandbox, "landlock_version", lambda: 3)
    found = sandbox.choose("auto")
    assert found.kind == "landlock"
    assert "no bwrap" in found.remark and "signals" in found.remark
    monkeypatch.setattr(sandbox, "landlock_version", lambda: 0)
    assert sandbox.choose("auto").kind == "none"
    for wanted in ("bwrap", "landlock", "chroot"):
        with pytest.raises(ProblemsFound):
            sandbox.choose(wanted)
    assert sandbox.choose("none").kind == "none"


def test_doctor_says_what_a_bare_machine_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sandbox, "find_bwrap", lambda: sandbox.Sandbox(kind="none", remark="no bwrap"))
    monkeypatch.setattr(sandbox, "landlock_version", lambda: 0)
    monkeypatch.setattr(doctor, "landlock_version", lambda: 0)
    monkeypatch.setattr(doctor, "group_homes", dict)
    found = {c.what: c for c in doctor.checks(tmp_path)}
    for what in ("sandbox", "job_network", "landlock", "job_memory", "job_processes"):
        assert not found[what].ok and found[what].todo and not found[what].needed
    assert "no bwrap" in found["sandbox"].todo and "沙箱" in found["job_network"].todo
    monkeypatch.setattr(doctor, "group_homes", lambda: {"memory": ("/m", False), "pids": ("/u", True)})
    found = {c.what: c for c in doctor.checks(tmp_path)}
    assert "v1, /m" in found["job_memory"].value and "v2, /u" in found["job_processes"].value
