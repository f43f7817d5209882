"""Histories of measured power: what is read, and that all that is wrong is said at once, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanjin.cli.history_file import MOST_SHOWN, read_history
from sanjin.model.errors import ProblemsFound

BEGIN_S = 1_783_872_000  # Monday 2026-07-13 00:00 in Shanxi


@pytest.mark.parametrize(
    "times",
    [
        ("2026-07-13T00:00", "2026-07-13T01:00"),
        ("2026-07-12T16:00Z", "2026-07-12 19:00:00+02:00"),
        (str(BEGIN_S), str(BEGIN_S + 3600)),
    ],
    ids=["local", "offset", "epoch"],
)
def test_times_are_local_with_an_offset_or_seconds(tmp_path: Path, times: tuple[str, str]) -> None:
    file = tmp_path / "h.csv"
    file.write_text(f"\ufeffsite,time,kw\nx,{times[0]},0\nx,{times[1]},12.5\n", encoding="utf-8")
    first_s, powers = read_history(file, 8)
    assert (first_s, powers.tolist()) == (BEGIN_S, [0.0, 12.5])


def test_everything_wrong_is_said_at_once_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "h.csv"
    times = ["2026-07-13T00:00", "2026-07-13T01:00", "soon", "2026-07-13T03:00", "2026-07-13T03:00", "", ""]
    times[5:] = ["2026-07-13T07:00", "2026-07-13T08:15"]
    powers = ["1", "-2", "nan", "x", "4", "5", ""]
    file.write_text("time,kw\n" + "".join(f"{t},{p}\n" for t, p in zip(times, powers, strict=True)))
    with pytest.raises(ProblemsFound) as found:
        read_history(file, 8)
    problems = [(p.line, p.path, p.code) for p in found.value.problems]
    assert problems == [
        (3, "kw", "too_small"),
        (4, "time", "bad_amount"),
        (4, "kw", "bad_amount"),
        (5, "kw", "bad_amount"),
        (6, "time", "not_hourly"),
        (7, "time", "not_hourly"),
        (8, "time", "not_on_the_hour"),
        (8, "kw", "bad_amount"),
    ]
    assert {p.file for p in found.value.problems} == {str(file)}
    assert all(p.what_zh and p.todo_zh for p in found.value.problems)


@pytest.mark.parametrize(
    ("text", "codes"),
    [("", ["missing_column"] * 2), ("time,power\n1,2\n", ["missing_column"]), (None, ["unreadable"])],
)
def test_what_is_no_history_is_said(tmp_path: Path, text: str | None, codes: list[str]) -> None:
    file = tmp_path / "h.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ProblemsFound) as found:
        read_history(file, 8)
    assert [p.code for p in found.value.problems] == codes


def test_of_very_many_faults_the_number_is_said(tmp_path: Path) -> None:
    file = tmp_path / "h.csv"
    file.write_text("time,kw\n" + "".join(f"{BEGIN_S + 900 * k},1\n" for k in range(400)))
    with pytest.raises(ProblemsFound) as found:
        read_history(file, 8)
    assert [p.code for p in found.value.problems][-2:] == ["not_on_the_hour", "more_faults"]
    assert len(found.value.problems) == MOST_SHOWN + 1


@given(st.text(max_size=300) | st.binary(max_size=300))
def test_anything_else_is_refused_politely(tmp_path_factory: pytest.TempPathFactory, text: str | bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.csv"
    body = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    file.write_bytes(b"time,kw\n" + body)
    try:
        read_history(file, 8)
    except ProblemsFound as fault:
        assert fault.problems
