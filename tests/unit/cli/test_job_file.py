"""Job files and amounts: what people write, and where it is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanjin.cli.amounts import to_bytes, to_instant, to_seconds
from sanjin.cli.job_file import read_job_file
from sanjin.model.catalogue import problem
from sanjin.model.errors import ProblemsFound

TEXT = """\
node: datong
jobs:
  - name: one
    command: [echo, hi]
  - name: two
    command: [echo]
    inputs:
      - a
      - b
    key: mine
"""


def write(tmp_path: Path, text: str, name: str = "jobs.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_several_jobs_are_read_with_their_keys(tmp_path: Path) -> None:
    found = read_job_file(write(tmp_path, TEXT))
    first, second = map(json.loads, found.lines)
    assert found.node == "datong"
    assert first["spec"] == {"name": "one", "command": ["echo", "hi"]}
    assert len(first["key"]) == 36
    assert second["key"] == "mine"
    assert "key" not in second["spec"]


def test_one_job_alone_and_json_are_read(tmp_path: Path) -> None:
    for path in (
        write(tmp_path, "name: x\ncommand: [true]\nnode: linfen\n"),
        write(tmp_path, '{"name": "x", "command": ["true"], "node": "linfen"}', "job.json"),
    ):
        found = read_job_file(path)
        assert found.node == "linfen"
        assert json.loads(found.lines[0])["spec"]["name"] == "x"


@pytest.mark.parametrize(
    ("path", "line", "said", "number"),
    [
        ("[1].spec.inputs[1]", 0, "jobs[1].inputs[1]", 9),
        ("spec.command", 2, "jobs[1].command", 6),
        ("spec.cores", 1, "jobs[0].cores", 3),
        ("jobs[1].key", 0, "jobs[1].key", 10),
        ("", 2, "jobs[1]", 5),
    ],
)
def test_a_problem_is_given_its_line(tmp_path: Path, path: str, line: int, said: str, number: int) -> None:
    file = read_job_file(write(tmp_path, TEXT))
    from dataclasses import replace

    fault = file.located(ProblemsFound([replace(problem("no_command", path), line=line)]))
    assert (fault.problems[0].path, fault.problems[0].line) == (said, number)
    assert fault.problems[0].file.endswith("jobs.yaml")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", "jobs: []", "jobs: 5", "jobs: [1]", "jobs:\n  - name: x\nextra: 1", "a: [", "\tx", "jobs: {}"],
)
def test_what_is_no_job_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ProblemsFound) as caught:
        read_job_file(write(tmp_path, text))
    assert all(p.file and p.line for p in caught.value.problems)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProblemsFound):
        read_job_file(tmp_path / "none.yaml")


def test_amounts() -> None:
    assert to_bytes("512MiB", "-") == 512 << 20
    assert to_bytes("2gb", "-") == 2 * 10**9
    assert to_bytes("1.5 KiB", "-") == 1536
    assert [to_seconds(t, "-") for t in ("90", "15m", "2h", "1d", "1.5h")] == [90, 900, 7200, 86_400, 5400]
    for bad in ("", "x", "-5", "5 parsecs", "1e9", "5m5"):
        with pytest.raises(ProblemsFound):
            to_seconds(bad, "-")


def test_instants_are_local_to_the_region_unless_they_say_otherwise() -> None:
    assert to_instant("1970-01-01T08:00", 0, 8, "-") == 0
    assert to_instant("1970-01-01T08:00+00:00", 0, 8, "-") == 8 * 3600
    assert to_instant("+2h", 1000, 8, "-") == 8200
    with pytest.raises(ProblemsFound):
        to_instant("tomorrow", 0, 8, "-")


@given(st.integers(0, 10**9))
def test_whole_seconds_come_through(seconds: int) -> None:
    assert to_seconds(str(seconds), "-") == seconds
    assert to_seconds(f"{seconds}m", "-") == 60 * seconds
