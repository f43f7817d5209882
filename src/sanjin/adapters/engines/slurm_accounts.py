"""What a Slurm cluster's accounts (``slurmdbd``, by ``sacct`` of 22.05 and later) say of tasks that its controller has
forgotten."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence

from sanjin.adapters.engines.cluster import Seen, Tasks, TaskState

_KEEPS = re.compile(r"AccountingStorageType\s*=\s*accounting_storage/slurmdbd\s*$")
_FORM = "JobName,JobID,State,ConsumedEnergyRaw"
_ENDS = "BOOT_FAIL,CANCELLED,COMPLETED,DEADLINE,FAILED,NODE_FAIL,OUT_OF_MEMORY,PREEMPTED,REVOKED,TIMEOUT"
"""Where states are named a task is found by when it ended, otherwise by when it could begin: then one that was
cancelled while its array or a hold kept it back is not found at all."""
_BATCHES = 1000
"""Of one call, so that its words do not get too many."""
_SLACK_S = 3600.0
"""By so much the clocks of this machine and of the cluster may differ."""


class SlurmAccounts:
    """``say`` gives the lines that a command answers, and raises as :class:`sanjin.adapters.engines.cluster.Cluster`;
    ``there`` says whether a program is found; ``states`` are the ends by Slurm's names."""

    def __init__(
        self,
        say: Callable[[list[str]], list[str]],
        there: Callable[[str], bool],
        states: Mapping[str, TaskState],
    ) -> None:
        self._say, self._there, self._states = say, there, states
        self._kept: bool | None = None

    def kept(self) -> bool:
        """Whether the cluster keeps accounts, and they can be asked here; found once."""
        if self._kept is None:
            able = self._there("sacct") and self._there("scontrol")
            self._kept = able and any(map(_KEEPS.match, self._say(["scontrol", "show", "config"])))
        return self._kept

    def ended(self, batches: Sequence[str], since: float) -> Tasks:
        """The tasks of these batches that ended, as far as the accounts have it by now; none ended before ``since``,
        seconds since the epoch."""
        hours = max(int((time.time() - since + _SLACK_S) / 3600) + 1, 1)
        words = ["sacct", "--noheader", "--parsable2", "--duplicates", f"--format={_FORM}", f"--state={_ENDS}"]
        words += [f"--starttime=now-{hours}hours", "--endtime=now"]
        found = Tasks()  # duplicates: job ids begin again where a controller lost its state, and names do not
        for first in range(0, len(batches), _BATCHES):
            asked = batches[first : first + _BATCHES]
            self._read(self._say([*words, f"--name={','.join(asked)}"]), frozenset(asked), found)
        return found

    def _read(self, lines: Sequence[str], asked: frozenset[str], found: Tasks) -> None:
        """Each task has a line, and its steps one each after it: the energy stands in theirs."""
        ends: list[tuple[str, str, str, int]] = []
        for line in lines:
            name, task, state, energy = (*line.split("|"), "", "", "")[:4]
            joules = int(energy) if energy.isdecimal() else 0
            if "." not in task:
                ends.append((name, task, state, joules))
            elif ends:  # all of a machine is measured, so what steps had at the same time is not to be added up
                ends[-1] = (*ends[-1][:3], max(joules, ends[-1][3]))
        for name, task, state, joules in ends:
            if name not in asked or not state:
                continue
            # what a controller that lost its state forgot is closed as cancelled, by nobody: that was no wish
            lost = state == "CANCELLED"
            kind = TaskState.OVER if lost else self._states.get(state.split()[0], TaskState.OVER)
            told = f"{state}{' by nobody' if lost else ''}, by the accounts"
            told += f"; {joules} J measured" if joules else ""
            index = task.partition("_")[2]  # what was left of an array is ``7`` or ``7_[2-5]``, and may be cut short
            found.add(name, int(index) if index.isdecimal() else None, Seen(task=task, state=kind, said=told))
