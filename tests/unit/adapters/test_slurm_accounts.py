"""Ends that a Slurm controller has forgotten are asked of its accounts; Slurm's programs are played here, and ``sacct``
answers what a real one did (``tests/recorded``)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sanjin.adapters.engines import cluster_engine
from sanjin.adapters.engines.cluster import ClusterAway, TaskState
from sanjin.adapters.engines.cluster_engine import ClusterEngine
from sanjin.adapters.engines.slurm import SlurmCluster
from sanjin.cli.clusters import asked
from sanjin.model.engines import EngineKind, EngineSettings
from sanjin.ports import EndReason, RunOrder, RunReport, RunState
from tests.support import until

RECORDED = Path(__file__).parents[2] / "recorded" / "sacct-22.05.txt"
PROGRAMS = {
    "scontrol": 'echo "AccountingStorageType   = accounting_storage/slurmdbd"',
    "sinfo": r"printf 'batch*\037n0\03716\03732000\037(null)\037idle\n'",
    "squeue": ":",  # it has forgotten all
    "sbatch": 'echo "$*" >> "${0%/*}/sent"',
    "scancel": ":",
    "sacct": """
cd "${0%/*}" && echo "$*" >> asked
[ ! -e away ] || { echo "sacct: error: Problem talking to the database: Connection refused" >&2; exit 1; }
for word; do name=${word#--name=}; done
sed "s/@/$name/" answer""",
}


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the programs; what stands in ``answer`` there is what ``sacct`` answers,
    with the names that it is asked for in place of ``@``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in PROGRAMS.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    lines = RECORDED.read_text().splitlines(keepends=True)
    (folder / "answer").write_text("".join(line for line in lines if not line.startswith("#")))
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def test_each_recorded_end_is_told_as_what_it_was(slurm: Path) -> None:
    accounts = SlurmCluster(EngineSettings()).accounts
    short = ["a1", "a2", "a3", "a4", "a5", "a6", "a7", "b1", "c1", "d1", "d2"]
    names = [f"sanjin-00000000000000{each}" for each in short]
    found = accounts.ended(names, time.time() - 7300)
    states = {
        (each, index): seen.state
        for name, each in zip(names, short, strict=True)
        for index in range(4)
        if (seen := found.get(name, index))
    }
    cancelled, failed, over = TaskState.CANCELLED, TaskState.FAILED, TaskState.OVER
    assert [states.get(("a1", n)) for n in range(4)] == [over, failed, cancelled, cancelled]
    assert [states["a5", 3], states["a6", 0], states["a6", 2]] == [cancelled] * 3
    first = {each: states[each, 0] for each in ("a2", "a3", "a4", "b1", "c1", "a7", "d1", "d2")}
    assert first == {
        "a2": TaskState.TIME_LIMIT, "a3": over, "a4": failed, "b1": over, "c1": failed,
        "a7": over, "d1": over, "d2": over,  # nobody wished their end
    }  # fmt: skip
    said = [found.get(f"sanjin-00000000000000{each}", 0) for each in ("a2", "a3", "d1")]
    assert [seen and seen.said for seen in said] == [
        "TIMEOUT, by the accounts; 123456 J measured", "NODE_FAIL, by the accounts",
        "CANCELLED by nobody, by the accounts",
    ]  # fmt: skip
    (call,) = (slurm / "asked").read_text().splitlines()
    assert f"--name={','.join(names)}" in call and "--starttime=now-4hours --endtime=now" in call


def test_whether_accounts_are_kept_is_found_once_and_shown(slurm: Path) -> None:
    settings = EngineSettings(engine=EngineKind.SLURM)
    cluster = SlurmCluster(settings)
    said, fault = asked("datong", settings)
    assert (cluster.accounts.kept(), fault, "keeps accounts" in said) == (True, "", True)
    (slurm / "scontrol").write_text('#!/bin/sh\necho "AccountingStorageType   = accounting_storage/none"\n')
    assert cluster.accounts.kept()
    assert not SlurmCluster(settings).accounts.kept()
    assert "no accounts to ask" in asked("datong", settings)[0]


@pytest.fixture
def begin(slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ClusterEngine]]:
    """Makes an engine with a run for each key, that was submitted, begun by nobody who could tell, and forgotten."""
    for name, seconds in (("POLL_S", 0.05), ("RETRY_S", 0.05), ("SETTLE_S", 0.0)):
        monkeypatch.setattr(cluster_engine, name, seconds)
    made: list[ClusterEngine] = []

    def make(*keys: str) -> ClusterEngine:
        engine = ClusterEngine(tmp_path / "site", SlurmCluster(EngineSettings()), sandbox="none")
        made.append(engine)
        for key in keys:  # so that each has begun before the engine first looks for it
            run = tmp_path / "site/runs" / key
            run.mkdir(parents=True)
            (run / "submitted").write_text(f"sanjin-{key} 0 1,64,0,1,1\n")
            (run / "started").write_text(f"{2**22 + 1} {time.time()} sanjin-{key} 0\n")
        engine.start([RunOrder(key=key, command=("true",)) for key in keys])
        return engine

    yield make
    for engine in made:
        engine.close()


def told(engine: ClusterEngine, *keys: str) -> list[RunReport]:
    """The reports of these once all are told."""
    until(lambda: {r.key for r in engine.watch()} >= set(keys), f"ends of {keys}", 20)
    found = {report.key: report for report in engine.watch()}
    return [found[key] for key in keys]


def test_a_forgotten_run_ends_for_the_reason_that_the_accounts_give(
    slurm: Path, begin: Callable[..., ClusterEngine]
) -> None:
    (slurm / "answer").write_text(
        "sanjin-late|2|TIMEOUT|\nbatch|2.batch|CANCELLED|77\nsanjin-big|3|OUT_OF_MEMORY|0\n"
        "sanjin-ended|4|CANCELLED by 0|\nsanjin-lost|5|NODE_FAIL|\nsanjin-yielded|6|PREEMPTED|\n"
        "sanjin-closed|7|CANCELLED|\n"
    )
    keys = ("late", "big", "ended", "lost", "yielded", "closed")
    late, big, ended, *others = told(begin(*keys), *keys)
    assert [r.reason for r in (late, big, ended)] == [
        EndReason.TIME_LIMIT, EndReason.MEMORY_LIMIT, EndReason.CANCELLED,
    ]  # fmt: skip
    assert late.detail == "slurm: TIMEOUT, by the accounts; 77 J measured"
    assert [r.state for r in others] == [RunState.INTERRUPTED] * 3
    assert [r.detail.split()[1].strip(",") for r in others] == ["NODE_FAIL", "PREEMPTED", "CANCELLED"]


def test_accounts_that_are_away_or_behind_are_waited_for_and_not_for_ever(
    slurm: Path, begin: Callable[..., ClusterEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    (slurm / "away").touch()
    with pytest.raises(ClusterAway, match="Connection refused"):
        SlurmCluster(EngineSettings()).accounts.ended(["sanjin-x"], time.time())
    (slurm / "answer").write_text("sanjin-late|2|TIMEOUT|0\n")
    (slurm / "asked").unlink()
    engine = begin("late", "unknown")

    def calls() -> int:
        return len((slurm / "asked").read_text().splitlines()) if (slurm / "asked").exists() else 0

    until(lambda: calls() > 2, "calls")
    assert engine.watch() == [] and engine.info().fault == ""
    (slurm / "away").unlink()
    assert told(engine, "late")[0].reason is EndReason.TIME_LIMIT
    seen = calls()
    until(lambda: calls() > seen + 2, "more calls")
    assert {r.key for r in engine.watch()} == {"late"}
    monkeypatch.setattr(cluster_engine, "ACCOUNTS_S", 0.0)
    (unknown,) = told(engine, "unknown")
    assert (unknown.state, unknown.detail) == (RunState.INTERRUPTED, "slurm: unknown")


def test_a_run_that_had_not_begun_ends_where_somebody_wished_it_and_is_else_submitted_again(
    slurm: Path, begin: Callable[..., ClusterEngine]
) -> None:
    (slurm / "answer").write_text("@|9|CANCELLED|0\n")
    engine = begin()
    engine.start([RunOrder(key="waits", command=("true",))])
    until(lambda: (slurm / "sent").exists() and len((slurm / "sent").read_text().splitlines()) > 2, "submissions")
    assert engine.watch() == []
    (slurm / "next").write_text("@|9|CANCELLED by 0|0\n")
    (slurm / "next").rename(slurm / "answer")
    assert told(engine, "waits")[0].reason is EndReason.CANCELLED
