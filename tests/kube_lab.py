"""A Kubernetes cluster for tests: an API server with its Job controller, whose scheduler and kubelets are played here.

The server is the stand-in, or a real one where ``SANJIN_TEST_KUBECONFIG`` names the way there. A pod that finds room on
one of the machines is bound to it, its command runs on this machine in a session of its own, and its status is told.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from lightkube.config.kubeconfig import KubeConfig

from sanjin.model.engines import EngineKind, EngineSettings
from tests.kube_standin import FINISHED, StandIn
from tests.support import until

MACHINE_CORES, MACHINE_MIB = 16, 32_000
POLL_S = 0.05
NAMESPACE = "sanjin"
REAL = os.environ.get("SANJIN_TEST_KUBECONFIG", "")
GOING = ",".join(f"status.phase!={phase}" for phase in FINISHED)


class Api:
    """Calls of whoever is no part of the product: JSON in and out."""

    def __init__(self, kubeconfig: str, namespace: str = NAMESPACE) -> None:
        config = KubeConfig.from_file(kubeconfig).get()
        assert config is not None and config.user is not None
        headers = {"Authorization": f"Bearer {config.user.token}"}
        authority = config.cluster.certificate_auth
        verify = ssl.create_default_context(cafile=config.abs_file(authority)) if authority else False
        self._http = httpx2.Client(base_url=config.cluster.server, headers=headers, verify=verify, trust_env=False)
        self.pods = f"/api/v1/namespaces/{namespace}/pods"
        self.jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        content = None if body is None else json.dumps(body)
        answer = self._http.request(method, path, content=content, headers={"Content-Type": kind}, timeout=30)
        return answer.status_code, answer.json()


@dataclass
class Container:
    """What a kubelet runs."""

    process: subprocess.Popen[bytes]
    machine: str
    cores: int
    memory_mib: int
    deadline_s: float
    asked_s: float = 0.0
    reason: str = ""


class KubeLab:
    """``start`` brings the cluster up; ``settings`` say how to reach it."""

    def __init__(
        self, folder: Path, machines: int = 2, *, old: bool = False, kubeconfig: str = "", namespace: str = NAMESPACE
    ) -> None:
        self.standin = None if kubeconfig else StandIn(old=old)
        self.machines = [f"k{n}" for n in range(machines)]
        self.kubeconfig = Path(kubeconfig or folder / "kubeconfig")
        if self.standin is not None:
            self.kubeconfig.write_text(document(self.standin.url, self.standin.token))
            self.kubeconfig.chmod(0o600)
        self._namespace = namespace
        self.api = Api(str(self.kubeconfig), namespace)
        self.settings = EngineSettings(
            engine=EngineKind.KUBERNETES, kubeconfig=str(self.kubeconfig), namespace=namespace,
            image="played.example/python", python=sys.executable,
        )  # fmt: skip
        self.paused = False
        """Whether nothing is bound or begun."""
        self._containers: dict[str, Container] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        """Make the machines, and begin to play them."""
        if self.standin is not None:
            self.standin.start()
        else:
            self.api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": self._namespace}})
        for machine in self.machines:
            has = {"cpu": str(MACHINE_CORES), "memory": f"{MACHINE_MIB}Mi", "pods": "1000"}
            code, _ = self.api.ask("POST", "/api/v1/nodes", {"metadata": {"name": machine}})
            assert code in (201, 409)
            conditions = [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
            status = {"capacity": has, "allocatable": has, "conditions": conditions}
            self.api.ask("PATCH", f"/api/v1/nodes/{machine}/status", {"status": status})
            self.api.ask("PATCH", f"/api/v1/nodes/{machine}", {"spec": {"taints": None}})
        self._thread.start()

    def stop(self) -> None:
        """End all of it."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(20)
        for container in self._containers.values():
            container.process.kill()
        for job in self.jobs():
            self.api.ask("DELETE", f"{self.api.jobs}/{job}?propagationPolicy=Background")
        if self.standin is not None:
            self.standin.stop()

    def jobs(self) -> list[str]:
        """The names of all Jobs."""
        return [job["metadata"]["name"] for job in self.api.ask("GET", self.api.jobs)[1]["items"]]

    def pods(self, *phases: str) -> list[dict[str, Any]]:
        """The pods of these phases, or all."""
        found = self.api.ask("GET", self.api.pods)[1]["items"]
        return [pod for pod in found if not phases or pod["status"]["phase"] in phases]

    def lose(self, machine: str) -> None:
        """A machine dies: what ran there ends at once, and its pods are removed, as the node controller does."""
        for container in list(self._containers.values()):
            if container.machine == machine:
                os.kill(container.process.pid, signal.SIGKILL)
                container.reason = "lost"
        until(lambda: all(c.machine != machine for c in self._containers.values()), f"loss of {machine}")

    # -- scheduler and kubelet -------------------------------------------------------------

    def _work(self) -> None:
        while not self._closed.wait(POLL_S):
            try:
                found = self.api.ask("GET", f"{self.api.pods}?fieldSelector={GOING}")[1].get("items", ())
                pods = {pod["metadata"]["name"]: pod for pod in found}
                for name, pod in pods.items():
                    if not pod["spec"].get("nodeName"):
                        self._bind(name, pod)
                    elif name not in self._containers and pod["metadata"].get("deletionTimestamp"):
                        self.api.ask("DELETE", f"{self.api.pods}/{name}?gracePeriodSeconds=0")
                    elif name not in self._containers:
                        self._begin(name, pod)
                for name, container in list(self._containers.items()):
                    self._look(name, container, pods.get(name))
            except httpx2.HTTPError:
                continue

    def _bind(self, name: str, pod: dict[str, Any]) -> None:
        cores, memory_mib = _asks(pod)
        for machine in self.machines if not self.paused else ():
            there = [c for c in self._containers.values() if c.machine == machine]
            if (
                sum(c.cores for c in there) + cores <= MACHINE_CORES
                and sum(c.memory_mib for c in there) + memory_mib <= MACHINE_MIB
            ):
                target = {"kind": "Node", "apiVersion": "v1", "name": machine}
                binding = {"kind": "Binding", "apiVersion": "v1", "metadata": {"name": name}, "target": target}
                if self.api.ask("POST", f"{self.api.pods}/{name}/binding", binding)[0] == 201:
                    pod["spec"]["nodeName"] = machine
                    self._begin(name, pod)
                return

    def _begin(self, name: str, pod: dict[str, Any]) -> None:
        container = pod["spec"]["containers"][0]
        variables = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
        for variable in container.get("env", ()):
            path = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath", "")
            noted = pod["metadata"].get("annotations", {}).get(path.partition("'")[2].rpartition("'")[0], "")
            variables[variable["name"]] = noted if path else variable["value"]
        for volume in pod["spec"].get("volumes", ()):
            assert os.path.isdir(volume["hostPath"]["path"])
        process = subprocess.Popen(
            container["command"], env=variables, cwd="/", start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        limit_s = pod["spec"].get("activeDeadlineSeconds")
        deadline_s = time.monotonic() + limit_s if limit_s else float("inf")
        self._containers[name] = Container(process, pod["spec"]["nodeName"], *_asks(pod), deadline_s)
        self._tell(name, {"phase": "Running", "startTime": _now()}, {"running": {"startedAt": _now()}}, container)

    def _look(self, name: str, container: Container, pod: dict[str, Any] | None) -> None:
        code, now = container.process.poll(), time.monotonic()
        leaves = pod is None or "deletionTimestamp" in pod["metadata"]
        if code is None:
            if container.reason == "" and now > container.deadline_s:
                container.reason = "DeadlineExceeded"
            if leaves or container.reason:
                grace_s = (pod or {"metadata": {}})["metadata"].get("deletionGracePeriodSeconds", 30)
                if not container.asked_s:
                    container.asked_s = now
                    container.process.send_signal(signal.SIGTERM)
                elif now > container.asked_s + grace_s:
                    container.process.kill()
            return
        if pod is not None:
            status = 128 - code if code < 0 else code
            ends = {"exitCode": status, "reason": "Error" if status else "Completed", "finishedAt": _now()}
            if container.reason == "lost":
                self.api.ask("DELETE", f"{self.api.pods}/{name}?gracePeriodSeconds=0")
            else:
                told: dict[str, Any] = {"phase": "Failed" if status or container.reason else "Succeeded"}
                told |= {"reason": container.reason} if container.reason else {}
                self._tell(name, told, {"terminated": ends}, pod["spec"]["containers"][0])
                if leaves:
                    self.api.ask("DELETE", f"{self.api.pods}/{name}?gracePeriodSeconds=0")
        del self._containers[name]

    def _tell(self, name: str, status: dict[str, Any], state: dict[str, Any], container: dict[str, Any]) -> None:
        told = {"name": "run", "image": container["image"], "imageID": "", "ready": False, "restartCount": 0}
        status["containerStatuses"] = [{**told, "state": state}]
        self.api.ask("PATCH", f"{self.api.pods}/{name}/status", {"status": status})


def document(server: str, token: str) -> str:
    """A kubeconfig."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": {"server": server}}],
            "users": [{"name": "node", "user": {"token": token}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "node"}}],
            "current-context": "lab",
        }
    )


def _asks(pod: dict[str, Any]) -> tuple[int, int]:
    asked = pod["spec"]["containers"][0]["resources"]["requests"]
    return int(asked["cpu"]), int(asked["memory"].removesuffix("Mi"))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@pytest.fixture(scope="session")
def kube_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeLab]:
    """A cluster of two machines: a real server's, where one is named, else the stand-in's."""
    cluster = KubeLab(tmp_path_factory.mktemp("kube"), kubeconfig=REAL)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
