"""A Slurm cluster through its commands (22.05 and later): sbatch, squeue, scancel, sinfo and scontrol."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sanjin.adapters.engines.cluster import (
    Accounts,
    ClusterAway,
    ClusterRefused,
    Machine,
    Seen,
    Shape,
    Spread,
    Tasks,
    TaskState,
)
from sanjin.adapters.engines.slurm_accounts import SlurmAccounts
from sanjin.adapters.engines.slurm_use import (
    SlurmJob,
    SlurmMachine,
    SlurmReservation,
    cards_in,
    seconds_of,
    use_of,
)
from sanjin.model.engines import EngineSettings
from sanjin.ports import ClusterUse

_BETWEEN = "\x1f"
_OF_JOBS = {
    "state": 14, "reason": 30, "partition": 200, "starttime": 14, "endtime": 14, "timelimit": 16, "tres-alloc": 200,
    "nodelist": 800, "name": 60,
}  # fmt: skip
"""What is asked of every job in the cluster, and how many bytes of it, since no sign can stand between; the name may
be of letters of several bytes, so it is last."""
_KEPT = re.compile(r"StartTime=(\d+) EndTime=(\d+) .*?\bNodes=(\S+)")
_ANSWER_S = 60.0
"""Seconds that a command may take: Slurm's own tell after some ten that the controller is away."""
AWAY = re.compile(
    r"Unable to contact slurm controller|Connection refused|Connection timed out|Socket timed out|Zero Bytes"
    r"|backup controller|configuration source"
    r"|Unable to establish|Protocol authentication error|slurm_receive_msg|Resource temporarily",
    re.IGNORECASE,
)


STATES = {
    "PENDING": TaskState.WAITS,
    "BOOT_FAIL": TaskState.OVER,
    "COMPLETED": TaskState.OVER,
    "LAUNCH_FAILED": TaskState.OVER,
    "NODE_FAIL": TaskState.OVER,
    "PREEMPTED": TaskState.OVER,
    "REVOKED": TaskState.OVER,
    "TIMEOUT": TaskState.TIME_LIMIT,
    "OUT_OF_MEMORY": TaskState.MEMORY_LIMIT,
    "CANCELLED": TaskState.CANCELLED,
    "DEADLINE": TaskState.FAILED,
    "FAILED": TaskState.FAILED,
    "RECONFIG_FAIL": TaskState.FAILED,
}
"""Of ``squeue``'s ``%T``; what is not here may still change."""


class SlurmCluster:
    """The commands of Slurm, which must be in ``PATH``. Every call is one process, however many tasks it is about."""

    name = "slurm"
    batch_max = 1000
    """Slurm's ``MaxArraySize`` is 1001 where nobody set it."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        keep = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        self._environment = {"LANG": "C.UTF-8", "SLURM_TIME_FORMAT": "%s", **keep}
        if settings.conf:
            self._environment["SLURM_CONF"] = settings.conf
        self.accounts: Accounts | None = SlurmAccounts(self._say, self._there, STATES)

    def submit(self, batch: str, count: int, shape: Shape, script: Sequence[str], folder: Path) -> None:
        """Submit a job array, or a job where it is one: Slurm looks at arrays once a second, and at a job at once."""
        s = self._settings
        # our few variables are passed on, and end at the supervisor: to export none costs Slurm 22.05 most of its speed
        words = ["sbatch", "--parsable", "--quiet", f"--job-name={batch}"]
        words += [f"--array=0-{count - 1}"] if count > 1 else []
        words += ["--output=/dev/null", "--error=/dev/null", "--no-requeue", f"--chdir={folder}"]
        words += [f"--nodes={shape.machines}", f"--ntasks={shape.machines}", "--ntasks-per-node=1"]
        words += [f"--cpus-per-task={shape.cores}", f"--mem={shape.memory_mib}"]
        words += [f"--time={shape.minutes}"] if shape.minutes else []
        words += [f"--gres={s.gres}:{shape.cards}"] if shape.cards else []
        for option, value in (("partition", s.partition), ("account", s.account), ("qos", s.qos)):
            words += [f"--{option}={value}"] if value else []
        self._say([*words, *script, *(["0"] if count == 1 else [])])

    def tasks(self, prefix: str) -> Tasks:
        """All tasks that the cluster remembers. The rest of a cancelled array is one line, without an index."""
        form = _BETWEEN.join(("%j", "%K", "%i", "%T", "%r"))
        found = Tasks()
        for line in self._say(["squeue", "--me", "--noheader", "--array", "--states=all", f"--format={form}"]):
            parts = line.split(_BETWEEN)
            if len(parts) == 5 and parts[0].startswith(prefix):  # the user may have work of other names, of any form
                batch, index, task, state, reason = parts
                said = f"{state} ({reason})" if reason not in ("", "None") else state
                seen = Seen(task=task, state=STATES.get(state, TaskState.LIVES), said=said)
                found.add(batch, int(index) if index.isdecimal() else None, seen)
        return found

    def cancel_waiting(self, tasks: Sequence[str]) -> None:
        """End these where they have not begun."""
        for first in range(0, len(tasks), self.batch_max):
            self._say(["scancel", "--quiet", "--state=PENDING", *tasks[first : first + self.batch_max]])

    def largest(self) -> Machine:
        """The largest machine of the partition, by cores."""
        found = [Machine(cores=m.cores, memory_mib=m.memory_mib, cards=m.cards) for m in self._machines()[1]]
        return largest_of(found, self._settings.partition)

    def _machines(self) -> tuple[str, list[SlurmMachine]]:
        """The partition that work goes to, and its machines."""
        form = _BETWEEN.join(("%P", "%N", "%c", "%m", "%G", "%T"))
        words = ["sinfo", "--noheader", "--noconvert", "--Node", f"--format={form}"]
        words += [f"--partition={self._settings.partition}"] if self._settings.partition else []
        found: dict[str, SlurmMachine] = {}
        name = self._settings.partition
        for line in self._say(words):
            partition, machine, cores, memory, cards, state = line.split(_BETWEEN)
            if self._settings.partition or partition.endswith("*"):  # the default one
                name = partition.rstrip("*")
                count = cards_in(cards, self._settings.gres)
                found[machine] = SlurmMachine(machine, int(cores.rstrip("+")), int(memory.rstrip("+")), count, state)
        return name, list(found.values())

    def use(self, ours: Callable[[str], bool], held: Shape) -> ClusterUse:
        """From the machines, all jobs that run or wait, and the reservations: three calls."""
        partition, machines = self._machines()
        form = ",".join(f"{field}:{width}" for field, width in _OF_JOBS.items())
        states = "--states=RUNNING,COMPLETING,CONFIGURING,SUSPENDED,PENDING"
        lines = self._say(["squeue", "--noheader", "--array", "--all", states, f"--Format={form}"])
        kept = [
            SlurmReservation(found[3], float(found[1]), float(found[2]))
            for line in self._say(["scontrol", "--oneliner", "show", "reservation"])
            if (found := _KEPT.search(line))
        ]
        return use_of(time.time(), partition, machines, map(_job_in, lines), kept, ours, self._settings.gres)

    def spread(self, shape: Shape) -> Spread | None:
        """By ``srun``, one task a machine. What they print is the run's; that one fails says that it was lost, since
        what fails of the work they tell by themselves: then all are to end."""
        count = shape.machines
        words = ["srun", "--quiet", f"--nodes={count}", f"--ntasks={count}", "--ntasks-per-node=1", "--mpi=none"]
        words += [f"--cpus-per-task={shape.cores}", "--kill-on-bad-exit=1", "--wait=0", "--input=none"]
        return Spread(tuple(words), ("scontrol", "show", "hostnames"), "SLURM_PROCID")

    def passes(self, sandbox: str) -> dict[str, str]:
        """None."""
        return {}

    def _there(self, program: str) -> bool:
        """Whether a program is found as the commands are."""
        return shutil.which(program, path=self._environment.get("PATH")) is not None

    def _say(self, words: list[str]) -> list[str]:
        """The lines that a command answers."""
        try:
            done = subprocess.run(
                words, check=False, capture_output=True, encoding="utf-8", errors="replace", timeout=_ANSWER_S,
                env=self._environment, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ClusterAway(f"{words[0]} did not answer within {_ANSWER_S:.0f} s") from None
        except OSError as error:
            raise ClusterAway(f"{words[0]}: {error.strerror}") from error
        if done.returncode:
            said = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
            raise (ClusterAway if AWAY.search(said) else ClusterRefused)(f"{words[0]}: {said}")
        return [line for line in done.stdout.split("\n") if line]


def largest_of(machines: Sequence[Machine], partition: str) -> Machine:
    """The largest of a partition's machines. Raises :class:`ClusterRefused` where it has none."""
    if not machines:
        raise ClusterRefused(f"partition {partition or '(default)'} has no machine")
    best = max(machines, key=lambda m: (m.cores, m.memory_mib, m.cards))
    return replace(best, count=machines.count(best))


def _job_in(line: str) -> SlurmJob:
    """A job of the queue, from its line."""
    said: dict[str, str] = {}
    for field, width in _OF_JOBS.items():
        said[field], line = line[:width].strip(), line[width:]
    start_s, end_s = (float(said[at]) if said[at].isdecimal() else 0.0 for at in ("starttime", "endtime"))
    return SlurmJob(
        name=said["name"], waits=said["state"] == "PENDING", reason=said["reason"], start_s=start_s, end_s=end_s,
        partitions=tuple(said["partition"].split(",")), limit_s=seconds_of(said["timelimit"]),
        tres=said["tres-alloc"], machines=said["nodelist"],
    )  # fmt: skip
