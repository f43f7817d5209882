"""The ``slurm`` engine through slurmrestd: a real one of Slurm 22.05 on a unix socket; and a stand-in for what that one
does not have, tokens and later versions of the API."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sanjin.adapters.engines import cluster_engine
from sanjin.adapters.engines.cluster import ClusterAway, ClusterRefused, Machine, Shape, TaskState
from sanjin.adapters.engines.cluster_engine import ClusterEngine
from sanjin.adapters.engines.slurm_rest import SlurmRestCluster
from sanjin.cli.clusters import asked
from sanjin.model.engines import EngineKind, EngineSettings
from sanjin.model.errors import ProblemsFound
from sanjin.ports import EndReason, RunOrder, RunReport, RunState
from sanjin.regions.engines import read_engines
from tests.slurm_lab import MACHINE_CARDS, MACHINE_CORES, MACHINE_MIB, SlurmLab
from tests.support import until

Make = Callable[..., ClusterEngine]
COUNT = "echo x >> $SANJIN_OUTPUTS/count"
HOLD = "while [ ! -e $SANJIN_OUTPUTS/go ]; do sleep 0.05; done"


@pytest.fixture
def rest(lab: SlurmLab) -> EngineSettings:
    """How to reach a real cluster through its slurmrestd."""
    return lab.start_rest()


@pytest.fixture
def make(rest: EngineSettings, lab: SlurmLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    for name, value in (("POLL_S", 0.5), ("RETRY_S", 0.5), ("SETTLE_S", 1.0)):
        monkeypatch.setattr(cluster_engine, name, value)
    made: list[ClusterEngine] = []

    def build(cluster: SlurmRestCluster | None = None, sandbox: str = "auto") -> ClusterEngine:
        made.append(ClusterEngine(tmp_path / "site", cluster or SlurmRestCluster(rest), sandbox=sandbox))
        return made[-1]

    yield build
    lab.say("scancel", "--user=root")
    for engine in made:
        engine.close()


def order(key: str, code: str, cores: int = 1, cards: int = 0) -> RunOrder:
    return RunOrder(
        key=key, command=("sh", "-c", code), cores=cores, accelerators=cards, memory_bytes=64 << 20, time_limit_s=60.0
    )


def ends(engine: ClusterEngine, *keys: str) -> list[RunReport]:
    found: dict[str, RunReport] = {}

    def all_there() -> bool:
        found.update({report.key: report for report in engine.watch()})
        return all(key in found for key in keys)

    until(all_there, f"end of {keys}", 180)
    return [found[key] for key in keys]


def times_run(folder: Path, key: str) -> int:
    return (folder / "site/runs" / key / "outputs/count").read_text().count("x")


def pending(lab: SlurmLab) -> int:
    return len(lab.say("squeue", "--noheader", "--array", "--states=PENDING", "--format=%i").split())


def test_a_batch_waits_is_cancelled_in_part_is_adopted_and_runs_once(
    make: Make, rest: EngineSettings, lab: SlurmLab, tmp_path: Path
) -> None:
    class Halfway(SlurmRestCluster):
        """It is killed between holding a task and ending it."""

        def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
            if method == "DELETE":
                raise ClusterAway("killed")
            return super()._ask(method, path, body)

    first = make(Halfway(rest))
    full, many = ["full0", "full1"], [f"r{n}" for n in range(12)]
    first.start([order(key, HOLD, MACHINE_CORES) for key in full])
    until(lambda: all(first.find([key])[0].started_at for key in full), "a full cluster", 60)
    first.start([order(key, COUNT) for key in many])
    until(lambda: pending(lab) == 12, "a queue")
    (name,) = set(lab.say("squeue", "--noheader", "--array", "--states=PENDING", "--format=%F").split())
    assert name.isdecimal()  # one array
    first.cancel(["r3"])
    until(lambda: "Held" in lab.say("squeue", "--noheader", "--format=%r"), "a held task")
    first.close()
    second = make()
    assert second.find(["r3", "r7"])[0].state is RunState.RUNNING
    (cancelled,) = ends(second, "r3")
    second.stop(["r7"])
    (stopped,) = ends(second, "r7")
    assert (cancelled.detail, stopped.detail) == ("cancelled before it began", "stopped before it began")
    until(lambda: pending(lab) == 10, "a shorter queue")
    left = [key for key in many if key not in ("r3", "r7")]
    found = second.find([*left, *full, "never"])
    assert {r.state for r in found[:-1]} <= {RunState.RUNNING, RunState.ENDED} and found[-1].state is RunState.ABSENT
    for key in full:
        (tmp_path / "site/runs" / key / "outputs/go").touch()
    assert all((r.reason, r.exit_status) == (EndReason.EXIT, 0) for r in ends(second, *left, *full))
    assert [times_run(tmp_path, key) for key in left] == [1] * len(left)
    assert not any((tmp_path / "site/runs" / key / "outputs/count").exists() for key in ("r3", "r7"))


def test_what_is_submitted_twice_runs_once(make: Make, rest: EngineSettings, lab: SlurmLab, tmp_path: Path) -> None:
    class Forgetful(SlurmRestCluster):
        left = 2

        def submit(self, batch: str, count: int, shape: Shape, script: Sequence[str], folder: Path) -> None:
            super().submit(batch, count, shape, script, folder)
            self.left -= 1
            if self.left >= 0:
                raise ClusterAway("the answer was lost")

    engine = make(Forgetful(rest))
    keys = [f"r{n}" for n in range(5)]
    engine.start([order(key, f"{COUNT}; sleep 0.3") for key in keys])
    assert all((r.reason, r.exit_status) == (EndReason.EXIT, 0) for r in ends(engine, *keys))
    until(lambda: not lab.say("squeue", "--noheader").strip(), "an empty queue")
    assert [times_run(tmp_path, key) for key in keys] == [1] * len(keys)


def test_what_slurm_refuses_is_told_with_the_reason(make: Make, rest: EngineSettings, lab: SlurmLab) -> None:
    cluster = SlurmRestCluster(EngineSettings(rest=rest.rest, conf=rest.conf, partition="batch", gres="npu:910b"))
    assert cluster.largest() == Machine(cores=MACHINE_CORES, memory_mib=MACHINE_MIB, cards=MACHINE_CARDS, count=2)
    engine = make(cluster, "none")  # these cards have no device files that a sandbox could show
    engine.start([order("wide", "true", MACHINE_CORES + 1), order("cards", "true", cards=2)])
    wide, cards = ends(engine, "wide", "cards")
    assert (wide.reason, cards.exit_status) == (EndReason.NOT_STARTED, 0)
    assert f"({MACHINE_CORES}, " in wide.detail
    asked_for = lab.say("squeue", "--noheader", "--states=all", "--sort=-i", "--format=%b %u").splitlines()[0]
    assert asked_for == "gres:npu:910b:2 root"
    assert lab.say("scontrol", "show", "job").rpartition("Requeue=")[2][0] == "0"
    odd = SlurmRestCluster(EngineSettings(rest=rest.rest, conf=rest.conf, qos="q", partition="nowhere"))
    with pytest.raises(ClusterRefused, match="Invalid partition name"):
        odd.submit("sanjin-x", 1, Shape(1, 1, 0, 0), [__file__], Path("/tmp"))
    with pytest.raises(ClusterRefused, match="nowhere"):
        odd.largest()


def test_a_controller_and_a_slurmrestd_that_are_killed_lose_nothing(make: Make, lab: SlurmLab, tmp_path: Path) -> None:
    engine = make()
    with lab.without_controller():
        engine.start([order("one", COUNT)])
        until(lambda: "slurmrestd" in engine.info().fault, "a fault", 120)
    assert ends(engine, "one")[0].exit_status == 0
    until(lambda: engine.info().fault == "", "an answer")
    lab.kill_rest()
    engine.start([order("two", COUNT), order("three", COUNT)])
    until(lambda: engine.info().fault.startswith("slurmrestd: "), "a fault")
    lab.start_rest()
    assert [r.exit_status for r in ends(engine, "two", "three")] == [0, 0]
    assert [times_run(tmp_path, key) for key in ("one", "two", "three")] == [1] * 3


def test_doctor_says_which_version_was_found(rest: EngineSettings) -> None:
    said, fault = asked("datong", EngineSettings(engine=EngineKind.SLURM, rest=rest.rest, conf=rest.conf))
    assert fault == "" and f"slurmrestd v0.0.38 at {rest.rest}" in said


def test_a_socket_of_another_user_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a socket away")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "s"))
        os.chown(tmp_path / "s", 65534, -1)
        with pytest.raises(ClusterRefused, match="of user 65534"):
            SlurmRestCluster(EngineSettings(rest=f"unix:{tmp_path}/s")).largest()


class StandIn:
    """Answers as slurmrestd of later versions is documented to; ``seen`` is what it was asked."""

    def __init__(self, versions: Sequence[int]) -> None:
        self.answers: dict[str, Any] = {"/openapi/v3": {"paths": {f"/slurm/v0.0.{v}/jobs/": {} for v in versions}}}
        self.seen: list[tuple[str, str, Any]] = []
        self.token = "secret-1"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.seen.append((self.command, self.path, json.loads(body) if body else None))
                known = self.headers["X-SLURM-USER-TOKEN"] == outer.token and self.headers["X-SLURM-USER-NAME"]
                answer = outer.answers.get(self.path) if known else "Authentication failure"
                text = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
                self.send_response((200 if answer is not None else 404) if known else 401)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_DELETE = _answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[Callable[[Sequence[int]], tuple[StandIn, SlurmRestCluster]]]:
    made: list[StandIn] = []
    (tmp_path / "token").touch(0o600)
    (tmp_path / "token").write_text("secret-1\n")

    def build(versions: Sequence[int]) -> tuple[StandIn, SlurmRestCluster]:
        made.append(StandIn(versions))
        settings = EngineSettings(
            rest=made[-1].address, token_file=str(tmp_path / "token"), partition="b", gres="gpu:h100"
        )
        return made[-1], SlurmRestCluster(settings)

    yield build
    for each in made:
        each.server.shutdown()
        each.server.server_close()


StandIns = Callable[[Sequence[int]], tuple[StandIn, SlurmRestCluster]]


def test_the_newest_version_that_both_speak_is_used_or_none(stand_in: StandIns) -> None:
    assert stand_in([36, 38, 40, 99])[1].version() == "v0.0.40"
    with pytest.raises(ClusterRefused, match=r"speaks v0\.0\.37, v0\.0\.99 .* v0\.0\.38 to v0\.0\.43"):
        stand_in([37, 99])[1].version()


def test_a_token_is_read_anew_and_never_shown(stand_in: StandIns, tmp_path: Path) -> None:
    server, cluster = stand_in([40])
    server.token = "secret-2"
    with pytest.raises(ClusterAway, match="Authentication failure") as fault:
        cluster.version()
    assert "secret" not in str(fault.value)
    (tmp_path / "token").write_text("secret-2")
    assert cluster.version() == "v0.0.40"
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(ClusterAway, match="others may read it"):
        cluster.tasks("sanjin-")
    with pytest.raises(ProblemsFound):
        SlurmRestCluster(EngineSettings(rest=server.address, token_file=str(tmp_path / "token")))


def test_later_versions_are_spoken_as_they_are_documented(stand_in: StandIns, tmp_path: Path) -> None:
    server, cluster = stand_in([41])
    server.answers["/slurm/v0.0.41/job/submit"] = {"job_id": 7, "errors": [], "warnings": [{"description": "x"}]}
    (tmp_path / "task.sh").write_text("#!/bin/sh\necho $1\n")
    cluster.submit("sanjin-a", 3, Shape(4, 100, 2, 5, 2), [str(tmp_path / "task.sh"), "a b"], tmp_path)
    job = server.seen[-1][2]["job"]
    assert job["script"] == "#!/bin/sh\nset -- 'a b'\n#!/bin/sh\necho $1\n"
    assert (job["array"], job["tres_per_node"], job["requeue"]) == ("0-2", "gres/gpu:h100:2", False)
    assert (job["minimum_nodes"], job["maximum_nodes"], job["cpus_per_task"], job["time_limit"]) == (2, 2, 4, 5)
    assert any(word.startswith("PATH=") for word in job["environment"])

    def entry(array: int, index: int | None, state: list[str], left: str = "", user: int = os.geteuid()) -> Any:
        number = {"set": index is not None, "infinite": False, "number": index or 0}
        return {
            "name": "sanjin-a", "job_id": 9, "array_job_id": {"set": True, "number": array}, "user_id": user,
            "array_task_id": number, "array_task_string": left, "job_state": state, "state_reason": "None",
        }  # fmt: skip

    jobs = [
        entry(7, 0, ["COMPLETED"]), entry(7, 1, ["CANCELLED", "COMPLETING"]), entry(7, 6, ["RUNNING"]),
        entry(7, None, ["PENDING"], "2,8-12:2%3"), entry(7, 3, ["FAILED"], user=os.geteuid() + 1),
    ]  # fmt: skip
    server.answers["/slurm/v0.0.41/jobs"] = {"jobs": jobs, "errors": []}
    found = cluster.tasks("sanjin-")
    states = [seen.state if (seen := found.get("sanjin-a", n)) else None for n in (0, 1, 6, 2, 8, 9, 10, 12, 14, 3)]
    waits, lives = TaskState.WAITS, TaskState.LIVES
    assert states == [TaskState.OVER, lives, lives, waits, waits, None, waits, waits, None, None]
    server.answers["/slurm/v0.0.41/jobs"]["jobs"][3]["array_task_string"] = "2,4-5,7-9..."  # Slurm cuts long ones short
    tasks = cluster.tasks("sanjin-")
    assert [bool(tasks.get("sanjin-a", n)) for n in (2, 3, 4, 5, 7, 999, 1000)] == [True, False, *[True] * 4, False]
    server.answers["/slurm/v0.0.41/jobs"]["jobs"][3]["array_task_string"] = "2,8-12:2"
    server.answers |= {f"/slurm/v0.0.41/job/{task}": {"errors": []} for task in ("7_8", "7_6")}
    cluster.cancel_waiting(["7_8", "7_6"])  # the second began meanwhile
    assert [path[-3:] for method, path, _ in server.seen if method == "DELETE"] == ["7_8"]
    server.answers["/slurm/v0.0.41/nodes"] = {
        "nodes": [{"cpus": 8, "real_memory": 9, "gres": "gpu:h100:4(S:0)", "partitions": [p]} for p in "abb"]
    }
    assert cluster.largest() == Machine(cores=8, memory_mib=9, cards=4, count=2)


@pytest.mark.parametrize(
    "said, code",
    [
        ("rest: 'unix:run/s'", "not_a_rest_address"),
        ("rest: 'ftp://x:1', token_file: /t", "not_a_rest_address"),
        ("rest: 'http://127.0.0.1:6820'", "rest_without_token"),
        ("rest: 'http://slurm.example:6820', token_file: /t", "token_in_the_open"),
        ("token_file: /t", "token_for_nothing"),
        ("rest: 'https://slurm.example:6820', token_file: t", "not_a_whole_path"),
    ],
)
def test_a_document_that_says_rest_wrongly_is_refused(said: str, code: str) -> None:
    with pytest.raises(ProblemsFound) as found:
        read_engines(f"engines:\n  datong: {{engine: slurm, folder: /f, {said}}}\n", "e.yaml")
    assert [p.code for p in found.value.problems] == [code]


def test_a_document_may_name_a_socket_or_an_address() -> None:
    text = "engines:\n  a: {engine: slurm, folder: /f, rest: 'unix:/run/s'}\n"
    text += "  b: {engine: slurm, folder: /f, rest: 'https://slurm.example:6820', token_file: /t}\n"
    found = read_engines(text, "e.yaml")
    assert (found["a"].rest, found["b"].token_file) == ("unix:/run/s", "/t")


def test_a_shared_cluster_needs_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ProblemsFound) as found:
        SlurmRestCluster(EngineSettings(rest="unix:/run/s", shared_s=5.0))
    assert [p.code for p in found.value.problems] == ["rest_shared"]
