"""What the ``kubernetes`` engine does beside the contract in ``test_engine``; and that the stand-in answers as a real
API server did.

``kube_1_20.json`` holds what a real 1.20.2, with its Job controller, answered. It is written anew by
``SANJIN_TEST_KUBECONFIG=... SANJIN_RECORD=1 pytest -k answers_as_a_real``.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lightkube.resources.core_v1 import Pod

from sanjin.adapters.engines import cluster_engine, kubernetes
from sanjin.adapters.engines.cluster import ClusterAway, ClusterRefused, Machine, Shape, TaskState
from sanjin.adapters.engines.cluster_engine import ClusterEngine
from sanjin.adapters.engines.kubernetes import KubernetesCluster, quantity
from sanjin.cli.engine_choice import engine_choice
from sanjin.model.engines import EngineKind, EngineSettings
from sanjin.model.errors import ProblemsFound
from sanjin.ports import EndReason, RunOrder, RunReport, RunState
from tests.kube_lab import MACHINE_CORES, REAL, Api, KubeLab, document
from tests.kube_standin import Refusal
from tests.support import until

COUNT = "echo x >> $SANJIN_OUTPUTS/count"
HOLD = "while [ ! -e $SANJIN_OUTPUTS/go ]; do sleep 0.02; done"
RECORDED = Path(__file__).with_name("kube_1_20.json")


@pytest.fixture
def labs(tmp_path: Path) -> Iterator[Callable[..., KubeLab]]:
    """Makes clusters of stand-ins; an ``old`` one is the real server's, where there is one."""
    made: list[KubeLab] = []

    def build(*, old: bool = False) -> KubeLab:
        # two that play the kubelets of one namespace would get in each other's way
        made.append(KubeLab(tmp_path, old=old, kubeconfig=REAL if old else "", namespace="sanjin-faults"))
        made[-1].start()
        return made[-1]

    yield build
    for lab in made:
        lab.stop()


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ClusterEngine]]:
    monkeypatch.setattr(cluster_engine, "POLL_S", 0.2)
    monkeypatch.setattr(cluster_engine, "RETRY_S", 0.2)
    monkeypatch.setattr(cluster_engine, "SETTLE_S", 0.5)
    made: list[ClusterEngine] = []

    def build(lab: KubeLab, cluster: KubernetesCluster | None = None) -> ClusterEngine:
        made.append(ClusterEngine(tmp_path / "site", cluster or KubernetesCluster(lab.settings), sandbox="none"))
        return made[-1]

    yield build
    for engine in made:
        engine.close()


def order(key: str, code: str, cores: int = 1) -> RunOrder:
    return RunOrder(key=key, command=("sh", "-c", code), cores=cores, memory_bytes=64 << 20, time_limit_s=300.0)


def ends(engine: ClusterEngine, *keys: str) -> list[RunReport]:
    found: dict[str, RunReport] = {}

    def all_there() -> bool:
        found.update({report.key: report for report in engine.watch()})
        return all(key in found for key in keys)

    until(all_there, f"end of {keys}", 60)
    return [found[key] for key in keys]


def counted(folder: Path, *keys: str) -> list[int]:
    """How often these runs ran."""
    files = [folder / "site/runs" / key / "outputs/count" for key in keys]
    return [file.read_text().count("x") if file.exists() else 0 for file in files]


def posted(lab: KubeLab) -> list[str]:
    assert lab.standin is not None
    return [target for method, target in lab.standin.seen if method == "POST" and "/jobs" in target]


def fill(engine: ClusterEngine, lab: KubeLab) -> list[str]:
    """Take all of the cluster, until it is told to let go."""
    keys = [f"full-{machine}" for machine in lab.machines]
    engine.start([order(key, HOLD, MACHINE_CORES) for key in keys])
    until(lambda: all(report.started_at for report in engine.find(keys)), "start")
    return keys


def queue(engine: ClusterEngine, *keys: str) -> None:
    """Wait until these wait in the cluster, and the engine knows."""
    waits = "waits in the queue of kubernetes"
    until(lambda: all(report.detail == waits for report in engine.find(keys)), "a queue")


def let_go(folder: Path, *keys: str) -> None:
    for key in keys:
        (folder / "site/runs" / key / "outputs/go").touch()


# -- batches -------------------------------------------------------------------------------


def test_a_batch_is_one_indexed_job_whose_tasks_fail_wait_and_end_alone(
    labs: Any, engines: Any, tmp_path: Path
) -> None:
    lab = labs()
    engine = engines(lab)
    full = fill(engine, lab)
    before = len(posted(lab))
    engine.start([order("good", COUNT), order("bad", "exit 3"), order("waits", COUNT), order("stops", COUNT)])
    queue(engine, "good", "bad", "waits", "stops")
    until(lambda: len(lab.pods("Pending")) == 4, "their pods")
    assert [target.partition("?")[2] for target in posted(lab)[before:]] in (["dryRun=All", ""], [""])
    engine.cancel(["waits"])
    engine.stop(["stops"])
    waits, stops = ends(engine, "waits", "stops")
    assert (waits.reason, stops.reason) == (EndReason.CANCELLED, EndReason.STOPPED)
    until(lambda: len(lab.pods("Pending")) == 2, "end of their pods")
    let_go(tmp_path, *full)
    good, bad = ends(engine, "good", "bad")
    assert (good.exit_status, bad.exit_status) == (0, 3)
    assert counted(tmp_path, "good", "waits", "stops") == [1, 0, 0]


def test_a_server_that_knows_no_indexes_has_a_job_for_each_and_is_tidied(
    labs: Any, engines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = labs(old=True)
    cluster = KubernetesCluster(lab.settings)
    engine = engines(lab, cluster)
    keys = [f"r{n}" for n in range(3)]
    engine.start([order(key, COUNT) for key in keys])
    assert {r.exit_status for r in ends(engine, *keys)} == {0}
    assert counted(tmp_path, *keys) == [1, 1, 1]
    assert sorted(name.rpartition("-")[2] for name in lab.jobs()) == ["0", "1", "2"]
    theirs = KubernetesCluster(replace(lab.settings, folder="/theirs"))
    until(lambda: not lab.pods("Pending", "Running"), "end of all pods")
    cluster.tasks("sanjin-")
    monkeypatch.setattr(kubernetes, "KEEP_S", 0.0)
    assert theirs.tasks("sanjin-").batches() == set()
    assert len(lab.jobs()) == 3
    cluster.tasks("sanjin-")
    assert lab.jobs() == []


@pytest.mark.parametrize("old", [False, True])
def test_a_lost_answer_is_asked_for_again_and_nothing_runs_twice(
    labs: Any, engines: Any, tmp_path: Path, old: bool
) -> None:
    if old and REAL:
        pytest.skip("it counts what the stand-in was asked")
    lab = labs(old=old)

    class Forgetful(KubernetesCluster):
        left = 3
        """The first is asked for again by its name; the third and the second that follow leave it open."""

        def _say(self, what: Callable[[], Any]) -> Any:
            before = len([t for t in posted(lab) if "dryRun" not in t])
            answer = super()._say(what)
            if len([t for t in posted(lab) if "dryRun" not in t]) > before and self.left > 0:
                self.left -= 1
                raise ClusterAway("the answer was lost")
            return answer

    engine = engines(lab, Forgetful(lab.settings))
    keys = [f"r{n}" for n in range(3)]
    engine.start([order(key, COUNT) for key in keys])
    assert {(r.reason, r.exit_status) for r in ends(engine, *keys)} == {(EndReason.EXIT, 0)}
    until(lambda: not lab.pods("Pending", "Running"), "end of all pods")
    assert counted(tmp_path, *keys) == [1, 1, 1]


# -- faults --------------------------------------------------------------------------------


def test_a_server_that_is_away_is_a_fault_of_the_site_and_loses_nothing(
    labs: Any, engines: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lab = labs()
    engine = engines(lab)
    engine.start([order("before", f"{COUNT}; {HOLD}")])
    until(lambda: bool(engine.find(["before"])[0].started_at), "start")
    standin = lab.standin
    # what is refused so may be taken later: rights, quotas and namespaces come and go
    for refusal in (Refusal(403, "Forbidden", "exceeded quota"), Refusal(503, "ServiceUnavailable", "etcd is away")):
        standin.refuse = lambda method, path, refusal=refusal: refusal if "/jobs" in path else None
        key = f"late{refusal.code}"
        assert engine.start([order(key, COUNT)]) == []
        until(lambda refusal=refusal: str(refusal.code) in engine.info().fault, "a fault")
        standin.refuse = lambda method, path: None
        assert ends(engine, key)[0].exit_status == 0
        until(lambda: engine.info().fault == "", "an answer")
    let_go(tmp_path, "before")
    assert ends(engine, "before")[0].exit_status == 0
    assert counted(tmp_path, "before", "late403", "late503") == [1, 1, 1]
    assert standin.token not in caplog.text


@pytest.mark.parametrize("old", [False, True])
def test_a_machine_that_is_lost_and_a_pod_that_is_evicted_interrupt_what_ran_there(
    labs: Any, engines: Any, tmp_path: Path, old: bool
) -> None:
    lab = labs(old=old)
    engine = engines(lab)
    first, second = fill(engine, lab)
    engine.start([order("waits", COUNT)])
    until(lambda: len(lab.pods("Pending")) == 1, "a queue")
    lab.lose(lab.machines[0])
    until(lambda: any(report.key in (first, second) for report in engine.watch()), "an end")
    (lost,) = [report for report in engine.watch() if report.key in (first, second)]
    assert lost.state is RunState.INTERRUPTED
    (left,) = {first, second} - {lost.key}
    assert ends(engine, "waits")[0].exit_status == 0
    assert engine.find([left])[0].state is RunState.RUNNING
    engine.forget([lost.key])
    saves = "trap 'echo saved > $SANJIN_CHECKPOINT/state; exit 0' TERM; echo up; while :; do sleep 0.02; done"
    engine.start([replace(order("saves", saves), checkpoint="c.1")])
    until(lambda: engine.logs("saves", "stdout", 0, 10) == b"up\n", "start")
    (pod,) = [p for p in lab.pods("Running") if p["spec"]["nodeName"] == lab.machines[0]]
    lab.api.ask("DELETE", f"{lab.api.pods}/{pod['metadata']['name']}")  # as a drain or a pre-emption does
    assert ends(engine, "saves")[0].state is RunState.INTERRUPTED
    assert (tmp_path / "site/checkpoints/c.1/state").read_text() == "saved\n"
    let_go(tmp_path, left)
    assert ends(engine, left)[0].exit_status == 0


def test_a_job_that_is_deleted_before_it_began_is_made_again(labs: Any, engines: Any, tmp_path: Path) -> None:
    lab = labs()
    engine = engines(lab)
    lab.paused = True
    engine.start([order("waits", COUNT)])
    until(lambda: len(lab.pods("Pending")) == 1, "a queue")
    (name,) = lab.jobs()
    lab.api.ask("DELETE", f"{lab.api.jobs}/{name}")
    until(lambda: lab.jobs() not in ([], [name]), "another")
    lab.paused = False
    assert ends(engine, "waits")[0].exit_status == 0
    assert counted(tmp_path, "waits") == [1]


def test_what_cannot_start_is_told(
    labs: Any, engines: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lab = labs()
    engine = engines(lab)
    engine.start([order("wide", "true", MACHINE_CORES + 1), replace(order("cards", "true"), accelerators=1)])
    wide, cards = ends(engine, "wide", "cards")
    assert wide.reason is cards.reason is EndReason.NOT_STARTED
    assert f"({MACHINE_CORES}, " in wide.detail
    odd = engines(lab, KubernetesCluster(replace(lab.settings, image="")))
    odd.start([order("odd", "true")])
    (report,) = ends(odd, "odd")
    assert report.reason is EndReason.NOT_STARTED
    assert "422" in report.detail and "image: Required value" in report.detail
    lab.paused = True
    engine.start([order("stuck", "true")])
    until(lambda: len(lab.pods("Pending")) == 1, "a pod")
    (pod,) = lab.pods("Pending")
    waiting = {"reason": "ErrImagePull", "message": "no such image"}
    told = {"name": "run", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    status = {"containerStatuses": [{**told, "state": {"waiting": waiting}}]}
    with caplog.at_level(logging.WARNING):
        lab.api.ask("PATCH", f"{lab.api.pods}/{pod['metadata']['name']}/status", {"status": status})
        until(lambda: "no such image" in caplog.text, "a warning")
    engine.cancel(["stuck"])
    assert ends(engine, "stuck")[0].reason is EndReason.CANCELLED
    until(lambda: not lab.pods("Pending"), "end of the pod")


# -- Kueue ---------------------------------------------------------------------------------


def test_in_a_queue_each_run_is_a_suspended_job_that_begins_when_let_in(
    labs: Any, engines: Any, tmp_path: Path
) -> None:
    lab = labs()
    engine = engines(lab, KubernetesCluster(replace(lab.settings, queue="batch")))
    engine.start([order("a", COUNT), order("b", COUNT)])
    queue(engine, "a", "b")
    jobs = lab.api.ask("GET", lab.api.jobs)[1]["items"]
    assert {j["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] for j in jobs} == {"batch"}
    assert [j["spec"]["suspend"] for j in jobs] == [True, True] and lab.pods() == []
    engine.cancel(["b"])
    assert ends(engine, "b")[0].reason is EndReason.CANCELLED
    until(lambda: len(lab.jobs()) == 1, "end of its Job")
    lab.api.ask("PATCH", f"{lab.api.jobs}/{lab.jobs()[0]}", {"spec": {"suspend": False}})
    assert ends(engine, "a")[0].exit_status == 0
    assert counted(tmp_path, "a", "b") == [1, 0]
    old = labs(old=True)
    with pytest.raises(ClusterRefused, match="suspends no Jobs"):
        shape = Shape(cores=1, memory_mib=64, cards=0, minutes=0)
        task = str(tmp_path / "task.sh")
        Path(task).touch()
        KubernetesCluster(replace(old.settings, queue="batch")).submit("sanjin-x", 1, shape, [task], tmp_path)


# -- what is asked for, and what is read ---------------------------------------------------


def test_a_pod_has_the_nodes_user_no_rights_and_its_sites_folder_alone(labs: Any, tmp_path: Path) -> None:
    lab = labs()
    lab.paused = True
    (tmp_path / "shared/site").mkdir(parents=True)
    settings = replace(
        lab.settings, folder=str(tmp_path / "shared"), claim="runs", data="/data", data_claim="sets", card="x.y/npu",
        service_account="worker",
    )  # fmt: skip
    task = tmp_path / "task.sh"
    task.touch()
    shape = Shape(cores=2, memory_mib=300, cards=4, minutes=5)
    KubernetesCluster(settings).submit("sanjin-a", 1, shape, [str(task), "list"], tmp_path / "shared/site")
    ((_, job),) = lab.standin.jobs.items()
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsUser"] == os.geteuid()
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    asked = {"cpu": "2", "memory": "300Mi", "x.y/npu": "4"}
    assert container["resources"] == {"requests": asked, "limits": asked}
    assert (pod["activeDeadlineSeconds"], pod["restartPolicy"], job["spec"]["backoffLimit"]) == (300, "Never", 0)
    assert pod["serviceAccountName"] == "worker"
    assert container["volumeMounts"] == [
        {"name": "runs", "mountPath": f"{tmp_path}/shared/site", "subPath": "site"},
        {"name": "data", "mountPath": "/data", "readOnly": True},
    ]
    assert [v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"]] == ["runs", "sets"]
    assert job["spec"]["ttlSecondsAfterFinished"] > cluster_engine.SETTLE_S


def test_the_largest_machine_is_one_that_is_ready_and_takes_any_work(labs: Any) -> None:
    lab = labs()
    cluster = KubernetesCluster(replace(lab.settings, card="x.y/npu"))
    allocatable = {"cpu": "31800m", "memory": "65011712Ki", "x.y/npu": "8"}
    status = {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]}
    specs = {
        "good": {"taints": [{"key": "k", "effect": "PreferNoSchedule"}]},
        "cordoned": {"unschedulable": True},
        "kept": {"taints": [{"key": "k", "effect": "NoSchedule"}]},
    }
    for name, spec in specs.items():
        lab.api.ask("POST", "/api/v1/nodes", {"metadata": {"name": name}, "spec": spec, "status": status})
    gone = {"allocatable": {"cpu": "99"}, "conditions": [{"type": "Ready", "status": "Unknown"}]}
    lab.api.ask("POST", "/api/v1/nodes", {"metadata": {"name": "gone"}, "status": gone})
    assert cluster.largest() == Machine(cores=31, memory_mib=63488, cards=8)
    lab.standin.nodes.clear()
    with pytest.raises(ClusterAway, match="no machine is ready"):
        cluster.largest()


@pytest.mark.parametrize(
    ("text", "value"), [("8", 8), ("1500m", 1.5), ("2Ki", 2048), ("1e3", 1000), ("3Gi", 3 * 2**30), ("5G", 5e9)]
)
def test_quantities_are_read(text: str, value: float) -> None:
    assert quantity(text) == value
    for other in ("", "x", "1 Gi", "-1", "1GiB"):
        with pytest.raises(ValueError):
            quantity(other)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({"reason": "DeadlineExceeded"}, TaskState.TIME_LIMIT),
        ({"reason": "Evicted", "message": "low on memory"}, TaskState.OVER),
        ({"conditions": [{"type": "DisruptionTarget", "status": "True"}]}, TaskState.OVER),
        ({"exit": {"exitCode": 137, "reason": "OOMKilled"}}, TaskState.MEMORY_LIMIT),
        ({"exit": {"exitCode": 143, "reason": "Error"}}, TaskState.OVER),
        ({"exit": {"exitCode": 128, "reason": "StartError"}}, TaskState.FAILED),
        ({"exit": {"exitCode": 127, "reason": "Error"}}, TaskState.FAILED),
        ({}, TaskState.OVER),
    ],
)
def test_why_a_pod_failed_is_taken_for_what_it_is(status: dict[str, Any], state: TaskState) -> None:
    if end := status.pop("exit", None):
        told = {"name": "run", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
        status["containerStatuses"] = [{**told, "state": {"terminated": end}}]
    pod = msgspec.convert({"metadata": {"name": "p"}, "status": {"phase": "Failed", **status}}, Pod)
    assert kubernetes._failed(pod)[0] is state


def test_the_way_to_the_cluster_is_closed_to_others_and_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kubeconfig"
    settings = EngineSettings(engine=EngineKind.KUBERNETES, kubeconfig=str(file), image="x", python=sys.executable)

    def codes(text: str, mode: int = 0o600, **more: str) -> list[str]:
        file.write_text(text)
        file.chmod(mode)
        with pytest.raises(ProblemsFound) as found:
            KubernetesCluster(replace(settings, **more))
        assert "not-to-be-told" not in str(found.value) + repr(found.value.problems)
        return [p.code for p in found.value.problems]

    good = document("http://127.0.0.1:1", "not-to-be-told")
    assert codes(good, 0o640) == ["token_open"]
    assert codes(good, context="other") == ["kubeconfig_unreadable"]
    assert codes("token: 'not-to-be-told\n") == codes("[]") == codes("a: not-to-be-told") == ["kubeconfig_unreadable"]
    assert codes(document("http://10.0.0.1:6443", "not-to-be-told")) == ["cluster_in_the_open"]
    unverified = json.loads(document("https://10.0.0.1:6443", "not-to-be-told"))
    unverified["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = True
    assert codes(json.dumps(unverified)) == ["cluster_in_the_open"]
    assert codes(good, kubeconfig=str(tmp_path / "none")) == ["kubeconfig_unreadable"]
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert codes(good, kubeconfig="") == ["not_in_a_cluster"]
    file.write_text(good)
    with pytest.raises(ClusterAway) as away:
        KubernetesCluster(settings).tasks("x")
    assert "not-to-be-told" not in str(away.value)


def test_a_node_without_the_client_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sanjin.adapters.engines.kubernetes", None)
    settings = EngineSettings(engine=EngineKind.KUBERNETES, folder=str(tmp_path / "shared"), image="x", python="/p")
    make = engine_choice({"a": settings}, lambda site: None)
    with pytest.raises(ProblemsFound) as found:
        make("a", tmp_path / "a" / "engine")
    assert [p.code for p in found.value.problems] == ["no_lightkube"]


# -- the stand-in against a real server ----------------------------------------------------

SPEC = ("completionMode", "backoffLimit", "backoffLimitPerIndex", "completions", "parallelism", "suspend")
SPEC += ("ttlSecondsAfterFinished",)


def pruned(body: dict[str, Any]) -> Any:
    """What is read of an answer, without what differs from time to time."""
    if body.get("kind") == "Status":
        return {key: body[key] for key in ("status", "reason", "code") if key in body}
    if "items" in body:
        return [pruned(item) for item in body["items"]]
    status = body.get("status") or {}
    found: dict[str, Any] = {key: status[key] for key in ("phase", "active", "succeeded", "failed", "reason") if
                             status.get(key)}  # fmt: skip
    labels = body["metadata"].get("labels", {})
    found |= {"labels": {key: labels[key] for key in ("sanjin/batch", "sanjin/index") if key in labels}}
    found |= {key: body["spec"][key] for key in SPEC if key in body["spec"]}
    found |= {"node": body["spec"]["nodeName"]} if body["spec"].get("nodeName") else {}
    conditions = [[c["type"], c["status"], c.get("reason", "")] for c in status.get("conditions", ())]
    if ended := [c for c in conditions if c[0] in ("Complete", "Failed")]:
        found["ended"] = ended
    found |= {"deleted": True} if body["metadata"].get("deletionTimestamp") else {}
    for container in status.get("containerStatuses", ()):
        end = container["state"].get("terminated")
        found["end"] = [end["exitCode"], end["reason"]] if end else next(iter(container["state"]))
    return found


def exchanges(api: Api, cluster: KubernetesCluster, folder: Path) -> list[Any]:
    """Each kind of request that the engine and the played kubelet make, and what is answered."""
    told: list[Any] = []
    task = folder / "task.sh"
    task.touch()
    shape = Shape(cores=1, memory_mib=64, cards=0, minutes=1)
    mine = f"labelSelector=sanjin%2Fowner%3D{cluster._owner}"
    waits = f"{api.pods}?{mine}&fieldSelector=status.phase%21%3DRunning&limit=500"

    def does(what: str, method: str, path: str, body: Any = None, until_: Callable[[Any], bool] | None = None) -> Any:
        last: list[Any] = []

        def asked() -> bool:
            code, answer = api.ask(method, path, body)
            last[:] = [code, answer]
            return until_ is None or until_(pruned(answer))

        until(asked, what)
        told.append({"does": what, "answer": [last[0], pruned(last[1])]})
        return last[1]

    def job(name: str, index: int | None = 0, count: int = 1) -> Any:
        batch = "" if index is None else "sanjin-recorded"
        made = cluster._job(name, index, count, shape, ["sh", str(task)], folder, batch)
        return msgspec.to_builtins(made)

    def begun(name: str, why: str) -> str:
        """A Job whose pod is bound and runs."""
        does(f"a Job {why}", "POST", api.jobs, job(name))
        found = does("its pod waits", "GET", waits, None, lambda pods: len(pods) == 1)
        pod = found["items"][0]["metadata"]["name"]
        target = {"kind": "Node", "apiVersion": "v1", "name": "recorded"}
        binding = {"kind": "Binding", "apiVersion": "v1", "metadata": {"name": pod}, "target": target}
        does("it is bound", "POST", f"{api.pods}/{pod}/binding", binding)
        does("it runs", "PATCH", f"{api.pods}/{pod}/status", status("Running", {"running": {}}))
        return pod

    def status(phase: str, state: Any) -> Any:
        run = {"name": "run", "image": "x", "imageID": "", "ready": False, "restartCount": 0, "state": state}
        return {"status": {"phase": phase, "containerStatuses": [run]}}

    def active(count: int) -> Callable[[Any], bool]:
        return lambda found: found.get("active", 0) == count

    none: Callable[[Any], bool] = lambda pods: pods == []  # noqa: E731
    one = f"{api.jobs}/sanjin-recorded-0"
    does("an Indexed Job, tried", "POST", f"{api.jobs}?dryRun=All", job("sanjin-recorded", None, 3))
    does("nothing is kept of it", "GET", f"{api.jobs}?{mine}&limit=500")
    pod = begun("sanjin-recorded-0", "that fails")
    does("a name that is taken", "POST", api.jobs, job("sanjin-recorded-0"))
    bad = job("sanjin-recorded-9")
    bad["spec"]["template"]["spec"]["containers"][0]["image"] = ""
    does("no image", "POST", api.jobs, bad)
    does("it is active", "GET", one, None, active(1))
    does("what runs is not listed", "GET", waits, None, none)
    end = status("Failed", {"terminated": {"exitCode": 3, "reason": "Error"}})
    does("its pod fails", "PATCH", f"{api.pods}/{pod}/status", end)
    does("it has failed", "GET", one, None, lambda found: "ended" in found)
    does("the pod that failed is listed", "GET", waits)
    does("it is deleted", "DELETE", f"{one}?propagationPolicy=Background")
    does("with its pod", "GET", waits, None, none)
    does("no such Job", "DELETE", f"{one}?propagationPolicy=Background")

    pod = begun("sanjin-recorded-0", "that is done")
    end = status("Succeeded", {"terminated": {"exitCode": 0, "reason": "Completed"}})
    does("its pod is done", "PATCH", f"{api.pods}/{pod}/status", end)
    does("it is complete", "GET", one, None, lambda found: "ended" in found)
    does("it is deleted", "DELETE", f"{one}?propagationPolicy=Background")
    does("with its pod", "GET", waits, None, none)

    pod = begun("sanjin-recorded-0", "whose pod is deleted")
    does("its pod is asked to end", "DELETE", f"{api.pods}/{pod}")
    does("it is ending", "GET", f"{api.pods}/{pod}")
    does("the kubelet lets it go", "DELETE", f"{api.pods}/{pod}?gracePeriodSeconds=0")
    does("there is another", "GET", waits, None, lambda pods: len(pods) == 1)
    does("the Job goes on", "GET", one, None, active(1))
    does("it is deleted", "DELETE", f"{one}?propagationPolicy=Background")
    does("a pod that was not bound goes at once", "GET", waits, None, none)

    pod = begun("sanjin-recorded-0", "that is deleted while it runs")
    does("it is deleted", "DELETE", f"{one}?propagationPolicy=Background")
    does("its pod is ending", "GET", f"{api.pods}/{pod}", None, lambda found: found.get("deleted", False))
    does("the kubelet lets it go", "DELETE", f"{api.pods}/{pod}?gracePeriodSeconds=0")
    does("it is gone", "GET", f"{api.pods}/{pod}")
    return told


def test_the_stand_in_answers_as_a_real_server_did(tmp_path: Path) -> None:
    lab = KubeLab(tmp_path, old=True, kubeconfig=REAL)
    namespace = "sanjin-recorded"
    api = Api(str(lab.kubeconfig), namespace)
    if lab.standin is not None:
        lab.standin.start()
    else:
        api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    told = exchanges(api, KubernetesCluster(replace(lab.settings, namespace=namespace)), tmp_path)
    if lab.standin is not None:
        lab.standin.stop()
    elif os.environ.get("SANJIN_RECORD"):
        RECORDED.write_text("[\n" + ",\n".join(json.dumps(each) for each in told) + "\n]\n")
    for ours, real in zip(told, json.loads(RECORDED.read_text()), strict=True):
        assert ours == real
