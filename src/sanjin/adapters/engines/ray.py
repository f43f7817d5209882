"""A Ray cluster through the job submission API of its dashboard (HTTP); Ray itself is not needed here."""

from __future__ import annotations

import re
import shlex
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from sanjin.adapters.engines.cluster import (
    ClusterAway,
    ClusterRefused,
    Machine,
    Seen,
    Shape,
    Spread,
    Tasks,
    TaskState,
    shared_script,
)
from sanjin.adapters.engines.token_file import token_in
from sanjin.model.engines import EngineSettings
from sanjin.ports import Amount, ClusterUse, Taken, TakenBy

_ANSWER_S = 30.0
"""Seconds that an answer may take: Ray itself waits up to ten for a part of it that is away."""
KEEP_S = 300.0
"""Seconds that a job which is over stays in Ray's list at least: longer than the lack of a result is waited for."""
_SWEEP_S = 1.0
"""Seconds that a look may spend on removing such jobs."""
_MACHINES_MAX = 10_000
"""Machines that Ray's API lists, at most."""
_OWNER = "sanjin_folder"
"""Says in a job's metadata whose it is: others in the same cluster are left alone."""
_TEXT_MAX = 300
_STATES = {
    "PENDING": TaskState.WAITS,
    "SUCCEEDED": TaskState.OVER,
    "STOPPED": TaskState.CANCELLED,
    "FAILED": TaskState.FAILED,
}
"""Of a job's status; what is not here may still change."""
_LOST = {
    "JOB_SUPERVISOR_ACTOR_START_TIMEOUT",  # it waited for 15 minutes: Ray lets no job wait for longer
    "JOB_SUPERVISOR_ACTOR_DIED",  # with its machine, for one
    "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE",
}
"""Of the ``error_type`` of a job that failed: ends that say nothing of the run."""
_INNER = re.compile(r"Request failed with status code (\d+)")
"""The dashboard passes a job on to another part of Ray, and a refusal from there comes as a fault of its own."""
_CLUSTER = (
    "RAY_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH",
    "CUDA_VISIBLE_DEVICES",
)  # fmt: skip


class RayCluster:
    """The dashboard at ``settings.address``. Each run is a job of Ray's, whose ``submission_id`` is batch and index.

    Raises ProblemsFound where the token's file is missing, empty or open to others.
    """

    name = "ray"
    accounts = None
    batch_max = 20
    """Each job is a call of its own: of more, too many would be sent again when an answer is lost."""

    def __init__(self, settings: EngineSettings) -> None:
        self._folder = settings.folder
        token = token_in(settings.token_file) if settings.token_file else ""
        self._client = httpx.Client(
            base_url=settings.address, headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=_ANSWER_S, trust_env=False,
        )  # fmt: skip
        self._guard = threading.Lock()
        self._ended = set[str]()  # waiting jobs that are to do nothing
        self._over_s: dict[str, float] = {}  # since when a job is known to be over, monotonic seconds

    def submit(self, batch: str, count: int, shape: Shape, script: Sequence[str], folder: Path) -> None:
        """Submit a job for each. The script is copied to the folder, which the cluster's machines share."""
        words = ["sh", *shared_script(script, folder)]
        asked: dict[str, Any] = {"entrypoint_num_cpus": shape.cores, "entrypoint_memory": shape.memory_mib << 20}
        if shape.cards:
            asked["entrypoint_num_gpus"] = shape.cards
        for index in range(count):
            job = {"submission_id": f"{batch}-{index}", "metadata": {_OWNER: self._folder}, **asked}
            job["entrypoint"] = "exec " + shlex.join([*words, str(index)])
            try:
                self._submit(job)
            except ClusterRefused as refused:
                if index == 0:
                    raise
                raise ClusterAway(str(refused)) from refused  # it took some: all are sent again, once it takes more

    def _submit(self, job: dict[str, Any]) -> None:
        """Submit a job; where the answer is lost, ask again at once: Ray takes no name twice, and says so."""
        for last in (False, True):
            try:
                self._say("POST", "/api/jobs/", job)
                return
            except ClusterRefused as refused:
                if "already exists" in str(refused):
                    return
                raise
            except ClusterAway:
                if last:
                    raise

    def tasks(self, prefix: str) -> Tasks:
        """All tasks that the cluster remembers; those of our folder that were over long ago are removed from it."""
        found = Tasks()
        listed: set[str] = set()
        over: list[str] = []
        for job in self._list("/api/jobs/"):
            name = str(job.get("submission_id") or "")  # none: a driver that nobody submitted
            batch, _, index = name.rpartition("-")
            if not batch.startswith(prefix) or not index.isdecimal():
                continue
            listed.add(name)
            seen = self._seen(name, job)
            found.add(batch, int(index), seen)
            told: dict[str, str] = job.get("metadata") or {}
            if job.get("end_time") and told.get(_OWNER) == self._folder:
                over.append(name)
        with self._guard:
            self._ended &= listed
            known_s = {name: self._over_s.get(name, time.monotonic()) for name in over}
            self._over_s = known_s
        self._sweep([name for name, since_s in known_s.items() if since_s <= time.monotonic() - KEEP_S])
        return found

    def _seen(self, name: str, job: dict[str, Any]) -> Seen:
        """What Ray says of a job."""
        status = str(job.get("status"))
        state = _STATES.get(status, TaskState.LIVES)
        if state is TaskState.FAILED and job.get("error_type") in _LOST:
            state = TaskState.OVER
        elif state is TaskState.WAITS and name in self._ended:
            state = TaskState.CANCELLED
        message = str(job.get("message") or "").strip().partition("\n")[0][:_TEXT_MAX]
        return Seen(task=name, state=state, said=f"{status}: {message}" if message else status)

    def _sweep(self, names: Sequence[str]) -> None:
        """Remove these from Ray's list, as many as there is time for."""
        end_s = time.monotonic() + _SWEEP_S
        for name in names:
            if time.monotonic() > end_s:
                return
            try:
                self._say("DELETE", f"/api/jobs/{name}")
            except (ClusterAway, ClusterRefused):
                return  # it is asked again at the next look

    def cancel_waiting(self, tasks: Sequence[str]) -> None:
        """See that these count as ended. Ray itself can end no job that waits: it keeps its place, begins when its
        turn comes, and then finds that its run has ended."""
        with self._guard:
            self._ended.update(tasks)

    def largest(self) -> Machine:
        """The largest machine that lives, by cores. Raises :class:`ClusterAway` where none has any."""
        alive = "filter_keys=state&filter_predicates=%3D&filter_values=ALIVE"
        answer = self._list(f"/api/v0/nodes?detail=true&limit={_MACHINES_MAX}&{alive}", "data", "result", "result")
        found: list[Machine] = []
        for node in answer:
            has: dict[str, float] = node.get("resources_total") or {}
            cores, memory, cards = (int(has.get(name, 0)) for name in ("CPU", "memory", "GPU"))
            found.append(Machine(cores=cores, memory_mib=memory >> 20, cards=cards))
        largest = max(found, key=lambda m: (m.cores, m.memory_mib), default=None)
        if largest is None or largest.cores == 0:
            raise ClusterAway("no machine with a core lives")
        return replace(largest, count=found.count(largest))

    def use(self, ours: Callable[[str], bool], held: Shape) -> ClusterUse:
        """From the autoscaler's report: what machines that live have, and what is in use. Ray knows of no end, and what
        waits there is not counted: nothing says whose it is, or for how long."""
        has, used = [0.0] * 3, [0.0] * 3
        answer = self._say("GET", "/api/cluster_status")
        try:
            usage: dict[str, list[float]] = answer.json()["data"]["clusterStatus"]["loadMetricsReport"]["usage"]
            for i, name in enumerate(("CPU", "memory", "GPU")):
                used[i], has[i] = usage.get(name, (0.0, 0.0))
        except (ValueError, KeyError, TypeError) as fault:
            raise ClusterAway("dashboard: /api/cluster_status answers nothing that can be read") from fault
        mine = (held.cores, held.memory_mib << 20, held.cards)
        whole, theirs, own = (
            Amount(cores=cores, memory_bytes=memory, accelerators=cards)
            for cores, memory, cards in (has, [max(u - m, 0.0) for u, m in zip(used, mine, strict=True)], mine)
        )
        now_s = time.time()
        carded = has[2] > 0
        taken = tuple(
            Taken(by=by, amount=amount, carded=carded, since=now_s)
            for by, amount in ((TakenBy.OTHERS, theirs), (TakenBy.OURS, own))
            if amount != Amount()
        )
        plain, with_cards = (Amount(), whole) if carded else (whole, Amount())
        return ClusterUse(at=now_s, plain=plain, carded=with_cards, taken=taken)

    def spread(self, shape: Shape) -> Spread | None:
        """None: a job of Ray's has one machine; work that uses Ray itself has more by its own means."""
        return None

    def passes(self, sandbox: str) -> dict[str, str]:
        """Work finds its cluster by them. In a sandbox none can be reached, and Ray says so at once: without an address
        it would begin a cluster of its own there, and with the true one it would try for minutes."""
        return dict.fromkeys(_CLUSTER, "") if sandbox == "none" else {"RAY_ADDRESS": "not-reachable-in-a-sandbox"}

    def _list(self, path: str, *keys: str) -> list[dict[str, Any]]:
        """The list in the answer to GET, below these keys."""
        answer = self._say("GET", path)
        try:
            found: Any = answer.json()
            for key in keys:
                found = found[key]
            return [dict(item) for item in found]
        except (ValueError, KeyError, TypeError) as fault:
            raise ClusterAway(f"dashboard: {path.partition('?')[0]} answers nothing that can be read") from fault

    def _say(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """The answer, where it is a good one. No text of a fault holds the token: it is in a header alone."""
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as fault:
            raise ClusterAway(f"dashboard: {str(fault) or type(fault).__name__}") from fault
        if answer.is_success:
            return answer
        inner = _INNER.search(answer.text)
        refused = 400 in (answer.status_code, int(inner[1]) if inner else 0)
        lines = [line for line in answer.text.splitlines() if line.strip(" .")]
        said = f"dashboard: {answer.status_code} {lines[-1][:_TEXT_MAX] if lines else answer.reason_phrase}"
        raise (ClusterRefused if refused else ClusterAway)(said)
