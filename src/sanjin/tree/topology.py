"""The region as a net: its sites with what they do, its links with what they carry, and how fresh that is."""

from __future__ import annotations

from dataclasses import replace

from sanjin.model.status import LinkStatus, PoolStatus, SiteStatus
from sanjin.model.units import SLOT_S
from sanjin.tree import overview
from sanjin.tree.region import LiveRegion


def sites(live: LiveRegion) -> list[SiteStatus]:
    """Every site of whose node anything is known here: those whose nodes run here speak for themselves, those below
    them that other processes run are shown as the nearest node above them knows them."""
    found: list[SiteStatus] = []
    for name in live.region.nodes:
        if node := live.nodes.get(name):
            found.append(replace(overview.site_status(node, live.nodes), heard_s=heard_s(live, name)))
        elif above := _above(live, name):
            node, child = live.nodes[above], _child_towards(live, above, name)
            supply, gone = node.view.supply, child in node.view.silent
            told = bool(supply.heard[supply.site_index[name]])
            known, last_s = overview.site_known(node, name), node.heard_at[child][1] if told else 0
            pools = known.pools if told else tuple(_nothing_free(p) for p in known.pools)
            found.append(replace(known, parent_reachable=told and not gone, heard_s=last_s, pools=pools))
    return found


def _nothing_free(pool: PoolStatus) -> PoolStatus:
    """A pool that nobody has offered yet."""
    return replace(pool, free_cores=0, free_memory_bytes=0, free_accelerators=0)


def _above(live: LiveRegion, site: str) -> str:
    """The nearest node above a site that runs here; empty where none does."""
    name = live.region.nodes[site].parent
    while name and name not in live.nodes:
        name = live.region.nodes[name].parent
    return name


def _child_towards(live: LiveRegion, above: str, site: str) -> str:
    """The child of ``above`` in whose subtree a site lies."""
    while live.region.nodes[site].parent != above:
        site = live.region.nodes[site].parent
    return site


def heard_s(live: LiveRegion, site: str) -> int:
    """When the parent of a site last heard of it, region time; now for a node without a parent here, which speaks for
    itself."""
    parent = live.nodes.get(live.region.nodes[site].parent)
    return parent.heard_at[site][1] if parent else live.clock.now()


def silent(live: LiveRegion) -> frozenset[str]:
    """Nodes that a node above or below them, which runs here, has not heard of for a while."""
    return frozenset(peer for node in live.nodes.values() for peer in tuple(node.view.silent))


def links(live: LiveRegion) -> list[LinkStatus]:
    """Every link, as the highest node here knows it."""
    view, now = live.nodes[live.root].view, live.clock.now()
    gone, slot = silent(live), now // SLOT_S - view.links.first_slot
    found: list[LinkStatus] = []
    for index, link in enumerate(live.region.links):
        row = view.links.carried[index]
        found.append(
            LinkStatus(
                a=link.a, b=link.b, gbit_s=link.bandwidth.value, latency_ms=link.latency.value,
                yuan_gb=link.price.value, carried_bytes=int(row[slot]) if 0 <= slot < len(row) else 0,
                capacity_bytes=int(view.network.slot_bytes[index]), ahead_bytes=int(row[max(slot + 1, 0) :].sum()),
                up=not ({link.a, link.b} & gone),
            )
        )  # fmt: skip
    return found
