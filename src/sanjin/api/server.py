"""Serving the API: on loopback in the clear, elsewhere over TLS."""

from __future__ import annotations

import socket
import ssl
import threading

import uvicorn
from starlette.types import ASGIApp

from sanjin.api.tls import PeerProtocol
from sanjin.model.errors import NotAllowed

HOST = "127.0.0.1"
GRACE_WALL_S = 2
"""How long open streams may go on when the server stops."""


class Server:
    """One HTTP server. ``port`` 0 takes a free one; :attr:`url` says where it listens.

    With ``tls`` it serves over TLS, and tells the application who called (:data:`sanjin.api.tls.PEER`); in the clear
    it listens on this machine only.
    """

    def __init__(self, app: ASGIApp, port: int, host: str = HOST, tls: ssl.SSLContext | None = None) -> None:
        if tls is None and host != HOST:
            raise NotAllowed(f"in the clear the API listens on {HOST} only, not on {host}")
        try:
            self._socket = socket.create_server((host, port), backlog=512)
        except OSError as fault:
            raise NotAllowed(f"cannot listen on {host}:{port}: {fault.strerror}; give another port") from fault
        self.url = f"{'https' if tls else 'http'}://{host}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            app,
            http=PeerProtocol if tls else "auto",
            ssl_context_factory=(lambda config, default: tls) if tls else None,
            log_config=None,  # what it says goes where the node's own log goes
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=GRACE_WALL_S,
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        """Serve until a signal (SIGINT, SIGTERM) or :meth:`stop`."""
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="api", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End serving."""
        self._server.should_exit = True
        if self._thread:
            self._thread.join()
