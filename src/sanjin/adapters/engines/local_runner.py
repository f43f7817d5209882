"""The supervisor of one run: a small process of its own, which outlives the node.

A run is one command, the copies of a gang (all at once, one failure ends all) or a part of an array
(one command a member, some at once, a failure ends that member alone).

The local engine starts it as ``python -I -S -E local_runner.py RUN_FOLDER ENDED_FOLDER`` with the run's lock, already
taken, as file descriptor 3. It holds that lock for its whole life, so whoever finds the lock free and no result knows
that it is gone. It imports little, of the standard library alone: its start is part of the cost of every run.

In the run folder are ``order.json`` (what to run), ``started`` (made once, before the command
begins), ``cancel`` and ``stop`` (made by the engine) and ``result.tmp`` (space kept for the result, so
that a full disk does not lose it); this becomes ``<key>.json`` in the ended folder. Then it lists the run's outputs.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
import warnings  # noqa: F401  # pyright: ignore[reportUnusedImport] - for os.execvpe, which may find no files by then

TYPE_CHECKING = False
if TYPE_CHECKING or __name__ != "__main__":
    from typing import Any

    from sanjin.adapters.engines import run_launcher as launching
    from sanjin.adapters.engines import run_limits as limits
else:  # by itself: its two other files lie beside it, and the real typing module is slow to import
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import run_launcher as launching
    import run_limits as limits

    del sys.path[0]

LOCK_FD = 3
GRACE_S = 2.0
"""Seconds between the request to end (TERM) and KILL when a run is cancelled or a gang has failed."""
SAMPLE_S = 0.05
"""Seconds between two looks at the memory of the process tree (twice that after ten seconds)."""
UNKILLABLE_S = 30.0  # then a process that KILL does not end (stuck in the kernel) is given up
INTERRUPTED = "interrupted"
ON_TERM = INTERRUPTED if os.environ.get("SANJIN_TERM") == "interrupts" else "cancelled"
"""What TERM means that no request explains: somebody ends the task, or its machine is wanted for something else."""
DETAIL_MAX = 1000
FAILURES_TOLD = 8
"""How many failed members of an array are named."""

_PR_SET_CHILD_SUBREAPER = 36
_BLOCKED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_SHORT = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_NEVER = float("inf")


def _last_line(path: str) -> str:
    """The last line of a log, however long the log is."""
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - DETAIL_MAX))
            return file.read().decode(errors="replace").strip().rpartition("\n")[2]
    except OSError:
        return ""


class Started:
    """One command at work: the whole run, a copy of a gang or a member of an array."""

    def __init__(self, number: int, pid: int, status_fd: int, deadline: float) -> None:
        self.number = number
        self.pid = pid
        self.status_fd = status_fd
        self.deadline = deadline  # of this member alone, monotonic seconds
        self.began = time.monotonic()
        self.late = False


class Supervisor:
    """Starts what a run is made of, keeps it to its limits, and leaves nothing of it behind."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.members = int(order["members"])
        nodes, copies = int(order["nodes"]), int(order.get("copies", order["nodes"]))  # of the gang, and here
        self.memory_limit, self.processes = int(order["memory_bytes"]), int(order["processes"])
        homes = limits.group_homes()
        limits.sweep_groups(homes)
        self.groups = limits.Groups(homes, self.memory_limit, self.processes)
        numbered = "SANJIN_INDEX" if self.members else "SANJIN_RANK" if nodes > 1 else ""
        self.launcher = launching.Launcher(order, numbered, self.groups)
        self.quota = limits.Quota(order["kept"], self.launcher.file_bytes, int(order["output_files"]))
        self.next = int(order["first_member"]) if self.members else int(order.get("first_rank", 0))
        self.end = self.next + (self.members or copies)
        self.at_once = int(order["parallel"]) if self.members else copies
        self.time_limit_s = float(order["time_limit_s"]) if order["time_limit_s"] > 0 else _NEVER
        self.stop_grace_s = float(order["stop_grace_s"])
        self.meter = limits.Meter()
        self.live: dict[int, Started] = {}  # by process id
        self.deadline = self.kill_at = _NEVER
        self.reason = ""  # why all was ended, where it did not end by itself
        self.failure: tuple[str, int, int, str] | None = None
        self.done = self.failed = 0
        self.busy_s = 0.0
        self.failures: list[str] = []
        self.detail = ""  # of the bound that it reached
        self.signalled = self.clearing = self.stuck = self.lost = False

    def work(self) -> None:
        """Start what is to be started, until all has ended, a limit is reached or an end is asked for.

        Then clear up. ``OSError`` when the command, or a copy of a gang, cannot be started.
        """
        self.at_once = self.launcher.take_cards(self.at_once, not self.members)
        began = time.monotonic()
        look_at = began + 0.01
        if not self.members:
            self.deadline = began + self.time_limit_s
        while True:
            again = self._start_due()
            wake_at = min(look_at, self.kill_at, self.deadline, *(one.deadline for one in self.live.values()))
            got = signal.sigtimedwait(_BLOCKED, 0.0 if again else max(0.0, wake_at - time.monotonic()))
            self.signalled |= got is not None and got.si_signo != signal.SIGCHLD
            self._reap()
            if not self.live and not self._due():
                break
            now = time.monotonic()
            if self._out_of_time(now):
                break
            if self.failure is not None and not self.reason:
                self._ask_to_end(now + GRACE_S)
            elif self.signalled or now >= look_at:
                self._heed(self.signalled, now)
            if now >= look_at:
                look_at = now + SAMPLE_S * (1 if now - began < 10 else 2)
                if self._over(now):
                    break
        self.clear()
        self._settle()

    def _over(self, now: float) -> bool:
        """Whether the run has reached a bound, so that all must be killed now."""
        held = self.meter.sample(self.groups)
        reached = self._struck()
        if held > self.memory_limit > 0:
            reached = "memory_limit"
        elif "pids" not in self.groups.folders and self.meter.tasks > self.processes > 0:
            reached = "process_limit"
        elif over := self.quota.look(now):
            reached, self.detail = "output_limit", over
        if reached:
            self._decide(reached)
        return bool(reached)

    def _struck(self) -> str:
        """The bound that the kernel has enforced, if any: the end is to be for that."""
        struck = self.groups.struck()
        if struck:
            self._decide(struck)
        if struck == "memory_limit":
            self.meter.sampled_peak = max(self.meter.sampled_peak, self.memory_limit)
        return struck

    def _settle(self) -> None:
        """Count what is left on disk when all has ended."""
        if not self.stuck and not self.detail and (over := self.quota.settle()):
            self.detail, self.reason = over, self.reason or "output_limit"
        self.meter.sampled_cpu_s = max(self.meter.sampled_cpu_s, self.groups.cpu_s())

    def _due(self) -> bool:
        """Whether there is more to start."""
        return self.next < self.end and not self.reason and self.failure is None

    def _start_due(self) -> bool:
        """Start what is due and finds room. Whether there still is room, since a start failed."""
        again = False
        for _ in range(self.at_once - len(self.live)):
            if not self._due():
                break
            try:
                pid, status_fd = self.launcher.start(self.next)
                deadline = time.monotonic() + self.time_limit_s if self.members else _NEVER
                self.live[pid] = Started(self.next, pid, status_fd, deadline)
            except OSError as error:
                if not self.members:
                    raise
                if error.errno in _SHORT and self.live:
                    return False  # once one that runs has ended there may be enough
                self._count(self.next, f"not started: {error.strerror}")
                again = True
            self.next += 1
        return again

    def _decide(self, reason: str) -> None:
        """All is to end for this reason, unless that is decided already."""
        if self.failure is None:
            self.reason = self.reason or reason

    def _out_of_time(self, now: float) -> bool:
        """Whether all must be killed now. A member of an array at its limit is killed alone."""
        if now >= self.deadline or now >= self.kill_at:
            self._decide("time_limit")
            return True
        for one in [one for one in self.live.values() if now >= one.deadline]:
            if one.late:  # stuck in the kernel: others may have its place
                self._ended(self.live.pop(one.pid), signal.SIGKILL)
                continue
            one.late, one.deadline = True, now + UNKILLABLE_S
            limits.send([one.pid, *limits.descendants(one.pid)], signal.SIGKILL)
        return False

    def _heed(self, signalled: bool, now: float) -> None:
        """See whether an end is asked for. A cancel wins over a stop."""
        wanted = _requested() or (ON_TERM if signalled else "")
        if wanted and self.reason not in ("cancelled", wanted):
            self.reason = wanted
            self._ask_to_end(now + (GRACE_S if wanted == "cancelled" else self.stop_grace_s))

    def _ask_to_end(self, kill_at: float) -> None:
        """Ask once; asked again, only the end by force may come sooner."""
        asked, self.kill_at = self.kill_at < _NEVER, min(self.kill_at, kill_at)
        if asked:
            return
        pids = limits.descendants(os.getpid())
        if self.launcher.bwrap:
            # bwrap's two own processes pass nothing on: ended by TERM they would take the job
            # with them at once, without its grace.
            own = {pid for main in self.live for pid in (main, *limits.children_of(main))}
            pids = [pid for pid in pids if pid not in own]
        limits.send(pids, signal.SIGTERM)

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
            if not self.clearing:  # then they are kept from beginning anything
                self._struck()
            one = self.live.pop(pid, None)
            if one is not None:
                self._ended(one, status)

    def _ended(self, one: Started, status: int) -> None:
        self.busy_s += time.monotonic() - one.began
        reason, code, number, detail = verdict = self._verdict(one, status)
        if not self.members:
            if (code or number) and self.failure is None:
                self.failure = verdict
            return
        if not self.launcher.bwrap:  # a sandbox takes all of its processes with it
            self._sweep()
        if not self.reason:
            failure = f"signal {number}" if number else f"exit status {code}" if code else ""
            failure = f"not started: {detail}" if reason == "not_started" else failure
            self._count(one.number, "time limit" if one.late else failure)

    def _verdict(self, one: Started, status: int) -> tuple[str, int, int, str]:
        """Reason, exit status, signal and detail of a command that ended."""
        value = os.waitstatus_to_exitcode(status)
        code, number, told = max(value, 0), max(-value, 0), b""
        if one.status_fd >= 0:
            try:
                told = os.read(one.status_fd, 65536)
            except BlockingIOError:  # it said nothing, and something of it still lives
                pass
            os.close(one.status_fd)
            if code and not self.reason and b'"exit-code"' not in told:
                last = _last_line("stderr")
                return "not_started", 127 if "No such file" in last else 126, 0, last.removeprefix("bwrap: ")
            if 128 < code <= 128 + signal.SIGRTMAX:
                # bwrap tells a signal as a shell does, 128 + its number.
                code, number = 0, code - 128
        return "signal" if number else "exit", code, number, ""

    def _count(self, number: int, failure: str) -> None:
        """Count a member that ended, with what went wrong with it, or nothing."""
        if not failure:
            self.done += 1
            return
        self.failed += 1
        if len(self.failures) < FAILURES_TOLD:
            self.failures.append(f"{number} ({failure[:80]})")

    def _sweep(self) -> None:
        """Kill what ended members left behind: adopted children with the index of none that runs.

        One that hides its index lives until the end of the part, as all do on a kernel without
        ``/proc/*/task/*/children``.
        """
        running = {str(one.number).encode() for one in self.live.values()}
        for pid in limits.children_of(os.getpid()):
            if pid not in self.live:
                after = (b"\0" + limits.read_small(f"/proc/{pid}/environ")).partition(b"\0SANJIN_INDEX=")[2]
                if after and after.partition(b"\0")[0] not in running:
                    limits.send([pid, *limits.descendants(pid)], signal.SIGKILL)

    def clear(self) -> None:
        """Kill and collect everything that is left below this process."""
        delay_s, until = 0.001, time.monotonic() + UNKILLABLE_S
        self.clearing = True
        while True:
            self.groups.empty()
            if not self._reap():
                return
            if time.monotonic() > until:
                self.stuck = True
                return
            limits.send(limits.descendants(os.getpid()), signal.SIGKILL)
            signal.sigtimedwait({signal.SIGCHLD}, delay_s)
            delay_s = min(delay_s * 2, 0.05)

    def outcome(self) -> tuple[str, int, int, str]:
        """Reason, exit status, signal and detail of the run."""
        reason, code, number, detail = self.failure or ("exit", 0, 0, "")
        if self.failed:
            told = ", ".join(self.failures) + (", ..." if self.failed > len(self.failures) else "")
            code, detail = 1, f"{self.failed} of {self.members} members failed: {told}"
        if number == signal.SIGTERM and not self.reason:  # a cluster asks all processes at once; this one was quicker
            self.reason = ON_TERM if self.signalled or signal.sigtimedwait({signal.SIGTERM}, 0.05) else ""
        if self.reason == "stopped":
            self.reason = _requested()  # a cancel may have come in the meantime
        if number == signal.SIGXFSZ:
            self.reason, detail = self.reason or "output_limit", "a file larger than all that it may leave on disk"
        detail = self.detail or detail
        if self.stuck:
            detail = "some processes did not end when killed"
        return self.reason or reason, code, number, detail


def _requested() -> str:
    """The end that the engine asked for, if any."""
    return "cancelled" if os.path.exists("cancel") else "stopped" if os.path.exists("stop") else ""


def prepare(locked: bool = True) -> None:
    """Make this process a supervisor: unseen by signals, parent of last resort, holder of the lock if there is one."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    launching.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    if locked:
        os.set_inheritable(LOCK_FD, False)  # a job that held the lock would look like a live supervisor
    os.closerange(LOCK_FD + locked, max(map(int, os.listdir("/proc/self/fd"))) + 1)


def _mark_started() -> bool:
    """Make the marker that says "this key has begun", safely on disk. False when it was there."""
    try:
        fd = os.open("started", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    task = f"{os.environ.get('SANJIN_BATCH', '-')} {os.environ.get('SANJIN_TASK', '-')}"
    os.write(fd, f"{os.getpid()} {time.time():.6f} {task}\n".encode())
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
    """Do the whole run. Its result; None when the key has begun before, or it is not known how it ended."""
    run = launching.beside("run_gang").Lead(order) if order.get("spread") else Supervisor(order)
    started_at, began = time.time(), time.monotonic()
    reason, status, number, detail = "", 0, 0, ""
    try:
        if not _mark_started():
            return None
        reason = _requested()
        if not reason:
            if order.get("checkpoint_from"):
                launching.beside("run_checkpoint").restore(order["checkpoint_from"], order["checkpoint_to"])
            run.work()
            reason, status, number, detail = run.outcome()
            if run.lost:
                return None
    except OSError as error:
        run.clear()
        reason, detail = "not_started", error.strerror or str(error)
        status = 127 if error.errno == errno.ENOENT else 126
    finally:
        run.groups.remove()
    wall_s = time.monotonic() - began
    queued = f"queued_s={order['queued_s']}" if "queued_s" in order else ""
    image = f"image={order['image']}" if order["image"] else ""
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
        "busy_s": round(run.busy_s, 6),
        "sandbox": order["sandbox"],
        "detail": "; ".join(filter(None, (queued, image, detail[:DETAIL_MAX]))),
        "members_done": run.done,
        "members_failed": run.failed,
    }


def _register_outputs() -> None:
    """List what the run left. Whatever fails here, the engine does it once somebody asks."""
    try:
        if os.listdir("outputs"):
            launching.beside("run_outputs").register(".")
    except Exception as error:
        print(f"outputs not listed: {error}", file=sys.stderr, flush=True)


def main(run_folder: str, ended_folder: str) -> None:
    """Supervise the run in ``run_folder`` and leave its result in ``ended_folder``; where its cluster ended it, and
    knows why, in the run's folder as ``terminated.json``."""
    os.chdir(run_folder)
    prepare()
    with open("order.json", "rb") as file:
        order = json.load(file)
    if (result := _supervise(order)) is None:
        return
    if result["reason"] == INTERRUPTED:
        sys.exit(128 + signal.SIGTERM)  # an end without a result
    by_cluster = result["reason"] == "cancelled" and not os.path.exists("cancel") and "SANJIN_BATCH" in os.environ
    final = os.path.abspath("terminated.json") if by_cluster else os.path.join(ended_folder, f"{order['key']}.json")
    for attempt in range(20):
        try:
            write_result(result, "result.tmp", final)
            break
        except OSError as error:
            print(f"result not written: {error}", file=sys.stderr, flush=True)
            time.sleep(0.05 * 1.5**attempt if attempt < 12 else 5)
    _register_outputs()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2]) if len(sys.argv) == 3 else launching.beside("run_gang").main(sys.argv[1])
