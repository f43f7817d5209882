"""Sites and links that are down for a while, and the links' states as the replay's loop takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sanjin.kernels.carry import CUT, NO_WAY, Lines
from sanjin.kernels.replay import LINES, SITE_DOWN, SITE_LEFT, SITE_UP, Turns
from sanjin.model.network import Network, network_of
from sanjin.model.region import Region
from sanjin.model.units import SLOT_S
from sanjin.replay.trace import Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A site, or the link between two, is down from ``from_s`` until ``until_s``, seconds from the trace's begin.

    One that was ``announced`` (of a site) is known from the begin, and nothing is planned into it; else what
    runs there is lost, and nobody knows when the site comes back.
    """

    site: str = ""
    link: tuple[str, str] | None = None
    from_s: int
    until_s: int
    announced: bool = False


def spans(outages: Sequence[Outage], site: str) -> list[tuple[int, int, bool]]:
    """When a site is down: (from, until, announced), in order, none touching another of its kind."""
    found: list[tuple[int, int, bool]] = []
    for o in sorted((o for o in outages if o.site == site), key=lambda o: (o.from_s, o.until_s)):
        if found and o.from_s <= found[-1][1]:  # one outage goes over into the next
            found[-1] = (found[-1][0], max(found[-1][1], o.until_s), found[-1][2] and o.announced)
        else:
            found.append((o.from_s, o.until_s, o.announced))
    return found


def turns_of(
    region: Region, outages: Sequence[Outage], begin_s: int, announced: bool = False
) -> tuple[Turns, list[frozenset[int]]]:
    """What happens when, and the links that are down in each state of the lines (none in the first).

    ``announced``: work may run at a site when an announced outage begins; it was not known from the begin.
    """
    happens: list[tuple[int, int, int]] = []
    for s, site in enumerate(region.nodes):
        for begin, until, planned in spans(outages, site):
            if planned and announced:
                happens.append((begin_s + begin, SITE_LEFT, s))
            elif not planned:
                happens += [(begin_s + until, SITE_UP, s), (begin_s + begin, SITE_DOWN, s)]
    states: list[frozenset[int]] = [frozenset()]
    cuts = [(o, _link(region, o.link)) for o in outages if o.link]
    for at in sorted({t for o, _ in cuts for t in (o.from_s, o.until_s)}):
        down = frozenset(n for o, n in cuts if o.from_s <= at < o.until_s)
        if down not in states:
            states.append(down)
        happens.append((begin_s + at, LINES, states.index(down)))
    # what comes back comes first, so that a site may be down again at once
    happens.sort(key=lambda h: (h[0], h[1] != SITE_UP, h[1], h[2]))
    columns = np.array(happens, np.int64).reshape(-1, 3)
    return Turns(*(np.ascontiguousarray(columns[:, i]) for i in range(3))), states


def lines_of(region: Region, network: Network, states: Sequence[frozenset[int]], slots: int) -> Lines:
    """The lines in each state, with nothing booked; a pair that has a way in the first state only is cut."""
    count = len(region.nodes)
    shape = (len(states), count, count)
    fare, lag, first, last = (np.zeros(shape, np.int64) for _ in range(4))
    way: list[int] = []
    for e, down in enumerate(states):
        left = [i for i in range(len(region.links)) if i not in down]
        now = network if not down else network_of(replace(region, links=tuple(region.links[i] for i in left)))
        for a in range(count):
            for b in range(count):
                links = now.paths.get((a, b))
                if links is None:
                    first[e, a, b] = CUT if e and (a, b) in network.paths else NO_WAY
                    continue
                first[e, a, b] = len(way)
                way += [left[n] for n in links]
                last[e, a, b] = len(way)
        price = np.where(np.isfinite(now.price_yuan_gb), now.price_yuan_gb, 0)
        fare[e] = np.rint(price * 1e6)
        lag[e] = np.ceil(np.where(np.isfinite(now.latency_ms), now.latency_ms, 0) / 1000)
    load = np.zeros((len(region.links), slots), np.int64)
    return Lines(fare, lag, first, last, np.array(way, np.int64), network.slot_bytes, load)


def shut(cores: Ints, site_of: Ints, region: Region, outages: Sequence[Outage]) -> None:
    """Take announced outages out of ``cores`` int64[P, T], free cores from the trace's begin on."""
    for s, site in enumerate(region.nodes):
        for begin, until, announced in spans(outages, site):
            if announced:
                cores[site_of == s, begin // SLOT_S : -(-until // SLOT_S)] = 0


def _link(region: Region, ends: tuple[str, str]) -> int:
    return next(i for i, link in enumerate(region.links) if {link.a, link.b} == set(ends))
