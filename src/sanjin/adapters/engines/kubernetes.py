"""A Kubernetes cluster through its API (batch/v1 Jobs), spoken to with lightkube: one namespace, and the list of nodes.

Runs that ask for the same are the indexes of one Indexed Job, where the server keeps each to itself
(``backoffLimitPerIndex``, since 1.29 as a rule); elsewhere, and in a queue of Kueue's, which lets a Job in whole, each
run is a Job. Which it is is asked of the server, by a dry run whose answer lacks what the server does not know.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

import httpx2
import msgspec
import yaml
from lightkube import ApiError, Client
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.config.models import User
from lightkube.core.exceptions import ConfigError
from lightkube.operators import not_equal
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Node, Pod
from lightkube.types import CascadeType

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
from sanjin.model.catalogue import problem
from sanjin.model.engines import EngineSettings
from sanjin.model.errors import ProblemsFound
from sanjin.ports import ClusterUse

_log = logging.getLogger("sanjin.engines")
_T = TypeVar("_T")

_ANSWER_S = 30.0
"""Seconds that an answer may take."""
KEEP_S = 300.0
"""Seconds that a Job which is over stays: longer than the lack of a result is waited for."""
_SWEEP_S = 1.0
"""Seconds that a look may spend on removing Jobs that the server does not remove itself."""
_PAGE = 500
"""Objects of one page of a list."""
_TEXT_MAX = 300
_OWNER, _BATCH, _INDEX = "sanjin/owner", "sanjin/batch", "sanjin/index"
"""Labels of Jobs and their pods. By the first, others in the same namespace are left alone."""
_COMPLETION = "batch.kubernetes.io/job-completion-index"
_CARD = "nvidia.com/gpu"
_QUEUE = "kueue.x-k8s.io/queue-name"
_REFUSED = {400, 413, 422}
"""Of HTTP's status: what is asked is wrong, or too much, and would be again. Of others (401, 403 and 404 too: rights,
quotas and namespaces may come) it may be taken later."""
_KILLED = {137, 143}
"""Exit statuses of what was killed or asked to end from outside."""
_STUCK = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError"}
"""Why a container waits that nobody but a person helps."""
_QUANTITY = re.compile(r"([0-9.]+(?:[eE][+-]?\d+)?)(m|k|Ki|[MGTPE]i?)?")
_UNITS = {
    **{"": 1.0, "m": 1e-3, "k": 1e3, "Ki": 2.0**10},
    **{unit: 10.0 ** (3 * n) for n, unit in enumerate("MGTPE", 2)},
    **{f"{unit}i": 2.0 ** (10 * n) for n, unit in enumerate("MGTPE", 2)},
}


class _Knows(NamedTuple):
    """What the server knows of Jobs."""

    indexes: bool
    suspends: bool


class _Taken(ClusterRefused):
    """There is one of this name: what was asked for before, since names are made up anew for each batch."""


class KubernetesCluster:
    """The cluster that ``settings.kubeconfig`` leads to, or the one around this process where that is empty.

    Raises ProblemsFound where the way there cannot be read, is open to others or is not encrypted.
    """

    name = "kubernetes"
    accounts = None
    batch_max = 100
    """Where each task is a Job and so a call, more would be sent again when an answer is lost."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        config = _config(settings)
        try:
            self._client = Client(config, timeout=httpx2.Timeout(_ANSWER_S), trust_env=False)
        except (ConfigError, OSError, ValueError) as fault:  # of certificates; their text may be part of it
            raise _unreadable(settings, type(fault).__name__) from None
        self._card = settings.card or _CARD
        self._namespace = settings.namespace or config.namespace
        self._owner = hashlib.sha256(settings.folder.encode()).hexdigest()[:32]
        self._guard = threading.Lock()
        self._knows: _Knows | None = None
        self._ended = set[str]()  # tasks of Indexed Jobs that were to end before they began
        self._over_s: dict[str, float] = {}  # since when a Job is known to be over, monotonic seconds
        self._stuck = set[str]()  # of what was warned

    # -- submitting ------------------------------------------------------------------------

    def submit(self, batch: str, count: int, shape: Shape, script: Sequence[str], folder: Path) -> None:
        """Submit a Job of so many indexes, or so many Jobs. A lost answer is asked for again: the names are the same,
        and the server takes none twice."""
        script = ["sh", *shared_script(script, folder)]
        if count > 1 or self._settings.queue:
            knows = self._learn(self._job(batch, None, count, shape, script, folder))
            if self._settings.queue and not knows.suspends:
                raise ClusterRefused("the server suspends no Jobs (Kubernetes 1.22 and later do): no queue of Kueue's")
            if count > 1 and knows.indexes and not self._settings.queue:
                self._create(self._job(batch, None, count, shape, script, folder))
                return
        for index in range(count):
            try:
                self._create(self._job(f"{batch}-{index}", index, 1, shape, script, folder, batch))
            except ClusterRefused as refused:
                if index == 0:
                    raise
                raise ClusterAway(str(refused)) from refused  # it took some: all are sent again, once it takes more

    def _learn(self, job: Job) -> _Knows:
        """What the server knows, by its answer to a Job that is not kept."""
        if self._knows is None:
            spec = self._say(lambda: self._client.create(job, namespace=self._namespace, dry_run=True)).spec
            apart = spec is not None and (spec.completionMode, spec.backoffLimitPerIndex) == ("Indexed", 0)
            self._knows = _Knows(indexes=apart, suspends=spec is not None and spec.suspend is not None)
        return self._knows

    def _create(self, job: Job) -> None:
        for last in (False, True):
            try:
                self._say(lambda: self._client.create(job, namespace=self._namespace))
                return
            except _Taken:
                return
            except ClusterAway:
                if last:
                    raise

    def _job(
        self, name: str, index: int | None, count: int, shape: Shape, script: list[str], folder: Path, batch: str = ""
    ) -> Job:
        """One task, or without an index all of them."""
        labels = {_OWNER: self._owner, _BATCH: batch or name} | ({} if index is None else {_INDEX: str(index)})
        number: dict[str, Any] = {"value": str(index)}
        spec: dict[str, Any] = {"backoffLimit": 0}
        if index is None:  # a task that fails, or whose machine is lost, must not take the others with it
            number = {"valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{_COMPLETION}']"}}}
            spec = {"completionMode": "Indexed", "completions": count, "parallelism": count, "backoffLimitPerIndex": 0}
        queue = self._settings.queue
        spec |= {"ttlSecondsAfterFinished": int(KEEP_S), "suspend": bool(queue)}
        spec["template"] = {"metadata": {"labels": labels}, "spec": self._pod(number, shape, script, folder)}
        metadata = {"name": name, "labels": labels | ({_QUEUE: queue} if queue else {})}
        return msgspec.convert({"metadata": metadata, "spec": spec}, Job)

    def _pod(self, number: dict[str, Any], shape: Shape, script: list[str], folder: Path) -> dict[str, Any]:
        """The pod of a task: the node's user, no rights beyond it, and nothing of the disk but its site's folder and,
        to read, the folder of data."""
        s, user = self._settings, os.geteuid()
        asked = {"cpu": str(shape.cores), "memory": f"{shape.memory_mib}Mi"}
        asked |= {self._card: str(shape.cards)} if shape.cards else {}
        below = str(folder.relative_to(s.folder)) if s.folder and s.claim else ""
        volumes = [_volume("runs", str(folder), s.claim)]
        mounts: list[dict[str, Any]] = [{"name": "runs", "mountPath": str(folder), "subPath": below}]
        if s.data:
            volumes.append(_volume("data", s.data, s.data_claim))
            mounts.append({"name": "data", "mountPath": s.data, "readOnly": True})
        container = {
            "name": "run",
            "image": s.image,
            "command": script,
            "env": [{"name": "SANJIN_TASK", **number}, {"name": "SANJIN_TERM", "value": "interrupts"}],
            "resources": {"requests": asked, "limits": asked},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": mounts,
        }
        within = {"runAsUser": user, "runAsGroup": os.getegid(), "runAsNonRoot": user != 0}
        pod: dict[str, Any] = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {**within, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": volumes,
        }
        if s.service_account:
            pod["serviceAccountName"] = s.service_account
        if shape.minutes:  # the pod's and not the Job's, which would count what it waits too
            pod["activeDeadlineSeconds"] = shape.minutes * 60
        return pod

    # -- looking ---------------------------------------------------------------------------

    def tasks(self, prefix: str) -> Tasks:
        """All tasks that the cluster remembers. Two lists, however many they are: the Jobs, and the pods that do not
        run. Jobs that were over long ago are removed, where the server does not do it."""
        mine = {_OWNER: self._owner}
        jobs = self._list(Job, mine)
        pods = _by_task(self._list(Pod, mine, {"status.phase": not_equal("Running")}))
        found, over, names = Tasks(), list[str](), set[str]()
        for job in jobs:
            batch, name, spec = _label(job, _BATCH), _name(job), job.spec
            if not batch.startswith(prefix) or spec is None:
                continue
            index = _label(job, _INDEX)
            indexes = [int(index)] if index.isdecimal() else range(spec.completions or 0)
            of_index = _Indexes(job)
            for one in indexes:
                pod = pods.get((batch, one))
                state, said = of_index.state(None if index else one, pod)
                task = name if index else f"{name}/{one}/{_name(pod) if pod else ''}"
                if not index and state is TaskState.WAITS and f"{name}/{one}" in self._ended:
                    state = TaskState.CANCELLED
                self._warn(pod)
                found.add(batch, one, Seen(task=task, state=state, said=said))
            names.add(name)
            if of_index.ended and spec.ttlSecondsAfterFinished is None:
                over.append(name)
        with self._guard:
            self._ended = {task for task in self._ended if task.partition("/")[0] in names}
            self._over_s = {name: self._over_s.get(name, time.monotonic()) for name in over}
            old = [name for name, since_s in self._over_s.items() if since_s <= time.monotonic() - KEEP_S]
        self._sweep(old)
        return found

    def _warn(self, pod: Pod | None) -> None:
        """Say once what keeps a pod from ever starting."""
        why = _waits_for(pod) if pod is not None and _phase(pod) == "Pending" else ""
        if why.partition(":")[0] in _STUCK and why not in self._stuck:
            self._stuck.add(why)
            _log.warning("%s: a pod cannot start: %s", self.name, why)

    def _sweep(self, names: Sequence[str]) -> None:
        """Remove these Jobs, as many as there is time for."""
        end_s = time.monotonic() + _SWEEP_S
        for name in names:
            if time.monotonic() > end_s:
                return
            try:
                self._delete(Job, name)
            except (ClusterAway, ClusterRefused):
                return  # it is asked again at the next look

    def cancel_waiting(self, tasks: Sequence[str]) -> None:
        """Delete these. Of an Indexed Job it is the pod, which is not made again; where it has none yet, its run finds
        itself ended once it begins."""
        for task in tasks:
            job, _, rest = task.partition("/")
            index, _, pod = rest.partition("/")
            if not index:
                self._delete(Job, job)
                continue
            if pod:
                self._delete(Pod, pod)
            with self._guard:
                self._ended.add(f"{job}/{index}")

    def use(self, ours: Callable[[str], bool], held: Shape) -> ClusterUse:
        """Not told: the account has rights in its own namespace alone. Raises ClusterRefused."""
        raise ClusterRefused("what others have of a Kubernetes cluster is not looked at")

    def spread(self, shape: Shape) -> Spread | None:
        """None: a run is one pod, which is on one machine."""
        return None

    def largest(self) -> Machine:
        """The largest machine that is ready and takes any work, by cores. Raises :class:`ClusterAway` where there is
        none: a cluster that grows may have some later."""
        found: list[Machine] = []
        for node in self._list(Node):
            status, spec = node.status, node.spec
            ready = any(c.type == "Ready" and c.status == "True" for c in (status and status.conditions) or ())
            kept = spec is not None and any(t.effect != "PreferNoSchedule" for t in spec.taints or ())
            if status is None or not ready or kept or (spec is not None and spec.unschedulable):
                continue
            has = cast(dict[str, str], status.allocatable or {})
            cores, memory, cards = (quantity(has.get(key, "0")) for key in ("cpu", "memory", self._card))
            found.append(Machine(cores=int(cores), memory_mib=int(memory) >> 20, cards=int(cards)))
        largest = max(found, key=lambda m: (m.cores, m.memory_mib), default=None)
        if largest is None or largest.cores == 0:
            raise ClusterAway("kubernetes: no machine is ready for work")
        return largest

    def passes(self, sandbox: str) -> dict[str, str]:
        """None."""
        return {}

    # -- calls -----------------------------------------------------------------------------

    def _list(self, kind: Any, labels: Mapping[str, str] | None = None, fields: Any = None) -> list[Any]:
        within: dict[str, Any] = {} if kind is Node else {"namespace": self._namespace}
        if labels:
            within["labels"] = labels
        if fields:
            within["fields"] = fields
        ask: Callable[..., Iterable[Any]] = cast(Any, self._client).list
        return self._say(lambda: list(ask(kind, chunk_size=_PAGE, **within)))

    def _delete(self, kind: Any, name: str) -> None:
        """Delete it, with what it made. That it is gone already is as good."""

        def delete() -> None:
            try:
                self._client.delete(kind, name, namespace=self._namespace, cascade=CascadeType.BACKGROUND)
            except ApiError as fault:
                if fault.response.status_code != 404:
                    raise

        self._say(delete)

    def _say(self, what: Callable[[], _T]) -> _T:
        """The answer, where it is a good one. No text of a fault holds a token: those are in headers alone."""
        try:
            return what()
        except httpx2.HTTPStatusError as fault:
            status = fault.response.status_code
            told = (fault.status.message if isinstance(fault, ApiError) else "") or fault.response.reason_phrase
            if status == 409 and isinstance(fault, ApiError) and fault.status.reason == "AlreadyExists":
                raise _Taken(told) from None
            refused = status in _REFUSED
            raise (ClusterRefused if refused else ClusterAway)(f"kubernetes: {status} {told[:_TEXT_MAX]}") from None
        except httpx2.HTTPError as fault:
            raise ClusterAway(f"kubernetes: {str(fault) or type(fault).__name__}") from fault
        except ConfigError:  # the command or the file that gives the token; what it said may be one
            raise ClusterAway("kubernetes: the credentials of the kubeconfig cannot be had") from None
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError) as fault:
            where = f": {fault}" if isinstance(fault, msgspec.ValidationError) else ""  # it names places, not values
            raise ClusterAway(f"kubernetes: the answer is none of an API server's{where}"[:_TEXT_MAX]) from fault


class _Indexes:
    """What a Job says of its tasks."""

    def __init__(self, job: Job) -> None:
        status = job.status
        true = [c for c in (status and status.conditions) or () if c.status == "True"]
        self.ended = next((c for c in true if c.type in ("Complete", "Failed")), None)
        self._suspended = bool(job.spec and job.spec.suspend)
        self._active = bool(status and status.active)
        self._done = _numbers(status.completedIndexes if status else None)
        self._failed = _numbers(status.failedIndexes if status else None)

    def state(self, index: int | None, pod: Pod | None) -> tuple[TaskState, str]:
        """The state of a task, in our words and the cluster's. ``index`` is none where it is the whole Job."""
        if index in self._done:
            return TaskState.OVER, "Complete"
        if index not in self._failed and self.ended is None:
            if pod is not None and _phase(pod) == "Pending":
                return TaskState.WAITS, _waits_for(pod)
            if self._suspended or not self._active:
                return TaskState.WAITS, "suspended" if self._suspended else "no pod yet"
            return TaskState.LIVES, "Running"
        if self.ended is not None and self.ended.type == "Complete":
            return TaskState.OVER, "Complete"
        if pod is not None and _phase(pod) == "Failed":
            return _failed(pod)
        reason = (self.ended.reason if self.ended else "") or "Failed"
        return TaskState.TIME_LIMIT if reason == "DeadlineExceeded" else TaskState.OVER, reason


def _failed(pod: Pod) -> tuple[TaskState, str]:
    """Why a pod failed."""
    status = pod.status
    conditions = (status and status.conditions) or ()
    reason, message = (status and status.reason) or "", (status and status.message) or ""
    if not reason and any(c.type == "DisruptionTarget" and c.status == "True" for c in conditions):
        reason = "DisruptionTarget"
    if reason:
        state = TaskState.TIME_LIMIT if reason == "DeadlineExceeded" else TaskState.OVER
        return state, f"{reason}: {message}"[:_TEXT_MAX] if message else reason
    ends = [c.state.terminated for c in (status and status.containerStatuses) or () if c.state and c.state.terminated]
    if not ends:
        return TaskState.OVER, "Failed"
    end = ends[0]
    said = f"{end.reason or 'Error'}, exit status {end.exitCode}"
    if end.reason == "OOMKilled":
        return TaskState.MEMORY_LIMIT, said
    return TaskState.OVER if end.exitCode in _KILLED else TaskState.FAILED, said


def _waits_for(pod: Pod) -> str:
    """What keeps a pod from running, as far as it says."""
    status = pod.status
    for container in (status and status.containerStatuses) or ():
        waits = container.state.waiting if container.state else None
        if waits and waits.reason:
            return f"{waits.reason}: {waits.message or ''}"[:_TEXT_MAX]
    for condition in (status and status.conditions) or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"{condition.reason or 'Pending'}: {condition.message or ''}"[:_TEXT_MAX]
    return "Pending"


def _by_task(pods: Sequence[Pod]) -> dict[tuple[str, int], Pod]:
    """Pods by batch and index. Of several of a task it is the one that waits, if any does."""
    found: dict[tuple[str, int], Pod] = {}
    for pod in pods:
        index = _label(pod, _INDEX) or _noted(pod, "annotations").get(_COMPLETION, "")
        if not index.isdecimal():
            continue
        key = _label(pod, _BATCH), int(index)
        if key not in found or _phase(pod) == "Pending":
            found[key] = pod
    return found


def _label(thing: Job | Pod, key: str) -> str:
    return _noted(thing, "labels").get(key, "")


def _noted(thing: Job | Pod, kind: str) -> dict[str, str]:
    return getattr(thing.metadata, kind, None) or {}


def _name(thing: Job | Pod) -> str:
    return (thing.metadata and thing.metadata.name) or ""


def _phase(pod: Pod) -> str:
    return (pod.status and pod.status.phase) or ""


def _numbers(text: str | None) -> set[int]:
    """Numbers as Kubernetes lists them: ``1,3-5``."""
    found: set[int] = set()
    for part in filter(None, (text or "").split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def quantity(text: str) -> float:
    """The number that a quantity of Kubernetes stands for: ``1500m`` is 1.5, ``2Ki`` 2048. Raises ValueError."""
    parts = _QUANTITY.fullmatch(text)
    if parts is None:
        raise ValueError(f"no quantity: {text}")
    return float(parts[1]) * _UNITS[parts[2] or ""]


def _volume(name: str, folder: str, claim: str) -> dict[str, Any]:
    """A volume: of a claim, or a folder that the cluster's machines have themselves."""
    if claim:
        return {"name": name, "persistentVolumeClaim": {"claimName": claim}}
    return {"name": name, "hostPath": {"path": folder, "type": "Directory"}}


def _config(settings: EngineSettings) -> SingleConfig:
    """The way to the server. Raises ProblemsFound."""
    file = settings.kubeconfig
    try:
        if file:
            mode = os.stat(file).st_mode
            if stat.S_IMODE(mode) & 0o077:
                raise ProblemsFound([problem("token_open", "kubeconfig", value=file)])
        config = KubeConfig.from_file(file) if file else KubeConfig.from_service_account()
        found = config.get(settings.context or None)
    except OSError as fault:
        raise _unreadable(settings, fault.strerror or type(fault).__name__) from None
    except (ConfigError, yaml.YAMLError, LookupError, AttributeError, TypeError, ValueError) as fault:
        # what YAML says of a fault quotes the file, which holds secrets
        raise _unreadable(settings, str(fault) if isinstance(fault, ConfigError) else type(fault).__name__) from None
    assert found is not None
    server = found.cluster.server
    parts = urlsplit(server)
    if not (_loopback(parts.hostname or "") or (parts.scheme == "https" and not found.cluster.insecure)):
        raise ProblemsFound([problem("cluster_in_the_open", "kubeconfig", value=parts.hostname or "")])
    return found if found.user is not None else found._replace(user=User())


def _unreadable(settings: EngineSettings, fault: str) -> ProblemsFound:
    if settings.kubeconfig:
        return ProblemsFound([problem("kubeconfig_unreadable", "kubeconfig", value=settings.kubeconfig, fault=fault)])
    return ProblemsFound([problem("not_in_a_cluster", "kubeconfig", fault=fault)])


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
