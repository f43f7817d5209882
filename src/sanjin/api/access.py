"""Who may call: those who hold the token of the state folder, from this machine.

A pure ASGI layer in front of everything. The Host header must name this machine, so that a page in
a browser cannot reach the API under a name of its own (DNS rebinding).
"""

from __future__ import annotations

import hmac

from starlette.types import ASGIApp, Receive, Scope, Send

from sanjin.api import problems
from sanjin.model.errors import NotAllowed, NoToken, SanjinError

OPEN = frozenset({"/v1/health"})
"""Paths that need no token."""

HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Access:
    """Lets through what carries ``token``; answers anything else itself. Paths in ``others`` are let through: who may
    call them is settled there. ``remote``: other machines may call, over TLS."""

    def __init__(
        self, app: ASGIApp, token: str, others: frozenset[str] = frozenset(), remote: bool = False
    ) -> None:
        self.app = app
        self._open, self._remote = OPEN | others, remote
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        fault = self._refuse(scope) if scope["type"] == "http" else None
        if fault is None:
            await self.app(scope, receive, send)
        else:
            await problems.answer(fault)(scope, receive, send)

    def _refuse(self, scope: Scope) -> SanjinError | None:
        host, given = b"", b""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"authorization":
                given = value
        name = host.decode("latin-1")
        name = name if name.endswith("]") else name.rpartition(":")[0] or name
        if not self._remote and name.lower() not in HOSTS:
            return NotAllowed(f"the API answers on this machine only, not as {name!r}")
        if scope["path"] in self._open or hmac.compare_digest(given, self._expected):
            return None
        return NoToken("send the token of the state folder as: Authorization: Bearer <token>")
