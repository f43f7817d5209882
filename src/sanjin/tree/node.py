"""A node: one loop over one store, its site's engine, a line to its parent and lines from children.

Core, hub and edge run this same class. Other threads talk to it through :meth:`Node.submit`,
:meth:`Node.cancel`, :meth:`Node.dry_run` and :meth:`Node.answer`, which put work into its inbox and
return futures; one thread takes all turns.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from sanjin.flow import admit, workflow
from sanjin.flow.explain import dry_run
from sanjin.flow.loop import REFUSED_S, Loop
from sanjin.flow.restore import restore
from sanjin.flow.stage import restage
from sanjin.flow.submit import check
from sanjin.flow.supply import PriceBook, Supply
from sanjin.flow.turn import Ask, Done, Work
from sanjin.flow.view import View
from sanjin.model import event as ev
from sanjin.model.catalogue import problem
from sanjin.model.errors import NotReachable, Problem, ProblemsFound, SanjinError, StoreFailed
from sanjin.model.job import JobSpec, Submission
from sanjin.model.network import Network
from sanjin.model.placement import Explanation
from sanjin.model.policy import Policy
from sanjin.model.record import JobRecord
from sanjin.model.region import Region
from sanjin.model.scarcity import Scarcity
from sanjin.model.units import HORIZON_SLOTS, HOUR_S, SLOT_S
from sanjin.ports import Clock, Engine, Entry, Mail, Mover, RunReport, Store
from sanjin.tree import inbox
from sanjin.tree import offer as offers
from sanjin.tree.carrier import Carrier
from sanjin.tree.children import Child, Held, told_of
from sanjin.tree.exchange import Answer, Request, Uplink
from sanjin.tree.inbox import Answered, Asked, Cancel, Confirm, DryRun, Moved, Published, Said, Submit
from sanjin.tree.mail import TreeRouter
from sanjin.tree.others import Others
from sanjin.tree.performance import Performances
from sanjin.tree.pricing import Pricing, Seen
from sanjin.tree.set_back import Lines, Restored, uncertain_ends

LEASE_S = 6 * HOUR_S
"""Region seconds after the last word with the parent in which assigned work may still start."""

HOLD_WALL_S = 5.0
"""How long a parent holds an answer back when it has nothing to say."""

OFFER_WALL_S = 0.1
"""Least time between two offers to the parent."""

REFRESH_WALL_S = 0.25
"""Least time between two hand-downs of the rest of the region to one child, where all children together are told of
:data:`TOLD_SITES` sites at most; more take proportionally longer, or a parent of many would do little else."""

TOLD_SITES = 256

POLL_WALL_S = 0.05
"""How often the engine is asked, in one call, for runs that ended, while any is running."""

SILENT_WALL_S = 15.0
"""A peer that was not heard of for so long is silent: nothing new is placed there."""

IDLE_WALL_S = 1.0
RETRY_WALL_S = 0.5
MAIL_A_CALL = 2000

log = logging.getLogger("sanjin.node")
Listener = Callable[[str, Sequence[tuple[Entry, ev.Event]]], None]


@dataclass(slots=True, kw_only=True)
class Parts:
    """What a node is made of; see :mod:`sanjin.ports`."""

    region: Region
    network: Network
    book: PriceBook
    store: Store
    clock: Clock
    engine: Engine
    mover: Mover
    slots: int = HORIZON_SLOTS
    scarcity: Scarcity | None = None
    policy: Policy = field(default_factory=Policy)
    keep_prices: Callable[[Scarcity], None] = field(default=lambda _: None)


class Node:
    """One node of the tree, live once :meth:`start` was called (or stepped by hand in tests)."""

    def __init__(self, name: str, parts: Parts, uplink: Uplink | None = None, listener: Listener | None = None) -> None:
        self.name = name
        self.parts = parts
        self.region = parts.region
        self.parent = parts.region.nodes[name].parent if uplink else ""
        self.subtree = set(parts.region.subtree(name))
        self.outside = set(parts.region.nodes) - self.subtree
        self.fault, self._version = "", ""
        self.lines, self.turned_at = Lines(name), parts.clock.wall()
        self._uplink = uplink
        self._listener = listener
        self._inbox: SimpleQueue[object] = SimpleQueue()
        self._below = {c: set(parts.region.subtree(c)) for c in parts.region.children(name)}
        self._children = {c: Child([]) for c in self._below}
        self.carrier = self._carrier()
        self._thread: threading.Thread | None = None
        self._stop = False
        self._calling = False
        self._retry_at = 0.0
        self._call_number = self._heard_number = 0
        self._sent_mail = 0
        self._sent_version = self._told_version = -1
        self._offered_at = -1e9
        self._outside_known = False
        now, root = parts.clock.now(), not parts.region.nodes[name].parent
        self.pricing = Pricing(parts.region, parts.policy, root, parts.scarcity, now)
        self.pricing.remember(parts.store, now)
        self.performances = Performances(parts.region, name, self._inbox.put)
        self.others = Others(name, parts.engine, parts.clock)
        self._found: list[RunReport] = []
        self.heard_at: dict[str, tuple[float, int]] = {}
        self._rebuild()

    def _carrier(self) -> Carrier:
        return Carrier(self.name, self.parts.mover, self.parts.clock, self._inbox.put)

    # -- the node's life

    def _rebuild(self) -> None:
        """Make the view anew from the store, as after a crash."""
        parts = self.parts
        now = parts.clock.now()
        supply = Supply(parts.region, self.name, parts.book, parts.slots, self.pricing.prices, parts.policy)
        supply.roll(now)
        view = View(self.name, self.parent, parts.region, parts.network, supply)
        for dataset in parts.region.datasets.values():
            view.holders[dataset.id] = set(dataset.replicas)
        for dataset, path in parts.mover.held().items():
            view.here[dataset] = path
            if dataset in view.holders:  # where artifacts are, the jobs that need them say
                view.holders[dataset].add(self.name)
        for dataset in parts.mover.stored():  # its files may have to be brought here, from the site's own store
            if dataset in view.holders:
                view.holders[dataset].add(self.name)
        stored = parts.store.load()
        restore(view, stored, now)
        view.lease_until_s = now + LEASE_S if self.parent else 0
        # nobody is silent before this node has waited for a word itself
        self.heard_at = {peer: (parts.clock.wall(), now) for peer in (*self._children, self.parent) if peer}
        self.view = view
        self.loop = Loop(view, parts.store, parts.clock, TreeRouter())
        for mail in stored.outbox:
            self.loop.outbox.setdefault(mail.peer, []).append(mail)
        self._found = parts.engine.find(list(view.running))
        told = [view.jobs[j] for j in view.running.values()]  # asked for before a crash, perhaps not heard
        parts.engine.stop([r.run for r in told if r.stop_asked])
        parts.engine.cancel([r.run for r in told if r.cancel_asked])
        self.carrier.fetch(restage(view, now))
        for name, child in self._children.items():
            child.heard, child.wants, child.told_version = False, True, -1
            child.others = told_of(supply, self.name, self._below[name])
        self._told_share = max(sum(len(c.others) for c in self._children.values()) / TOLD_SITES, 1.0)
        self._sent_mail = 0
        self._tell_all()

    def _tell_all(self) -> None:
        """The next call tells all, and asks for all: what was said and heard before may be lost."""
        self._sent_version = self._told_version = -1
        self._offered_at, self._outside_known = -1e9, False

    def open(self, version: str, restored: Restored | None = None) -> None:
        """Write the first entries of this start: who runs here, how decisions number pools, and what was given up."""
        self._version = version
        sites, pools = self.view.supply.sites, self.view.supply.pools
        begun = ev.NodeStarted(job="", node=self.name, region=self.region.id, version=version, sites=sites, pools=pools)
        self.loop.begin_with(begun)
        for event in uncertain_ends(self.view, restored, self._found, self.parts.clock.now()):
            self.loop.begin_with(event)
        self.step(0.0)

    def start(self) -> None:
        """Take turns in a thread of its own until :meth:`stop`."""
        self._thread = threading.Thread(target=self._run, name=f"node-{self.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and let go of the store; runs go on and are adopted at the next start."""
        self._stop = True
        self._inbox.put(None)
        if self._thread:
            self._thread.join()
        self.carrier.close()
        self.pricing.settle()
        self.parts.engine.close()
        self.parts.store.close()

    def ended(self) -> bool:
        """Whether its thread is gone."""
        return self._thread is not None and not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop:
            try:
                self.step(self._patience())
            except StoreFailed as fault:
                self._failed(fault)
            except Exception:
                # a fault of ours must not end the node: rebuild from what is durable and go on
                log.exception("node %s: turn failed", self.name)
                self._failed(StoreFailed(f"{self.name}: turn failed, see the log"))

    def _failed(self, fault: SanjinError) -> None:
        self.fault = str(fault)
        log.error("node %s: %s", self.name, fault)
        while not self._stop:
            # no turn before the view is made anew: what the failed one changed in it was never written
            threading.Event().wait(RETRY_WALL_S)
            try:
                self._rebuild()
                self.open(self._version)  # writes: so the fault lasts for as long as nothing can be written
                return
            except Exception as again:
                log.error("node %s: cannot rebuild: %s", self.name, again)

    def has_something_to_do(self) -> bool:
        """Whether a turn now could change anything, for who takes a node's turns by hand; runs that ended aside."""
        view, now = self.view, self.parts.clock.now()
        waited = any(now - at >= REFUSED_S for at in view.refused.values())
        if not self._inbox.empty() or view.queue or waited or self._found or now // SLOT_S > view.supply.first_slot:
            return True
        if view.admit_due and view.held:
            return True
        if self.loop.now_s < now and any(due and due[0][0] <= now for due in (view.starts, view.stops)):
            return True
        if next(admit.due(view, max(now, self.loop.now_s)), None) is not None:
            return True
        return self._has_news()[0] or any(c.held and self._reply_due(n, c) for n, c in self._children.items())

    def _patience(self) -> float:
        """How long the next turn may wait for something to come in, wall seconds."""
        view, clock = self.view, self.parts.clock
        if view.queue or self._found or (view.admit_due and view.held):
            return 0.0
        wait = POLL_WALL_S if view.running else IDLE_WALL_S
        now = clock.now()
        for due in (view.starts, view.stops):
            if due:  # what is due and did not start is looked at again before long
                wait = min(wait, max((due[0][0] - now) / clock.rate, POLL_WALL_S * (due[0][0] <= now)))
        wait = min(wait, (SLOT_S - now % SLOT_S) / clock.rate)
        if self._uplink and not self._calling:
            wait = min(wait, max(self._retry_at - clock.wall(), 0.0))
        if self._uplink and self._sent_version != view.supply.own_version:
            wait = min(wait, OFFER_WALL_S)
        waiting = any(c.held for c in self._children.values())
        return min(wait, REFRESH_WALL_S) if waiting else wait

    def peers(self) -> list[str]:
        """The nodes that it talks to: its children, and its parent where it has one."""
        return [*self._children, *([self.parent] if self.parent else [])]

    # -- what others ask (any thread)

    def check(self, submissions: Sequence[Submission], at: str = "") -> list[Problem]:
        """Everything that is wrong with these submissions, each path prefixed by its place."""
        found: list[Problem] = []
        several = len(submissions) > 1 or at
        prefix = [f"{at}[{i}]." if several else "" for i in range(len(submissions))]
        for s, before in zip(submissions, prefix, strict=True):
            if not 0 < len(s.key) <= 200:
                found.append(problem("key_length", f"{before}key"))
            found.extend(check(self.view, s.spec, f"{before}spec"))
        known = workflow.look_up(submissions, self.parts.store.find_keys, self.parts.store.find)
        found.extend(workflow.check(submissions, known, lambda i: f"{prefix[i]}spec"))
        return found

    def submit(self, submissions: Sequence[Submission], at: str = "") -> Future[list[JobRecord]]:
        """Accept jobs, all or none; the future is done once they are durable.

        Raises ProblemsFound at once where any is wrong. The future may get KeyReused or StoreFailed.
        """
        problems = self.check(submissions, at)
        if problems:
            raise ProblemsFound(problems)
        future: Future[list[JobRecord]] = Future()
        self._inbox.put(Submit(workflow.published(submissions), future))
        return future

    def cancel(self, job: str) -> Future[bool]:
        """Ask for a job's end; true where the job was live here."""
        future: Future[bool] = Future()
        self._inbox.put(Cancel(job, future))
        return future

    def dry_run(self, specs: Sequence[JobSpec]) -> Future[list[Explanation]]:
        """Where these jobs would go if they were submitted now; nothing changes."""
        problems = [p for i, s in enumerate(specs) for p in check(self.view, s, f"[{i}].spec")]
        if problems:
            raise ProblemsFound(problems)
        future: Future[list[Explanation]] = Future()
        self._inbox.put(DryRun(specs, future))
        return future

    def answer(self, request: Request) -> Future[Answer]:
        """A child's call."""
        future: Future[Answer] = Future()
        self._inbox.put(Asked(request, future))
        return future

    def confirm(self, job: str) -> Future[bool]:
        """An operator has looked: the silent node does not run this job; it is placed again. Whether it was so."""
        future: Future[bool] = Future()
        self._inbox.put(Confirm(job, future))
        return future

    # -- a turn

    def step(self, patience_s: float) -> Done:
        """Take in what has come (waiting up to ``patience_s`` wall seconds), take one turn, act."""
        work = Work()
        self.loop.roll()
        self.others.see(self.view.supply)
        asked: list[Submit] = []
        cancels: list[Cancel] = []
        dry: list[DryRun] = []
        confirms: list[Confirm] = []
        for item in self._drain(patience_s):
            if isinstance(item, Submit):
                asked.append(item)
                work.asks.append(Ask(item.submissions, inbox.refuse(item.future)))
            elif isinstance(item, Cancel):
                cancels.append(item)
                work.cancels.append(item.job)
            elif isinstance(item, DryRun):
                dry.append(item)
            elif isinstance(item, Confirm):
                confirms.append(item)
                work.confirmed.append(item.job)
            elif isinstance(item, Answered):
                self._take_answer(item, work)
            elif isinstance(item, Moved):
                work.transfers.extend(item.reports)
            elif isinstance(item, Published):
                work.published.extend(item.reports)
            elif isinstance(item, Asked):
                self._take_request(item, work)
            elif isinstance(item, Scarcity):
                self._use_prices(item)
            elif isinstance(item, Said):
                self.performances.take(item, self.loop.begin_with)
        known = [c.job in self.view.jobs for c in cancels]
        self._listen()
        if self.view.running:
            work.runs.extend(self.parts.engine.watch())
        work.runs.extend(self._found)
        self._found = []
        try:
            done = self.loop.turn(work)
        except BaseException as fault:
            for item in (*asked, *cancels, *dry, *confirms):
                inbox.fail(item.future, fault)
            raise
        self.fault, self.turned_at = "", self.parts.clock.wall()
        self._act(done)
        for ask, records in done.answers:
            ask.answer(records)
        for item, found in zip(cancels, known, strict=True):
            item.future.set_result(found)
        replaced = {e.job for _, e in done.events if isinstance(e, ev.Replaced)}
        for item in confirms:
            item.future.set_result(item.job in replaced)
        for item in dry:
            item.future.set_result(dry_run(self.view, item.specs, self.parts.clock.now()))
        submitted = (e for _, e in done.events if isinstance(e, ev.Submitted))
        self.pricing.note(Seen(e.job, self.loop.now_s, e.spec) for e in submitted)
        self.pricing.learn(self.loop.now_s, self._inbox.put)
        if done.events and self._listener:
            self._listener(self.name, done.events)
        self._answer_children()
        self._call_parent()
        return done

    def _listen(self) -> None:
        """Note who has been silent for long: children whose calls do not come, a parent that does not answer."""
        wall, silent = self.parts.clock.wall(), self.view.silent
        for name, child in self._children.items():
            if child.held:  # its call waits for this node's answer
                self._heard(name)
        if self.view.parent_reachable and self.parent:
            self._heard(self.parent)
        for peer, (at, since_s) in self.heard_at.items():
            if wall - at >= SILENT_WALL_S:
                silent.setdefault(peer, since_s)
            elif silent and silent.pop(peer, None) is not None:
                self.view.supply.changed(own=peer != self.parent, freed=True)

    def _heard(self, peer: str) -> None:
        self.heard_at[peer] = (self.parts.clock.wall(), self.parts.clock.now())

    def _use_prices(self, found: Scarcity) -> None:
        """New prices, learnt here or by the parent."""
        self.pricing.prices = found
        self.view.supply.use_prices(found)
        self.loop.begin_with(
            ev.Priced(job="", until_s=found.until_s, jobs=found.jobs, bound_yuan=found.bound_yuan, error=found.error)
        )
        if self.pricing.root:
            self.parts.keep_prices(found)

    def _drain(self, patience_s: float) -> list[object]:
        items: list[object] = []
        try:
            items.append(self._inbox.get(timeout=patience_s) if patience_s > 0 else self._inbox.get_nowait())
            while len(items) < 256:
                items.append(self._inbox.get_nowait())
        except Empty:
            pass
        return list(filter(inbox.wanted, items))

    def _act(self, done: Done) -> None:
        engine = self.parts.engine
        if done.starts:
            self._found.extend(engine.start(done.starts))
        if done.stops:
            engine.stop(done.stops)
        if done.cancels:
            engine.cancel(done.cancels)
        if done.forget:
            engine.forget(done.forget)
        if done.discard:
            engine.discard(done.discard)
        self.carrier.fetch(done.fetch)
        self.carrier.publish(done.publish)

    # -- the line to the parent

    def _take_answer(self, item: Answered, work: Work) -> None:
        view = self.view
        answer = item.answer
        if answer and self.lines.wrong(view.mark(self.parent), answer.ack, answer.mail):
            answer = None
        self.performances.heard(item.number, answer)
        if answer is None or item.number < self._heard_number:
            self._tell_all()
        if item.number == self._call_number:
            self._calling = False
        elif answer is None:
            return  # a later call is on the line
        if answer is None:
            view.parent_reachable = False
            self._retry_at = self.parts.clock.wall() + RETRY_WALL_S
            return
        if not view.parent_reachable:  # what found no place here may be raised now
            view.parent_reachable = True
            view.supply.changed(own=False, freed=True)
        self._heard(self.parent)
        view.lease_until_s = self.parts.clock.now() + answer.lease_s
        work.acked[self.parent] = answer.ack
        work.mail.extend(answer.mail)
        self.pricing.heard()
        if answer.want_demand:
            self.pricing.remember(self.parts.store, self.parts.clock.now())
            for child in self._children.values():
                child.counted = False
        if answer.prices and (prices := self.pricing.from_parent(answer.prices)):
            self._use_prices(prices)
        if answer.want_offer:
            self._sent_version, self._told_version, self._offered_at = -1, -1, -1e9
        if answer.outside and item.number >= self._heard_number:
            read = self._take_offer(answer.outside, self.parent, self.outside)
            self._outside_known = read and (self._outside_known or item.wanted)
        self._heard_number = max(self._heard_number, item.number)

    def _take_offer(self, body: bytes, peer: str, allowed: set[str]) -> bool:
        """Take a peer's offer over; what is none is left aside, and must not end the turn."""
        try:
            offers.accept(self.view, offers.decode(body), peer, allowed)
        except ValueError as fault:
            log.warning("node %s: the offer of %s cannot be read: %s", self.name, peer, fault)
            return False
        return True

    def _has_news(self) -> tuple[bool, bool]:
        """Whether the parent is to be called now, and whether with an offer."""
        if self._uplink is None or self.parts.clock.wall() < self._retry_at:
            return False, False
        mail, tell = self.loop.outbox.get(self.parent, [])[:MAIL_A_CALL], self._offer_due()
        return tell or not self._calling or bool(mail and mail[-1].seq > self._sent_mail), tell

    def _call_parent(self) -> None:
        clock, view = self.parts.clock, self.view
        call, tell = self._has_news()
        if self._uplink is None or not call:
            return
        mail = self.loop.outbox.get(self.parent, [])[:MAIL_A_CALL]
        offer = offers.encode(offers.make(view, self.subtree, self.parent, self._told_version)) if tell else b""
        if tell:
            self._told_version = view.supply.version
            self._sent_version, self._offered_at = view.supply.own_version, clock.wall()
        self._sent_mail = mail[-1].seq if mail else 0
        self._calling = True
        self._call_number += 1
        number, wanted = self._call_number, not self._outside_known
        request = Request(
            node=self.name,
            ack=view.mark(self.parent).received,
            mail=tuple(mail),
            offer=offer,
            want_outside=wanted,
            demand=self.pricing.for_parent(),
            prices=self.pricing.version,
            performance=self.performances.for_parent(number),
        )

        def heard(future: Future[Answer]) -> None:
            fault = future.exception()
            self._inbox.put(Answered(number, wanted, None if fault else future.result()))

        self._uplink.call(request).add_done_callback(heard)

    def _offer_due(self) -> bool:
        """Whether the subtree's capacity changed and the last offer is old enough."""
        if self._sent_version == self.view.supply.own_version:
            return False
        return self.parts.clock.wall() - self._offered_at >= OFFER_WALL_S

    # -- the lines from children

    def _take_request(self, item: Asked, work: Work) -> None:
        request, future = item.request, item.future
        child = self._children.get(request.node)
        if child is None:
            future.set_exception(NotReachable(f"{request.node} is not a child of {self.name}"))
            return
        if self.lines.wrong(self.view.mark(request.node), request.ack, request.mail):
            future.set_exception(NotReachable(f"{self.name} knows less than {request.node}: its state was set back"))
            return
        self._heard(request.node)
        if child.held:  # it has more to say: the older call is answered with what there is
            self._reply(request.node, child)
        work.mail.extend(Mail(peer=request.node, seq=m.seq, kind=m.kind, body=m.body) for m in request.mail)
        work.acked[request.node] = request.ack
        if request.offer:
            child.heard = self._take_offer(request.offer, request.node, self._below[request.node])
        if request.demand:
            self.pricing.from_child(request.demand)
        self.performances.from_child(request.performance, self._below[request.node])
        child.prices = request.prices
        child.wants = child.wants or request.want_outside
        child.held = Held(future, self.parts.clock.wall())

    def _answer_children(self) -> None:
        now = self.parts.clock.wall()
        for name, child in self._children.items():
            if child.held and (now - child.held.since >= HOLD_WALL_S or self._reply_due(name, child)):
                self._reply(name, child)

    def _reply_due(self, name: str, child: Child) -> bool:
        """Whether there is something to say to a child."""
        return bool(self.loop.outbox.get(name)) or child.prices != self.pricing.version or self._hand_down_due(child)

    def _hand_down_due(self, child: Child) -> bool:
        """Whether the rest of the region has changed for a child, and the last it heard is old enough."""
        supply = self.view.supply
        old = self.parts.clock.wall() - child.told_at >= REFRESH_WALL_S * self._told_share
        news = old and child.told_version != supply.version
        return child.wants or (news and bool((supply.site_version[child.others] > child.told_version).any()))

    def _reply(self, name: str, child: Child) -> None:
        held, child.held = child.held, None
        if held is None:
            return
        now, view = self.parts.clock.wall(), self.view
        tell = self._hand_down_due(child)
        outside = b""
        if tell:
            others = {view.supply.sites[i] for i in child.others}
            outside = offers.encode(offers.make(view, others, name, -1 if child.wants else child.told_version))
            child.told_version, child.told_at, child.wants = view.supply.version, now, False
        mail = self.loop.outbox.get(name, [])[:MAIL_A_CALL]
        ask, child.counted = not child.counted, True
        held.future.set_result(
            Answer(
                ack=view.mark(name).received,
                mail=tuple(Mail(peer=self.name, seq=m.seq, kind=m.kind, body=m.body) for m in mail),
                outside=outside,
                lease_s=LEASE_S,
                want_offer=not child.heard,
                prices=self.pricing.encoded() if child.prices != self.pricing.version else b"",
                want_demand=ask,
            )
        )
