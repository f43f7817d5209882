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


def test_a_synthetic_year_is_written_and_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {}
    for name in ("year.csv", "year.parquet"):
        made = ["region", "series", "shanxi", "--year", "2026", "--seed", "1", "--to", str(tmp_path / name)]
        assert run([*made, "--output", "json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["rows"] == 11 * 8760 and told["synthetic"] and all(m["en"] and m["zh"] for m in told["made"])
        asked = ["replay", "made", "--jobs", "500", "--begin", "2026-07-01", "--series", str(tmp_path / name)]
        assert run([*asked, "--rules", "own", "--rules", "easy_at_home", "--output", "json"]) == 0
        found[name] = json.loads(capsys.readouterr().out)
    assert found["year.csv"]["rules"] == found["year.parquet"]["rules"]
    said = " ".join(a["en"] for a in found["year.csv"]["assumptions"])
    assert "synthetic" in said and "temperature_c 100.0%" in said and "generation_kw 100.0%" in said
    plain = ["replay", "made", "--jobs", "500", "--begin", "2026-07-01", "--rules", "easy_at_home", "--output", "json"]
    assert run(plain) == 0
    model = json.loads(capsys.readouterr().out)["rules"][0]
    with_it = found["year.csv"]["rules"][1]
    # a queue looks at no price: the same places, under other weather
    assert with_it["digest"] == model["digest"] and with_it["pue"] != model["pue"]
    assert abs(with_it["pue"] - model["pue"]) < 0.1


def test_carbon_and_prices_of_the_accounts_are_those_of_the_series(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "s.csv"
    hours = range(1_767_222_000, 1_767_222_000 + 35 * 86_400, 3600)
    file.write_text("hour,price_yuan_kwh,carbon_kg_kwh,source\n" + "".join(f"{h},-0.25,0.5,mine\n" for h in hours))
    asked = ["replay", "made", "--jobs", "500", "--rules", "easy_at_home", "--rules", "own", "--output", "json"]
    assert run([*asked, "--series", str(file)]) == 0
    told = json.loads(capsys.readouterr().out)
    for n in told["rules"]:
        # but for the sun's part at two sites
        assert 0.4 < n["carbon_kg"] / n["facility_kwh"] <= 0.5001
        assert -0.2501 <= n["terms_yuan"]["energy"] / n["facility_kwh"] < -0.1
    said = " ".join(a["en"] for a in told["assumptions"])
    assert "mine" in said and "synthetic" not in said and "temperature_c" not in said


def test_a_series_of_other_hours_is_refused_or_said_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "s.csv"
    file.write_text("hour,price_yuan_kwh\n" + "".join(f"{3600 * h},0.4\n" for h in range(8760)))
    asked = ["replay", "made", "--jobs", "300", "--rules", "own", "--output", "json", "--series", str(file)]
    assert run(asked) == 3
    assert "--series-repeats" in capsys.readouterr().err
    assert run([*asked, "--series-repeats"]) == 0
    said = [a["en"] for a in json.loads(capsys.readouterr().out)["assumptions"]]
    assert any("price_yuan_kwh 100.0%" in s for s in said) and any("same month, day and hour" in s for s in said)
    file.write_text("hour,price_yuan_kwh\nnever,0.4\n0,x\n")
    assert run(asked) == 3
    err = capsys.readouterr().err
    assert "never" in err and "'x'" in err


def test_what_is_wrong_with_a_synthetic_year_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = str(tmp_path / "year.txt")
    assert run(["region", "series", "--to", to, "--year", "1066", "--holidays", "2026-05-01", "--holidays", "May"]) == 3
    said = capsys.readouterr().err
    assert all(word in said for word in ("year.txt", "1066", "2026-05-01", "May"))
    assert run(["region", "series", "national", "--to", str(tmp_path / "y.csv"), "--holidays", "2026-05-01"]) == 3
    assert "east" in capsys.readouterr().err
    assert run(["region", "series", "--to", str(tmp_path / "none" / "y.csv")]) == 3


def test_scenarios_stand_beside_the_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    over, page = tmp_path / "what-if.yaml", tmp_path / "page.html"
    over.write_text(
        "scenarios: {down: {title_en: Datong down, title_zh: 大同停运, "
        "outages: [{site: datong, from_h: 30, until_h: 42}]}}\n"
        "sweep: {region.carbon_price: [0, 900], load: [0.5, 0.6]}\n",
        encoding="utf-8",
    )
    asked = ["replay", "made", "--jobs", "600", "--rules", "own", "--rules", "easy_at_home", "--scenarios", str(over)]
    assert run([*asked, "--report", str(page), "--workers", "1", "--output", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    down, *swept = told["scenarios"]
    assert down["title"] == {"en": "Datong down", "zh": "大同停运"} and down["rule"] == "down"
    assert [s["values"]["region.carbon_price"] for s in swept] == ["0", "0", "900", "900"]
    assert swept[0]["terms_yuan"]["carbon"] == 0 < swept[2]["terms_yuan"]["carbon"]
    text = page.read_text(encoding="utf-8")
    assert "Datong down" in text and "大同停运" in text and "region.carbon_price" in text
    assert run([*asked, "--workers", "1"]) == 0
    shown = capsys.readouterr().out
    assert f"{down['total_yuan']:,.0f}" in shown and down["digest"][:8] in shown


def test_a_faulty_overlay_says_all_and_replays_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    over = tmp_path / "what-if.yaml"
    over.write_text("scenarios: {a: {rule: slowest}, b: {region: {carbon_price: -4}}}\n")
    assert run(["replay", "made", "--jobs", "50", "--scenarios", str(over)]) == 3
    told = capsys.readouterr()
    assert "slowest" in told.err and "carbon_price" in told.err and not told.out


def test_a_generated_country_is_written_and_replayed_down_its_tree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "country.yaml"
    assert run(["region", "country", "--to", str(file), "--prefectures", "31", "--pools", "300"]) == 0
    assert "300" in capsys.readouterr().out
    asked = ["replay", "made", "--jobs", "300", "--region", str(file), "--rules", "own", "--output", "json"]
    assert run(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["region"] == "country"
    decided = told["rules"][0]["decided"]
    assert sum(decided.values()) == told["rules"][0]["ran"] and set(decided) > {"national_hub", "core_hub"}
    assert run(["region", "country", "--to", str(file), "--prefectures", "9", "--pools", "10", "--seed", "-1"]) == 3
    said = capsys.readouterr().err
    assert all(option in said for option in ("--prefectures", "--pools", "--seed"))
    assert run(["region", "country", "--to", str(tmp_path / "none" / "c.yaml"), "--prefectures", "31"]) == 3


def test_through_the_flow_every_decision_is_the_same_and_a_slow_one_shows(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["replay", "made", "--jobs", "80", "--fold", "0", "--through-flow", "--output", "json"]
    assert run(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["same"] == told["jobs"] == 80 and told["digest"] == told["digest_through_flow"]
    assert told["wait_mean_s"]["compiled"] == told["wait_mean_s"]["through_flow"]
    assert run([*asked, "--epoch", "60"]) == 0
    assert json.loads(capsys.readouterr().out)["same"] == 80
    assert run([*asked, "--decision-us", "10000000"]) == 0
    slow = json.loads(capsys.readouterr().out)
    assert slow["wait_mean_s"]["through_flow"] > slow["wait_mean_s"]["compiled"]
    assert run([*asked, "--epoch", "-1", "--decision-us", "-2"]) == 3
    said = capsys.readouterr().err
    assert "--epoch" in said and "--decision-us" in said
