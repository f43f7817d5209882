"""A gang on several machines of a cluster: the supervisor of the run, and those of its parts.

The run's own supervisor, on the first machine, is its :class:`Lead`: it alone makes the marker and the result. It has
the cluster begin this program once on each machine (:func:`main`), which supervises the copies there as
:mod:`local_runner` does and leaves ``part.<n>.json`` in the run's folder. Once a part has failed the lead leaves the
file ``ending``, and the others end. All of them see a ``cancel`` or ``stop`` of the engine by themselves.

A part that leaves no result was lost with its machine: then there is no result of the run either, and the cluster
tells what became of it. Like its neighbours this file is loaded by the supervisor, so it imports the standard library
alone.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING or "sanjin" in sys.modules:
    from typing import Any

    from sanjin.adapters.engines import local_runner as runner
else:
    import __main__ as runner

LAG_S = 60.0
"""Seconds by which what one machine wrote may be seen late on another."""
LOST_S = 3.0
"""Seconds for which the result of a part is waited for where the cluster says that something failed."""
PORTS = range(20_000, 32_000, 16)
"""First of the ports that a gang is told to use: below those that systems give out by themselves."""
ENDING = "ending"


def ports_of(key: str) -> str:
    """The ports that the copies of a gang are told to use for meeting: first-last. Nobody keeps others off them."""
    port = PORTS[zlib.crc32(key.encode()) % len(PORTS)]
    return f"{port}-{port + PORTS.step - 1}"


def _part_file(number: int) -> str:
    return f"part.{number}.json"


class Lead(runner.Supervisor):
    """Supervises the parts of a gang through the cluster's own launcher."""

    def __init__(self, order: dict[str, Any]) -> None:
        spread = order["spread"]
        self.machines = int(spread["machines"])
        environment = {**os.environ, "PATH": os.environ.get("SANJIN_PATH") or os.environ["PATH"]}
        self.hosts = _hosts(spread["hosts"], environment)
        each, nodes = int(spread["each"]), int(order["nodes"])
        environment["SANJIN_HOSTS"] = ",".join(self.hosts[rank // each] for rank in range(nodes)) if self.hosts else ""
        program = os.path.abspath(sys.argv[0])
        command = [*spread["launch"], sys.executable, "-I", "-S", "-E", program, os.getcwd()]
        limit_s = float(order["time_limit_s"])
        super().__init__(
            {**order, "nodes": 1, "command": command, "variables": environment, "passed": {}, "bwrap": [],
             "landlock": {}, "memory_bytes": 0, "processes": 0, "time_limit_s": limit_s and limit_s + LAG_S}
        )  # fmt: skip
        self.told: dict[int, dict[str, Any]] = {}
        self.status = 0  # of the launcher

    def _over(self, now: float) -> bool:
        """Whether all must be killed now. Hears what parts have ended."""
        self._hear()
        if over := self.quota.look(now):
            self.detail = over
            self._decide("output_limit")
        return bool(over)

    def _hear(self) -> bool:
        """Take in the results of parts. Whether all are there. The first that failed is the run's."""
        for number in range(self.machines):
            if number in self.told:
                continue
            try:
                with open(_part_file(number), "rb") as file:
                    told = self.told[number] = json.load(file)
            except (OSError, ValueError):
                continue
            bad = told["reason"] not in ("exit", "stopped", "cancelled") or told["exit_status"]
            if bad and self.failure is None and not self.reason:
                where = f"on {self.hosts[number]}" if self.hosts else f"on machine {number}"
                detail = ": ".join(filter(None, (where, told["detail"])))
                self.failure = (told["reason"], told["exit_status"], told["signal"], detail)
        return len(self.told) == self.machines

    def _heed(self, signalled: bool, now: float) -> None:
        if self.failure is None:
            super()._heed(signalled, now)

    def _ask_to_end(self, kill_at: float) -> None:
        """The parts see by themselves what the engine asks for; of a failure they are told."""
        if self.kill_at == float("inf") and self.failure is not None:
            os.close(os.open(ENDING, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self.kill_at = min(self.kill_at, kill_at + LAG_S)

    def _verdict(self, one: runner.Started, status: int) -> tuple[str, int, int, str]:
        """Nothing: how a run ended its parts tell, and not the launcher."""
        self.status = status
        return "exit", 0, 0, ""

    def outcome(self) -> tuple[str, int, int, str]:
        """As of any run. It is lost where a part has left no result, and nobody here asked it to end."""
        until = time.monotonic() + (LOST_S if self.status or self.reason else LAG_S)
        while not self._hear() and time.monotonic() < until:
            time.sleep(0.1)
        parts = [self.told[n] for n in sorted(self.told)]
        self.busy_s = sum(float(told["busy_s"]) for told in parts)
        self.meter.sampled_cpu_s = sum(float(told["cpu_s"]) for told in parts)
        self.meter.sampled_peak = sum(int(told["memory_peak_bytes"]) for told in parts)
        cut = self.reason == "cancelled" or any(told["reason"] == "cancelled" for told in parts)
        if cut and self.failure is None:
            self.reason = "cancelled"
        self.lost = len(parts) < self.machines and self.failure is None and not os.path.exists("cancel")
        if self.lost:
            missing = [name for n, name in enumerate(self.hosts) if n not in self.told]
            print(f"no word from {', '.join(missing) or 'nobody'}", file=sys.stderr, flush=True)
        reason, code, number, detail = super().outcome()
        peak = {name: self.told[n]["memory_peak_bytes"] >> 20 for n, name in enumerate(self.hosts) if n in self.told}
        peaks = ", ".join(f"{name} {mib} MiB" for name, mib in peak.items())
        return reason, code, number, "; ".join(filter(None, (detail, f"memory peaks: {peaks}" if peaks else "")))


class Part(runner.Supervisor):
    """Supervises the copies on one machine."""

    def _heed(self, signalled: bool, now: float) -> None:
        super()._heed(signalled or os.path.exists(ENDING), now)


def _hosts(command: list[str], environment: dict[str, str]) -> list[str]:
    """The machines, in order; none where that cannot be told."""
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30, env=environment)
    except (OSError, subprocess.SubprocessError) as fault:
        print(f"machines not known: {fault}", file=sys.stderr, flush=True)
        return []
    return done.stdout.split()


def main(run_folder: str) -> None:
    """Supervise the copies on this machine, and leave their result."""
    os.chdir(run_folder)
    runner.prepare(locked=False)
    with open("order.json", "rb") as file:
        order = json.load(file)
    number, each, nodes = int(os.environ[order["spread"]["number"]]), int(order["spread"]["each"]), int(order["nodes"])
    copies = min(each, nodes - number * each)
    order["variables"]["SANJIN_HOSTS"] = os.environ.get("SANJIN_HOSTS", "")
    order.update(first_rank=number * each, copies=copies, streams=False)
    order["memory_bytes"] = -(-int(order["memory_bytes"]) * copies // nodes)
    if number:  # one counts what all of them leave
        order.update(kept=[], output_files=0)
    run = Part(order)
    began, reason, status, signal_number, detail = time.monotonic(), "", 0, 0, ""
    try:
        run.work()
        reason, status, signal_number, detail = run.outcome()
    except OSError as error:
        run.clear()
        reason, detail = "not_started", error.strerror or str(error)
        status = 127 if error.errno == errno.ENOENT else 126
    finally:
        run.groups.remove()
    result: dict[str, object] = {
        "reason": reason, "exit_status": status, "signal": signal_number, "detail": detail[: runner.DETAIL_MAX],
        "wall_s": time.monotonic() - began, "busy_s": run.busy_s, "memory_peak_bytes": run.meter.peak(),
        "cpu_s": max(run.meter.reaped_cpu_s, run.meter.sampled_cpu_s),
    }  # fmt: skip
    runner.write_result(result, f"{_part_file(number)}.new", os.path.abspath(_part_file(number)))
