"""The commands against a region that is up, as a user types them."""

from __future__ import annotations

import hashlib
import json
import signal
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sanjin.adapters.engines.run_folder import RunFolder
from sanjin.regions.load import bundled
from tests.live import Region


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    made = Region(tmp_path_factory.mktemp("state"))
    made.up("--sample-data")
    yield made
    assert made.down() == 0


def test_a_command_is_submitted_waited_for_and_looked_at(region: Region) -> None:
    done = region.run("submit", "--name", "six", "--node", "changzhi", "--wait", "--", "sh", "-c", "echo 42; exit 0")
    assert done.returncode == 0, done.stderr
    assert "succeeded" in done.stdout
    name = next(w for w in done.stdout.split() if w.startswith("changzhi-"))
    assert region.run("logs", name).stdout == "42\n"
    assert region.run("logs", "-f", name).stdout == "42\n"
    explained = region.run("explain", name).stdout
    assert f"{name} goes to " in explained
    assert "the nearest alternative is" in explained
    job = region.json("job", name)
    assert isinstance(job, dict)
    assert job["job"]["state"] == "succeeded"
    assert job["events"][0]["kind"] == "job.submitted"
    assert name in region.run("jobs", "--in-state", "succeeded").stdout
    both = region.run("explain", name, lang="both").stdout
    assert "the nearest alternative is" in both
    assert "次优方案" in both


def test_what_a_job_left_is_listed_and_brought_here(region: Region, tmp_path: Path) -> None:
    code = "cd $SANJIN_OUTPUTS; mkdir d; printf 0123456789 > d/ten; printf x > one; ln -s /etc/passwd link"
    done = region.run("submit", "--node", "changzhi", "--wait", "--output", "json", "--", "sh", "-c", code)
    job = json.loads(done.stdout)[0]["id"]
    listed = region.json("outputs", job)
    assert isinstance(listed, dict)
    assert {f["name"]: f["bytes"] for f in listed["files"]} == {"d/ten": 10, "one": 1}
    assert listed["complete"] and listed["left_out"] == [{"name": "link", "why": "link"}]
    shown = region.run("outputs", job)
    assert hashlib.sha256(b"0123456789").hexdigest() in shown.stdout
    assert "left out: link: a symbolic link" in shown.stderr
    brought = region.run("outputs", job, "--to", str(tmp_path / "new"))
    assert brought.returncode == 0, brought.stderr
    assert "2 files verified by their checksums; 11 bytes came" in brought.stderr
    assert (tmp_path / "new/d/ten").read_text() == "0123456789"
    assert not (tmp_path / "new/link").exists()
    again = region.run("outputs", job, "--to", str(tmp_path / "new"), lang="zh")
    assert "本次传输 0 字节" in again.stderr
    (path,) = region.state.glob(f"*/engine/runs/{job}.*/outputs/d/ten")
    path.write_text("0123456780")
    damaged = region.run("outputs", job, "--to", str(tmp_path / "other"))
    assert damaged.returncode == 10 and "d/ten" in damaged.stderr
    path.write_text("012345678")
    assert region.run("outputs", job, "--to", str(tmp_path / "other"), "--only", "d/ten").returncode == 10
    one = region.json("outputs", job, "--to", str(tmp_path / "other"), "--only", "one")
    assert isinstance(one, dict) and [f["name"] for f in one["files"]] == ["one"]
    assert region.run("outputs", job, "--to", str(tmp_path / "other"), "--only", "two").returncode == 4
    assert region.run("outputs", "changzhi-999999").returncode == 4
    run = path.parents[2]
    assert "kept for 30 days" in region.run("doctor").stdout
    RunFolder(run.parents[1]).remove([run.name])  # as the site does when it was kept long enough
    assert "removed at 20" in region.run("outputs", job).stderr
    for words in (("outputs", job, "--to", str(tmp_path / "late")), ("logs", job)):
        gone = region.run(*words)
        assert gone.returncode == 4 and "removed at 20" in gone.stderr, gone.stderr


def test_the_terms_of_an_explanation_add_up(region: Region) -> None:
    name = region.run("submit", "--input", "parcels-2026", "--cores", "8", "--", "true").stdout.strip()
    decisions = region.json("explain", name)
    assert isinstance(decisions, list)
    for decision in decisions:
        for option in decision["options"]:
            if option["terms"]:
                assert sum(option["terms"].values()) == option["total_micro"]


def test_a_job_that_fails_gives_exit_code_9(region: Region) -> None:
    done = region.run("submit", "--wait", "--", "sh", "-c", "exit 3")
    assert done.returncode == 9
    assert "failed" in done.stdout


def test_a_job_file_is_refused_with_every_fault_and_its_line(region: Region, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        "jobs:\n  - name: fine\n    command: [echo]\n  - name: bad\n    command: [echo]\n    cores: 0\n"
        "  - name: worse\n    command: [echo]\n    grade: secret\n    colour: red\n"
    )
    before = region.json("jobs", "--limit", "1000")
    done = region.run("submit", str(bad))
    assert done.returncode == 3
    for line, path in ((6, "jobs[1].cores"), (9, "jobs[2].grade"), (10, "jobs[2].colour")):
        assert f"{bad}:{line}: {path}: " in done.stderr
    assert region.json("jobs", "--limit", "1000") == before


def test_a_job_file_with_real_work_runs(region: Region, tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    work = [
        {"name": k, "command": [sys.executable, "-m", f"sanjin.examples.{k}"], "inputs": [d], "node": "linfen"}
        for k, d in (("regression", "sensor-2026"), ("spectra", "grid-load"))
    ]
    for each in work:
        each.pop("node")
        each["delay_price_fen_per_hour"] = 100_000
        each["grade"] = "important"
    good.write_text(yaml.safe_dump({"node": "linfen", "jobs": work}))
    dry = region.run("submit", "--dry-run", str(good))
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout.count("goes to") == 2
    done = region.run("submit", "--wait", "--output", "json", str(good))
    assert done.returncode == 0, (done.stdout, done.stderr)
    records = json.loads(done.stdout)
    assert [r["state"] for r in records] == ["succeeded", "succeeded"]
    bills = region.json("bill")
    assert isinstance(bills, list)
    assert all(b["fen"] == b["posted_fen"] for b in bills)
    bill = region.json("bill", "--job", records[0]["id"])
    assert isinstance(bill, dict)
    assert sum(p["fen"] for p in bill["postings"]) == 0


def test_a_job_is_cancelled_once(region: Region) -> None:
    name = region.run("submit", "--earliest", "+3h", "--", "true").stdout.strip()
    assert "asked to cancel" in region.run("cancel", "--dry-run", name).stdout
    assert "asked to cancel" in region.run("cancel", name).stdout
    assert "already ended" in region.run("cancel", name).stdout


@pytest.mark.parametrize(
    "words",
    [
        ["jobs"], ["sites"], ["envelopes"], ["bill"], ["audit", "verify"], ["audit", "journal"], ["doctor"],
        ["region", "show"],
    ],
    ids=" ".join,
)
def test_every_listing_speaks_table_json_and_yaml(region: Region, words: list[str]) -> None:
    table = region.run(*words)
    assert table.returncode == 0, table.stderr
    assert len(table.stdout.splitlines()) > 1
    as_json = json.loads(region.run(*words, "--output", "json").stdout)
    as_yaml = yaml.safe_load(region.run(*words, "--output", "yaml").stdout)
    assert type(as_json) is type(as_yaml)
    assert len(as_json) == len(as_yaml) > 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["nonsense"], 2),
        (["submit", "--colour", "red", "--", "true"], 2),
        (["submit"], 3),
        (["submit", "--memory", "lots", "--", "true"], 3),
        (["submit", "--node", "atlantis", "--", "true"], 3),
        (["submit", "nowhere.yaml"], 3),
        (["job", "taiyuan-999999"], 4),
        (["explain", "x"], 4),
        (["audit", "verify", "--node", "atlantis"], 4),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else str(v),
)
def test_exit_codes(region: Region, words: list[str], code: int) -> None:
    done = region.run(*words)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stderr or done.stdout


def test_one_state_folder_has_one_region(region: Region) -> None:
    done = region.run("up")
    assert done.returncode == 5
    assert "already up" in done.stderr


def test_the_token_is_for_its_owner_alone(region: Region) -> None:
    token = region.state / "token"
    assert token.stat().st_mode & 0o777 == 0o600
    token.chmod(0o644)
    try:
        done = region.run("sites")
        assert done.returncode == 5
        assert "chmod 600" in done.stderr
    finally:
        token.chmod(0o600)


def test_nothing_up_is_said_and_a_restart_goes_on(tmp_path: Path) -> None:
    region = Region(tmp_path / "state")
    assert region.run("sites").returncode == 6
    mine = tmp_path / "mine.yaml"
    mine.write_text(bundled("shanxi").read_text(encoding="utf-8").replace("name_en: Shanxi\n", "name_en: Mine\n", 1))
    region.up("--rate", "60", "--start", "2026-07-15T06:00", "--region", str(mine))
    first = region.run("submit", "--earliest", "2026-07-15T23:00", "--", "true").stdout.strip()
    assert region.down(signal.SIGINT) == 0
    assert region.run("sites").returncode == 6
    # offline, the journals can be verified all the same
    assert region.run("audit", "verify").returncode == 0
    assert region.run("up", "--rate", "30").returncode == 1
    region.up()  # with the document of before
    assert region.ask("region")["name_en"] == "Mine"
    job = region.json("job", first)
    assert isinstance(job, dict)
    assert job["job"]["state"] == "placed"
    assert region.down(signal.SIGKILL) == -signal.SIGKILL
    done = region.run("sites")
    assert done.returncode == 6
    with sqlite3.connect(region.state / "taiyuan" / "state.db") as store:
        store.execute("update journal set body = replace(body, 'true', 'evil') where kind = 'job.submitted'")
    store.close()
    done = region.run("audit", "verify")
    assert done.returncode == 8
    assert "taiyuan: journal[2]" in done.stderr


def test_prices_of_scarcity_are_learnt_kept_and_used(tmp_path: Path) -> None:
    region = Region(tmp_path / "state")
    assert region.run("prices", "learn").returncode == 4
    region.up("--rate", "20", "--start", "2026-07-15T06:00")
    one = {"name": "w", "command": ["true"], "cores": 2000, "memory_bytes": 2**32, "duration_s": 80_000}
    work = [{**one, "latency_class_ms": 1, "earliest_start_s": 1_784_073_600} for _ in range(60)]
    file = tmp_path / "work.yaml"
    file.write_text(yaml.safe_dump({"node": "linfen", "jobs": work}))
    assert region.run("submit", str(file)).returncode == 0
    dry = region.run("prices", "learn", "--dry-run", "--rounds", "30")
    assert dry.returncode == 0, dry.stderr
    assert "linfen" in dry.stdout
    assert region.run("prices", "show").returncode == 4
    assert region.run("prices", "learn", "--rounds", "30").returncode == 0
    kept = region.json("prices", "show")
    assert isinstance(kept, dict)
    assert kept["jobs"] == 60
    assert any(max(week) > 0 for week in (*kept["core"].values(), *kept["power"].values()))
    region.down()
    region.up()
    found = region.run("submit", "--dry-run", "--output", "json", "--node", "linfen", "--latency", "1", "--", "true")
    (decision,) = json.loads(found.stdout)
    terms = next(o["terms"] for o in decision["options"] if o["site"] == decision["chosen"])
    assert terms["scarcity"] > 0
    region.down()
    (region.state / "scarcity.json").write_text("{}")
    done = region.run("up")
    assert done.returncode == 1
    assert "learn the prices again" in done.stderr


def test_register_plan_links_and_who_asks_are_had_from_the_command_line(region: Region) -> None:
    registered = region.json("resources", "--kind", "pool", "--site", "datong")
    assert isinstance(registered, list)
    assert {r["id"] for r in registered} == {f"datong/{p}" for p in ("general", "ai")}
    shown = region.run("resources", "taiyuan", lang="en")
    assert "population" in shown.stdout and "sourced" in shown.stdout and "S26: " in shown.stderr
    assert region.run("resources", "nothing").returncode == 4
    plan = region.json("plan", "--hours", "2", "--back", "1")
    assert isinstance(plan, dict)
    assert plan["slots"] == 12 and len(plan["sites"]) == 11
    assert "IT kW of" in region.run("plan", "--site", "datong").stdout
    assert region.run("plan", "--site", "nowhere").returncode == 3
    links = region.json("links")
    assert isinstance(links, list) and {"a", "b", "carried_bytes"} <= links[0].keys()
    me = region.json("me")
    assert isinstance(me, dict) and me["roles"] == ["operator"]
    for words in (("links",), ("me",), ("plan",)):
        assert region.run(*words, lang="zh").returncode == 0


def test_jobs_are_searched_sorted_and_counted_from_the_command_line(region: Region) -> None:
    for name in ("Zeta one", "zeta two"):
        assert region.run("submit", "--name", name, "--node", "changzhi", "--wait", "--", "true").returncode == 0
    found = region.json("jobs", "--search", "ZETA", "--order", "name", "--ascending", "--count", "--limit", "1")
    assert isinstance(found, dict)
    assert ([j["spec"]["name"] for j in found["jobs"]], found["count"], found["next"]) == (["Zeta one"], 2, "@1")
    rest = region.run("jobs", "--search", "zeta", "--order", "name", "--ascending", "--after", "@1", "--count")
    assert "zeta two" in rest.stdout and "Zeta one" not in rest.stdout and "2 in all" in rest.stderr
