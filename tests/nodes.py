"""Nodes of Shanxi as processes of their own, for tests and for the trial of cut lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from itertools import count
from pathlib import Path
from typing import Any

from tests.live import SANJIN, ask

_PORTS = count(20_000)
"""Below those that the system gives to outgoing connections."""


def own_host() -> str:
    """An address of this machine's own that belongs to this process alone: all of 127.0.0.0/8 is the loopback.

    So tests that run beside each other can never be given the same address and port, which two that look for a free
    port can be: between the look and the use another may take it.
    """
    pid = os.getpid()  # below 2**22
    return f"127.{64 + (pid >> 16)}.{pid >> 8 & 255}.{pid & 255}"


class NodeProcess:
    """One node: its folder below ``root``, its address for children, and commands against it."""

    def __init__(self, root: Path, site: str, host: str = "", within: tuple[str, ...] = ()) -> None:
        self.root, self.site, self.state, self.within = root, site, root / site, within
        self.listen = f"{host or own_host()}:{next(_PORTS)}"
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

    def ask(self, path: str) -> Any:
        """What the API answers to GET: for waits, since a command takes a process each time."""
        return ask(self.state, path)

    def log(self) -> str:
        """What the process wrote to its error stream."""
        return (self.state / "log").read_text()
