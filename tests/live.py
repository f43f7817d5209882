"""A region that is really up, in a process of its own, for tests that type commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from sanjin.adapters.state_folder import StateFolder

SANJIN = str(Path(sys.executable).parent / "sanjin")


def ask(state: Path, path: str) -> Any:
    """What the API of the region or node that is up on this folder answers to GET."""
    url, token = StateFolder(state).found()
    return httpx.get(f"{url}/v1/{path}", headers={"Authorization": f"Bearer {token}"}).raise_for_status().json()


class Region:
    """A region in a process of its own, and commands against it."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.process: subprocess.Popen[str] | None = None

    def up(self, *options: str) -> dict[str, str]:
        command = [SANJIN, "up", "--state", str(self.state), "--output", "json", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def down(self, how: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(30)

    def run(self, *words: str, lang: str = "en") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "SANJIN_STATE": str(self.state), "SANJIN_LANG": lang}
        return subprocess.run([SANJIN, *words], capture_output=True, text=True, timeout=90, env=environment)

    def ask(self, path: str) -> Any:
        """What the API answers to GET: for waits, since a command takes a process each time."""
        return ask(self.state, path)

    def json(self, *words: str) -> object:
        done = self.run(*words, "--output", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
