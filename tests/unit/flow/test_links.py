"""Links: no slot of any link carries more than it can, no byte is lost, and no transfer could come earlier."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sanjin.flow.links import Links
from sanjin.model.network import Network, network_of
from sanjin.model.units import SLOT_S
from sanjin.regions.load import bundled, load_region

SLOTS = 12
SITES = 11


@lru_cache(1)
def network() -> Network:
    return network_of(load_region(bundled("shanxi")))


asks = st.lists(
    st.tuples(
        st.integers(0, SITES - 1),
        st.integers(0, SITES - 1),
        st.integers(0, 40),  # tenths of what the narrowest link carries in a slot
        st.integers(0, SLOTS * SLOT_S),
    ),
    max_size=25,
)


@settings(max_examples=200, deadline=None)
@given(asks)
def test_no_link_carries_more_than_it_can_and_no_transfer_could_come_earlier(
    wanted: list[tuple[int, int, int, int]],
) -> None:
    links = Links(network(), SLOTS)
    for source, target, tenths, from_s in wanted:
        path = network().paths[source, target]
        narrow = min((int(network().slot_bytes[n]) for n in path), default=0)
        size = narrow * tenths // 10
        free = links.free()
        way = links.plan(free, source, target, size, from_s)
        if not path or not size:
            assert way is not None and way.done_s == from_s and not way.amounts
            continue
        k0 = from_s // SLOT_S
        room = free[list(path), k0:].min(axis=0) if k0 < SLOTS else np.zeros(0, np.int64)
        if room.size:
            sizes = network().slot_bytes[list(path)]
            busy = int(np.ceil(((sizes - free[list(path), k0]) / sizes).max() * SLOT_S))
            room[0] = min(room[0], narrow * (SLOT_S - max(from_s % SLOT_S, busy)) // SLOT_S)
        if way is None:
            assert room.sum() < size
            continue
        assert sum(way.amounts) == size
        assert all(a <= r for a, r in zip(way.amounts, room, strict=False))
        assert room[: len(way.amounts) - 1].sum() < size  # not done a slot earlier
        latency_s = int(np.ceil(network().latency_ms[source, target] / 1000))
        last = (k0 + len(way.amounts) - 1) * SLOT_S
        assert max(last, from_s) < way.done_s <= last + SLOT_S + latency_s
        links.book(way)
        assert (links.carried <= network().slot_bytes[:, None]).all()
        assert int(links.carried.sum()) >= size * len(path)


@settings(max_examples=100, deadline=None)
@given(asks, st.integers(0, SLOTS + 2))
def test_time_takes_only_what_is_over(wanted: list[tuple[int, int, int, int]], by: int) -> None:
    links = Links(network(), SLOTS)
    for source, target, _, from_s in wanted:
        way = links.plan(links.free(), source, target, 10**12, from_s)
        if way:
            links.book(way)
    before = links.carried.copy()
    links.roll(by)
    assert (links.carried[:, : max(SLOTS - by, 0)] == before[:, by:]).all()
    assert not links.carried[:, max(SLOTS - by, 0) :].any()


def test_giving_back_leaves_nothing() -> None:
    links = Links(network(), SLOTS)
    way = links.plan(links.free(), 1, 4, 10**13, 100)
    assert way is not None
    links.book(way)
    assert links.carried.any()
    links.book(way, -1)
    assert not links.carried.any()


def test_what_a_peer_tells_counts_in_its_own_slots() -> None:
    links = Links(network(), SLOTS)
    links.roll(100)
    row = np.arange(1, SLOTS + 1)
    links.told("a", 98, {0: row})
    links.told("b", 101, {0: row})
    assert list(links.load()[0][:3]) == [3, 4 + 1, 5 + 2]
    assert list(links.load(but="a")[0][:3]) == [0, 1, 2]
    links.told("a", 100, {})
    assert list(links.load()[0][:3]) == [0, 1, 2]
