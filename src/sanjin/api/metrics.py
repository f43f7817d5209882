"""``/v1/metrics``: what a scraper reads of the nodes that run here, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sanjin.api.guard import Asking, Guard
from sanjin.model.access import Action
from sanjin.tree.node import Node
from sanjin.tree.region import LiveRegion


def metrics_routes(live: LiveRegion, guard: Guard) -> APIRouter:
    """The route over a live region."""
    router = APIRouter(tags=["region"])

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def metrics(caller: Asking) -> Response:
        """Work, capacity, journal and lines of every node here, for Prometheus. A scraper sends an auditor's token."""
        guard.need(caller, Action.AUDIT)
        registry = CollectorRegistry()
        registry.register(_Nodes(list(live.nodes.values())))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router


class _Nodes(Collector):
    """Reads the nodes when it is asked; nothing is counted apart."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes

    def collect(self) -> Iterable[Metric]:
        """One family a kind of figure, one sample a node (or pool, or child)."""
        jobs = GaugeMetricFamily("sanjin_jobs", "Jobs submitted at the node, by state", labels=("node", "state"))
        waiting = GaugeMetricFamily("sanjin_waiting", "Jobs that wait at the node", labels=("node", "for"))
        running = GaugeMetricFamily("sanjin_running", "Runs at the node's site", labels=("node",))
        free = GaugeMetricFamily("sanjin_free_cores", "Cores that are free now", labels=("node", "pool"))
        journal = CounterMetricFamily("sanjin_journal_entries", "Entries of the node's journal", labels=("node",))
        outbox = GaugeMetricFamily("sanjin_outbox", "Messages not yet acknowledged", labels=("node", "peer"))
        silent = GaugeMetricFamily("sanjin_silent", "1 where a peer is silent", labels=("node", "peer"))
        ill = GaugeMetricFamily("sanjin_fault", "1 where the node cannot write, or was set back", labels=("node",))
        for node in self._nodes:
            view, name = node.view, node.name
            for state, count in node.parts.store.counts().items():
                jobs.add_metric((name, state), count)
            for what, some in (("quota", view.held), ("a turn", view.queue), ("a place", view.parked)):
                waiting.add_metric((name, what), len(some))
            running.add_metric((name,), len(view.running))
            for pool in view.supply.pools_at[view.supply.site_index[name]]:
                free.add_metric((name, view.supply.pools[pool]), int(view.supply.free_cores[pool, 0]))
            journal.add_metric((name,), view.tip_seq)
            for peer in node.peers():
                outbox.add_metric((name, peer), len(node.loop.outbox.get(peer, ())))
                silent.add_metric((name, peer), int(peer in view.silent))
            ill.add_metric((name,), int(bool(node.fault or node.lines.behind)))
        return (jobs, waiting, running, free, journal, outbox, silent, ill)
