"""A region that is started again, perhaps at another address, while somebody waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sanjin.adapters.state_folder import StateFolder
from sanjin.client import client as module
from sanjin.client.client import Client
from sanjin.model.errors import NotReachable
from tests.support import free_ports


class Answers(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "15")
        self.end_headers()
        self.wfile.write(b'{"asked": true}')

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()


def test_who_is_patient_finds_it_at_its_new_address(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECONNECT_WALL_S", 0.01)
    folder = StateFolder(tmp_path)
    folder.announce(f"http://127.0.0.1:{free_ports(1)[0]}")
    client = Client(folder.address(), "token", folder)
    with pytest.raises(NotReachable, match="sanjin up"):
        client.cancel("taiyuan-1")
    with pytest.raises(NotReachable):
        next(client.events())
    with pytest.raises(NotReachable):
        client.wait(["taiyuan-1"])  # there was no region: it is not waited for
    with pytest.raises(NotReachable):
        client.patient(0.1).cancel("taiyuan-1")
    folder.announce(server)
    assert client.patient(60).cancel("taiyuan-1")
    assert client.cancel("taiyuan-1")
