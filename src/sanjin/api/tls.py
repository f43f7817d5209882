"""TLS for the listener that other machines reach: who called, by the certificate of the connection."""

from __future__ import annotations

import ssl
import time
from asyncio import Transport
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PEER = "sanjin.peer"
"""Where a request's scope has the SPIFFE id of the caller's certificate (missing: it showed none)."""


class PeerProtocol(HttpToolsProtocol):
    """HTTP/1.1 that tells the application who called: uvicorn itself does not hand certificates on."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Read the certificate once a connection; the handshake has verified it."""
        super().connection_made(transport)
        held = transport.get_extra_info("ssl_object")
        certificate = held.getpeercert() if held else None
        if certificate:
            self.app: Any = _WithPeer(self.app, *_identity(certificate))


class _WithPeer:
    """The application behind one connection of a caller with a certificate."""

    def __init__(self, app: Any, peer: str, until_s: float) -> None:
        self._app: ASGIApp = app
        self._peer, self._until_s = peer, until_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. A certificate that has run out since the connection was made counts no more."""
        if time.time() < self._until_s:
            scope[PEER] = self._peer
        await self._app(scope, receive, send)


def _identity(certificate: dict[str, Any]) -> tuple[str, float]:
    """(SPIFFE id, when it runs out) of a verified certificate."""
    names: tuple[tuple[str, str], ...] = certificate.get("subjectAltName", ())
    uris = [value for kind, value in names if kind == "URI"]
    return (uris[0] if len(uris) == 1 else ""), ssl.cert_time_to_seconds(str(certificate["notAfter"]))
