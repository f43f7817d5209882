"""The example jobs give results that can be checked, and their data and arrivals repeat."""

# DuckDB hands out untyped rows here.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import hashlib
import importlib
import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np
import pytest

from sanjin.examples import (
    aggregate,
    archive,
    data,
    demo_jobs,
    inspect,
    kmers,
    montecarlo,
    regression,
    routing,
    schedule,
    spectra,
    tiles,
)
from sanjin.model.region import DataGrade

SEED = 7
START_S = 1_780_000_000


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All datasets, one folder each, as a job finds them under $SANJIN_INPUTS."""
    root = tmp_path_factory.mktemp("inputs")
    for name in data.DATASETS:
        data.generate(name, root / name, SEED)
    return root


def _digests(root: Path) -> dict[str, str]:
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_data_repeats_for_a_seed_and_is_small(inputs: Path, tmp_path: Path) -> None:
    for name in data.DATASETS:
        data.generate(name, tmp_path / name, SEED)
    assert _digests(tmp_path) == _digests(inputs)
    for name in data.DATASETS:
        assert 0 < sum(p.stat().st_size for p in (inputs / name).iterdir()) < 3.5e6


def test_data_differs_between_seeds(inputs: Path, tmp_path: Path) -> None:
    for name in data.DATASETS:
        data.generate(name, tmp_path / name, SEED + 1)
    before, after = _digests(inputs), _digests(tmp_path)
    assert before.keys() == after.keys()
    assert not [name for name in before if before[name] == after[name]]


def test_unknown_dataset_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        data.generate("nothing", tmp_path, SEED)


def test_regression_predicts_wear(inputs: Path) -> None:
    result = regression.run(inputs / "sensor-2026" / "vibration.npz", seed=SEED)
    assert 0.8 < result.r2 < 1
    assert result.held_out == 300


@pytest.mark.parametrize("dataset", ["parcels-2026", "hospital-visits"])
def test_aggregate_equals_a_plain_sum(inputs: Path, dataset: str) -> None:
    table = aggregate.TABLES[dataset]
    file = inputs / dataset / table.file
    with duckdb.connect() as connection:
        query = f"SELECT {table.group}, {table.measure} FROM read_parquet('{file}')"
        rows = connection.execute(query).fetchall()
    sums: Counter[str] = Counter()
    for group, value in rows:
        sums[group] += value
    result = aggregate.run(inputs / dataset, dataset, seed=SEED)
    assert {g.group: g.total for g in result.groups} == dict(sums)
    assert (result.rows, result.total) == (len(rows), sum(sums.values()))


def test_aggregate_reads_csv_and_does_not_depend_on_windows(inputs: Path) -> None:
    name = "coal-face-video-index"
    lines = (inputs / name / "clips.csv").read_text(encoding="utf-8").splitlines()[1:]
    one, many = (aggregate.run(inputs / name, name, seed=s, size=n) for s, n in ((1, 1), (5, 9)))
    assert one == many
    assert one.total == sum(int(line.split(",")[4]) for line in lines)


def test_routing_visits_every_stop_once_and_beats_the_list(inputs: Path) -> None:
    file = inputs / "delivery-stops" / "stops.csv"
    for seed in (SEED, SEED + 1):
        result = routing.run(file, seed=seed)
        visited = [stop for van in result.rounds for stop in van]
        assert len(visited) == len(set(visited)) == result.stops == 20
        assert 0 < result.distance_m <= result.naive_m
    assert result == routing.run(file, seed=SEED + 1)


def test_tiles_cover_the_scene(inputs: Path, tmp_path: Path) -> None:
    file = inputs / "satellite-tiles" / "scene.png"
    result = tiles.run(file, tmp_path, size=256)
    whole = tiles.run(file, size=1024)
    assert len(result.tiles) == len(list(tmp_path.glob("ndvi-*.png"))) == 16
    assert result.ndvi_mean == pytest.approx(whole.ndvi_mean, abs=1e-9)
    assert result.green_share == whole.green_share
    assert 0.4 < result.green_share < 0.7


def test_archive_round_trip(inputs: Path, tmp_path: Path) -> None:
    target = tmp_path / "archive.sja"
    result = archive.run(inputs / "archive-2025", target, size=0)
    raw = (inputs / "archive-2025" / "events.log").read_bytes()
    assert result.verified
    assert result.sha256 == hashlib.sha256(raw).hexdigest()
    assert archive.unpack(target.read_bytes()) == raw
    assert result.packed_bytes < result.raw_bytes / 3


def test_archive_refuses_what_was_cut_off() -> None:
    packed = archive.pack(os.urandom(1000), preset=0)
    with pytest.raises(ValueError, match="cut off"):
        archive.unpack(packed[:-1])
    with pytest.raises(ValueError, match="not an archive"):
        archive.unpack(b"PK" + packed)


def test_montecarlo_meets_the_closed_form_with_any_workers() -> None:
    one = montecarlo.run(seed=SEED, size=1_200_000, workers=1)
    three = montecarlo.run(seed=SEED, size=1_200_000, workers=3)
    assert (one.workers, three.workers) == (1, 3)
    assert one.sigmas < 4
    assert (one.value, one.standard_error) == (three.value, three.standard_error)


def test_spectra_finds_the_faults_that_were_put_in(inputs: Path) -> None:
    result = spectra.run(inputs / "grid-load", seed=SEED, size=20)
    assert result.period_h == pytest.approx(24.0)
    assert result.known == 44
    assert result.hits >= 42
    assert result.flagged - result.hits <= 2


def test_kmers_finds_the_length_of_the_genome(inputs: Path) -> None:
    result = kmers.run(inputs / "genome-reads" / "reads.txt")
    assert result.total == result.reads * (150 - kmers.K + 1)
    assert result.genome_bases == pytest.approx(data.GENOME_BASES, rel=0.01)


def test_kmers_count_both_strands_as_one() -> None:
    forward = np.array([[0, 1, 2, 3, 3, 1]])
    backward = 3 - forward[:, ::-1]
    assert sorted(kmers.canonical(forward, 3)) == sorted(kmers.canonical(backward, 3))
    # ACG is 0*16 + 1*4 + 2 = 6; its reverse complement CGT is 27, so 6 stands for both.
    assert kmers.canonical(forward, 3)[0] == 6


def test_schedule_keeps_order_and_machines_apart() -> None:
    result = schedule.run(seed=SEED, size=6, days=3)
    assert result.bound_min <= result.makespan_min <= result.queue_min
    for day, starts in enumerate(result.starts_min):
        plan = schedule.instance(SEED, day, 6)
        used: dict[int, list[tuple[int, int]]] = {}
        for order, begins in zip(plan, starts, strict=True):
            steps = [(begin, begin + minutes) for begin, (_, minutes) in zip(begins, order, strict=True)]
            assert all(a[1] <= b[0] for a, b in itertools.pairwise(steps))
            for (machine, _), step in zip(order, steps, strict=True):
                used.setdefault(machine, []).append(step)
        for steps in used.values():
            assert all(a[1] <= b[0] for a, b in itertools.pairwise(sorted(steps)))


def test_inspect_finds_the_defects(inputs: Path) -> None:
    with np.load(inputs / "factory-frames" / "frames.npz") as arrays:
        result = inspect.run(arrays["images"], arrays["defective"], size=320)
        assert result.defects == int(arrays["defective"].sum())
    assert (result.missed, result.false_alarms) == (0, 0)
    assert 0 < result.p50_ms <= result.p99_ms


def test_a_job_runs_as_a_process(inputs: Path, tmp_path: Path) -> None:
    environment = {
        "PATH": os.defpath,
        "HOME": str(tmp_path),
        "SANJIN_INPUTS": str(inputs),
        "SANJIN_OUTPUTS": str(tmp_path / "outputs"),
    }
    command = [sys.executable, "-m", "sanjin.examples.aggregate", "--seed", "3"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    written = json.loads((tmp_path / "outputs" / "result.json").read_text(encoding="utf-8"))
    assert f"total {written['total']} over {written['rows']} rows" in done.stdout


def test_a_job_without_its_input_fails_with_a_message(tmp_path: Path) -> None:
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), "SANJIN_INPUTS": str(tmp_path)}
    command = [sys.executable, "-m", "sanjin.examples.archive"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "dataset archive-2025 is not under SANJIN_INPUTS" in done.stderr


def test_demo_submissions_are_many_and_repeat() -> None:
    jobs = demo_jobs.demo_submissions(START_S)
    assert jobs == demo_jobs.demo_submissions(START_S)
    assert jobs != demo_jobs.demo_submissions(START_S, seed=1)
    assert len(jobs) == 66
    assert len({s.key for _, _, s in jobs}) == 66
    assert {s.spec.kind for _, _, s in jobs} == set(demo_jobs.KINDS)
    assert len(demo_jobs.KINDS) >= 8
    assert {node for node, _, _ in jobs} == set(data.CITIES)
    assert len({s.spec.tenant for _, _, s in jobs}) == 7
    offsets = [offset for _, offset, _ in jobs]
    assert offsets == sorted(offsets)
    assert offsets[0] >= 0
    assert offsets[-1] <= 3 * 3600
    assert len(demo_jobs.demo_submissions(START_S, count=3)) == 3


def test_demo_submissions_show_every_rule() -> None:
    jobs = demo_jobs.demo_submissions(START_S)
    specs = [s.spec for _, _, s in jobs]
    core = [(node, s.spec) for node, _, s in jobs if s.spec.grade is DataGrade.CORE]
    assert [(node, spec.inputs) for node, spec in core] == [("taiyuan", ("hospital-visits",))]
    assert sum(spec.deadline_firm for spec in specs) == 2
    for node, offset, submission in jobs:
        spec = submission.spec
        assert set(spec.inputs) <= set(data.DATASETS)
        assert not spec.deadline_firm or spec.deadline_s > START_S + offset + spec.duration_s
        if spec.kind == "inspect":
            assert (spec.latency_class_ms, spec.latency_origin) == (1, node)
    patient = [spec for spec in specs if spec.delay_price_fen_per_hour <= 20]
    urgent = [spec for spec in specs if spec.delay_price_fen_per_hour >= 2000]
    assert len(patient) + len(urgent) == len(specs)
    assert len(patient) > 2 * len(urgent) > 10


def test_durations_follow_the_rate() -> None:
    slow, fast = (demo_jobs.demo_submissions(START_S, rate=r) for r in (36.0, 360.0))
    for (_, _, a), (_, _, b) in zip(slow, fast, strict=True):
        assert b.spec.duration_s == pytest.approx(10 * a.spec.duration_s, abs=10)
        assert isinstance(b.spec.duration_s, int)


@pytest.mark.parametrize("kind", sorted(demo_jobs.KINDS))
def test_demo_commands_are_understood(
    kind: str,
    inputs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command line of the first demo job of each kind, in this process."""
    monkeypatch.setenv("SANJIN_INPUTS", str(inputs))
    monkeypatch.setenv("SANJIN_OUTPUTS", str(tmp_path))
    jobs = demo_jobs.demo_submissions(START_S)
    command = next(s.spec.command for _, _, s in jobs if s.spec.kind == kind)
    module = importlib.import_module(command[2])
    assert module.main(list(command[3:])) == 0
    assert capsys.readouterr().out.startswith(f"{kind}: ")
    assert (tmp_path / "result.json").is_file()
