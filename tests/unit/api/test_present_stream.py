"""The stream for people: what is new in one piece a second, the latest of it, and the present as it changes."""

from __future__ import annotations

import asyncio
import json

import msgspec

from sanjin.api import stream
from sanjin.api.stream import LATEST, EventHub
from sanjin.model import event as ev
from sanjin.ports import Entry


def wrote(hub: EventHub, first: int, count: int) -> None:
    event = ev.CancelAsked(job="linfen-1")
    body = msgspec.json.encode({"job": "linfen-1"})
    for seq in range(first, first + count):
        entry = Entry(seq=seq, at_s=seq, kind=event.kind, job=event.job, body=body, hash=b"")
        hub.listen("linfen", [(entry, event)])


def messages(text: bytes) -> list[tuple[str, dict[str, object]]]:
    found = []
    for part in text.decode().strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in part.split("\n"))
        found.append((lines["event"], json.loads(lines["data"])))
    return found


def test_a_viewer_gets_the_latest_entries_and_the_present_once_for_each_change(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(stream, "PACE_WALL_S", 0.01)
    hub, number = EventHub(), [1]

    async def present() -> tuple[int, bytes]:
        return number[0], b'{"now_s": 5}'

    async def look() -> list[list[tuple[str, dict[str, object]]]]:
        wrote(hub, 1, LATEST + 30)
        read, pieces = hub.read("", present=present), []
        for _ in range(2):
            pieces.append(messages(await anext(read)))
        wrote(hub, 1000, 3)
        pieces.append(messages(await anext(read)))  # the present is as it was, and is not told again
        number[0] = 2
        pieces.append(messages(await anext(read)))
        await read.aclose()
        return pieces

    hello, first, more, changed = asyncio.run(look())
    assert [kind for kind, _ in hello] == ["hello"]
    assert [body["seq"] for kind, body in first if kind != "present"] == list(range(31, LATEST + 31))
    assert [kind for kind, _ in first][-1] == "present"
    assert [body["seq"] for _, body in more] == [1000, 1001, 1002]
    assert changed == [("present", {"now_s": 5})]


def test_of_many_entries_a_viewer_gets_the_latest_alone(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(stream, "PACE_WALL_S", 0.01)
    hub = EventHub()

    async def present() -> tuple[int, bytes]:
        return 1, b"{}"

    async def look() -> list[tuple[str, dict[str, object]]]:
        read = hub.read("", present=present)
        await anext(read), await anext(read)
        wrote(hub, 1, 5000)
        found = messages(await anext(read))
        await read.aclose()
        return found

    assert [body["seq"] for _, body in asyncio.run(look())] == list(range(5001 - LATEST, 5001))
