"""What the ``ray`` engine does when Ray is full, away, forgetful or overruled; the rest is in ``test_engine``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from sanjin.adapters.engines import cluster_engine, ray
from sanjin.adapters.engines.cluster import ClusterAway, Shape, TaskState
from sanjin.adapters.engines.cluster_engine import ClusterEngine
from sanjin.adapters.engines.ray import RayCluster
from sanjin.adapters.engines.sandbox import find_bwrap
from sanjin.model.engines import EngineKind, EngineSettings
from sanjin.model.errors import ProblemsFound
from sanjin.ports import EndReason, RunOrder, RunReport, RunState, TakenBy
from tests import support
from tests.ray_lab import MACHINE_CORES, RayLab

Make = Callable[..., ClusterEngine]
COUNT = "echo x >> $SANJIN_OUTPUTS/count"
HOLD = "while [ ! -e $SANJIN_OUTPUTS/go ]; do sleep 0.05; done"


def until(condition: Callable[[], bool], what: str) -> None:
    """Ray takes more than a second of a core to begin a job."""
    support.until(condition, what, 300.0)


@pytest.fixture
def make(ray_lab: RayLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(cluster_engine, "POLL_S", 0.5)
    monkeypatch.setattr(cluster_engine, "RETRY_S", 0.5)
    monkeypatch.setattr(cluster_engine, "SETTLE_S", 3.0)  # Ray looks once a second whether a machine's work is left
    made: list[ClusterEngine] = []

    def build(
        cluster: RayCluster | None = None, sandbox: str = "auto", site: str = "site", shared_s: float = 0.0
    ) -> ClusterEngine:
        cluster = cluster or RayCluster(ray_lab.settings)
        made.append(ClusterEngine(tmp_path / site, cluster, sandbox=sandbox, shared_s=shared_s))
        return made[-1]

    yield build
    for engine in made:
        engine.close()
    for job in ray_lab.jobs("PENDING", "RUNNING"):
        ray_lab.ask(f"/api/jobs/{job}/stop", "POST")
    until(lambda: not ray_lab.jobs("PENDING", "RUNNING"), "an empty cluster")


def order(key: str, code: str, cores: int = 1) -> RunOrder:
    return RunOrder(key=key, command=("sh", "-c", code), cores=cores, memory_bytes=64 << 20, time_limit_s=300.0)


def ends(engine: ClusterEngine, *keys: str) -> list[RunReport]:
    found: dict[str, RunReport] = {}

    def all_there() -> bool:
        found.update({report.key: report for report in engine.watch()})
        return all(key in found for key in keys)

    until(all_there, f"end of {keys}")
    return [found[key] for key in keys]


def counted(folder: Path, *keys: str) -> list[int]:
    """How often these runs ran."""
    files = [folder / "site/runs" / key / "outputs/count" for key in keys]
    return [file.read_text().count("x") if file.exists() else 0 for file in files]


def fill(engine: ClusterEngine, lab: RayLab) -> list[str]:
    """Take all of the cluster, until it is told to let go."""
    keys = [f"full-{machine}" for machine in lab.machines]
    engine.start([order(key, HOLD, MACHINE_CORES) for key in keys])
    until(lambda: all(report.started_at for report in engine.find(keys)), "start")
    return keys


def let_go(folder: Path, keys: Sequence[str]) -> None:
    for key in keys:
        (folder / "site/runs" / key / "outputs/go").touch()


def test_what_waits_ends_when_asked_and_never_begins_and_a_new_engine_adopts_the_rest(
    make: Make, ray_lab: RayLab, tmp_path: Path
) -> None:
    first = make()
    full = fill(first, ray_lab)
    first.start([order("waits", COUNT), order("stops", COUNT), order("begins", COUNT)])
    until(lambda: len(ray_lab.jobs("PENDING")) == 3, "a queue")
    assert {r.detail for r in first.find(["waits", "stops"])} == {"waits in the queue of ray"}
    first.cancel(["waits"])
    first.stop(["stops"])
    waits, stops = ends(first, "waits", "stops")
    assert (waits.reason, stops.reason) == (EndReason.CANCELLED, EndReason.STOPPED)
    assert len(ray_lab.jobs("PENDING")) == 3  # Ray lets none go that waits
    first.forget(["waits", "stops"])
    first.close()
    second = make()
    known = second.find(["begins", *full, "never"])
    assert [r.state for r in known] == [RunState.RUNNING] * 3 + [RunState.ABSENT]
    let_go(tmp_path, full)
    assert all(r.exit_status == 0 for r in ends(second, "begins", *full))
    until(lambda: not ray_lab.jobs("PENDING", "RUNNING"), "an empty queue")
    assert counted(tmp_path, "waits", "stops", "begins") == [0, 0, 1]
    assert second.find(["waits"])[0].reason is EndReason.CANCELLED


def test_what_others_have_is_told(make: Make, ray_lab: RayLab, tmp_path: Path) -> None:
    engine, other = make(shared_s=0.5), make(site="other")
    engine.start([order("ours", HOLD, 2)])
    other.start([order("theirs", HOLD, 5)])

    def taken() -> dict[TakenBy, float]:
        use = engine.others()
        return {each.by: each.amount.cores for each in use.taken} if use else {}

    until(lambda: taken() == {TakenBy.OURS: 2, TakenBy.OTHERS: 5}, "others")
    use = engine.others()
    assert use is not None
    assert (use.plain.cores, use.carded.cores) == (MACHINE_CORES * len(ray_lab.machines), 0)
    (tmp_path / "other/runs/theirs/outputs/go").touch()
    until(lambda: taken() == {TakenBy.OURS: 2}, "only ours")
    let_go(tmp_path, ["ours"])
    ends(engine, "ours")


def test_what_an_administrator_stops_is_cancelled(make: Make, ray_lab: RayLab, tmp_path: Path) -> None:
    engine = make()
    full = fill(engine, ray_lab)
    engine.start([order("waits", "sleep 300")])
    until(lambda: len(ray_lab.jobs("PENDING")) == 1, "a queue")
    for job in ray_lab.jobs("PENDING", "RUNNING"):
        assert ray_lab.ask(f"/api/jobs/{job}/stop", "POST").json() == {"stopped": True}
    assert {r.reason for r in ends(engine, "waits", *full)} == {EndReason.CANCELLED}


def test_a_dashboard_that_is_killed_loses_and_repeats_nothing(make: Make, ray_lab: RayLab, tmp_path: Path) -> None:
    engine = make()
    before = [f"before{n}" for n in range(4)]
    engine.start([order(key, f"{COUNT}; {HOLD}", 4) for key in before])
    until(lambda: all(report.started_at for report in engine.find(before)), "start")
    engine.start([order("waits", COUNT)])
    until(lambda: len(ray_lab.jobs("PENDING")) == 1, "a queue")
    start_again = ray_lab.kill_dashboard()
    assert engine.start([order("late", COUNT)]) == []
    until(lambda: engine.info().fault != "", "a fault")
    let_go(tmp_path, before[:2])
    assert {r.exit_status for r in ends(engine, *before[:2])} == {0}  # results need no dashboard
    start_again()
    until(lambda: engine.info().fault == "", "an answer")
    let_go(tmp_path, before[2:])
    keys = (*before, "waits", "late")
    assert all((r.reason, r.exit_status) == (EndReason.EXIT, 0) for r in ends(engine, *keys))
    assert counted(tmp_path, *keys) == [1] * len(keys)


def test_a_machine_that_is_lost_interrupts_what_ran_there_and_nothing_else(
    make: Make, ray_lab: RayLab, tmp_path: Path
) -> None:
    engine = make()
    full = fill(engine, ray_lab)
    engine.start([order("waits", COUNT)])
    until(lambda: len(ray_lab.jobs("PENDING")) == 1, "a queue")
    ray_lab.kill_machine("w1")
    until(lambda: bool(engine.watch()), "an end")
    (lost,) = engine.watch()
    assert lost.state is RunState.INTERRUPTED
    assert lost.detail.startswith("ray: FAILED: Job supervisor actor died")
    (left,) = set(full) - {lost.key}
    assert engine.find([left])[0].state is RunState.RUNNING
    pid = int((tmp_path / "site/runs" / lost.key / "started").read_text().split()[0])
    assert not Path(f"/proc/{pid}").exists()  # Ray ends what a lost machine's own part of it began
    let_go(tmp_path, [left])
    assert [r.exit_status for r in ends(engine, left, "waits")] == [0, 0]
    assert counted(tmp_path, "waits") == [1]
    ray_lab.start_machine("w1")


class Forgetful(RayCluster):
    """A cluster that takes what it is given, and whose answer is lost, some times."""

    left = 0

    def _say(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        try:
            return super()._say(method, path, body)
        finally:
            if body is not None and self.left > 0:
                self.left -= 1
                raise ClusterAway("the answer was lost")


@pytest.mark.parametrize(("lost", "batches"), [(1, 1), (2, 2)])
def test_what_is_submitted_again_runs_once(
    make: Make, ray_lab: RayLab, tmp_path: Path, lost: int, batches: int
) -> None:
    cluster = Forgetful(ray_lab.settings)
    cluster.left = lost
    engine = make(cluster)
    before = set(ray_lab.jobs())
    keys = [f"r{n}" for n in range(3)]
    # the first answer lost is asked for again, and Ray says that it has the job; the second leaves it open
    engine.start([order(key, COUNT) for key in keys])
    assert all((r.reason, r.exit_status) == (EndReason.EXIT, 0) for r in ends(engine, *keys))
    until(lambda: not ray_lab.jobs("PENDING", "RUNNING"), "an empty cluster")
    assert counted(tmp_path, *keys) == [1] * len(keys)
    assert len({job.rpartition("-")[0] for job in set(ray_lab.jobs()) - before}) == batches


def test_what_ray_lost_before_it_began_is_submitted_again(make: Make, ray_lab: RayLab, tmp_path: Path) -> None:
    class Lossy(RayCluster):
        lost = False

        def submit(self, batch: str, count: int, shape: Shape, script: Sequence[str], folder: Path) -> None:
            if self.lost:
                super().submit(batch, count, shape, script, folder)
            self.lost = True  # the first is taken, and never heard of again

    engine = make(Lossy(ray_lab.settings))
    engine.start([order("lost", COUNT)])
    assert ends(engine, "lost")[0].exit_status == 0
    assert counted(tmp_path, "lost") == [1]


def test_what_no_machine_has_room_for_is_refused_with_the_reason(make: Make, ray_lab: RayLab) -> None:
    engine = make()
    engine.start([order("wide", "true", MACHINE_CORES + 1), replace(order("cards", "true"), accelerators=1)])
    wide, cards = ends(engine, "wide", "cards")
    assert wide.reason is cards.reason is EndReason.NOT_STARTED
    assert f"({MACHINE_CORES}, " in wide.detail


def test_what_ray_itself_refuses_is_told(make: Make, ray_lab: RayLab) -> None:
    class Odd(RayCluster):
        def _say(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
            return super()._say(method, path, body and {**body, "entrypoint_num_cpus": "many"})

    engine = make(Odd(ray_lab.settings))
    engine.start([order("odd", "true")])
    (odd,) = ends(engine, "odd")
    assert odd.reason is EndReason.NOT_STARTED
    assert "entrypoint_num_cpus must be a number" in odd.detail


def test_a_token_that_ray_does_not_know_is_a_fault_of_the_site_and_is_never_shown(
    make: Make, ray_lab: RayLab, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    file.write_text("not-the-one\n")
    settings = replace(ray_lab.settings, token_file=str(file))
    file.chmod(0o640)
    with pytest.raises(ProblemsFound) as found:
        RayCluster(settings)
    assert [p.code for p in found.value.problems] == ["token_open"]
    file.chmod(0o600)
    engine = make(RayCluster(settings))
    assert engine.start([order("waits", "true")]) == []
    until(lambda: engine.info().fault != "", "a fault")
    assert "403" in engine.info().fault
    assert engine.find(["waits"])[0].state is RunState.RUNNING
    assert "not-the-one" not in engine.info().fault + caplog.text + str(settings)
    for content in ("", "a\nb", "钥"):
        file.write_text(content)
        with pytest.raises(ProblemsFound):
            RayCluster(settings)
    with pytest.raises(ProblemsFound):
        RayCluster(replace(settings, token_file=str(tmp_path / "none")))


def test_what_is_over_is_taken_off_rays_list_and_others_work_stays(
    make: Make, ray_lab: RayLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(ray_lab.jobs())
    ours, theirs = (RayCluster(replace(ray_lab.settings, folder=folder)) for folder in ("/ours", "/theirs"))
    engine = make(ours)
    engine.start([order("ours", "true")])
    ends(engine, "ours")
    until(lambda: not ray_lab.jobs("PENDING", "RUNNING"), "an empty cluster")
    (name,) = set(ray_lab.jobs()) - before
    ours.tasks("sanjin-")
    monkeypatch.setattr(ray, "KEEP_S", 0.0)
    theirs.tasks("sanjin-")
    assert name in ray_lab.jobs()
    ours.tasks("sanjin-")
    assert set(ray_lab.jobs()) == before


SPREAD = """
import ray
ray.init(log_to_driver=False)
group = ray.util.placement_group([{"CPU": 1}] * 2, strategy="STRICT_SPREAD")
ray.get(group.ready())
strategy = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy
@ray.remote(num_cpus=1)
def where():
    return ray.get_runtime_context().get_node_id()
tasks = [where.options(scheduling_strategy=strategy(group, n)).remote() for n in range(2)]
print(len(set(ray.get(tasks))), "machines")
"""


def test_work_that_uses_ray_itself_finds_its_cluster_and_uses_several_machines(make: Make, ray_lab: RayLab) -> None:
    engine = make(sandbox="none")
    engine.start([RunOrder(key="spread", command=("python3", "-c", SPREAD), memory_bytes=2 << 30, time_limit_s=300.0)])
    (spread,) = ends(engine, "spread")
    assert spread.exit_status == 0, engine.logs("spread", "stderr", 0, 10_000).decode()
    assert engine.logs("spread", "stdout", 0, 1000) == b"2 machines\n"


def test_in_a_sandbox_the_cluster_cannot_be_reached_and_the_work_fails(make: Make, ray_lab: RayLab) -> None:
    support.needs_bwrap()
    engine = make(sandbox="bwrap")
    assert engine.info().sandbox == find_bwrap().kind
    engine.start([RunOrder(key="spread", command=("python3", "-c", SPREAD), memory_bytes=2 << 30, time_limit_s=300.0)])
    (spread,) = ends(engine, "spread")
    assert (spread.reason, spread.exit_status) == (EndReason.EXIT, 1)
    assert engine.logs("spread", "stderr", 0, 10_000).endswith(b"Invalid address format: not-reachable-in-a-sandbox\n")


@pytest.mark.parametrize(
    ("status", "error", "state"),
    [
        ("FAILED", "JOB_SUPERVISOR_ACTOR_START_TIMEOUT", TaskState.OVER),
        ("FAILED", "JOB_SUPERVISOR_ACTOR_DIED", TaskState.OVER),
        ("FAILED", "JOB_ENTRYPOINT_COMMAND_ERROR", TaskState.FAILED),
        ("FAILED", None, TaskState.FAILED),
        ("SUCCEEDED", None, TaskState.OVER),
        ("STOPPED", None, TaskState.CANCELLED),
        ("PENDING", None, TaskState.WAITS),
        ("OTHER", None, TaskState.LIVES),
    ],
)
def test_what_ray_says_of_a_job_is_taken_for_what_it_is(
    monkeypatch: pytest.MonkeyPatch, status: str, error: str | None, state: TaskState
) -> None:
    """From answers as Ray gives them: it would take 15 minutes to make a job wait too long."""
    job = {"submission_id": "sanjin-a-7", "status": status, "error_type": error, "message": "m\nn"}
    driver = {"submission_id": None, "status": "RUNNING"}
    cluster = RayCluster(EngineSettings(engine=EngineKind.RAY, address="http://127.0.0.1:1"))
    monkeypatch.setattr(cluster, "_list", lambda path: [job, driver])
    seen = cluster.tasks("sanjin-").get("sanjin-a", 7)
    assert seen is not None
    assert (seen.state, seen.said) == (state, f"{status}: m")


def test_who_does_not_answer_like_a_dashboard_is_away() -> None:
    cluster = RayCluster(EngineSettings(engine=EngineKind.RAY, address="http://127.0.0.1:1"))
    for look in (lambda: cluster.tasks("x"), cluster.largest):
        with pytest.raises(ClusterAway):
            look()
