"""The command line as a user types it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

SANJIN = str(Path(sys.executable).parent / "sanjin")


def sanjin(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SANJIN, *words], capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.parametrize("name", ["shanxi", "national"])
def test_bundled_regions_validate(name: str) -> None:
    done = sanjin("region", "validate", name, "--output", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["valid"]


def test_a_bad_region_document_is_refused_with_the_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("id: x\nnodes: 3\nnodes: 4\n")
    done = sanjin("region", "validate", str(bad))
    assert done.returncode == 3
    assert f"{bad}:" in done.stderr


def test_the_demo_runs_real_jobs_to_their_end(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    words = ("demo", "--jobs", "14", "--rate", "1800", "--folder", str(folder), "--output", "json")
    done = sanjin(*words)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["audit_ok"]
    assert len(found["jobs"]) == 14
    assert {j["state"] for j in found["jobs"]} == {"succeeded"}
    assert len({j["site"] for j in found["jobs"]}) > 2
    assert sum(j["fen"] for j in found["jobs"]) > 0
    assert found["compared_jobs"] > 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3
    assert "山西" in page
    # nothing is fetched: namespaces aside, no address is in the page
    assert not re.findall(r"""(?:src|href)=["']?https?:|url\(\s*["']?https?:""", page)


def test_the_demo_leaves_other_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = sanjin("demo", "--folder", str(tmp_path))
    assert done.returncode == 1
    assert (tmp_path / "mine.txt").read_text() == "mine"
