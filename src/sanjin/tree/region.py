"""The nodes of a region that one process runs, all or some: each with its own store, engine and data folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from sanjin.flow.explain import chosen_site, explanation
from sanjin.flow.supply import PriceBook
from sanjin.model import event as ev
from sanjin.model.network import network_of
from sanjin.model.placement import Explanation
from sanjin.model.policy import Policy
from sanjin.model.record import JobRecord
from sanjin.model.region import Region
from sanjin.model.scarcity import Scarcity
from sanjin.ports import Clock, Engine, Mover, Store
from sanjin.tree.exchange import Switchboard, Uplink
from sanjin.tree.log import NodeLog
from sanjin.tree.node import Listener, Node, Parts
from sanjin.tree.set_back import Restored


class LiveRegion:
    """Nodes of a region, joined by a switchboard; they share nothing else.

    ``store``, ``engine`` and ``mover`` make the adapters of a node, given its id and folder. ``only`` names the nodes
    that this process runs (empty: all); ``uplink`` is the line of one of them to a parent that it does not run;
    ``restored`` says that their states were.
    """

    def __init__(
        self,
        region: Region,
        folder: Path,
        clock: Clock,
        *,
        store: Callable[[Path], Store],
        engine: Callable[[str, Path], Engine],
        mover: Callable[[str, Path], Mover],
        version: str,
        listener: Listener | None = None,
        scarcity: Scarcity | None = None,
        policy: Policy | None = None,
        keep_prices: Callable[[Scarcity], None] = lambda _: None,
        only: Collection[str] = (),
        uplink: Uplink | None = None,
        restored: Restored | None = None,
    ) -> None:
        self.region = region
        self.clock = clock
        self.board = Switchboard()
        self.nodes: dict[str, Node] = {}
        self.logs: dict[str, NodeLog] = {}
        """The nodes' transparent logs, where they are published; put here by who assembles the region."""
        self.asked: Callable[[str, Sequence[str], str, int], None] | None = None
        """Told of (node, jobs, ``traceparent``, since when) where a client submits within a trace of its own."""
        self.policy = policy or Policy()
        book, network = PriceBook(region), network_of(region)
        here = [name for name in region.nodes if not only or name in only]
        self.root = here[0]
        for name in here:
            model, own = region.nodes[name], folder / name
            parts = Parts(
                region=region,
                network=network,
                book=book,
                store=store(own / "state.db"),
                clock=clock,
                engine=engine(name, own / "engine"),
                mover=mover(name, folder),
                scarcity=scarcity,
                policy=self.policy,
                keep_prices=keep_prices,
            )
            line = self.board.uplink(name, model.parent) if model.parent in here else uplink
            node = Node(name, parts, line, listener)
            self.board.join(name, node.answer)
            self.nodes[name] = node
            node.open(version, restored)

    def start(self) -> None:
        """Start every node's thread."""
        for node in self.nodes.values():
            node.start()

    def stop(self) -> None:
        """Stop every node, children first."""
        for node in reversed(self.nodes.values()):
            node.stop()

    def job(self, job: str) -> JobRecord | None:
        """A job as its owner knows it; a part of an array, or a job whose owner is another process's node, as the node
        does that has it here."""
        owner = self.nodes.get(job.rpartition("-")[0])
        found = owner.parts.store.job(job) if owner else None
        if found is not None or (owner and "." not in job):
            return found
        known = [r for node in self.nodes.values() if (r := node.parts.store.job(job))]
        return next((r for r in known if not r.sent_to), known[0] if known else None)

    def explain(self, job: str) -> list[Explanation]:
        """Every decision about a job, in order of time, from the journals of the nodes that took them."""
        record = self.job(job)
        if record is None:
            return []
        found: list[Explanation] = []
        owner = job.rpartition("-")[0]  # first, so that of one second its decision comes first
        for node in sorted(self.nodes.values(), key=lambda n: n.name != owner):
            supply = node.view.supply
            for entry in node.parts.store.journal(job=job):
                event = ev.decode(entry.kind, entry.body)
                if isinstance(event, ev.Placed | ev.Assigned | ev.Raised | ev.Waiting | ev.Split):
                    if not event.options:
                        continue  # its turn in the queue has not come: no site was looked at
                    chosen = chosen_site(event, supply.sites)
                    pieces = event.placement.pieces if isinstance(event, ev.Placed) else ()
                    since_s, spec, at_s = record.submitted_s, record.spec, entry.at_s
                    found.append(
                        explanation(supply, job, node.name, at_s, chosen, event.options, spec, since_s, pieces)
                    )
        return sorted(found, key=lambda e: e.at_s)
