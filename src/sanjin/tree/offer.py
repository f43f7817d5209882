"""Offers: free capacity and data held, as one node tells it to another.

A child offers its own subtree upwards; a parent hands down what lies outside the child's subtree,
so that a child can see whether a place elsewhere is better than its own. Either says all at first,
and then what changed. Prices follow from the region document that all nodes share.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from sanjin.flow.supply import Supply
from sanjin.flow.view import View
from sanjin.kernels import tables


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


COMPRESS_FROM = 32 << 10
"""Bytes of an offer from which it is compressed: free capacity of a week in quarters is mostly one number again and
again, a megabyte of it for 64 sites."""

OFFER_MAX = 256 << 20
"""Bytes of an offer at most, so that a small message cannot take all memory."""

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Offer)
_COMPRESSED = b"\x78"  # how what zlib writes begins; an object in MessagePack never does


def encode(offer: Offer) -> bytes:
    """The offer as bytes, for :func:`decode`."""
    body = _encode(offer)
    return zlib.compress(body, 1) if len(body) >= COMPRESS_FROM else body


def decode(body: bytes) -> Offer:
    """The offer in ``body``. Raises ValueError where it is not one, or its arrays are not as long as it says."""
    offer = _decoder.decode(_whole(body) if body[:1] == _COMPRESSED else body)
    pools, sites = len(offer.pools) * offer.slots, len(offer.sites) * offer.slots
    if any(len(row) != 8 * offer.slots for row in offer.carried.values()):
        raise ValueError(f"an offer of {offer.node} has rows of links of another size than it says")
    lengths = tuple(len(part) for part in (offer.cores, offer.mem, offer.cards, offer.mw))
    if offer.slots < 1 or lengths != (4 * pools, 8 * pools, 4 * pools, 8 * sites):
        raise ValueError(f"an offer of {offer.node} has arrays of another size than it says")
    return offer


def _whole(body: bytes) -> bytes:
    reader = zlib.decompressobj()
    try:
        found = reader.decompress(body, OFFER_MAX)
    except zlib.error as fault:
        raise ValueError(f"an offer cannot be decompressed: {fault}") from fault
    if not reader.eof:
        raise ValueError(f"an offer is cut short, or has more than {OFFER_MAX >> 20} MiB")
    return found


def make(view: View, sites: set[str], to: str, since: int = -1) -> Offer:
    """The offer of those of ``sites`` that this node has heard of, for the peer ``to``; only what changed after the
    supply's version ``since``."""
    supply = view.supply
    listed = np.flatnonzero(supply.heard & (supply.site_version > since)).tolist()
    wanted = [i for i in listed if supply.sites[i] in sites]
    pools = [p for i in wanted for p in supply.pools_at[i]]
    names = tuple(supply.sites[i] for i in wanted)
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
        carried={link: row.astype("<i8").tobytes() for link, row in view.links.load(but=to).items()},
        held={s: tuple(sorted(d for d, nodes in view.holders.items() if s in nodes)) for s in names},
    )


def accept(view: View, offer: Offer, peer: str, allowed: set[str]) -> None:
    """Take an offer over into the view's supply; what the peer has not yet counted stays reserved.

    An offer of sites or pools that are not the peer's to offer (``allowed``), or of another horizon, is
    ignored. Of a site that it leaves out nothing changed, but that what the peer had been given there and has
    counted is not reserved there any more: it went elsewhere, or nowhere.
    """
    supply = view.supply
    strange = (p for p in offer.pools if p not in supply.pool_index or p.partition("/")[0] not in offer.sites)
    if not allowed.issuperset(offer.sites) or any(strange):
        return
    if offer.slots != supply.slots or abs(supply.first_slot - offer.first_slot) >= supply.slots:
        return
    told = {supply.site_index[s] for s in offer.sites}
    pending = view.pending.get(peer, [])
    counted = [p for p in pending if p.seq <= offer.ack and int(supply.pool[p.pool, tables.SITE]) not in told]
    left = view.pending[peer] = [p for p in pending if p.seq > offer.ack]
    sites = sorted(told | {int(supply.pool[p.pool, tables.SITE]) for p in counted})
    before = _state(supply, sites)
    _write(supply, offer)
    for p in counted:
        supply.shift(p.pool, p.start_s, p.finish_s, p.need, -1)
    for p in left:
        if int(supply.pool[p.pool, tables.SITE]) in told:
            supply.shift(p.pool, p.start_s, p.finish_s, p.need, 1)
    after = _state(supply, sites)
    news = {s for s in sites if s in told and not supply.heard[s]}
    freed = False
    for site, was, now in zip(sites, before, after, strict=True):
        if was.tobytes() != now.tobytes():
            news.add(site)
            freed = freed or bool((now > was).any())
    supply.heard[list(told)] = True
    for site in offer.sites:
        if view.held_heard.get(site) != (held := offer.held.get(site, ())):
            view.held_heard[site] = held
            news.add(supply.site_index[site])
            for nodes in view.holders.values():
                nodes.discard(site)
            for dataset in held:
                view.holders.setdefault(dataset, set()).add(site)
    rows = {n: np.frombuffer(row, "<i8") for n, row in offer.carried.items() if n < len(view.links.carried)}
    view.links.told(peer, offer.first_slot, rows)
    if news:
        supply.changed(own=any(bool(supply.own[s]) for s in news), freed=freed, sites=news)


def _state(supply: Supply, sites: Sequence[int]) -> list[NDArray[np.int64]]:
    """Free capacity of each of these sites: a copy of its rows of the board."""
    cells, at = supply.board.cells, supply.board.rows
    rows = [[*(n + p for n in (at.cores, at.mem, at.cards) for p in supply.pools_at[s]), at.mw + s] for s in sites]
    return [cells[each, : supply.slots] for each in rows]


def _write(supply: Supply, offer: Offer) -> None:
    """Take the offer's arrays over where the two horizons overlap."""
    by = supply.first_slot - offer.first_slot
    mine, theirs = slice(max(-by, 0), supply.slots - max(by, 0)), slice(max(by, 0), offer.slots - max(-by, 0))
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
