"""A Slurm cluster through ``slurmrestd`` (22.05 and later), on a unix socket or by HTTP with a token."""

from __future__ import annotations

import os
import pwd
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from shutil import which
from typing import Any, cast

import httpx

from sanjin.adapters.engines.cluster import ClusterAway, ClusterRefused, Machine, Seen, Shape, Tasks, TaskState
from sanjin.adapters.engines.slurm import AWAY, STATES, SlurmCluster, largest_of
from sanjin.adapters.engines.slurm_use import cards_in
from sanjin.adapters.engines.token_file import token_in
from sanjin.model.catalogue import problem
from sanjin.model.engines import EngineSettings
from sanjin.model.errors import ProblemsFound, SanjinError

SPOKEN = range(38, 44)
"""Versions of the API that are spoken here: v0.0.38 of Slurm 22.05 to v0.0.43 of 25.05."""
_PATH = re.compile(r"/slurm/v0\.0\.(\d+)/")
_PART = re.compile(r"(?:^|(?<=,))(\d+)(?:-(\d+)(?::(\d+))?)?(?=,|$)")
"""A part of a list of indices, between commas."""
_ANSWER_S = 60.0
"""Seconds that an answer may take: slurmrestd tells after some ten that the controller is away."""
_TEXT_MAX = 300
_REFUSALS = (range(2000, 3000), range(9000, 10000))
"""Numbers of Slurm's errors that say that a request cannot be met, or read; others, that somebody did not answer.
Source: slurm/slurm_errno.h."""
_USED = ("sinfo", "squeue", "scontrol")
"""Commands that what others have is learnt by."""


class SlurmRestCluster(SlurmCluster):
    """Submits, lists and ends tasks through slurmrestd at ``settings.rest``; what others have of the cluster is still
    asked of Slurm's commands. A token's file is read at every call, since tokens end and are renewed.

    Raises ProblemsFound where the token's file is missing, empty or open to others, and where the cluster is shared and
    the commands are not there.
    """

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self.accounts = None  # they are asked by commands, which this way does without
        if settings.token_file:
            token_in(settings.token_file)
        if settings.shared_s and not all(map(which, _USED)):
            raise ProblemsFound([problem("rest_shared", "shared_s", value=", ".join(_USED))])
        self._socket = settings.rest.removeprefix("unix:") if settings.rest.startswith("unix:") else ""
        # slurmrestd may be started anew between two calls: no connection is kept
        transport = httpx.HTTPTransport(uds=self._socket or None, limits=httpx.Limits(max_keepalive_connections=0))
        base = "http://localhost" if self._socket else settings.rest
        self._client = httpx.Client(transport=transport, base_url=base, timeout=_ANSWER_S, trust_env=False)
        self._version = 0

    def version(self) -> str:
        """The newest version of the API that the server and we speak, as ``v0.0.38``; found once.

        Raises :class:`ClusterRefused` where there is none, and where the server would begin work as another user.
        """
        if not self._version:
            self._check_owner()
            paths = self._ask("GET", "/openapi/v3").get("paths")
            offered = {int(found[1]) for path in dict(paths or {}) if (found := _PATH.match(path))}
            if not offered & set(SPOKEN):
                told = ", ".join(f"v0.0.{n}" for n in sorted(offered)) or "none"
                spoken = f"v0.0.{SPOKEN[0]} to v0.0.{SPOKEN[-1]}"
                raise ClusterRefused(f"slurmrestd: it speaks {told} of the slurm API, and {spoken} are spoken here")
            self._version = max(offered & set(SPOKEN))
        return f"v0.0.{self._version}"

    def _check_owner(self) -> None:
        """Without a token slurmrestd begins work as its own user, who owns the socket."""
        if self._socket and not self._settings.token_file:
            with suppress(OSError):  # asking it tells what is wrong
                owner = os.stat(self._socket).st_uid
                if owner != os.geteuid():
                    raise ClusterRefused(
                        f"slurmrestd: {self._socket} is of user {owner}, as whom work would run, and this node is of "
                        f"{os.geteuid()}: start it as the node's user, or name a token_file"
                    )

    def submit(self, batch: str, count: int, shape: Shape, script: Sequence[str], folder: Path) -> None:
        """Submit a job array, or a job where it is one. The words go into the script: slurmrestd 22.05 dies of
        ``argv``."""
        version = self.version()
        words = shlex.join([*script[1:], *(["0"] if count == 1 else [])])
        text = f"#!/bin/sh\nset -- {words}\n{Path(script[0]).read_text(encoding='utf-8')}"
        said = self._post(f"/slurm/{version}/job/submit", self._job(batch, count, shape, text, folder))
        if not said.get("job_id"):
            raise ClusterAway("slurmrestd: it named no job")

    def _job(self, batch: str, count: int, shape: Shape, text: str, folder: Path) -> dict[str, Any]:
        """What is asked for, as the version found has it."""
        s, environment = self._settings, {k: v for k, v in self._environment.items() if not k.startswith("SLURM_")}
        job: dict[str, Any] = {
            "name": batch, "current_working_directory": str(folder),
            "standard_output": "/dev/null", "standard_error": "/dev/null",
            "tasks": shape.machines, "tasks_per_node": 1, "cpus_per_task": shape.cores,
            "memory_per_node": shape.memory_mib,
        }  # fmt: skip
        job |= {"array": f"0-{count - 1}"} if count > 1 else {}
        job |= {"time_limit": shape.minutes} if shape.minutes else {}
        job |= {k: v for k, v in (("partition", s.partition), ("account", s.account), ("qos", s.qos)) if v}
        cards = f"{s.gres}:{shape.cards}"
        if self._version == 38:
            job |= {"nodes": [shape.machines, shape.machines], "environment": environment, "no_requeue": True}
            return {"script": text, "job": job | ({"gres": cards} if shape.cards else {})}
        job |= {
            "script": text, "environment": [f"{k}={v}" for k, v in environment.items()], "requeue": False,
            "minimum_nodes": shape.machines, "maximum_nodes": shape.machines,
            "minimum_cpus": shape.machines * shape.cores, "minimum_cpus_per_node": shape.cores,
        }  # fmt: skip
        sign = ":" if self._version == 39 else "/"
        return {"job": job | ({"tres_per_node": f"gres{sign}{cards}"} if shape.cards else {})}

    def tasks(self, prefix: str) -> Tasks:
        """All tasks of this user that the cluster remembers. What waits of an array is one entry, as is what was
        cancelled of it."""
        found, own = Tasks(), os.geteuid()
        jobs = [j for j in self._list("jobs") if str(j.get("name")).startswith(prefix) and j.get("user_id") == own]
        for job in sorted(jobs, key=lambda j: _number(j.get("array_task_id")) is not None):  # what has an entry of
            state, said = _state_of(job)  # its own comes last: nothing else is true of it
            for index, task in _tasks_in(job, self.batch_max):
                found.add(str(job["name"]), index, Seen(task=task, state=state, said=said))
        return found

    def cancel_waiting(self, tasks: Sequence[str]) -> None:
        """End these where they have not begun. The API ends what runs as well; so all are held first, and those ended
        that wait then."""
        version = self.version()
        for task in tasks:  # what it answers is of no use: v0.0.38 calls a task of an array that it held a failure
            with suppress(ClusterRefused):
                self._ask("POST", f"/slurm/{version}/job/{task}", {"hold": True})
        waiting = [job for job in self._list("jobs") if _state_of(job)[0] is TaskState.WAITS]
        for task in {task for job in waiting for _, task in _tasks_in(job, 0)} & set(tasks):
            with suppress(ClusterRefused):  # it is over by now
                self._ask("DELETE", f"/slurm/{version}/job/{task}")

    def largest(self) -> Machine:
        """The largest machine of the partition, by cores."""
        name, gres = self._settings.partition or self._default(), self._settings.gres
        found = [
            Machine(
                cores=int(node["cpus"]), memory_mib=int(node["real_memory"]), cards=cards_in(str(node["gres"]), gres)
            )
            for node in self._list("nodes", ("cpus", "real_memory", "gres", "partitions"))
            if name in node["partitions"]
        ]
        return largest_of(found, self._settings.partition)

    def _default(self) -> str:
        """The partition that work goes to where none is named."""
        for each in self._list("partitions", ("name",)):
            if any(str(flag).lower() == "default" for flag in each.get("flags") or ()):
                return str(each["name"])
        raise ClusterRefused(f"slurmrestd: {self.version()} names no default partition: set partition for the site")

    def _list(self, what: str, needed: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The list of that name, of entries that have what is needed."""
        said = self._ask("GET", f"/slurm/{self.version()}/{what}")
        found: list[dict[str, Any]] = said.get(what) or []
        if said.get("errors") and not found:
            raise _fault(200, said, "")
        if what not in said or any(key not in each for each in found for key in needed):
            raise ClusterAway(f"slurmrestd: {what} answers nothing that can be read")
        return found

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a submission: errors that come with a job are warnings."""
        said = self._ask("POST", path, body)
        if said.get("errors") and not said.get("job_id"):
            raise _fault(200, said, "")
        return said

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer, where its status is a good one. No text of a fault holds the token: it is in a header alone."""
        headers: dict[str, str] = {}
        if self._settings.token_file:
            try:
                token = token_in(self._settings.token_file)
            except SanjinError as fault:
                raise ClusterAway(str(fault)) from None
            headers = {"X-SLURM-USER-NAME": _user(), "X-SLURM-USER-TOKEN": token}
        try:
            answer = self._client.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as fault:
            raise ClusterAway(f"slurmrestd: {str(fault) or type(fault).__name__}") from fault
        said: Any = None
        with suppress(ValueError):
            said = answer.json()
        if answer.is_success and isinstance(said, dict):
            return cast("dict[str, Any]", said)
        if answer.status_code == 404:
            self._version = 0  # it may be another by now
        raise _fault(answer.status_code, said, answer.text)


def _fault(status: int, said: Any, text: str) -> ClusterAway | ClusterRefused:
    """What an answer says that is none: in its list of errors, or as plain text."""
    parts: list[str] = []
    numbers: list[int] = []
    errors: list[dict[str, Any]] = cast("dict[str, Any]", said).get("errors") or [] if isinstance(said, dict) else []
    for error in errors:
        parts.append(" ".join(str(error[k]) for k in ("description", "error") if error.get(k)))
        numbers += [int(error[k]) for k in ("error_number", "error_code", "errno") if isinstance(error.get(k), int)]
    told = "; ".join(dict.fromkeys(filter(None, parts))) or " ".join(text.split()) or f"status {status}"
    refused = status == 400 or any(n in kind for n in numbers for kind in _REFUSALS)
    kind = ClusterRefused if refused and not AWAY.search(told) else ClusterAway
    return kind(f"slurmrestd: {told[:_TEXT_MAX]}")


def _state_of(job: dict[str, Any]) -> tuple[TaskState, str]:
    """A job's state, and in Slurm's words. From v0.0.40 on it is a list: a state, and what is done about it now."""
    told = job.get("job_state")
    names = [str(each) for each in cast("list[object]", told)] if isinstance(told, list) else [str(told)]
    states = [STATES.get(name, TaskState.LIVES) for name in names]
    state = TaskState.LIVES if TaskState.LIVES in states else states[0] if states else TaskState.LIVES
    reason = str(job.get("state_reason") or "")
    words = "+".join(names)
    return state, f"{words} ({reason})" if reason not in ("", "None") else words


def _number(value: Any) -> int | None:
    """A number that may be none: from v0.0.39 on it is in ``number``, where ``set``."""
    if isinstance(value, dict):
        said = cast("dict[str, Any]", value)
        return _number(said.get("number")) if said.get("set") else None
    return value if isinstance(value, int) else None


def _tasks_in(job: dict[str, Any], most: int) -> list[tuple[int | None, str]]:
    """The tasks that an entry of the list of jobs is about, by index and name: one, or what is left of an array."""
    array, index = _number(job.get("array_job_id")) or 0, _number(job.get("array_task_id"))
    if not array:
        return [(None, str(job.get("job_id")))]
    indices = _indices(str(job.get("array_task_string") or ""), most) if index is None else {index}
    return [(each, f"{array}_{each}") for each in indices]


def _indices(text: str, most: int) -> set[int]:
    """The indices that ``0,3-7,10-20:5%5`` names. Slurm cuts a long list short, and ends it in ``...``: after that all
    up to ``most`` may be there."""
    found = set[int]()
    for low, high, step in _PART.findall(text.partition("%")[0]):
        found.update(range(int(low), int(high or low) + 1, int(step or 1)))
    return found | set(range(max(found, default=-1) + 1, most)) if "..." in text else found


def _user() -> str:
    """The name of this process's user. Raises :class:`ClusterAway` where it has none."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise ClusterAway(f"slurmrestd: user {os.geteuid()} of this process has no name") from None
