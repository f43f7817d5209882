"""``sanjin forecast`` as a user types it, on a state folder of five weeks of made-up work."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sanjin.adapters.state_folder import StateFolder
from sanjin.adapters.store.sqlite import SqliteStore
from sanjin.model.job import JobSpec, JobState
from sanjin.model.record import JobRecord
from sanjin.ports import Batch
from sanjin.regions.load import bundled
from tests.acceptance.test_commands import Region

BEGIN_S = 1_783_872_000  # Monday 2026-07-13 00:00 in Shanxi
WEEKS = 5


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Region:
    folder = tmp_path_factory.mktemp("state")
    StateFolder(folder).keep_region(bundled("shanxi").read_text(encoding="utf-8"))
    rng = np.random.default_rng(5)
    for node, often in (("linfen", 3.0), ("datong", 1.0)):
        store = SqliteStore(folder / node / "state.db")
        rate = often * (1 + np.sin(2 * np.pi * (np.arange(WEEKS * 168) % 24 - 9) / 24))
        counts = rng.poisson(rate)
        hours = np.repeat(np.arange(len(counts)), counts)
        records = [job(f"{node}-{i:06}", BEGIN_S + int(h) * 3600) for i, h in enumerate(hours, 1)]
        records.append(job(f"{node}-999999", BEGIN_S + WEEKS * 168 * 3600))
        store.commit(Batch(jobs={r.id: r for r in records}))
        store.close()
    return Region(folder)


def job(name: str, at_s: int) -> JobRecord:
    spec = JobSpec(name="x", command=("x",), cores=4, duration_s=3600)
    return JobRecord(id=name, key=name, spec=spec, state=JobState.SUCCEEDED, submitted_s=at_s)


def measured(days: int) -> str:
    kw = [max(0.0, 4000 * np.sin(2 * np.pi * (h % 24 - 6) / 24)) * (0.5 + h // 24 % 2 / 2) for h in range(days * 24)]
    return "time,kw\n" + "".join(f"{BEGIN_S + 3600 * h},{v:.1f}\n" for h, v in enumerate(kw))


def test_demand_is_forecast_with_its_error(region: Region, tmp_path: Path) -> None:
    whole = region.json("forecast", "demand")
    assert isinstance(whole, dict)
    assert (whole["kind"], whole["first_hour_s"], len(whole["values"])) == ("demand", BEGIN_S + WEEKS * 168 * 3600, 48)
    assert (whole["history_hours"], whole["origins"]) == (WEEKS * 168, 27)
    assert whole["error"] < whole["baseline_error"]
    assert [t["model"] for t in whole["tested"]] == ["seasonal_naive", "levelled_profile", "daily_profile"]
    part = region.json("forecast", "demand", "--site", "datong", "--hours", "24")
    assert isinstance(part, dict)
    assert 0.15 < sum(part["values"]) / sum(whole["values"][:24]) < 0.35
    plot = tmp_path / "demand.svg"
    for lang, words in (("en", "seasonal-naive, the baseline"), ("zh", "季节朴素法")):
        done = region.run("forecast", "demand", "--plot", str(plot), lang=lang)
        assert done.returncode == 0, done.stderr
        assert words in done.stdout and "█" in done.stdout and "08-17 05:00" in done.stdout
    assert plot.read_text(encoding="utf-8").startswith("<svg")


def test_generation_is_forecast_from_what_was_measured(region: Region, tmp_path: Path) -> None:
    file = tmp_path / "pv.csv"
    file.write_text(measured(20))
    found = region.json("forecast", "generation", "--site", "datong", "--history", str(file), "--hours", "24")
    assert isinstance(found, dict)
    assert (found["site"], found["unit"], found["model"]) == ("datong", "kw", "smart_persistence")
    assert found["error"] < found["baseline_error"]
    assert all(0 < t["error_of_peak"] < 1 for t in found["tested"])
    assert (found["values"][0], max(found["values"]) > 1000) == (0.0, True)
    file.write_text(measured(1))
    short = region.run("forecast", "generation", "--site", "datong", "--history", str(file))
    assert short.returncode == 0, short.stderr
    assert "the error is not known: that wants 72 hours" in short.stderr


def test_without_a_measurement_generation_is_said_to_be_modelled(region: Region) -> None:
    done = region.run("forecast", "generation", "--site", "datong", "--hours", "24")
    assert done.returncode == 0, done.stderr
    assert "not measured; the error is not known" in done.stderr
    found = json.loads(region.run("forecast", "generation", "--site", "datong", "--output", "json").stdout)
    assert (found["model"], found["error"], found["origins"], found["tested"]) == ("modelled", None, 0, [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["demand", "--site", "atlantis", "--hours", "0", "--plot", "x.png"], ["--site: ", "--hours: ", "--plot: "]),
        (["generation", "--site", "changzhi"], ["no on-site generation"]),
        (["generation", "--site", "datong", "--history", "nowhere.csv"], ["nowhere.csv:1: the file cannot be read"]),
        (["generation", "--site", "datong", "--history", "{bad}"], ["bad.csv:3: time: ", "bad.csv:3: kw: "]),
        (["generation", "--site", "datong", "--history", "{empty}"], ["empty.csv:1: 0 hours of history are too few"]),
    ],
    ids=lambda v: " ".join(v[:2]),
)
def test_wrong_input_is_said_all_at_once(region: Region, tmp_path: Path, words: list[str], said: list[str]) -> None:
    (tmp_path / "bad.csv").write_text(f"time,kw\n{BEGIN_S},1\n{BEGIN_S + 7200},lots\n")
    (tmp_path / "empty.csv").write_text("time,kw\n")
    names = {"bad": tmp_path / "bad.csv", "empty": tmp_path / "empty.csv"}
    done = region.run("forecast", *(w.format(**names) for w in words))
    assert done.returncode == 3, (done.stdout, done.stderr)
    assert all(each in done.stderr for each in said), done.stderr


def test_no_state_and_little_history_are_said(tmp_path: Path) -> None:
    region = Region(tmp_path / "state")
    assert region.run("forecast", "demand").returncode == 4
    region.state.mkdir()
    StateFolder(region.state).keep_region(bundled("shanxi").read_text(encoding="utf-8"))
    assert region.run("forecast", "demand").returncode == 4
    store = SqliteStore(region.state / "datong" / "state.db")
    store.commit(Batch(jobs={f"datong-{i}": job(f"datong-{i}", BEGIN_S + i * 7200) for i in range(3)}))
    store.close()
    done = region.run("forecast", "demand")
    assert done.returncode == 3
    assert "4 hours of history are too few" in done.stderr
