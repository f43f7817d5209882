"""The one stream of events: every journal entry of every node as it is written (server-sent events).

Events are numbered since the start of this process. A client that was cut off sends the last number
it saw (``Last-Event-ID``). The first event is ``hello``, or ``reset`` where that number is too far back
or from an earlier start: then the client should ask for the present state again.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from threading import Lock
from typing import Protocol

import msgspec

from sanjin.model import event as ev
from sanjin.ports import Entry

KEEP = 20_000
QUIET_WALL_S = 15.0
AT_ONCE = 500

PACE_WALL_S = 1.0
"""How often a reader of the present is told of what is new, all of it in one piece."""

LATEST = 50
"""Of what is new since the last piece, so many entries at most are told to a reader of the present."""


@dataclass(eq=False, slots=True)
class _Reader:
    loop: asyncio.AbstractEventLoop
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class Seer(Protocol):
    """Shows a reader of entries what the reader may see."""

    whole: bool
    """Whether that is all, and :meth:`entry` need not be asked."""

    def still(self) -> bool:
        """Whether the reader may go on."""
        ...

    def entry(self, node: str, entry: Entry) -> Entry | None:
        """What is to be shown of an entry, or None."""
        ...


@dataclass(eq=False, slots=True)
class _News:
    number: int
    node: str
    entry: Entry
    text: bytes = b""
    """The message, once it was made for a reader who sees all of it."""


def _seen(news: Sequence[_News], lens: Seer) -> list[_News]:
    return [_News(n.number, n.node, e) for n in news if (e := lens.entry(n.node, n.entry))]


class EventHub:
    """Takes entries from the nodes' threads and hands them to any number of readers."""

    def __init__(self) -> None:
        self._start = secrets.token_hex(4)
        self._last = 0
        self._kept: deque[_News] = deque(maxlen=KEEP)
        self._readers: set[_Reader] = set()
        self._lock = Lock()

    def listen(self, node: str, events: Sequence[tuple[Entry, ev.Event]]) -> None:
        """A node wrote these; called in its thread."""
        with self._lock:
            for entry, _ in events:
                self._last += 1
                self._kept.append(_News(self._last, node, entry))
            readers = list(self._readers)
        for reader in readers:
            reader.loop.call_soon_threadsafe(reader.woken.set)

    async def read(
        self,
        last_id: str,
        job: str = "",
        node: str = "",
        lens: Seer | None = None,
        present: Callable[[], Awaitable[tuple[int, bytes]]] | None = None,
    ) -> AsyncIterator[bytes]:
        """The stream from after ``last_id`` (empty: from now), for one job or node where given.

        ``lens`` shows of each entry what the reader may see; the stream ends with the reader's right to it. With
        ``present`` (a number that changes, and a text) there is also a ``present`` whenever that changed; all that is
        new comes in one piece a second then, and of many entries only the latest, which a new reader gets first.
        """
        reader, seen = _Reader(asyncio.get_running_loop()), -1
        with self._lock:
            position, known = self._position(last_id)
            if present is None:  # the others look at a pace of their own
                self._readers.add(reader)
            elif not last_id:
                position = max(position - LATEST, self._last - len(self._kept))
        try:
            yield self._message(position, b"hello" if known else b"reset", b"{}")
            while lens is None or lens.still():
                reader.woken.clear()
                news = self._after(position, AT_ONCE if present is None else KEEP)
                position = news[-1].number if news else position
                text = await self._told(news if present is None else news[-LATEST:], job, node, lens)
                if present is not None:
                    number, content = await present()
                    text += self._message(position, b"present", content) if number != seen else b""
                    seen = number
                if text:
                    yield text
                if present is not None:
                    await asyncio.sleep(PACE_WALL_S)
                elif not news:
                    try:
                        await asyncio.wait_for(reader.woken.wait(), QUIET_WALL_S)
                    except TimeoutError:
                        yield b": still here\n\n"
        finally:
            self._readers.discard(reader)

    async def _told(self, news: Sequence[_News], job: str, node: str, lens: Seer | None) -> bytes:
        wanted = [n for n in news if self._wanted(n.node, n.entry, node, job)]
        if lens is not None and not lens.whole and wanted:  # it may have to look jobs up
            wanted = await asyncio.to_thread(_seen, wanted, lens)
        return b"".join(n.text or self._text(n) for n in wanted)

    def _position(self, last_id: str) -> tuple[int, bool]:
        """(number after which to begin, whether nothing was missed)."""
        if not last_id:
            return self._last, True
        start, _, number = last_id.partition("-")
        at = int(number) if number.isdecimal() and len(number) < 19 else -1
        first = self._kept[0].number if self._kept else self._last + 1
        if start == self._start and first - 1 <= at <= self._last:
            return at, True
        return self._last, False

    def _after(self, position: int, most: int) -> list[_News]:
        with self._lock:
            behind = min(self._last - position, len(self._kept))
            return list(islice(reversed(self._kept), behind))[::-1][:most] if behind else []

    @staticmethod
    def _wanted(name: str, entry: Entry, node: str, job: str) -> bool:
        return (not node or node == name) and (not job or job == entry.job)

    def _text(self, news: _News) -> bytes:
        entry = news.entry
        body = msgspec.json.encode(
            {
                "node": news.node,
                "seq": entry.seq,
                "at_s": entry.at_s,
                "kind": entry.kind,
                "job": entry.job,
                "body": msgspec.Raw(entry.body),
            }
        )
        news.text = self._message(news.number, entry.kind.encode(), body)
        return news.text

    def _message(self, number: int, kind: bytes, body: bytes) -> bytes:
        return b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (self._start.encode(), number, kind, body)
