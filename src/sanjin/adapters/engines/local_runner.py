"""The supervisor of one run: a small process of its own, which outlives the node.

The local engine starts it as ``python -I -S -E local_runner.py RUN_FOLDER ENDED_FOLDER`` with the
run's lock, already taken, as file descriptor 3. It holds that lock for its whole life, so whoever
finds the lock free and no result knows that the supervisor is gone. It imports the standard library
alone, and little of it: its start is part of the cost of every run.

In the run folder are ``order.json`` (what to run), ``started`` (made once, before the command
begins), ``cancel`` (made by the engine) and ``result.tmp`` (space kept for the result, so that a
full disk does not lose it); this becomes ``<key>.json`` in the ended folder.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real typing module is slow to import
    from typing import Any

LOCK_FD = 3
GRACE_S = 2.0
"""Seconds between the request to end (TERM) and KILL when a run is cancelled."""
SAMPLE_S = 0.05
"""Seconds between two looks at the memory of the process tree (twice that after ten seconds)."""
UNKILLABLE_S = 30.0  # then a process that KILL does not end (stuck in the kernel) is given up
DETAIL_MAX = 1000

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_BLOCKED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_TICKS = os.sysconf("SC_CLK_TCK")


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), zero, zero, zero)


def _read(path: str) -> bytes:
    """The content of a small file; empty when it is gone."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""


def _stat(pid: int | str) -> list[bytes]:
    """The fields of ``/proc/<pid>/stat`` after the name, so from the third on; none when it is gone."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def _children_of(pid: int) -> list[int]:
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    return [int(child) for t in threads for child in _read(f"/proc/{pid}/task/{t}/children").split()]


def _all_children() -> dict[int, list[int]]:
    """Children by parent over the whole machine; for kernels without ``/proc/*/task/*/children``."""
    tree: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        if fields := _stat(name):
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
        found += _children_of(pid) if quick else tree.get(pid, [])
    return found[1:]


class Meter:
    """CPU seconds and peak memory bytes of the process tree below this process."""

    def __init__(self) -> None:
        self.reaped_cpu_s = 0.0
        self.sampled_cpu_s = 0.0
        self.sampled_peak = 0
        self.biggest = 0
        self._pss_from = 0.0

    def reaped(self, used: resource.struct_rusage) -> None:
        self.reaped_cpu_s += used.ru_utime + used.ru_stime
        self.biggest = max(self.biggest, used.ru_maxrss * 1024)

    def sample(self) -> int:
        """Bytes that the tree holds now: resident size, or proportional size when pages are shared.

        The sum of resident sizes counts a shared page once a process, so where it would set a new
        peak and there are several processes the proportional size decides. That one is slow for
        large processes; it may take a twentieth of the time at most.
        """
        pids = descendants(os.getpid())
        ticks = resident = 0
        for pid in pids:
            if fields := _stat(pid):
                ticks += sum(map(int, fields[11:15]))
                resident += int(fields[21]) * resource.getpagesize()
        self.sampled_cpu_s = max(self.sampled_cpu_s, self.reaped_cpu_s + ticks / _TICKS)
        if resident > self.sampled_peak and len(pids) > 1:
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
            after = _read(f"/proc/{pid}/smaps_rollup").partition(b"\nPss:")[2].split(None, 1)
            total += int(after[0]) * 1024 if after else 0
        return total

    def peak(self) -> int:
        # Between fork and exec a child shares this process's pages, so a small command's ru_maxrss
        # is only ours; then the samples tell more, if there are any.
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        beyond = self.biggest if self.biggest > own else 0
        return max(self.sampled_peak, beyond) or self.biggest


class Supervisor:
    """Starts one command, keeps it to its limits, and leaves nothing of it behind."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.command: list[str] = order["command"]
        self.variables: dict[str, str] = order["variables"]
        self.bwrap: list[str] = order["bwrap"]
        self.time_limit_s = float(order["time_limit_s"])
        self.memory_limit = int(order["memory_bytes"])
        self.meter = Meter()
        self.main_pid = 0
        self.main_status: int | None = None
        self.status_fd = -1
        self.reason = ""
        self.detail = ""

    def launch(self) -> None:
        """Start the command. ``OSError`` when it cannot be started."""
        argv, variables, keep = self.command, self.variables, list[int]()
        if self.bwrap:
            # The job's variables go to the sandbox through a file descriptor: given to bwrap itself
            # an LD_PRELOAD would act outside of the sandbox, and on its command line all could read them.
            arguments = [*self.bwrap[1:], "--clearenv"]
            for name, value in self.variables.items():
                arguments += ["--setenv", name, value]
            args_fd = os.memfd_create("bwrap")
            os.write(args_fd, b"".join(os.fsencode(part) + b"\0" for part in arguments))
            os.lseek(args_fd, 0, os.SEEK_SET)
            self.status_fd, status_write = os.pipe()
            keep = [args_fd, status_write]
            argv = [self.bwrap[0], "--args", str(args_fd), "--json-status-fd", str(status_write), "--"]
            argv, variables = argv + self.command, {}
        failure_read, failure_write = os.pipe()
        parent = os.getpid()
        self.main_pid = os.fork()
        if self.main_pid == 0:
            _become(argv, variables, keep, parent, failure_write)
        for fd in (failure_write, *keep):
            os.close(fd)
        failure = os.read(failure_read, 200)  # empty once exec has closed the other end
        os.close(failure_read)
        if failure:
            os.waitpid(self.main_pid, 0)
            code, _, text = failure.decode(errors="replace").partition(" ")
            raise OSError(int(code), text)

    def watch(self) -> None:
        """Wait until the command is over, a limit is reached or its end is asked for; then clear up."""
        began = time.monotonic()
        look_at, kill_at, asked = began + 0.01, float("inf"), False
        deadline = began + self.time_limit_s if self.time_limit_s > 0 else float("inf")
        while True:
            wait_s = min(look_at, deadline, kill_at) - time.monotonic()
            got = signal.sigtimedwait(_BLOCKED, max(0.0, wait_s))
            self._reap()
            if self.main_status is not None:
                break
            now = time.monotonic()
            if now >= deadline or now >= kill_at:
                self.reason = self.reason or "time_limit"
                break
            if got is not None and got.si_signo != signal.SIGCHLD:
                asked = True
            if now >= look_at:
                asked = asked or os.path.exists("cancel")
                look_at = now + SAMPLE_S * (1 if now - began < 10 else 2)
                if self.meter.sample() > self.memory_limit > 0:
                    self.reason = self.reason or "memory_limit"
                    break
            if asked and not self.reason:
                self.reason, kill_at = "cancelled", now + GRACE_S
                self._ask_to_end()
        self.clear()

    def _ask_to_end(self) -> None:
        pids = descendants(os.getpid())
        if self.bwrap:
            # bwrap's two own processes pass nothing on: ended by TERM they would take the job
            # with them at once, without its grace.
            own = {self.main_pid, *_children_of(self.main_pid)}
            pids = [pid for pid in pids if pid not in own]
        _send(pids, signal.SIGTERM)

    def _reap(self) -> bool:
        """Collect what has ended. Whether any child is left."""
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self.meter.reaped(used)
            if pid == self.main_pid:
                self.main_status = status

    def clear(self) -> None:
        """Kill and collect everything that is left below this process."""
        delay_s, until = 0.001, time.monotonic() + UNKILLABLE_S
        while self._reap():
            if time.monotonic() > until:
                self.detail = "some processes did not end when killed"
                return
            _send(descendants(os.getpid()), signal.SIGKILL)
            signal.sigtimedwait({signal.SIGCHLD}, delay_s)
            delay_s = min(delay_s * 2, 0.05)

    def outcome(self) -> tuple[str, int, int, str]:
        """Reason, exit status, signal and detail."""
        code = 0 if self.main_status is None else os.waitstatus_to_exitcode(self.main_status)
        status, number = max(code, 0), max(-code, 0)
        if self.bwrap and not number:
            if not self.reason and b'"exit-code"' not in os.read(self.status_fd, 65536):
                last = _read("stderr")[-DETAIL_MAX:].decode(errors="replace").strip().rpartition("\n")[2]
                missing = "No such file" in last
                return "not_started", 127 if missing else 126, 0, last.removeprefix("bwrap: ")
            if 128 < status <= 128 + signal.SIGRTMAX:
                # bwrap tells a signal as a shell does, 128 + its number.
                status, number = 0, status - 128
        return self.reason or ("signal" if number else "exit"), status, number, self.detail


def _send(pids: list[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def _become(argv: list[str], variables: dict[str, str], keep: list[int], parent: int, failure: int) -> None:
    """In the child: become the command. Never returns; a failure goes to the pipe ``failure``."""
    try:
        os.setsid()
        # When the supervisor is killed the command must not live on unwatched.
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write("500")  # short of memory, the kernel ends jobs before nodes
        except OSError:
            pass
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these; the command must not
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        make = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        os.dup2(os.open("stdout", make, 0o600), 1)
        os.dup2(os.open("stderr", make, 0o600), 2)
        for fd in keep:
            os.set_inheritable(fd, True)
        os.chdir("work")
        os.execvpe(argv[0], argv, variables)
    except OSError as error:
        os.write(failure, f"{error.errno} {argv[0]}: {error.strerror}".encode()[:200])
    finally:
        os._exit(127)  # whatever happened, two supervisors must not go on


def _prepare() -> None:
    """Make this process a supervisor: unseen by signals, parent of last resort, holder of the lock."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    os.set_inheritable(LOCK_FD, False)  # a job that held the lock would look like a live supervisor
    os.closerange(LOCK_FD + 1, max(map(int, os.listdir("/proc/self/fd"))) + 1)


def _mark_started() -> bool:
    """Make the marker that says "this key has begun", safely on disk. False when it was there."""
    try:
        fd = os.open("started", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    os.write(fd, f"{os.getpid()} {time.time():.6f}\n".encode())
    os.fsync(fd)
    os.close(fd)
    _sync_folder(".")
    return True


def _sync_folder(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def write_result(result: dict[str, object], temporary: str, final: str) -> None:
    """Put a result in its place in one step, over the space kept for it. ``OSError`` when it fails."""
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        text = json.dumps(result).encode()
        os.pwrite(fd, text, 0)
        os.ftruncate(fd, len(text))
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, final)
    _sync_folder(os.path.dirname(final))


def _supervise(order: dict[str, Any]) -> dict[str, object] | None:
    """Do the whole run. Its result; None when the key has begun before."""
    run = Supervisor(order)
    started_at, began = time.time(), time.monotonic()
    reason, status, number, detail = "cancelled", 0, 0, ""
    try:
        if not _mark_started():
            return None
        if not os.path.exists("cancel"):
            run.launch()
            run.watch()
            reason, status, number, detail = run.outcome()
    except OSError as error:
        run.clear()
        reason, detail = "not_started", error.strerror or str(error)
        status = 127 if error.errno == errno.ENOENT else 126
    wall_s = time.monotonic() - began
    queued = f"queued_s={order['queued_s']}" if "queued_s" in order else ""
    return {
        "key": order["key"],
        "reason": reason,
        "exit_status": status,
        "signal": number,
        "started_at": started_at,
        "ended_at": started_at + wall_s,
        "wall_s": round(wall_s, 6),
        "cpu_s": round(max(run.meter.reaped_cpu_s, run.meter.sampled_cpu_s), 6),
        "memory_peak_bytes": run.meter.peak(),
        "sandbox": order["sandbox"],
        "detail": "; ".join(filter(None, (queued, detail[:DETAIL_MAX]))),
    }


def main(run_folder: str, ended_folder: str) -> None:
    """Supervise the run in ``run_folder`` and leave its result in ``ended_folder``."""
    os.chdir(run_folder)
    _prepare()
    with open("order.json", "rb") as file:
        order = json.load(file)
    result = _supervise(order)
    if result is None:
        return
    for attempt in range(20):
        try:
            write_result(result, "result.tmp", os.path.join(ended_folder, f"{order['key']}.json"))
            break
        except OSError as error:
            print(f"result not written: {error}", file=sys.stderr, flush=True)
            time.sleep(0.05 * 1.5**attempt if attempt < 12 else 5)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
