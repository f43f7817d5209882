"""Nodes of Shanxi as processes of their own, for tests and for the trial of cut lines."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

from tests.live import SANJIN


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


class NodeProcess:
    """One node: its folder below ``root``, its address for children, and commands against it."""

    def __init__(self, root: Path, site: str, host: str = "127.0.0.1", within: tuple[str, ...] = ()) -> None:
        self.root, self.site, self.state, self.within = root, site, root / site, within
        self.listen = f"{host}:{free_port()}"
        self.process: subprocess.Popen[str] | None = None
        self.told: dict[str, str] = {}

    def up(self, *options: str) -> dict[str, str]:
        """Start it and wait until it answers."""
        command = [*self.within, SANJIN, "node", "--site", self.site, "--state", str(self.state)]
        command += ["--listen", self.listen, "--data-folder", str(self.root / "data"), "--output", "json", *options]
        self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = (self.state / "log").open("a")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.state / "log").read_text()[-2000:]
        self.told = json.loads(line)
        return self.told

    def join(self, parent: NodeProcess, *options: str, benchmark: bool = False) -> dict[str, str]:
        """Start it as a child of ``parent``, by a new invitation; most trials need no figures of its machine."""
        token = parent.json("node", "invite", self.site)["token"]
        words = ("--parent", f"https://{parent.listen}", "--token", token)
        return self.up(*words, "--benchmark" if benchmark else "--no-benchmark", *options)

    def end(self, how: int = signal.SIGTERM) -> None:
        """End it and wait."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(30)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command against this node."""
        environment = {**os.environ, "SANJIN_STATE": str(self.state), "SANJIN_LANG": "en"}
        command = [*self.within, SANJIN, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)

    def json(self, *words: str):
        """What a command said, as data."""
        at = words.index("--") if "--" in words else len(words)
        done = self.run(*words[:at], "--output", "json", *words[at:])
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def log(self) -> str:
        """What the process wrote to its error stream."""
        return (self.state / "log").read_text()
