"""Others in the cluster of a node's site, kept out of what the node has to give."""

from __future__ import annotations

from sanjin.flow.others import short_by
from sanjin.flow.supply import Supply
from sanjin.model.status import ClusterPart, ClusterStatus
from sanjin.ports import Amount, Clock, ClusterUse, Engine, Taken, TakenBy


class Others:
    """What the engine of ``node`` says others have, in force in its supply from the next turn on."""

    def __init__(self, node: str, engine: Engine, clock: Clock) -> None:
        self._node, self._engine, self._clock = node, engine, clock
        self.use: ClusterUse | None = None
        self._supply: Supply | None = None
        self._slot = 0

    def see(self, supply: Supply) -> None:
        """Take over what is new; in a supply that was made anew, or has rolled on, all of it."""
        use = self._engine.others()
        old = use is self.use and supply is self._supply and supply.first_slot == self._slot
        if use is None or old:
            return
        site = supply.site_index[self._node]
        supply.give_others(site, short_by(supply, site, use, self._clock))
        self.use, self._supply, self._slot = use, supply, supply.first_slot

    def status(self) -> ClusterStatus | None:
        """What is in force, for people."""
        return cluster_status(self.use, self._clock) if self.use else None


def cluster_status(use: ClusterUse, clock: Clock) -> ClusterStatus:
    """What a cluster has, and what others have of it, summed by why it is not for new work."""
    whole = [_part("whole", [Taken(by=TakenBy.OURS, amount=each, count=0) for each in (use.plain, use.carded)], 0)]
    for by in TakenBy:
        if some := [t for t in use.taken if t.by is by]:
            known = all(t.lasts_s and t.since for t in some)
            until_s = max(clock.region_at(t.since + t.lasts_s) for t in some) if known else 0
            whole.append(_part(by, some, until_s))
    return ClusterStatus(seen_s=clock.region_at(use.at), parts=tuple(whole))


def _part(what: str, some: list[Taken], until_s: int) -> ClusterPart:
    amounts: list[Amount] = [t.amount for t in some]
    return ClusterPart(
        what=what,
        count=sum(t.count for t in some),
        cores=round(sum(a.cores for a in amounts)),
        memory_bytes=round(sum(a.memory_bytes for a in amounts)),
        accelerators=round(sum(a.accelerators for a in amounts)),
        until_s=until_s,
    )
