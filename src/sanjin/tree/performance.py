"""Performance: what each site of a subtree declares and measured, told up the tree with a node's calls.

As prices it is no mail: a parent that begins anew is told again. It changes no placement.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace

import msgspec

from sanjin.model import event as ev
from sanjin.model.performance import SitePerformance, declarations, sound
from sanjin.model.region import Region
from sanjin.tree.exchange import Answer
from sanjin.tree.inbox import Said

SITES_A_CALL = 500

log = logging.getLogger("sanjin.node")
_decode = msgspec.msgpack.Decoder(tuple[SitePerformance, ...]).decode
_encode = msgspec.msgpack.Encoder().encode


class Performances:
    """What one node knows of its own site and of those below. The node's thread writes it, others only read.

    ``put`` hands what another thread says to the node's thread.
    """

    def __init__(self, region: Region, node: str, put: Callable[[object], None]) -> None:
        self._region, self._node, self._put = region, node, put
        self._pools = {n: frozenset(p.id for p in each.site.pools) for n, each in region.nodes.items()}
        self._untold: dict[str, None] = {}
        self._on_way: dict[int, dict[str, SitePerformance]] = {}
        self.known: dict[str, SitePerformance] = {}

    def say(self, found: SitePerformance, *, new: bool) -> None:
        """What was declared and measured here (any thread); ``new``: the journal does not have it yet."""
        self._put(Said(found, new))

    def take(self, said: Said, record: Callable[[ev.SiteMeasured], None]) -> None:
        """Take over what was said of the own site; a new measurement goes into the journal."""
        found = said.performance
        self._note(found)
        if found.measured and said.new:
            declared = declarations(self._region, self._node, found.declared)
            record(ev.SiteMeasured(job="", site=found.site, measured=found.measured, declared=declared))

    def _note(self, found: SitePerformance) -> None:
        self.known = {**self.known, found.site: found}  # who reads it from another thread never sees it change
        self._untold[found.site] = None

    def for_parent(self, call: int) -> bytes:
        """What the parent has not yet confirmed to have heard, as part of this call; empty where it knows all."""
        told = {site: self.known[site] for site in list(self._untold)[:SITES_A_CALL]}
        if not told:
            return b""
        self._on_way[call] = told
        return _encode(tuple(told.values()))

    def heard(self, call: int, answer: Answer | None) -> None:
        """The parent answered a call, or (None) did not. What has changed since stays to be told, and all of it to a
        parent that has begun anew: it says so in one answer, which may be the one that was lost."""
        for site, found in self._on_way.pop(call, {}).items():
            if answer is not None and self.known.get(site) == found:
                self._untold.pop(site, None)
        if answer is None or answer.want_demand:
            self._untold = dict.fromkeys(self.known)

    def from_child(self, body: bytes, below: Collection[str]) -> None:
        """What a child tells of its subtree. What is not its to tell, is older than what is known, or cannot be read,
        is left aside."""
        if not body:
            return
        try:
            told = _decode(body)
        except (msgspec.DecodeError, ValueError) as fault:
            log.warning("what a child tells of its machines cannot be read: %s", fault)
            return
        for each in told:
            known = self.known.get(each.site)
            if each.site not in below or (known and known.said_at_ms >= each.said_at_ms):
                continue
            if sound(each, self._pools):
                self._note(each)
            else:
                log.warning("what is told of the machines of %s makes no sense", each.site)

    def complete(self, site: str) -> SitePerformance | None:
        """What is known of a site with all that is declared of it, by the region document too; None for nothing."""
        found = self.known.get(site, SitePerformance(site=site, said_at_ms=0))
        declared = declarations(self._region, site, found.declared)
        return replace(found, declared=declared) if declared or found.measured else None
