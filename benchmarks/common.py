"""What the benchmarks share: a region that is up, the machine in words, the last line."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

SANJIN = str(Path(sys.executable).parent / "sanjin")
SHARED = Path(__file__).resolve().parents[2] / "shared"
"""Real components and traces beside the repository, where there are any."""


@contextlib.contextmanager
def region_up(*options: str) -> Iterator[tuple[str, str, Path]]:
    """A fresh region in a process of its own: (address, token, state folder)."""
    state = Path(tempfile.mkdtemp(prefix="sanjin-bench-"))
    process = subprocess.Popen(
        [SANJIN, "up", "--state", str(state), "--output", "json", *options], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        yield told["url"], Path(told["token_file"]).read_text().strip(), state
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        shutil.rmtree(state, ignore_errors=True)


def machine() -> str:
    """The machine in words."""
    names = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    return f"{os.cpu_count()} x {names[0] if names else platform.processor()}, Python {platform.python_version()}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def finish(name: str, value: float, unit: str, goal: float, peers: dict[str, float], **more: object) -> None:
    """Print the one line of JSON that ends a benchmark."""
    line = {"name": name, "value": value, "unit": unit, "goal": goal, "peers": peers, "machine": machine(), **more}
    print(json.dumps(line))
