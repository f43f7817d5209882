"""Reading the stream of events (server-sent events, WHATWG HTML 9.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from sanjin.model.status import Happening

_decode = msgspec.json.Decoder(Happening).decode


@dataclass(frozen=True, slots=True)
class Notice:
    """One event of the stream. ``id`` continues the stream after it.

    ``happening`` is None at the beginning, and where some events were missed: ask for the present
    state then; nothing after it is missed.
    """

    id: str
    happening: Happening | None


def notices(lines: Iterable[str]) -> Iterator[Notice]:
    """The events in the lines of a stream; comments and keep-alives are skipped."""
    name, last, data = "", "", ""
    for line in lines:
        if not line:
            if data:
                yield Notice(last, None if name in ("hello", "reset") else _decode(data))
            name, data = "", ""
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "id":
            last = value
        elif field == "data":
            data = f"{data}\n{value}" if data else value
