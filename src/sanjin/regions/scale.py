"""A region at another size: the same places, prices and weather with fewer or more cores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sanjin.model.errors import NotFound
from sanjin.model.region import Figure, Node, Pool, Region, Status
from sanjin.model.units import GIB


def _scaled_pool(pool: Pool, cores: int) -> Pool:
    """Memory and accelerators follow the cores; see :func:`scaled` for the least of each."""
    capacity = Figure(
        value=float(cores),
        unit="cores",
        date=pool.capacity.date,
        source=f"scaled from {pool.cores} cores; {pool.capacity.source}",
        status=Status.COMPUTED,
    )
    accelerators = max(1, pool.accelerators * cores // pool.cores) if pool.accelerators else 0
    memory = max(pool.memory_bytes * cores // pool.cores, cores * GIB)
    return replace(pool, cores=cores, memory_bytes=memory, accelerators=accelerators, capacity=capacity)


def _scaled_node(node: Node, pools: Mapping[str, int]) -> Node:
    for name, cores in pools.items():
        if name not in {p.id for p in node.site.pools}:
            raise NotFound(f"node {node.id!r} has no pool {name!r}")
        if cores < 1:
            raise ValueError(f"pool {node.id}/{name} needs at least one core, not {cores}")
    changed = tuple(_scaled_pool(p, pools[p.id]) if p.id in pools else p for p in node.site.pools)
    return replace(node, site=replace(node.site, pools=changed))


def scaled(region: Region, cores: Mapping[str, Mapping[str, int]]) -> Region:
    """``region`` with the cores of some pools replaced: ``{node id: {pool id: cores}}``.

    Memory and accelerators go in proportion: at least 1 GiB a core, and at least one accelerator
    where there were any. Pools that are not named, prices and the site's power stay as they are.
    Raises NotFound for an unknown node or pool and ValueError for fewer than one core.
    """
    for name in cores:
        if name not in region.nodes:
            raise NotFound(f"the region has no node {name!r}")
    nodes = {k: _scaled_node(n, cores[k]) if k in cores else n for k, n in region.nodes.items()}
    return replace(region, nodes=nodes)
