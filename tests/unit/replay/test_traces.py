"""Reading traces: what is in a file is what is read, and what is wrong is said or counted."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanjin.model.errors import ProblemsFound
from sanjin.replay.generate import Recipe, generate
from sanjin.replay.read import Columns, read_trace
from sanjin.replay.trace import COLUMNS, Remark, folded

SWF = """; Version: 2.2
; UnixStartTime: 1272639895
; MaxProcs: 8192
1 0 5 222 80 -1 -1 80 14400 -1 1 7 1 -1 2 -1 -1 -1
3 60 -1 10 -1 -1 -1 4 5 -1 1 8 1 -1 -1 -1 -1 -1
2 30 -1 100 16 -1 -1 -1 300 -1 1 7 1 -1 2 -1 -1 -1
4 90 -1 -1 8 -1 -1 8 60 -1 0 7 1 -1 2 -1 -1 -1
5 95 -1 50 0 -1 -1 0 60 -1 0 7 1 -1 2 -1 -1 -1
"""


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["t.swf", "t.swf.gz"])
def test_swf_is_read_with_its_header_and_its_faults(tmp_path: Path, name: str) -> None:
    found = read_trace(written(tmp_path, name, SWF))
    assert found.begin_s == 1272639895
    assert found.machine_cores == 8192
    assert found.arrive_s.tolist() == [0, 30, 60]
    assert found.cores.tolist() == [80, 16, 4]
    assert found.run_s.tolist() == [222, 100, 10]
    assert found.asked_s.tolist() == [14400, 300, 10]
    assert found.user.tolist() == [7, 7, 8]
    assert found.waited_s.tolist() == [5, -1, -1]
    assert set(found.remarks) == {
        Remark("no_cores", 1), Remark("no_run_time", 1), Remark("out_of_order", 2), Remark("asked_too_little", 1)
    }  # fmt: skip


def test_a_log_that_states_only_nodes_has_a_processor_a_node(tmp_path: Path) -> None:
    nodes = "; MaxNodes: 128\n" + SWF.partition("; MaxProcs: 8192\n")[2]
    assert read_trace(written(tmp_path, "n.swf", nodes)).machine_cores == 128
    assert read_trace(written(tmp_path, "u.swf", nodes.partition("\n")[2])).machine_cores == 0


def test_a_line_that_is_none_is_left_out_and_counted(tmp_path: Path) -> None:
    found = read_trace(written(tmp_path, "t.swf", SWF + "6 99 oops\n7 100 1 2\n"))
    assert len(found) == 3
    assert Remark("bad_line", 2) in found.remarks


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("t.swf", "; nothing\n", "trace_empty"),
        ("t.swf", "1 2 3\nx\n", "swf_line"),
        ("t.csv", "a,b\n1,2\n", "trace_columns"),
        ("t.csv", "arrive_s,run_s,cores\n1,x,3\n", "not_numbers"),
        ("t.csv", "arrive_s,run_s,cores\n", "trace_empty"),
        ("t.csv", "arrive_s,run_s,cores\n1,2\n", "not_numbers"),
        ("t.txt", "", "trace_kind"),
        ("t.parquet", "no parquet", "unreadable"),
    ],
)
def test_what_is_no_trace_is_said_with_its_place(tmp_path: Path, name: str, text: str, code: str) -> None:
    with pytest.raises(ProblemsFound) as fault:
        read_trace(written(tmp_path, name, text))
    first = fault.value.problems[0]
    assert first.code == code and first.file.endswith(name) and first.line >= 1 and first.todo and first.todo_zh


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ProblemsFound):
        read_trace(tmp_path / "none.swf")


def test_csv_by_known_and_by_given_columns(tmp_path: Path) -> None:
    hours = read_trace(written(tmp_path, "a.csv", "arrival_time,length,cpus\n0.5,0.0001,2\n0.25,2,1.5\n"))
    assert hours.arrive_s.tolist() == [900, 1800]
    assert hours.run_s.tolist() == [7200, 1]
    assert hours.cores.tolist() == [2, 2]
    text = "t;skip\n".replace(";", ",") + "3,1\n"
    with pytest.raises(ProblemsFound) as fault:
        read_trace(written(tmp_path, "b.csv", text), Columns("t", "d", "c"))
    assert [p.code for p in fault.value.problems] == ["missing_column", "missing_column"]
    mine = read_trace(written(tmp_path, "c.csv", "t,d,c,g\n1,2,3,4\n"), Columns("t", "d", "c", cards="g", unit_s=60))
    assert (mine.arrive_s[0], mine.run_s[0], mine.cores[0], mine.cards[0]) == (60, 120, 3, 4)


def test_parquet_is_what_csv_is(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    csv = written(tmp_path, "a.csv", "arrive_s,run_s,cores,user\n5,60,2,1\n9,30,4,2\n")
    duckdb.sql(f"copy (select * from '{csv}') to '{tmp_path / 'a.parquet'}' (format parquet)")
    one, other = read_trace(csv), read_trace(tmp_path / "a.parquet")
    for name in COLUMNS:
        assert (getattr(one, name) == getattr(other, name)).all(), name


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 400), st.floats(0.5, 40), st.floats(1, 5))
def test_generated_traces_are_sound_and_repeat(seed: int, jobs: int, days: float, over: float) -> None:
    recipe = Recipe(jobs=jobs, days=days, seed=seed, over_asked=over)
    one, other = generate(recipe), generate(recipe)
    for name in COLUMNS:
        assert (getattr(one, name) == getattr(other, name)).all()
    assert len(one) == jobs
    assert (np.diff(one.arrive_s) >= 0).all() and one.arrive_s[0] >= 0
    assert (one.run_s >= 1).all() and (one.asked_s >= one.run_s).all() and (one.cores >= 1).all()


def test_folding_keeps_jobs_hours_and_weekdays() -> None:
    trace = generate(Recipe(jobs=2000, days=30, seed=2))
    week = folded(trace, 7)
    assert week.arrive_s.max() < 7 * 86_400 and (np.diff(week.arrive_s) >= 0).all()
    assert week.core_seconds() == trace.core_seconds()
    for period in (86_400, 7 * 86_400):
        assert sorted(week.arrive_s % period) == sorted(trace.arrive_s % period)
    assert folded(trace, 0) is trace and folded(week, 7) is week
