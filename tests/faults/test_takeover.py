"""Two replicas over one database: the second takes over within ten seconds, and the first writes nothing more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sanjin.adapters.store.postgres import PostgresStore
from sanjin.flow.audit import verify
from tests.postgres_server import PostgresServer
from tests.support import until

TAKEN_OVER_S = 10.0


class Replica:
    """A process of ``replica_process.py`` and what it has said."""

    def __init__(self, url: str, name: str) -> None:
        program = [sys.executable, str(Path(__file__).parent / "replica_process.py"), url, name]
        self.process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
        self.said: list[str] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.append(line.strip())

    def says(self, word: str, within_s: float = 60.0) -> None:
        until(lambda: any(s.startswith(word) for s in list(self.said)), f"{word!r} of a replica", within_s)

    def wrote(self) -> list[int]:
        return [int(s.split()[1]) for s in list(self.said) if s.startswith("wrote")]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._listener.join()


@pytest.fixture
def pair(postgres: PostgresServer) -> Iterator[tuple[Replica, Replica, str]]:
    """One that writes, one that waits, and their address."""
    url = postgres.url()
    first = Replica(url, "first")
    try:
        first.says("wrote")
        second = Replica(url, "second")
        try:
            second.says("waiting")
            yield first, second, url
        finally:
            second.end()
    finally:
        first.end()


def journal(url: str) -> list[str]:
    """Who wrote each line, oldest first; the whole is a chain without gaps."""
    store = PostgresStore(url)
    try:
        tip, entries = store.tip(), store.journal(limit=10**6)
        assert verify("n", entries[: tip[0]], tip, ()).problems == ()
        return [e.body.decode() for e in entries]
    finally:
        store.close()


def taken_over(second: Replica, since: float) -> None:
    second.says("active 2", TAKEN_OVER_S)
    print(f"taken over after {time.monotonic() - since:.1f} s")
    second.says("wrote")


def test_the_second_takes_over_when_the_first_is_killed(pair: tuple[Replica, Replica, str]) -> None:
    first, second, url = pair
    since = time.monotonic()
    first.process.send_signal(signal.SIGKILL)
    taken_over(second, since)
    first.end()
    second.end()
    lines = journal(url)
    # every line that was said to be written is there, once, before those of the second
    assert lines == sorted(lines)
    assert len(first.wrote()) <= lines.count("first") <= len(first.wrote()) + 1
    assert second.wrote()[0] == lines.count("first") + 1


def test_one_that_froze_is_taken_over_and_writes_nothing_when_it_wakes_up(pair: tuple[Replica, Replica, str]) -> None:
    first, second, url = pair
    since = time.monotonic()
    first.process.send_signal(signal.SIGSTOP)
    taken_over(second, since)
    os.kill(first.process.pid, signal.SIGCONT)
    first.says("lost")
    assert "refused" in first.said
    after = len(second.wrote())
    until(lambda: len(second.wrote()) > after, "writing after it")
    second.end()
    lines = journal(url)
    assert lines == sorted(lines)
    assert len(first.wrote()) <= lines.count("first") <= len(first.wrote()) + 1
