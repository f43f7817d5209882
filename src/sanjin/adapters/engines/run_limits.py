"""What a run uses and may use: memory, processes, CPU time, and what it leaves on disk.

Part of the supervisor (:mod:`sanjin.adapters.engines.local_runner`), copied beside it: standard library alone, and
little of it. Where control groups are there the kernel keeps a run to its memory and its processes; elsewhere, and for
the disk everywhere, the supervisor looks again and again and ends what is over.
"""

from __future__ import annotations

import os
import resource
import signal
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # slow to import
    from collections.abc import Iterable, Iterator

PREFIX = "sanjin-"
"""How the names of our control groups begin; the rest says which supervisor made them."""
BUDGET_S = 0.02
"""How long one look at the disk may take before memory is looked at again."""
REST_S, REST_RATIO = 0.5, 20
"""Seconds between two whole counts of what is on disk, or so many times what a count takes, if that is longer."""
_MAY_LACK = ("memory.swap.max", "memory.oom.group", "memory.memsw.limit_in_bytes")  # on some kernels
_TICKS = os.sysconf("SC_CLK_TCK")
_BLOCK = 512  # unit of st_blocks, whatever the file system


def read_small(path: str) -> bytes:
    """The content of a small file; empty when it is gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # a third of the calls that open() makes
    except OSError:
        return b""
    found = b""
    try:
        while part := os.read(fd, 65536):
            found += part
    except OSError:
        return b""
    finally:
        os.close(fd)
    return found


def _write(path: str, text: str) -> None:
    """Write into a file that is there."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def stat_of(pid: int | str) -> list[bytes]:
    """The fields of ``/proc/<pid>/stat`` after the name, so from the third on; none when it is gone."""
    return read_small(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def children_of(pid: int) -> list[int]:
    """The processes that this one started, or that were given to it, and that live."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    return [int(child) for t in threads for child in read_small(f"/proc/{pid}/task/{t}/children").split()]


def _all_children() -> dict[int, list[int]]:
    """Children by parent over the whole machine; for kernels without ``/proc/*/task/*/children``."""
    tree: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        if fields := stat_of(name):
            tree.setdefault(int(fields[1]), []).append(int(name))
    return tree


def descendants(root: int) -> list[int]:
    """Every process below ``root``, parents before children.

    Because the supervisor is a subreaper, a process that forked twice and called ``setsid`` is
    still below it.
    """
    quick = os.path.exists(f"/proc/self/task/{os.getpid()}/children")
    tree = {} if quick else _all_children()
    found = [root]
    for pid in found:  # it grows while we go
        found += children_of(pid) if quick else tree.get(pid, [])
    return found[1:]


def send(pids: Iterable[int], number: int) -> None:
    """Send a signal to each that is still there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


# -- control groups ------------------------------------------------------------------------


def group_homes(proc: str = "/proc/self") -> dict[str, tuple[str, bool]]:
    """Where this process may make control groups: by controller (``memory``, ``pids``) the folder, and if it is v2.

    In v1 that is the group that this process is in. In v2 a group with processes in it cannot hand its controllers
    down, so there it is the group above, where that is ours too: systemd's ``Delegate=`` with ``DelegateSubgroup=``.
    """
    own: dict[str, str] = {}
    for line in read_small(f"{proc}/cgroup").decode().splitlines():
        _, names, path = line.split(":", 2)
        own.update((name, path) for name in names.split(","))
    found: dict[str, tuple[str, bool]] = {}
    for line in read_small(f"{proc}/mountinfo").decode().splitlines():
        left, _, right = line.partition(" - ")
        kind, options = right.split(" ")[0], right.rpartition(" ")[2].split(",")
        if kind not in ("cgroup", "cgroup2"):
            continue
        root, point = left.split(" ")[3:5]
        for name in ("",) if kind == "cgroup2" else ("memory", "pids"):
            inside = os.path.relpath(own.get(name, "/.."), root)
            place = os.path.normpath(os.path.join(point, inside))
            if inside.startswith("..") or (name and name not in options):
                continue
            if name and os.access(place, os.W_OK):
                found[name] = (place, False)
            elif not name:
                for controller, home in _unified_homes(place, point).items():
                    found.setdefault(controller, (home, True))
    return found


def _unified_homes(place: str, point: str) -> dict[str, str]:
    for home in (place, os.path.dirname(place)):
        if not home.startswith(point) or (home != place and home.endswith(".slice")):  # a slice is systemd's own
            continue
        if not (os.access(home, os.W_OK) and os.access(f"{home}/cgroup.procs", os.W_OK)):
            continue
        offered = read_small(f"{home}/cgroup.controllers").decode().split()
        found: dict[str, str] = {}
        for name in ("memory", "pids"):
            try:
                if name in offered and name not in read_small(f"{home}/cgroup.subtree_control").decode().split():
                    _write(f"{home}/cgroup.subtree_control", f"+{name}")
            except OSError:
                continue
            if name in offered:
                found[name] = home
        if found:
            return found
    return {}


def group_name(pid: int | str) -> str:
    """The name of the groups of a supervisor: its process id, and when it began, so that no other has it.

    Empty where it is gone.
    """
    fields = stat_of(pid)
    return f"{PREFIX}{pid}-{fields[19].decode()}" if len(fields) > 19 and fields[0] != b"Z" else ""


def sweep_groups(homes: dict[str, tuple[str, bool]]) -> None:
    """Kill what is left in groups whose supervisor is gone, and remove them; a later call those not empty at once."""
    for home in {folder for folder, _ in homes.values()}:
        try:
            names = [name for name in os.listdir(home) if name.startswith(PREFIX)]
        except OSError:
            continue
        for name in names:
            pid = name.removeprefix(PREFIX).partition("-")[0]
            if pid.isdigit() and group_name(pid) != name:
                _empty(f"{home}/{name}")
                _remove(f"{home}/{name}")


def _empty(folder: str) -> None:
    """Kill everything in a group. Where processes are counted none can be begun meanwhile."""
    try:
        _write(f"{folder}/pids.max", "0")
    except OSError:  # one for memory alone, or gone
        pass
    send(map(int, read_small(f"{folder}/cgroup.procs").split()), signal.SIGKILL)


def _remove(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _count(path: str, name: bytes) -> int:
    """The number after ``name`` in a file of lines like ``name 12``; 0 if it is not there."""
    after = (b"\n" + read_small(path)).partition(b"\n" + name + b" ")[2].split(None, 1)
    return int(after[0]) if after else 0


class Groups:
    """The control groups of one run: what of memory and processes can be bounded here is bounded; maybe nothing.

    Swap counts as memory. The supervisor stays outside, so that it lives to tell the end.
    """

    def __init__(self, homes: dict[str, tuple[str, bool]], memory_bytes: int, processes: int) -> None:
        self.folders: dict[str, str] = {}
        self.unified = False
        self._doors: set[str] = set()
        name = group_name(os.getpid())
        for controller, (home, unified) in homes.items():
            folder = f"{home}/{name}"
            limits = [("pids.max", processes)] if processes > 0 else []
            if controller == "memory":
                limits = _memory_limits(memory_bytes, unified)
            try:
                if folder not in self.folders.values():
                    os.mkdir(folder)
                for file, value in limits:
                    if file not in _MAY_LACK or os.path.exists(f"{folder}/{file}"):
                        _write(f"{folder}/{file}", str(value))
            except OSError:
                if folder not in self.folders.values():
                    _remove(folder)
                continue
            self.folders[controller] = folder
            # v1: one thread that moves itself need not wait for all others of the machine (10 ms), as a process does
            self._doors.add(f"{folder}/{'cgroup.procs' if unified else 'tasks'}")
            self.unified = self.unified or (unified and controller == "memory")

    def join(self) -> None:
        """Put this process, a child just forked, into the groups. ``OSError`` where that fails."""
        for door in self._doors:
            _write(door, "0")

    def struck(self) -> str:
        """The bound that the kernel has enforced on this run: ``memory_limit``, ``process_limit`` or empty."""
        told = "memory.events" if self.unified else "memory.oom_control"
        if "memory" in self.folders and _count(f"{self.folders['memory']}/{told}", b"oom_kill"):
            return "memory_limit"
        if "pids" in self.folders and _count(f"{self.folders['pids']}/pids.events", b"max"):
            return "process_limit"
        return ""

    def memory(self) -> int:
        """Bytes that the run holds now, with what it has in ``/dev/shm``, without the disk's cache; -1 if not known."""
        if not (folder := self.folders.get("memory")):
            return -1
        names = (b"anon", b"shmem") if self.unified else (b"total_rss", b"total_shmem")
        return sum(_count(f"{folder}/memory.stat", name) for name in names)

    def cpu_s(self) -> float:
        """CPU seconds of the run so far; 0 where they are not counted (v1 counts them in a hierarchy of its own)."""
        return _count(f"{self.folders['memory']}/cpu.stat", b"usage_usec") / 1e6 if self.unified else 0.0

    def empty(self) -> None:
        """Kill everything in the groups."""
        for folder in set(self.folders.values()):
            _empty(folder)

    def remove(self) -> None:
        """Remove the groups. One that the kernel has not let go of yet is left to :func:`sweep_groups`."""
        for folder in set(self.folders.values()):
            for _ in range(20):
                if _remove(folder):
                    break
                time.sleep(0.005)
        self.folders = {}


def _memory_limits(memory_bytes: int, unified: bool) -> list[tuple[str, int]]:
    if memory_bytes <= 0:
        return []
    if unified:
        return [("memory.max", memory_bytes), ("memory.swap.max", 0), ("memory.oom.group", 1)]
    return [("memory.limit_in_bytes", memory_bytes), ("memory.memsw.limit_in_bytes", memory_bytes)]


# -- usage ---------------------------------------------------------------------------------


class Meter:
    """CPU seconds, peak memory bytes and processes of the process tree below this process."""

    def __init__(self) -> None:
        self.reaped_cpu_s = 0.0
        self.sampled_cpu_s = 0.0
        self.sampled_peak = 0
        self.biggest = 0
        self.tasks = 0
        self._pss_from = 0.0

    def reaped(self, used: resource.struct_rusage) -> None:
        self.reaped_cpu_s += used.ru_utime + used.ru_stime
        self.biggest = max(self.biggest, used.ru_maxrss * 1024)

    def sample(self, groups: Groups) -> int:
        """Bytes that the tree holds now: as its group says, or resident size, or proportional size of shared pages.

        The sum of resident sizes counts a shared page once a process, so where it would set a new
        peak and there are several processes the proportional size decides. That one is slow for
        large processes; it may take a twentieth of the time at most.
        """
        pids = descendants(os.getpid())
        ticks = resident = self.tasks = 0
        for pid in pids:
            if fields := stat_of(pid):
                ticks += sum(map(int, fields[11:15]))
                self.tasks += int(fields[17])
                resident += int(fields[21]) * resource.getpagesize()
        self.sampled_cpu_s = max(self.sampled_cpu_s, self.reaped_cpu_s + ticks / _TICKS, groups.cpu_s())
        held = groups.memory()
        if held >= 0:
            resident = held
        elif resident > self.sampled_peak and len(pids) > 1:
            began = time.monotonic()
            if began < self._pss_from:
                return 0
            resident = self._proportional(pids) or resident
            ended = time.monotonic()
            self._pss_from = ended + 20 * (ended - began)
        self.sampled_peak = max(self.sampled_peak, resident)
        return resident

    @staticmethod
    def _proportional(pids: list[int]) -> int:
        total = 0
        for pid in pids:
            after = read_small(f"/proc/{pid}/smaps_rollup").partition(b"\nPss:")[2].split(None, 1)
            total += int(after[0]) * 1024 if after else 0
        return total

    def peak(self) -> int:
        """Peak bytes; not the peak that a group keeps: that counts the disk's cache too, which a run needs not."""
        # Between fork and exec a child shares this process's pages, so a small command's ru_maxrss
        # is only ours; then the samples tell more, if there are any.
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        beyond = self.biggest if self.biggest > own else 0
        return max(self.sampled_peak, beyond) or self.biggest


# -- the disk ------------------------------------------------------------------------------


class Quota:
    """What a run has on disk in its own folders and streams, against what it may leave there.

    Counted are blocks (so a hole costs nothing, a file with several names its share by each) and entries; also files
    that were deleted and are still open. A folder that cannot be looked into counts as too much, since it could hold
    anything.
    """

    def __init__(self, places: list[str], bytes_max: int, files_max: int) -> None:
        self.places = places
        self.bytes_max = bytes_max or float("inf")
        self.files_max = files_max or float("inf")
        self.bytes = self.files = 0
        self.hidden = ""
        self._count: Iterator[None] | None = None
        self._next_at = self._began = 0.0

    def look(self, now: float) -> str:
        """Go on counting for a little while, if it is time. What is over, in words; empty while nothing is."""
        if self._count is None:
            if now < self._next_at:
                return ""
            self._count, self._began = self._counting(), time.thread_time()
        until = time.monotonic() + BUDGET_S
        for _ in self._count:
            if self.over():
                break
            if time.monotonic() > until:
                return ""
        self._count = None
        self._next_at = now + max(REST_S, REST_RATIO * (time.thread_time() - self._began))
        return self.over()

    def settle(self) -> str:
        """Count once more and to the end, or until it is too much."""
        for _ in self._counting():
            if self.over():
                break
        return self.over()

    def over(self) -> str:
        """What of the last count is over its bound."""
        if self.bytes > self.bytes_max:
            return f"more than {self.bytes_max} bytes on disk"
        if self.files > self.files_max:
            return f"more than {self.files_max} files"
        return self.hidden

    def _counting(self) -> Iterator[None]:
        self.bytes = self.files = 0
        self.hidden = ""
        devices: set[int] = set()
        pending: list[str] = []
        for place in self.places:
            try:
                found = os.stat(place)
            except FileNotFoundError:
                continue
            devices.add(found.st_dev)
            if stat.S_ISDIR(found.st_mode):
                pending.append(place)
            else:
                self.bytes += found.st_blocks * _BLOCK
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        found = entry.stat(follow_symlinks=False)
                        names = found.st_nlink
                        if stat.S_ISDIR(found.st_mode):
                            pending.append(entry.path)
                            names = 1  # here links are subfolders
                        self.files += 1
                        self.bytes += found.st_blocks * _BLOCK // max(names, 1)
                        yield
            except (FileNotFoundError, NotADirectoryError):  # removed meanwhile
                continue
            except OSError as error:
                self.hidden = f"a folder that cannot be looked into: {folder[-200:]}: {error.strerror}"
                yield
        yield from self._deleted(devices)

    def _deleted(self, devices: set[int]) -> Iterator[None]:
        """Count what is open without a name."""
        seen: set[int] = set()
        for pid in descendants(os.getpid()):
            try:
                with os.scandir(f"/proc/{pid}/fd") as entries:
                    for entry in entries:
                        found = entry.stat()
                        ours = found.st_dev in devices and stat.S_ISREG(found.st_mode)
                        if ours and found.st_nlink == 0 and found.st_ino not in seen:
                            seen.add(found.st_ino)
                            self.bytes += found.st_blocks * _BLOCK
                        yield
            except OSError:  # it has ended, or closed this one
                continue
