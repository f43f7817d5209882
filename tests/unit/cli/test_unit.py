"""The systemd unit: what systemd says of it, and that nothing in it keeps jobs from their sandboxes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sanjin.cli.main import run
from tests.support import needs

BREAKS_SANDBOXES = (
    "RestrictNamespaces", "ProtectProc", "ProcSubset", "ProtectKernelTunables", "ProtectKernelLogs", "PrivateUsers",
    "MemoryDenyWriteExecute",
)  # fmt: skip


def made(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert run(["node", "unit", *options]) == 0
    return capsys.readouterr().out


def test_it_is_closed_but_for_what_sandboxes_need(capsys: pytest.CaptureFixture[str]) -> None:
    lines = made(capsys, "--program", "/opt/sanjin/bin/sanjin", "--name", "datong").splitlines()
    said = {k: v for k, _, v in (line.partition("=") for line in lines if not line.startswith("#"))}
    assert said["ExecStart"] == "/opt/sanjin/bin/sanjin node"
    assert said["StateDirectory"] == "datong" and said["NoNewPrivileges"] == "yes" and said["ProtectSystem"] == "strict"
    assert said["KillMode"] == "process"
    assert any("landlock_restrict_self" in line for line in lines if line.startswith("SystemCallFilter="))
    assert not said.keys() & set(BREAKS_SANDBOXES)
    assert run(["node", "unit", "--name", "a b"]) == 3
    assert "ProtectHome=read-only" in made(capsys, "--program", "/home/li/.venv/bin/sanjin")


def test_systemd_finds_nothing_wrong_with_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    program = needs("systemd-analyze")
    file = tmp_path / "sanjin.service"
    file.write_text(made(capsys, "--program", sys.executable, "--user", "daemon"))
    done = subprocess.run([program, "verify", "--man=no", str(file)], capture_output=True, text=True, timeout=60)
    ours = [line for line in done.stderr.splitlines() if "sanjin" in line]
    assert done.returncode == 0 and ours == [], done.stderr
