"""The present of all sites and links, made at most once in a while for however many look at it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec

from sanjin.api.health import FAULT
from sanjin.model.status import LinkStatus, SiteStatus
from sanjin.tree import topology
from sanjin.tree.region import LiveRegion

LOOK_WALL_S = 1.0
"""How old the present may be that is told."""

AGAIN_WALL_S = 15.0
"""After so long it is told again though nothing changed, so that clocks do not drift."""


class Present:
    """Tells a number that changes with what is told, and the JSON of it: ``{"now_s", "sites", "links"}``."""

    def __init__(self, live: LiveRegion) -> None:
        self._live = live
        self._lock = asyncio.Lock()
        self._at = self._changed_at = -AGAIN_WALL_S
        self._number = 0
        self._content: tuple[list[SiteStatus], list[LinkStatus]] = [], []
        self._texts: dict[bool, bytes] = {}

    async def look(self, faults: bool) -> tuple[int, bytes]:
        """The present; with ``faults`` it says what is wrong with a node, and without only that something is."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._at >= LOOK_WALL_S:
                content = await asyncio.to_thread(lambda: (topology.sites(self._live), topology.links(self._live)))
                self._at = now
                if _timeless(content) != _timeless(self._content) or now - self._changed_at >= AGAIN_WALL_S:
                    self._number, self._changed_at, self._content, self._texts = self._number + 1, now, content, {}
            if faults not in self._texts:
                self._texts[faults] = self._encode(faults)
            return self._number, self._texts[faults]

    def _encode(self, faults: bool) -> bytes:
        sites, links = self._content
        shown = sites if faults else [replace(s, fault=FAULT) if s.fault else s for s in sites]
        return msgspec.json.encode({"now_s": self._live.clock.now(), "sites": shown, "links": links})


def _timeless(content: tuple[list[SiteStatus], list[LinkStatus]]) -> tuple[list[SiteStatus], list[LinkStatus]]:
    """What is to be told at once when it changes: when a node was heard of last does all the time."""
    sites, links = content
    return [replace(s, heard_s=0) for s in sites], links
