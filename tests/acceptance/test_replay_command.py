"""``sanjin replay`` as a user calls it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sanjin.cli.main import run
from sanjin.replay.compare import RULES


def test_a_made_trace_with_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "report.html"
    assert run(["replay", "made", "--jobs", "800", "--report", str(page), "--output", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [n["rule"] for n in told["rules"]] == list(RULES)
    by = {n["rule"]: n for n in told["rules"]}
    assert by["own"]["total_yuan"] < by["easy_at_home"]["total_yuan"]
    assert by["easy_at_home"]["saved_share"] == 0
    assert len(told["assumptions"]) >= 7 and all(a["en"] and a["zh"] for a in told["assumptions"])
    text = page.read_text(encoding="utf-8")
    # nothing is loaded from anywhere: no script, no image, no address but names of the SVG language
    assert "<script" not in text and "<image" not in text and "<img" not in text
    assert set(re.findall(r'(?:src|href)="(?!#)([^"]*)"', text)) == set()
    for n in told["rules"]:
        assert f"{n['total_yuan']:,.0f}" in text


def test_the_same_call_gives_the_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for seed in ("3", "3", "4"):
        assert run(["replay", "made", "--jobs", "300", "--seed", seed, "--rules", "own", "--output", "json"]) == 0
        found.append(json.loads(capsys.readouterr().out)["rules"])
    assert found[0] == found[1] != found[2]


def test_a_policy_document_is_the_regions_own_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("rule: earliest_finish\n")
    asked = ["replay", "made", "--jobs", "300", "--rules", "own", "--rules", "earliest_finish", "--output", "json"]
    assert run([*asked, "--policy", str(policy)]) == 0
    one, other = json.loads(capsys.readouterr().out)["rules"]
    assert one["digest"] == other["digest"]


def test_recorded_waits_are_held_against_the_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two cores and a job every ten seconds that runs for an hour: each waits for the one two before it."""
    waits = [n // 2 * (3600 - 20) for n in range(8)]
    rows = [f"{n} {n * 10} {wait} 3600 1 -1 -1 1 3600 -1 1 1 1 -1 1 -1 -1 -1" for n, wait in enumerate(waits)]
    trace, page = tmp_path / "t.swf", tmp_path / "page.html"
    trace.write_text("; MaxProcs: 2\n" + "\n".join(rows) + "\n")
    asked = ["replay", str(trace), "--rules", "own", "--output", "json"]
    assert run([*asked, "--report", str(page)]) == 0
    told = json.loads(capsys.readouterr().out)
    gap = told["reality_gap"]
    assert told["reality_gap_note"] is None and gap["assumed"]["machine_cores"] == 2
    assert gap["replayed"]["fcfs"]["distance_s"] == 0 and gap["replayed"]["fcfs"]["correlation"] == 1
    assert gap["measured"] == gap["replayed"]["fcfs"]["waits"]
    assert "Against what was recorded" in page.read_text(encoding="utf-8")
    assert run([*asked, "--machine-cores", "4"]) == 0
    gap = json.loads(capsys.readouterr().out)["reality_gap"]
    assert gap["replayed"]["fcfs"]["distance_s"] > 0 and not gap["assumed"]["stated_by_log"]
    assert run(["replay", "made", "--jobs", "50", "--rules", "own", "--output", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["reality_gap"] is None and told["reality_gap_note"]["en"] and told["reality_gap_note"]["zh"]


def test_all_that_is_wrong_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", "made", "--load", "11", "--fold", "-1", "--rules", "best"]) == 3
    said = capsys.readouterr().err
    assert "--load" in said and "--fold" in said and "best" in said and "easy_at_home" in said
    assert run(["replay", str(tmp_path / "none.swf")]) == 3


def test_through_nodes_every_decision_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", "made", "--jobs", "60", "--fold", "0", "--through-node", "--output", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["same"] == told["jobs"] == 60 and told["digest"] == told["digest_through_nodes"]
