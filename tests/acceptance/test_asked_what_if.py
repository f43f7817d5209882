"""A region that is really up is asked what if, by people of two roles; it goes on undisturbed, and knows the answer
after a restart. Then its morning report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sanjin.adapters.state_folder import StateFolder
from sanjin.adapters.store.sqlite import SqliteStore
from sanjin.client import Client
from sanjin.model.job import JobSpec, JobState, Submission
from sanjin.model.units import HOUR_S
from sanjin.model.what_if import RunState, WhatIf
from tests.live import Region
from tests.support import until


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    """Jobs that run for hours, and some that are to start later."""
    region = Region(tmp_path_factory.mktemp("asked") / "state")
    region.up()
    with Client.here(region.state) as client:
        until(lambda: all(s.parent_reachable for s in client.sites()), "reachable tree")
        now = client.region().now_s
        common = {"command": ("sleep", "3000"), "duration_s": HOUR_S, "tenant": "shanxi-univ", "site": "linfen"}
        runs = [JobSpec(name=f"runs{i}", delay_price_fen_per_hour=10**6, **common) for i in range(2)]
        later = [JobSpec(name=f"later{i}", earliest_start_s=now + 2 * HOUR_S, **common) for i in range(2)]
        ids = client.submit([Submission(key=s.name, spec=s) for s in (*runs, *later)], "linfen")
        until(lambda: [client.job(j).state for j in ids[:2]] == [JobState.RUNNING] * 2, "running jobs")
        until(lambda: [client.job(j).state for j in ids[2:]] == [JobState.PLACED] * 2, "placed jobs")
    yield region
    with Client.here(region.state) as client:  # it may have been started again
        for job in ids:
            client.cancel(job)
        until(lambda: all(client.job(j).state.ended for j in ids), "the end")
    region.down()


def tips(region: Region) -> dict[str, tuple[int, bytes]]:
    found: dict[str, tuple[int, bytes]] = {}
    for path in region.state.glob("*/state.db"):
        store = SqliteStore(path)
        found[path.parent.name] = store.tip()
        store.close()
    return found


def test_it_is_asked_and_goes_on_undisturbed(up: Region) -> None:
    before = tips(up)
    found = up.json("what-if", "--carbon-price", "300", "--tariff", "1.1", "--down", "linfen:0:3")
    assert isinstance(found, dict)
    assert found["state"] == "done" and found["progress"] == 1.0
    as_is, changed = found["as_is"], found["changed"]
    assert as_is["sums"]["jobs"] == changed["sums"]["jobs"] == 4
    assert as_is["sums"]["succeeded"] == 4
    states = {j["name"]: j["state"] for j in changed["jobs"]}
    assert states == {"runs0": "interrupted", "runs1": "interrupted", "later0": "succeeded", "later1": "succeeded"}
    starts = {j["name"]: j["start_s"] for j in changed["jobs"]}
    assert starts["later0"] >= found["begin_s"] + 3 * HOUR_S
    assert tips(up) == before
    shown = up.run("what-if", "--show", found["id"], lang="both")
    assert shown.returncode == 0 and "difference" in shown.stdout and "差额" in shown.stdout


def test_a_planner_gets_the_sums_and_nobodys_jobs(up: Region) -> None:
    made = up.json("user", "add", "pl", "--role", "planner")
    assert isinstance(made, dict)
    url, _ = StateFolder(up.state).found()
    client = Client(url, made["token"])
    run = client.what_if(WhatIf(solar=3))
    until(lambda: client.what_if_run(run.id).state in (RunState.DONE, RunState.FAILED), "answer", 120)
    found = client.what_if_run(run.id)
    assert found.as_is and found.as_is.jobs == () and found.as_is.hidden == 4 and found.as_is.sums.jobs == 4
    assert found.asked_by == "pl"
    refused = httpx.get(f"{url}/v1/timeline", headers={"Authorization": f"Bearer {made['token']}"})
    assert refused.status_code == 403
    client.close()


def test_a_wrong_question_is_told_all_that_is_wrong(up: Region) -> None:
    done = up.run("what-if", "--carbon-price", "-1", "--down", "nowhere:2:1")
    assert done.returncode == 3 and done.stderr.count(". ") >= 3
    assert "nowhere" in done.stderr and "carbon_price" in done.stderr and "until_h" in done.stderr
    assert up.run("what-if", "--down", "linfen").returncode == 3
    checked = up.json("what-if", "--solar", "2", "--dry-run")
    assert isinstance(checked, dict) and checked["dry_run"] is True


def test_the_morning_report_is_written(up: Region, tmp_path: Path) -> None:
    said = up.run("report", "--hours", "2")
    assert said.returncode == 0 and said.stdout.startswith("# Morning report") and "晨报" in said.stdout
    page = tmp_path / "report.html"
    assert up.run("report", "--to", str(page)).returncode == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    found = up.json("report")
    assert isinstance(found, dict) and found["running"] >= 2 and found["audit_ok"] is True
    assert up.run("report", "--to", str(tmp_path / "no" / "such")).returncode == 3


def test_answers_are_found_again_after_a_restart(up: Region) -> None:
    before = json.dumps(up.ask("what-if"))
    up.down()
    up.up()
    assert json.dumps(up.ask("what-if")) == before and "done" in before
