"""Links: what transfers may still carry over each link in each slot, as one node knows it.

A transfer goes over the cheapest path, as fast as its narrowest link has bytes left in a slot; within a slot
transfers follow each other. A link's bandwidth is that of both ways together. Links are modelled: bandwidth
follows from the region document, and what other nodes carry comes with their offers. So two nodes that decide
within the same moment, before they hear of each other, may both take a link's last bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sanjin.model.network import Network
from sanjin.model.units import SLOT_S

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Carriage:
    """A transfer planned over some links: bytes a slot from ``first_slot``, and when the last have come."""

    links: tuple[int, ...]
    first_slot: int
    amounts: tuple[int, ...]
    done_s: int


class Links:
    """Bytes that each link carries a slot, over the horizon.

    ``carried`` int64[L, T] is what this node booked, and what peers told; ``heard`` what each of them told, a row
    int64[T] for each link that carries anything: most carry nothing, and a parent of a thousand children has a thousand
    links. All begin with ``first_slot`` and roll with time.
    """

    def __init__(self, network: Network, slots: int) -> None:
        self.network = network
        self.slots = slots
        self.first_slot = 0
        self.carried = np.zeros((len(network.links), slots), np.int64)
        self.heard: dict[str, dict[int, Ints]] = {}
        self._busy: set[int] = set()

    def roll(self, first_slot: int) -> None:
        """Let the horizon begin with ``first_slot``; never goes back."""
        by = first_slot - self.first_slot
        if by <= 0:
            return
        for book in (self.carried, *(row for rows in self.heard.values() for row in rows.values())):
            book[..., : max(self.slots - by, 0)] = book[..., by:].copy()
            book[..., max(self.slots - by, 0) :] = 0
        self._busy = {link for link in self._busy if self.carried[link].any()}
        self.first_slot = first_slot

    def load(self, but: str = "") -> dict[int, Ints]:
        """Bytes a slot that anybody carries, int64[T] of each link that carries any; without what ``but`` told."""
        found: dict[int, Ints] = {}
        told = self.heard.get(but, {})
        for link in sorted(self._busy):
            row = self.carried[link] - told[link] if link in told else self.carried[link]
            if row.any():
                found[link] = row
        return found

    def free(self) -> Ints:
        """Bytes a slot that each link can still carry, int64[L, T]."""
        return np.maximum(self.network.slot_bytes[:, None] - self.carried, 0)

    def plan(self, free: Ints, source: int, target: int, size_bytes: int, from_s: int) -> Carriage | None:
        """The earliest way to bring ``size_bytes`` from one site to another with what is ``free``; books nothing.

        None where the horizon does not suffice, or there is no path.
        """
        links = self.network.paths.get((source, target))
        if links is None:
            return None
        latency_s = int(np.ceil(self.network.latency_ms[source, target] / 1000))
        if not links or size_bytes <= 0:
            return Carriage((), self.first_slot, (), from_s)
        k0 = max(from_s // SLOT_S - self.first_slot, 0)
        room = free[list(links), k0:].min(axis=0)
        sizes = self.network.slot_bytes[list(links)]
        rate = float(sizes.min()) / SLOT_S  # bytes a second, alone on the links

        def begin(k: int) -> int:
            """Within a slot transfers follow each other: when the links are free of what was booked before."""
            busy = int(np.ceil(((sizes - free[list(links), k]) / sizes).max() * SLOT_S))
            return max((self.first_slot + k) * SLOT_S + busy, from_s)

        if room.size:
            room[0] = min(int(room[0]), int(rate * ((self.first_slot + k0 + 1) * SLOT_S - begin(k0))))
        carried = np.cumsum(room)
        last = int(np.searchsorted(carried, size_bytes))
        if last >= len(carried):
            return None
        amounts = room[: last + 1].copy()
        before = int(carried[last - 1]) if last else 0
        amounts[last] = size_bytes - before
        done_s = begin(k0 + last) + int(np.ceil(int(amounts[last]) / rate))
        done_s = min(done_s, (self.first_slot + k0 + last + 1) * SLOT_S)
        return Carriage(links, self.first_slot + k0, tuple(int(a) for a in amounts), done_s + latency_s)

    def book(self, way: Carriage, sign: int = 1) -> None:
        """Take a planned transfer's bytes (``sign`` -1: give back those still ahead)."""
        for i, amount in enumerate(way.amounts):
            k = way.first_slot + i - self.first_slot
            if 0 <= k < self.slots:
                self.carried[list(way.links), k] += sign * amount
                self._busy.update(way.links)

    def told(self, peer: str, first_slot: int, rows: dict[int, Ints]) -> None:
        """Take over what a peer says is carried by others, a row a link from ``first_slot``."""
        for link, row in self.heard.pop(peer, {}).items():
            self.carried[link] -= row
        found = self.heard[peer] = dict[int, Ints]()
        by = self.first_slot - first_slot
        for link, row in rows.items():
            theirs = row[max(by, 0) :][: self.slots]
            begin = max(-by, 0)
            book = found[link] = np.zeros(self.slots, np.int64)
            book[begin : begin + len(theirs)] = theirs[: max(self.slots - begin, 0)]
            self.carried[link] += book
            self._busy.add(link)
