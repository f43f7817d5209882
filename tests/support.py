"""What several test files need."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable

import pytest


def needs(program: str) -> str:
    """The path of a program; skips the test where it is missing, or fails when ``CI=true``."""
    found = shutil.which(program)
    if found is None:
        give_up(f"{program} is not installed")
    return str(found)


def needs_bwrap() -> None:
    """Skip where bubblewrap is missing or cannot make namespaces; fail when ``CI=true``."""
    from sanjin.adapters.engines.sandbox import find_bwrap

    needs("bwrap")
    if find_bwrap().kind != "bwrap":
        give_up(find_bwrap().remark)


def give_up(why: str) -> None:
    """Skip this test, or fail it when ``CI=true``."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


def until(condition: Callable[[], bool], what: str, within_s: float = 20.0) -> None:
    """Wait for something that must come; the time is generous, since machines may be busy."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"within {within_s} s there was no {what}")
        time.sleep(0.01)


def free_ports(count: int) -> list[int]:
    """Ports of this machine that are free now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports
