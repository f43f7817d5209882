"""Offers: free capacity and data held, as one node tells it to another.

A child offers its own subtree upwards; a parent hands down what lies outside the child's subtree,
so that a child can see whether a place elsewhere is better than its own. Prices follow from the
region document that all nodes share.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import numpy as np

from sanjin.flow.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Free capacity of some pools and sites over slots from ``first_slot``, row after row.

    Arrays are little-endian: ``cores`` and ``cards`` int32[pools, slots], ``mem`` int64[pools, slots] (MiB,
    which pass 2^31 in a pool of 600,000 cores), ``mw`` int64[sites, slots]. ``ack``
    is how much mail of the receiver was counted in. ``held`` lists the datasets of each site, ``carried`` the
    bytes a slot, int64[slots], that others than the receiver bring over a link, by its number.
    """

    node: str
    ack: int
    first_slot: int
    slots: int
    sites: tuple[str, ...]
    pools: tuple[str, ...]
    cores: bytes
    mem: bytes
    cards: bytes
    mw: bytes
    held: dict[str, tuple[str, ...]]
    carried: dict[int, bytes] = field(default_factory=dict[int, bytes])


encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Offer)


def decode(body: bytes) -> Offer:
    """The offer in ``body``. Raises ValueError where it is not one, or its arrays are not as long as it says."""
    offer = _decoder.decode(body)
    pools, sites = len(offer.pools) * offer.slots, len(offer.sites) * offer.slots
    if any(len(row) != 8 * offer.slots for row in offer.carried.values()):
        raise ValueError(f"an offer of {offer.node} has rows of links of another size than it says")
    lengths = tuple(len(part) for part in (offer.cores, offer.mem, offer.cards, offer.mw))
    if offer.slots < 1 or lengths != (4 * pools, 8 * pools, 4 * pools, 8 * sites):
        raise ValueError(f"an offer of {offer.node} has arrays of another size than it says")
    return offer


def make(view: View, sites: set[str], to: str) -> Offer:
    """The offer of those of ``sites`` that this node has heard of, for the peer ``to``."""
    supply = view.supply
    wanted = [i for i, s in enumerate(supply.sites) if s in sites and supply.heard[i]]
    index = set(wanted)
    pools = [p for p in range(len(supply.pools)) if int(supply.pool[p, 0]) in index]
    names = tuple(supply.sites[i] for i in wanted)
    load = view.links.load(but=to)
    return Offer(
        node=view.node,
        ack=view.mark(to).received,
        first_slot=supply.first_slot,
        slots=supply.slots,
        sites=names,
        pools=tuple(supply.pools[p] for p in pools),
        cores=supply.free_cores[pools].astype("<i4").tobytes(),
        mem=supply.free_mem[pools].astype("<i8").tobytes(),
        cards=supply.free_acc[pools].astype("<i4").tobytes(),
        mw=supply.free_mw[wanted].astype("<i8").tobytes(),
        carried={int(n): load[n].astype("<i8").tobytes() for n in np.flatnonzero(load.any(axis=1))},
        held={s: tuple(sorted(d for d, nodes in view.holders.items() if s in nodes)) for s in names},
    )


def accept(view: View, offer: Offer, peer: str, allowed: set[str]) -> None:
    """Take an offer over into the view's supply; what the peer has not yet counted stays reserved.

    An offer of sites or pools that are not the peer's to offer (``allowed``), or of another horizon, is
    ignored.
    """
    supply = view.supply
    strange = (p for p in offer.pools if p not in supply.pool_index or p.partition("/")[0] not in offer.sites)
    if not allowed.issuperset(offer.sites) or any(strange):
        return
    by = supply.first_slot - offer.first_slot
    mine, theirs = slice(max(-by, 0), supply.slots - max(by, 0)), slice(max(by, 0), offer.slots - max(-by, 0))
    if offer.slots != supply.slots or abs(by) >= supply.slots:
        return
    pools = [supply.pool_index[p] for p in offer.pools]
    sites = [supply.site_index[s] for s in offer.sites]
    for free, body, kind in (
        (supply.free_cores, offer.cores, "<i4"),
        (supply.free_mem, offer.mem, "<i8"),
        (supply.free_acc, offer.cards, "<i4"),
    ):
        free[pools, mine] = np.frombuffer(body, kind).reshape(len(pools), offer.slots)[:, theirs]
    supply.free_mw[sites, mine] = np.frombuffer(offer.mw, "<i8").reshape(len(sites), offer.slots)[:, theirs]
    supply.overwritten()
    supply.heard[sites] = True
    for site in offer.sites:
        for dataset in offer.held.get(site, ()):
            view.holders.setdefault(dataset, set()).add(site)
        for dataset, nodes in view.holders.items():
            if dataset not in offer.held.get(site, ()):
                nodes.discard(site)
    rows = {n: np.frombuffer(row, "<i8") for n, row in offer.carried.items() if n < len(view.links.own)}
    view.links.told(peer, offer.first_slot, rows)
    left = [p for p in view.pending.get(peer, ()) if p.seq > offer.ack]
    view.pending[peer] = left
    for p in left:
        supply.take(p.pool, p.start_s, p.finish_s, p.need, 1)
    supply.changed(own=bool(sites) and bool(supply.own[sites[0]]), freed=True)
