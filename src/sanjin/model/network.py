"""Paths over the region's links: latency, bandwidth and price between every two nodes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import rustworkx as rx
from numpy.typing import NDArray

from sanjin.model.region import Region
from sanjin.model.units import GB, SLOT_S


@dataclass(frozen=True, slots=True)
class Network:
    """All-pairs figures, in the region's order of nodes.

    ``latency_ms`` follows the fastest path (0 within a node); ``price_yuan_gb`` the cheapest, and
    ``gbps`` is the narrowest link of that cheapest path (infinite within a node). Unreachable pairs
    have infinite latency and price.
    """

    nodes: tuple[str, ...]
    latency_ms: NDArray[np.float64]
    price_yuan_gb: NDArray[np.float64]
    gbps: NDArray[np.float64]
    links: tuple[tuple[int, int], ...]
    """Ends of each link, as indexes of ``nodes``."""
    slot_bytes: NDArray[np.int64]
    """Bytes that each link carries in a slot at full bandwidth, int64[L]."""
    paths: dict[tuple[int, int], tuple[int, ...]]
    """Links of the cheapest path between two nodes."""

    @property
    def dearest_yuan_gb(self) -> float:
        """Price of the dearest pair, yuan/GB."""
        finite = self.price_yuan_gb[np.isfinite(self.price_yuan_gb)]
        return float(finite.max()) if finite.size else 0.0

    def transfer_micro(self, source: int, target: int, size_bytes: int) -> int:
        """Micro-yuan for ``size_bytes`` over the cheapest path."""
        if source == target:
            return 0
        return round(self.price_yuan_gb[source, target] * size_bytes / GB * 1e6)


def network_of(region: Region) -> Network:
    """Shortest paths (Dijkstra) over the links of ``region``."""
    ids = tuple(region.nodes)
    index = {name: i for i, name in enumerate(ids)}
    count = len(ids)
    graph = rx.PyGraph(multigraph=False)
    graph.add_nodes_from(list(ids))
    for link in region.links:
        graph.add_edge(index[link.a], index[link.b], link)
    latency = np.full((count, count), np.inf)
    price = np.full((count, count), np.inf)
    gbps = np.zeros((count, count))
    numbers = {id(link): i for i, link in enumerate(region.links)}
    ways: dict[tuple[int, int], tuple[int, ...]] = {(a, a): () for a in range(count)}
    np.fill_diagonal(latency, 0.0)
    np.fill_diagonal(price, 0.0)
    np.fill_diagonal(gbps, np.inf)
    for a in range(count):
        for b, cost in rx.dijkstra_shortest_path_lengths(graph, a, lambda e: e.latency.value).items():
            latency[a, b] = cost
        # a cheapest path of equal price is the faster one: latency only breaks ties
        paths = rx.dijkstra_shortest_paths(graph, a, weight_fn=lambda e: e.price.value + e.latency.value * 1e-9)
        for b, path in paths.items():
            edges = [graph.get_edge_data(u, v) for u, v in itertools.pairwise(path)]
            price[a, b] = sum(e.price.value for e in edges)
            gbps[a, b] = min((e.bandwidth.value for e in edges), default=np.inf)
            ways[a, b] = tuple(numbers[id(e)] for e in edges)
    return Network(
        nodes=ids,
        latency_ms=latency,
        price_yuan_gb=price,
        gbps=gbps,
        links=tuple((index[e.a], index[e.b]) for e in region.links),
        slot_bytes=np.array([round(e.bandwidth.value * 1e9 / 8) * SLOT_S for e in region.links], np.int64),
        paths=ways,
    )
