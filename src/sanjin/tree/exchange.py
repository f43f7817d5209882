"""The one call between nodes: a child calls its parent, the parent answers.

A request carries an offer and numbered mail upwards; the answer carries numbered mail and what the
rest of the region offers downwards. The parent holds the answer back until it has something to say,
so that nothing polls.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

import msgspec

from sanjin.model.errors import NotReachable
from sanjin.ports import Mail


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """From a child. ``ack`` is the last of the parent's mail that the child has stored."""

    node: str
    ack: int
    mail: tuple[Mail, ...]
    offer: bytes
    """An encoded offer of the child's subtree; empty where nothing changed."""
    want_outside: bool
    """The child knows nothing of the rest yet."""
    demand: bytes = b""
    """Jobs that came in below, for learning prices; see :mod:`sanjin.tree.pricing`."""
    prices: int = 0
    """The version of the prices of scarcity that the child has."""
    performance: bytes = b""
    """What sites below declare and measured, where the parent does not know it; see :mod:`sanjin.tree.performance`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """From the parent. ``lease_s``: how long, in region seconds, the child may start assigned work."""

    ack: int
    mail: tuple[Mail, ...]
    outside: bytes
    lease_s: int
    want_offer: bool
    prices: bytes = b""
    """Prices of scarce capacity, where the child has others."""
    want_demand: bool = False
    """The parent has begun anew and knows nothing of last week's jobs."""


encode = msgspec.msgpack.Encoder().encode
"""A request or an answer as it is sent."""

_request, _answer = msgspec.msgpack.Decoder(Request), msgspec.msgpack.Decoder(Answer)


def read_request(body: bytes) -> Request:
    """The request that :func:`encode` wrote. Raises ValueError where it is none."""
    return _request.decode(body)


def read_answer(body: bytes) -> Answer:
    """The answer that :func:`encode` wrote. Raises ValueError where it is none."""
    return _answer.decode(body)


class Uplink(Protocol):
    """How a child reaches its parent."""

    def call(self, request: Request) -> Future[Answer]:
        """Send a request; the future gets the answer, or NotReachable."""
        ...


class Switchboard:
    """Joins nodes of one process. They share nothing but these calls; a line can be cut."""

    def __init__(self) -> None:
        self._nodes: dict[str, Callable[[Request], Future[Answer]]] = {}
        self._cut: set[str] = set()
        self._lock = Lock()

    def join(self, node: str, answer: Callable[[Request], Future[Answer]]) -> None:
        """Make a node reachable for its children."""
        with self._lock:
            self._nodes[node] = answer

    def leave(self, node: str) -> None:
        """Take a node off."""
        with self._lock:
            self._nodes.pop(node, None)

    def cut(self, child: str) -> None:
        """Cut the line between a child and its parent."""
        self._cut.add(child)

    def heal(self, child: str) -> None:
        """Join the line again."""
        self._cut.discard(child)

    def uplink(self, child: str, parent: str) -> Uplink:
        """The line from ``child`` to ``parent``."""
        return _Line(self, child, parent)

    def call(self, child: str, parent: str, request: Request) -> Future[Answer]:
        """Carry a request over; what is on the way when a line is cut is lost."""
        outer: Future[Answer] = Future()
        answer = self._nodes.get(parent)
        if answer is None or child in self._cut:
            outer.set_exception(NotReachable(f"{parent} does not answer {child}"))
            return outer

        def carry(inner: Future[Answer]) -> None:
            fault = inner.exception()
            if child in self._cut or fault:
                outer.set_exception(fault or NotReachable(f"the line from {child} to {parent} is cut"))
            else:
                outer.set_result(inner.result())

        answer(request).add_done_callback(carry)
        return outer


@dataclass(frozen=True, slots=True)
class _Line:
    board: Switchboard
    child: str
    parent: str

    def call(self, request: Request) -> Future[Answer]:
        """Send a request over the switchboard."""
        return self.board.call(self.child, self.parent, request)
