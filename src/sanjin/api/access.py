"""Who may call: whoever holds a good token, from this machine (over TLS from others).

What they may do, the routes ask (:mod:`.guard`).

A pure ASGI layer in front of everything. The Host header must name this machine, so that a page in
a browser cannot reach the API under a name of its own (DNS rebinding).
"""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sanjin.api import problems
from sanjin.api.callers import Caller, Callers
from sanjin.api.console import Pages
from sanjin.model.errors import NotAllowed, SanjinError

OPEN = frozenset({"/v1/health", "/v1/ready"})
"""Paths that need no token."""

UNASKED = frozenset({"/openapi.json"})
"""Paths that everybody with a token may read, so that nobody needs to ask."""

HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})

log = logging.getLogger("sanjin.access")


class Access:
    """Lets through whom ``callers`` knows, as ``request.state.caller``; answers anything else itself.

    Paths in ``others`` are let through: who may call them is settled there (nodes, by their certificates).
    ``remote``: other machines may call, over TLS. ``pages`` are the console's, which need no token.
    """

    def __init__(
        self,
        app: ASGIApp,
        callers: Callers,
        others: frozenset[str] = frozenset(),
        remote: bool = False,
        pages: Pages | None = None,
    ) -> None:
        self.app = app
        self._callers = callers
        self._pages = pages or Pages()
        self._open, self._remote = OPEN | others, remote

    def over_tls(self, others: frozenset[str]) -> Access:
        """The same application for a listener over TLS, which other machines reach; ``others`` as above."""
        return Access(self.app, self._callers, others, remote=True, pages=self._pages)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return  # there is nothing else here: a server then refuses a websocket
        path = scope["path"]
        try:
            given = self._from_here(scope)
            if path in self._pages:
                await self._pages(scope, receive, send)
                return
            if path in self._open:
                await self.app(scope, receive, send)
                return
            caller = self._callers.find(given)
        except SanjinError as fault:
            await problems.answer(fault)(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self.app(scope, receive, send if path in UNASKED else _Asked(scope, receive, send, caller))

    def _from_here(self, scope: Scope) -> bytes:
        """The ``Authorization`` header of a request, which must name this machine unless others may call. Raises
        NotAllowed."""
        host, given = b"", b""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"authorization":
                given = value
        name = host.decode("latin-1")
        name = name if name.endswith("]") else name.rpartition(":")[0] or name
        if not self._remote and name.lower() not in HOSTS:
            raise NotAllowed(f"the API answers on this machine only, not as {name!r}")
        return given


class _Asked:
    """Sends an answer on, unless nobody has asked whether the caller may have it: a route that forgets is mute."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        self._scope, self._receive, self._send, self._caller = scope, receive, send, caller
        self._mute = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] < 400 and not self._caller.asked:
            self._mute = True
            log.error("%s %s asks nobody; its answer is withheld", self._scope["method"], self._scope["path"])
            await problems.answer(NotAllowed("nothing permits this"))(self._scope, self._receive, self._send)
        if not self._mute:
            await self._send(message)
