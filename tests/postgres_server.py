"""A PostgreSQL of the tests' own: a temporary server from Debian's binaries, on a socket in a temporary folder.

It writes to disk as a real one does (fsync stays on). PostgreSQL refuses to run as root: then it
runs as the user ``postgres``, whom Debian's package makes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support import give_up


class PostgresServer:
    """A server in ``folder``, up until :meth:`stop`."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries, self.folder = binaries, folder
        self._numbers = count(1)
        # its user and no other: no name of a person in the environment, no home
        self._who: dict[str, Any] = {"cwd": folder, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}}
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
            self._who |= {"user": "postgres", "group": "postgres", "extra_groups": []}
        made = [binaries / "initdb", "-D", folder / "data", "-U", "sanjin", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, **self._who)
        self.start()

    def start(self) -> None:
        """Start it, also again after :meth:`stop`."""
        self._process = subprocess.Popen(
            [self.binaries / "postgres", "-D", "data", "-k", self.folder, "-c", "listen_addresses="],
            stdout=(self.folder / "log").open("ab"), stderr=subprocess.STDOUT, **self._who,
        )  # fmt: skip
        asked = [self.binaries / "pg_isready", "-q", "-h", self.folder]
        end = time.monotonic() + 60
        while subprocess.run(asked, check=False).returncode != 0:
            assert time.monotonic() < end and self._process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it and cut every connection."""
        self._process.send_signal(how)
        self._process.wait(30)

    def url(self, schema: str = "", password: str = "") -> str:
        """The address of ``schema``, of one that nobody used where none is given."""
        user = f"sanjin:{password}" if password else "sanjin"
        return f"postgresql://{user}@/postgres?host={self.folder}&schema={schema or f'node_{next(self._numbers)}'}"


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3]))
    return found[-1].parent if found else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for the whole session; skips where PostgreSQL is not installed."""
    binaries = _binaries()
    if binaries is None:
        give_up("PostgreSQL is not installed (no /usr/lib/postgresql/*/bin)")
    assert binaries
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    folder = Path(tempfile.mkdtemp(prefix="sanjin-pg-"))
    folder.chmod(0o711)
    try:
        server = PostgresServer(binaries, folder)
        yield server
        server.stop(signal.SIGQUIT)  # at once: nobody needs the data any more
    finally:
        shutil.rmtree(folder, ignore_errors=True)
