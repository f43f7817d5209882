"""The tutorial does what it says: each command is run and its output compared with the page."""

from __future__ import annotations

import doctest
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import until

PAGES = sorted((Path(__file__).parents[2] / "docs" / "tutorial").glob("*.md"))
CHECK = doctest.OutputChecker()
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def steps(page: Path) -> list[tuple[str, str]]:
    """(command, expected output) of each step of a page."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], ""))
            elif line.startswith("> "):
                found[-1] = (f"{found[-1][0]}\n{line[2:]}", "")
            else:
                found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_the_page_is_true(page: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    paths = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": paths, "SANJIN_STATE": str(state), "COLUMNS": "250"}
    left: list[subprocess.Popen[str]] = []
    listed = steps(page)
    assert len(listed) > 5
    try:
        for command, expected in listed:
            if command.startswith("export "):
                name, _, value = command.removeprefix("export ").partition("=")
                environment[name] = value
                continue
            if command.endswith(" &"):
                out = tmp_path / "background.txt"
                words = command.removesuffix(" &").split()
                left.append(subprocess.Popen(words, env=environment, cwd=tmp_path, stdout=out.open("w"), text=True))
                until(lambda out=out: "\n" in out.read_text(), f"first line of {command}")
                got = out.read_text()
            else:
                done = subprocess.run(
                    ["bash", "-c", command], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
                )
                got = done.stdout or done.stderr
            assert CHECK.check_output(expected, got, FLAGS), f"$ {command}\nexpected:\n{expected}\ngot:\n{got}"
    finally:
        for process in left:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
