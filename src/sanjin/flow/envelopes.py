"""Envelopes: what of a tenant's envelope a node lends to its children, and what it borrows from its parent.

Each node has an envelope of its own, which the region document states. Where it has work that this does not
cover, it asks its parent for a part of the parent's: the parent reserves that part, and only then tells the child.
So whatever is cut, drifts or crashes, what all nodes may spend never adds up to more than what the document states; a
node that is cut off goes on admitting with what it has. What was borrowed may be admitted with for a while only: then
what is unused goes back, and the rest as the work that uses it ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sanjin.model import event as ev
from sanjin.model.region import Region
from sanjin.model.units import HOUR_S, SLOT_S
from sanjin.ports import Share

if TYPE_CHECKING:
    from sanjin.flow.view import View

LENT_S = 6 * HOUR_S
"""Region seconds in which new work may be admitted with what was borrowed."""

ASK_AGAIN_S = SLOT_S
"""Region seconds after an answer before the parent is asked again for the same tenant."""

_ASKED = 1 << 62
"""``ask_s`` while the parent has not answered: never, until then."""


@dataclass(slots=True)
class TenantUse:
    """What a tenant uses of its envelope at this node."""

    cores: int = 0
    reserved_fen: int = 0
    spent_fen: int = 0
    placed: list[int] = field(default_factory=lambda: [0, 0, 0])
    """Cores, MiB and cards of its work that this node has placed, or given to a child, and that has not ended."""


@dataclass(frozen=True, slots=True)
class Amount:
    """Cores at once, and fen in all."""

    cores: int = 0
    fen: int = 0

    def covers(self, other: Amount) -> bool:
        """Whether it is enough for ``other``."""
        return self.cores >= other.cores and self.fen >= other.fen

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.cores + other.cores, self.fen + other.fen)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.cores - other.cores, self.fen - other.fen)

    def or_nothing(self) -> Amount:
        """With nothing below 0."""
        return Amount(max(self.cores, 0), max(self.fen, 0))

    def at_most(self, most: Amount) -> Amount:
        """With nothing above ``most``."""
        return Amount(min(self.cores, most.cores), min(self.fen, most.fen))


@dataclass(slots=True)
class Envelopes:
    """The tenants' envelopes at one node: ``use`` by tenant, ``shares`` by tenant and peer."""

    region: Region
    node: str
    parent: str
    use: dict[str, TenantUse] = field(default_factory=dict[str, TenantUse])
    shares: dict[tuple[str, str], Share] = field(default_factory=dict[tuple[str, str], Share])
    short: dict[str, Amount] = field(default_factory=dict[str, Amount])
    """What the first job lacks that is held here, by tenant."""
    wanted: dict[str, tuple[Amount, Amount]] = field(default_factory=dict[str, tuple[Amount, Amount]])
    """What a child asked for and did not get, by tenant: all of it, and the least that is of use."""
    lent: dict[str, Amount] = field(default_factory=dict[str, Amount])
    """What is reserved here for all children together, by tenant."""

    def tenant(self, tenant: str) -> TenantUse:
        """The use of a tenant, created on first sight."""
        found = self.use.get(tenant)
        if found is None:
            found = self.use[tenant] = TenantUse()
        return found

    def share(self, tenant: str, peer: str) -> Share:
        """What went between this node and a peer."""
        return self.shares.get((tenant, peer)) or Share(tenant=tenant, peer=peer)

    def reach(self, tenant: str) -> int:
        """Cores of the tenant's that can come together here: this node's, and those of the nodes above it."""
        nodes, whose = self.region.nodes, self.region.tenants[tenant]
        cores, node = whose.envelope(self.node).cores, nodes[self.node].parent if self.parent else ""
        while node:
            cores, node = cores + whose.envelope(node).cores, nodes[node].parent
        return cores

    def stated(self, tenant: str) -> Amount:
        """What the region document gives this node."""
        envelope = self.region.tenants[tenant].envelope(self.node)
        return Amount(envelope.cores, round(envelope.yuan * 100))

    def used(self, tenant: str) -> Amount:
        """What work that was submitted here takes: cores of what lives; fen spent, and set aside for what lives."""
        use = self.use.get(tenant)  # and not made at first sight: others than the node's thread may ask
        return Amount(use.cores, use.spent_fen + use.reserved_fen) if use else Amount()

    def free(self, tenant: str) -> Amount:
        """What new work may use, or a child may have; below nothing where the document gives less than it did."""
        free = self.stated(tenant) - self.used(tenant)
        if self.shares:
            got = self.share(tenant, self.parent)
            free = free + Amount(got.cores, got.fen) - self.lent.get(tenant, Amount())
        return free

    def put(self, share: Share) -> None:
        """Know a share; the sum of what is lent follows."""
        old = self.share(share.tenant, share.peer)
        self.shares[(share.tenant, share.peer)] = share
        if share.peer != self.parent:
            lent = self.lent.get(share.tenant, Amount()) + Amount(share.cores - old.cores, share.fen - old.fen)
            self.lent[share.tenant] = lent

    def moved(self, e: ev.EnvelopeMoved, at_s: int) -> None:
        """Take an event over."""
        share = self.share(e.tenant, e.peer)
        if isinstance(e, ev.EnvelopeAsked):
            self.wanted.pop(e.tenant, None)
            share = replace(share, ask_s=_ASKED)
        elif isinstance(e, ev.EnvelopeLent | ev.EnvelopeBorrowed):
            got = bool(e.cores or e.fen)
            share = replace(
                share, cores=share.cores + e.cores, fen=share.fen + e.fen, until_s=e.until_s if got else share.until_s,
                ask_s=at_s + (0 if got else ASK_AGAIN_S),
            )  # fmt: skip
        else:
            share = replace(share, cores=share.cores - e.cores, fen=share.fen - e.fen)
        self.put(share)


def overdue(view: View, now_s: int) -> Iterator[ev.EnvelopeReturned]:
    """What was borrowed for a time that is over goes back, as far as it is not in use."""
    envelopes = view.envelopes
    for tenant in view.region.tenants if view.parent and envelopes.shares else ():
        share = envelopes.share(tenant, view.parent)
        if share.until_s <= now_s and (share.cores or share.fen):
            unused = envelopes.free(tenant).or_nothing().at_most(Amount(share.cores, share.fen))
            if unused != Amount():
                yield ev.EnvelopeReturned(
                    job="", peer=view.parent, tenant=tenant, cores=unused.cores, fen=unused.fen
                )  # fmt: skip


def lend(view: View, peer: str, tenant: str, whole: Amount, least: Amount, now_s: int) -> ev.EnvelopeLent | None:
    """The answer to a child that asks: as much as is free here, where that is of use to it.

    Work of the tenant that is held here goes first. What cannot be lent is asked for above, for the next time.
    None for a tenant that the region does not have.
    """
    envelopes = view.envelopes
    if tenant not in view.region.tenants:
        return None
    free = Amount() if tenant in envelopes.short else envelopes.free(tenant).or_nothing()
    part = whole.or_nothing().at_most(free) if free.covers(least) else Amount()
    if part == Amount():
        envelopes.wanted[tenant] = (whole - free, (least - free).or_nothing())
    return ev.EnvelopeLent(
        job="", peer=peer, tenant=tenant, cores=part.cores, fen=part.fen, until_s=now_s + LENT_S
    )  # fmt: skip
