"""A virtual network between nodes: messages travel as bytes, and may be late, lost, repeated or out of order.

What a message meets is drawn from the seed, the line and the message's number on it, so it does not depend on what
happens elsewhere. A caller gets an answer, or after a while NotReachable, as over HTTP; an answer that comes after
that is dropped. An old request that is delivered once more is answered like any other, to nobody.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import msgspec

from sanjin.model.errors import NotReachable
from sanjin.tree.exchange import Answer, Request
from tests.faults.plan import Cut, Noise, Plan

HOLD_S = 240.0
"""How long a parent holds an answer back here: longer than in a real region, where it is 5 s, to save empty calls."""

RESET_SHARE = 0.6
"""Lost messages of which the caller is told within seconds, as of a connection that breaks; else it waits in vain."""

TIMEOUT_S = HOLD_S + 10.0
QUIET = Noise(at_s=0, until_s=0, child="", drop=0.0, repeat=0.0, late=0.0, late_s=0.0)

_encode = msgspec.msgpack.Encoder().encode
_request = msgspec.msgpack.Decoder(Request)
_answer = msgspec.msgpack.Decoder(Answer)


class Timeline:
    """What is to happen, in order of time; at one instant in the order in which it was planned."""

    def __init__(self) -> None:
        self.now = 0.0
        self._count = 0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do this at ``when``, or now where that is past."""
        self._count += 1
        heapq.heappush(self._heap, (max(when, self.now), self._count, action))

    def after(self, wait: float, action: Callable[[], None]) -> None:
        """Do this in ``wait`` seconds."""
        self.at(self.now + wait, action)

    def next_s(self) -> float:
        """When something happens next; infinite where nothing will."""
        return self._heap[0][0] if self._heap else float("inf")

    def step(self) -> None:
        """Let the next thing happen."""
        self.now, _, action = heapq.heappop(self._heap)
        action()


@dataclass(slots=True)
class Call:
    """A request on its way and the answer that its sender waits for."""

    child: str
    number: int
    life: int
    future: Future[Answer] = field(default_factory=Future)


@dataclass(slots=True)
class Ends:
    """What the network needs of the world: the life a node is in (0: it is down), its answer to a request, a word
    when something has come for it, and the places where a node may die."""

    life: Callable[[str], int]
    answer: Callable[[str, Request], Future[Answer]]
    wake: Callable[[str], None]
    arrived: Callable[[str], None]
    leaving: Callable[[str], None]
    tell: Callable[[str], None]


class Wires:
    """All lines between children and parents of one plan."""

    def __init__(self, plan: Plan, timeline: Timeline, ends: Ends, counts: Counter[str]) -> None:
        self._plan, self._time, self._ends, self._counts = plan, timeline, ends, counts
        self._numbers: Counter[str] = Counter()
        self._cuts: dict[str, list[Cut]] = {}
        self._noise: dict[str, list[Noise]] = {}
        for event in plan.events:
            if isinstance(event, Cut):
                self._cuts.setdefault(event.child, []).append(event)
            elif isinstance(event, Noise):
                self._noise.setdefault(event.child, []).append(event)

    def uplink(self, child: str, parent: str) -> Line:
        """The line from ``child`` to ``parent``."""
        return Line(self, child, parent)

    def call(self, child: str, parent: str, request: Request) -> Future[Answer]:
        """Send a request; see :class:`sanjin.tree.exchange.Uplink`."""
        self._ends.leaving(child)
        self._numbers[child] += 1
        call = Call(child, self._numbers[child], self._ends.life(child))
        body = _encode(request)
        self._counts["messages"] += 1
        self._time.after(TIMEOUT_S, lambda: self._fail(call, "no answer"))
        noise, rng = self._weather(child), self._fate(call, "up")
        if self._lost(call, rng, noise, up=True):
            return call.future
        self._time.after(_delay(rng, noise), lambda: self._arrive(call, parent, body))
        if rng.random() < noise.repeat:
            self._counts["repeats"] += 1
            wait = rng.uniform(0, 4 * noise.late_s)
            self._time.after(wait, lambda: self._arrive(call, parent, body))
        return call.future

    def _arrive(self, call: Call, parent: str, body: bytes) -> None:
        if self._is_cut(call.child, up=True):
            self._counts["drops"] += 1
            return
        if not self._ends.life(parent):
            self._time.after(0.02, lambda: self._fail(call, f"{parent} refuses the connection"))
            return
        inner = self._ends.answer(parent, _request.decode(body))
        inner.add_done_callback(lambda done: self._answered(call, done))
        self._ends.wake(parent)

    def _answered(self, call: Call, inner: Future[Answer]) -> None:
        if inner.exception() is not None:
            self._time.after(0.02, lambda: self._fail(call, "refused"))
            return
        body = _encode(inner.result())
        self._counts["messages"] += 1
        noise, rng = self._weather(call.child), self._fate(call, "down")
        if not self._lost(call, rng, noise, up=False):
            self._time.after(_delay(rng, noise), lambda: self._come(call, body))

    def _come(self, call: Call, body: bytes) -> None:
        if self._is_cut(call.child, up=False):
            self._counts["drops"] += 1
        elif not call.future.done() and self._ends.life(call.child) == call.life:
            call.future.set_result(_answer.decode(body))
            self._ends.wake(call.child)
            self._ends.arrived(call.child)

    def _fail(self, call: Call, why: str) -> None:
        if not call.future.done() and self._ends.life(call.child) == call.life:
            self._ends.tell(f"{call.child}: call {call.number} failed: {why}")
            call.future.set_exception(NotReachable(why))
            self._ends.wake(call.child)

    def _lost(self, call: Call, rng: random.Random, noise: Noise, *, up: bool) -> bool:
        lost = self._is_cut(call.child, up=up) or rng.random() < noise.drop
        if lost:
            self._counts["drops"] += 1
            if rng.random() < RESET_SHARE:
                self._time.after(rng.uniform(0.1, 15.0), lambda: self._fail(call, "the connection broke"))
            self._ends.tell(f"{call.child}: {'request' if up else 'answer'} {call.number} is lost")
        return lost

    def _is_cut(self, child: str, *, up: bool) -> bool:
        now = self._time.now
        if now >= self._plan.length_s:
            return False
        return any(c.at_s <= now < c.until_s and (c.up if up else c.down) for c in self._cuts.get(child, ()))

    def _weather(self, child: str) -> Noise:
        now = self._time.now
        if now >= self._plan.length_s:
            return QUIET
        return next((n for n in self._noise.get(child, ()) if n.at_s <= now < n.until_s), QUIET)

    def _fate(self, call: Call, leg: str) -> random.Random:
        return random.Random(f"{self._plan.seed}/{call.child}/{call.number}/{leg}")


def _delay(rng: random.Random, noise: Noise) -> float:
    delay = rng.uniform(0.002, 0.04)
    return delay + rng.uniform(0, noise.late_s) if rng.random() < noise.late else delay


@dataclass(frozen=True, slots=True)
class Line:
    """A child's way to its parent."""

    wires: Wires
    child: str
    parent: str

    def call(self, request: Request) -> Future[Answer]:
        """Send a request over the virtual network."""
        return self.wires.call(self.child, self.parent, request)
