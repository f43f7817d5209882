"""The loop: one turn takes what came in, lets the rooms decide, writes once, then acts.

Everything that a turn changes is written in one transaction: the jobs' new states, the journal
entries, the messages that follow from them and the ledger's postings. Only then are clients
answered, processes started and files moved. A crash before the commit changes nothing; a crash
after it is made good when the node starts again, because the intent is in the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, islice

import numpy as np

from sanjin.flow import (
    admit,
    arrays,
    backfill,
    envelopes,
    meter,
    order,
    place,
    preempt,
    reconsider,
    replace_silent,
    reservations,
    run,
    settle,
    stage,
    submit,
    workflow,
)
from sanjin.flow.apply import apply
from sanjin.flow.audit import chain
from sanjin.flow.turn import Ask, Done, Router, Work
from sanjin.flow.view import Pending, View
from sanjin.kernels.tables import LOOKS_A_TURN, PLACE_A_TURN
from sanjin.model import event as ev
from sanjin.model.catalogue import problem
from sanjin.model.errors import KeyReused
from sanjin.model.job import JobSpec, JobState, Submission
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord
from sanjin.model.region import Pool
from sanjin.model.struct import changed
from sanjin.model.units import SLOT_S
from sanjin.ports import (
    Batch,
    Clock,
    Entry,
    LedgerLine,
    Mail,
    PeerMark,
    PublicationReport,
    RunOrder,
    RunReport,
    RunState,
    Store,
    Transfer,
    TransferReport,
)

REFUSED_S = 60
"""Region seconds after which a job that peers did not take is placed again."""


class Loop:
    """The turns of one node. Not thread-safe: one thread takes all turns."""

    def __init__(self, view: View, store: Store, clock: Clock, router: Router) -> None:
        self.view = view
        self.store = store
        self.clock = clock
        self.router = router
        self.outbox: dict[str, list[Mail]] = {}
        self._parked_at = -1
        self._looked_at = -1
        self._slot = view.supply.first_slot
        self._movable: list[str] = []
        self._batch = Batch()
        self._done = Done()
        self._touched: dict[str, None] = {}
        self._passed_on: set[str] = set()
        self._publishing: dict[str, RunReport] = {}
        self.now_s = 0
        self._news: list[ev.NodeNews | ev.Ended] = []
        self._look_again = False
        self._tries: dict[str, int] = {}
        """How often each input that could not be had was asked for."""

    @property
    def looking(self) -> bool:
        """Whether placed work is still to be looked at again in the turns that follow."""
        return bool(self._movable)

    def begin_with(self, event: ev.NodeNews | ev.Ended) -> None:
        """The next turn begins with this entry."""
        self._news.append(event)
        self._look_again = self._look_again or isinstance(event, ev.Priced)

    def roll(self) -> None:
        """Let the horizon begin now; before a turn too, where what is taken in then is of this slot."""
        # a clock that was set back must not turn the journal's order around
        self.now_s = max(self.clock.now(), self.now_s)
        self.view.supply.roll(self.now_s)
        self.view.links.roll(self.view.supply.first_slot)

    def turn(self, work: Work) -> Done:
        """Take one turn. Raises StoreFailed; the view is then no longer true and must be rebuilt."""
        view = self.view
        self._batch, self._done, self._touched, self._passed_on = Batch(), Done(), {}, set()
        self.roll()
        rolled, self._slot = self._slot != view.supply.first_slot, view.supply.first_slot
        if rolled:
            self._extend_overruns()
        for event in self._news:
            self.record(event)
        self._news = []
        self._mail(work)
        self._submit(work.asks)
        for job in work.cancels:
            self._record_all(run.cancel(view, job, self.now_s))
        for job in work.confirmed:
            self._record_all(replace_silent.confirm(view, job, self.now_s))
        self._record_all(replace_silent.overdue(view, self.now_s))
        self._runs(work.runs)
        self._published(work.published)
        self._transfers(work.transfers)
        self._pass_on()
        self._admit()
        self._reconsider(rolled)
        self._place()
        self._make_room(rolled)
        self._record_all(run.stops_due(view, self.now_s))
        self._close_reservations()
        self._start()
        self._pass_on()
        self._report()
        if not self._batch.empty():
            self.store.commit(self._batch)
            self._done.worked = True
        for peer, upto in work.acked.items():
            self.outbox[peer] = [m for m in self.outbox.get(peer, ()) if m.seq > upto]
        for mail in self._batch.outbox:
            self.outbox.setdefault(mail.peer, []).append(mail)
        for job in self._touched:
            record = view.jobs.get(job)
            if record is not None and not record.state.live:
                del view.jobs[job]
                if record.spec.stoppable and record.state.ended and not record.sent_to:
                    self._done.discard.append(record.id)
        return self._done

    # -- recording

    def record(self, event: ev.Event) -> JobRecord | None:
        """Write an event into this turn: journal, state, and the messages that follow from it."""
        view = self.view
        body = ev.encode(event)
        seq = view.tip_seq + 1
        digest = chain(view.tip_hash, seq, self.now_s, event.kind, event.job, body)
        entry = Entry(seq=seq, at_s=self.now_s, kind=event.kind, job=event.job, body=body, hash=digest)
        view.tip_seq, view.tip_hash = seq, digest
        self._batch.journal.append(entry)
        self._done.events.append((entry, event))
        record = apply(view, event, self.now_s)
        if record is not None:
            self._batch.jobs[record.id] = record
            self._touched[record.id] = None
        elif isinstance(event, ev.EnvelopeMoved):
            share = view.envelopes.share(event.tenant, event.peer)
            self._batch.shares[share.tenant, share.peer] = share
        for peer, kind, message in self.router.follows(view, event, record):
            seq = self._post(peer, kind, message)
            if isinstance(event, ev.Assigned) and record is not None:
                self._remember(seq, event, record)
        return record

    def _record_all(self, events: Iterable[ev.Event]) -> None:
        for event in events:
            self.record(event)
            if isinstance(event, ev.CancelAsked | ev.StopAsked):
                record = self.view.jobs[event.job]
                if record.run and record.state is JobState.RUNNING and not record.sent_to:
                    ends = self._done.cancels if isinstance(event, ev.CancelAsked) else self._done.stops
                    ends.append(record.run)

    def _post(self, peer: str, kind: str, body: bytes) -> int:
        mark = self.view.mark(peer)
        seq = mark.sent + 1
        mark = PeerMark(peer=peer, sent=seq, received=mark.received)
        self.view.marks[peer] = self._batch.marks[peer] = mark
        self._batch.outbox.append(Mail(peer=peer, seq=seq, kind=kind, body=body))
        return seq

    def _remember(self, seq: int, event: ev.Assigned, record: JobRecord) -> None:
        """The child's next offers will not count this assignment until it has read the mail."""
        p = event.placement
        pool = self.view.supply.pool_of(p)
        need = self.view.supply.need(record.spec, pool)
        self.view.pending.setdefault(event.child, []).append(Pending(seq, pool, p.start_s, p.kept_s, need))

    # -- what comes in

    def _mail(self, work: Work) -> None:
        view = self.view
        for peer, upto in work.acked.items():
            if any(m.seq <= upto for m in self.outbox.get(peer, ())):  # else there is nothing to write
                self._batch.acked[peer] = upto
        fresh = [(m, self.router.read(m)) for m in work.mail if m.seq > view.mark(m.peer).received]
        brought = [word.job for _, word in fresh if word.brings and word.job not in view.jobs]
        past = self.store.find(brought) if brought else {}
        for mail, word in fresh:
            if mail.seq <= view.mark(mail.peer).received:
                continue  # seen before: a repeat after a lost answer
            known = view.jobs.get(word.job) or past.get(word.job)
            mark = PeerMark(peer=mail.peer, sent=view.mark(mail.peer).sent, received=mail.seq)
            view.marks[mail.peer] = self._batch.marks[mail.peer] = mark
            self._record_all(self.router.receive(view, mail.peer, word, known, self.now_s))

    def _submit(self, asks: Sequence[Ask]) -> None:
        fresh: dict[tuple[str, str], JobRecord] = {}
        for ask in asks:
            try:
                known = self._known(ask.submissions, fresh)
            except KeyReused as fault:
                ask.answer(fault)
                continue
            new = [s for s in _once(ask.submissions) if (s.spec.tenant, s.key) not in known]
            before = workflow.look_up(new, self.store.find_keys, self.store.find) | fresh
            for event in submit.submit(self.view, new, before):
                record = self.record(event)
                if record is not None:
                    known[(record.spec.tenant, record.key)] = fresh[(record.spec.tenant, record.key)] = record
            for s in new:
                if s.spec.after:
                    job = fresh[(s.spec.tenant, s.key)].id
                    self._record_all(workflow.begin(self.view, job, self.store.find, self.now_s))
            self._done.answers.append((ask, [known[(s.spec.tenant, s.key)] for s in ask.submissions]))

    def _known(
        self, submissions: Sequence[Submission], fresh: dict[tuple[str, str], JobRecord]
    ) -> dict[tuple[str, str], JobRecord]:
        """Jobs that these keys already have. Raises KeyReused where a key has another job."""
        by_tenant: dict[str, list[str]] = {}
        for s in submissions:
            by_tenant.setdefault(s.spec.tenant, []).append(s.key)
        known: dict[tuple[str, str], JobRecord] = {}
        for tenant, keys in by_tenant.items():
            for key, record in self.store.find_keys(tenant, keys).items():
                known[(tenant, key)] = record
        specs = {(s.spec.tenant, s.key): s.spec for s in _once(submissions)}
        reused: list[str] = []
        for s in submissions:
            key = (s.spec.tenant, s.key)
            if key in fresh:
                known[key] = fresh[key]
            old = known[key].spec if key in known else specs[key]
            # sent alone, nothing says that others come after it
            if old != s.spec and replace(old, publish=s.spec.publish) != s.spec:
                reused.append(s.key)
        if reused:
            raise KeyReused([problem("key_reused", "key", value=key) for key in reused])
        return known

    def _runs(self, reports: Sequence[RunReport]) -> None:
        for report in reports:
            job = self.view.running.get(report.key)
            if report.state in (RunState.ENDED, RunState.INTERRUPTED):
                if job is not None and self._publish(self.view.jobs[job], report):
                    continue
                self._done.forget.append(report.key)
                if job is not None:
                    self._end(self.view.jobs[job], report)
            elif report.state is RunState.ABSENT and job is not None:
                # the intent was written and the process never began: begin it now
                record = self.view.jobs[job]
                self._done.starts.append(self._order(record))
                if record.cancel_asked:  # what was asked of it meanwhile found no process
                    self._done.cancels.append(record.run)
                elif record.stop_asked:
                    self._done.stops.append(record.run)

    def _publish(self, record: JobRecord, report: RunReport) -> bool:
        """Have what a run left registered before its end counts; until then the engine tells of it again."""
        if report.key in self._publishing:
            return True
        wanted = run.to_publish(record, report)
        if wanted is not None:
            self._publishing[report.key] = report
            self._done.publish.append(wanted)
        return wanted is not None

    def _published(self, found: Sequence[PublicationReport]) -> None:
        for each in found:
            report = self._publishing.pop(each.run, None)
            job = self.view.running.get(each.run)
            if not each.fault:
                self.view.here[each.dataset] = each.path
            if report is not None and job is not None:
                self._done.forget.append(each.run)
                self._end(self.view.jobs[job], report, each)

    def _end(self, record: JobRecord, report: RunReport, found: PublicationReport | None = None) -> None:
        clock = self.clock
        start_s = clock.region_at(report.started_at) if report.started_at else record.start_s
        end_s = clock.region_at(report.ended_at) if report.ended_at else self.now_s
        pool = self.view.supply.pool_models[self.view.supply.pool_index[f"{record.site}/{record.pool}"]]
        event = run.ended(record, report, start_s, end_s, round(pool.speed.value * 1000), found)
        self.record(event)
        if isinstance(event, ev.RunOver) and event.wall_ms:
            self._settle(record, event, pool)

    def _settle(self, record: JobRecord, event: ev.RunOver, pool: Pool) -> None:
        view, spec = self.view, record.spec
        site = view.region.nodes[record.site].site
        metered = meter.meter(view.supply.book, record, event, record.site, pool, record.transport_micro)
        self.record(metered)
        self.record(settle.settle(metered, spec.tenant, site.grid))
        settled = self._done.events[-1]
        if isinstance(settled[1], ev.Settled):
            for p in settled[1].postings:
                line = LedgerLine(
                    entry=settled[0].seq,
                    job=record.id,
                    tenant=spec.tenant,
                    at_s=self.now_s,
                    account=p.account,
                    fen=p.fen,
                )
                self._batch.ledger.append(line)

    def _transfers(self, reports: Sequence[TransferReport]) -> None:
        view = self.view
        for report in reports:
            if report.away and self._waited_for(report):
                continue
            self._tries.pop(report.dataset, None)
            jobs = stage.waiting_for(view, report.dataset)
            if not report.fault:
                view.here[report.dataset] = report.path
            first = jobs[0].id if jobs else ""
            self.record(
                ev.TransferEnded(
                    job=first,
                    dataset=report.dataset,
                    copied_bytes=report.copied_bytes,
                    sha256=report.sha256,
                    fault=report.fault,
                )
            )
            for record in jobs:
                if report.fault:
                    failed = run.without_run(record, JobState.FAILED, Reason.INPUT_MISSING, self.now_s, report.fault)
                    self.record(failed)
                else:
                    view.change(record.id, self.now_s, state=JobState.PLACED, reason=None, detail="")
                    self._batch.jobs[record.id] = view.jobs[record.id]
                    self._touched[record.id] = None  # whoever sent it here is told

    def _waited_for(self, report: TransferReport) -> bool:
        """Whether jobs wait for this input, which cannot be had now: it is tried again then."""
        view, dataset = self.view, report.dataset
        for record in stage.waiting_for(view, dataset):
            if reason := place.too_late(record, self.now_s):
                self.record(run.without_run(record, JobState.FAILED, reason, self.now_s, report.fault))
            elif record.reason is not Reason.INPUT_AWAY or record.detail != report.fault:
                self.record(ev.TransferDelayed(job=record.id, dataset=dataset, fault=report.fault))
        if not stage.waiting_for(view, dataset):
            return False
        if view.moving.get(dataset, 0) <= self.now_s:  # else another try is to come already
            self._tries[dataset] = tries = self._tries.get(dataset, 0) + 1
            self._done.fetch.append(stage.again(view, dataset, tries, self.now_s, self.clock.rate))
        return True

    # -- what follows

    def _admit(self) -> None:
        view = self.view
        # what may not be used any more goes back before anything is admitted with it
        self._record_all(envelopes.overdue(view, self.now_s))
        if view.admit_due:
            view.admit_due = len(view.held) > admit.A_TURN
            self._record_all(admit.admit(view, list(islice(view.held, admit.A_TURN))))
        self._record_all(admit.ask(view, self.now_s))

    def _reconsider(self, rolled: bool) -> None:
        """Look again at what is placed and has not started: every slot, and where prices changed; in order of the
        queue, at every change."""
        view = self.view
        in_order = view.supply.policy.rule.in_order and view.supply.freed != self._looked_at
        if rolled or in_order or self._look_again:
            self._look_again = False
            self._movable = [r.id for r in reconsider.movable(view, self.now_s)]
            self._looked_at = view.supply.freed
        jobs, self._movable = self._movable[:LOOKS_A_TURN], self._movable[LOOKS_A_TURN:]
        known = [view.jobs[j] for j in jobs if j in view.jobs]
        still = [r for r in known if reconsider.is_movable(view, r, self.now_s)]
        for event in reconsider.reconsider(view, still, self.now_s):
            self.record(event)

    def _place(self) -> None:
        view = self.view
        for job in [j for j, at_s in view.refused.items() if self.now_s - at_s >= REFUSED_S]:
            del view.refused[job]
            if reason := place.too_late(view.jobs[job], self.now_s):
                self.record(run.without_run(view.jobs[job], JobState.FAILED, reason, self.now_s))
            else:
                view.queue[job] = None
        if view.parked and view.supply.freed != self._parked_at:
            self._parked_at = view.supply.freed
            for job in list(islice(view.parked, PLACE_A_TURN)):
                if reason := place.too_late(view.jobs[job], self.now_s):
                    self.record(run.without_run(view.jobs[job], JobState.FAILED, reason, self.now_s))
                    continue
                del view.parked[job]
                view.queue[job] = None
            if view.supply.policy.rule.in_order:  # who came first goes first, before what came since
                view.queue = dict.fromkeys(sorted(view.queue, key=lambda job: view.jobs[job].submitted_s))
        jobs = order.in_turn(view, list(islice(view.queue, order.AHEAD)))[:PLACE_A_TURN]
        if jobs:
            self._place_now(jobs)

    def _place_now(self, jobs: Sequence[str]) -> None:
        view = self.view
        for event in self._decide(jobs):
            record = view.jobs[event.job]
            if isinstance(event, ev.Waiting) and record.reason is event.reason is not Reason.DECLINED:
                view.put(record)  # still no place: nothing new to write
                continue
            self.record(event)
            if isinstance(event, ev.Placed):
                self._stage(view.jobs[event.job])
            elif record.checkpoint and record.checkpoint.site == view.node and view.jobs[event.job].sent_to:
                self._done.discard.append(record.id)  # the dataset moves, and its files go on from there
        if view.parked:
            self._parked_at = view.supply.freed

    def _decide(self, jobs: Sequence[str]) -> Iterator[ev.Event]:
        """Decisions on these jobs in order, in batches; arrays and work in reservations one by one, and stoppable work
        too: it may be divided, and those after it have to know where."""
        view = self.view
        decide = backfill.place_in_order if view.supply.policy.rule.in_order else place.place
        specs = {job: view.jobs[job].spec for job in jobs}
        for alone, some in groupby(jobs, key=lambda j: bool(specs[j].members or specs[j].reservation)):
            if not alone:
                for batch in _after_stoppable(list(some), specs):
                    yield from decide(view, batch, self.now_s)
                continue
            for record in [view.jobs[job] for job in some]:
                if record.spec.reservation:
                    yield reservations.place_inside(view, record, self.now_s)
                else:
                    yield from arrays.place_array(view, record, self.now_s)
                    view.supply.changed(own=True, freed=False, sites=np.flatnonzero(view.supply.own).tolist())

    def _stage(self, record: JobRecord) -> None:
        for event in stage.stage(self.view, record, self.now_s):
            self.record(event)
            self._done.fetch.append(Transfer(dataset=event.dataset, source=event.source, done_at_s=event.done_at_s))

    def _make_room(self, rolled: bool) -> None:
        """Stop running work for what was placed later than now, where that pays."""
        view = self.view
        if not view.stoppable:
            return
        late = dict.fromkeys(j for j in self._touched if j in view.jobs)
        if rolled:
            late.update(dict.fromkeys(r.id for r in islice(reconsider.movable(view, self.now_s), LOOKS_A_TURN)))
        for events in preempt.make_room(view, list(late), self.now_s):
            self._record_all(events)
            self._place_now([events[-1].job])

    def _start(self) -> None:
        for event in run.due(self.view, self.now_s):
            record = self.record(event)
            if record is not None and isinstance(event, ev.Started):
                self._done.starts.append(self._order(record))
                if self.view.supply.policy.rule.in_order:  # the next in the queue comes to its head
                    self.view.supply.changed(own=False, freed=True)

    def _order(self, record: JobRecord) -> RunOrder:
        spec, here = record.spec, self.view.here
        wanted = [*((d, d) for d in spec.inputs), *((a.name, a.dataset) for a in record.artifacts)]
        return RunOrder(
            key=record.run,
            command=spec.command,
            environment={**spec.environment, "SANJIN_JOB": record.id, "SANJIN_SITE": record.site},
            inputs={name: here[dataset] for name, dataset in wanted if dataset in here},
            nodes=spec.nodes,
            members=spec.members,
            first_member=spec.first_member,
            parallel=max(spec.members, 1),
            checkpoint=record.id if spec.stoppable else "",
            checkpoint_from=here.get(record.checkpoint.dataset, "") if record.checkpoint else "",
            cores=spec.sample_cores or spec.cores,
            accelerators=0 if spec.sample_cores else spec.accelerators,
            image=spec.image,
            memory_bytes=round(spec.all_memory_bytes() / spec.scale()),
            time_limit_s=spec.limit_s() / self.clock.rate,
        )

    def _close_reservations(self) -> None:
        """Where a reservation ended in this turn, so does what it holds."""
        for record in [self.view.jobs[j] for j in self._touched]:
            if record.spec.reserves and record.state.ended and not record.sent_to:
                self._record_all(reservations.over(self.view, record.id, self.now_s))

    def _pass_on(self) -> None:
        """What ended goes to the array that it is a part of, which may be a part itself, and to what comes after it."""
        view = self.view
        while ended := [r for j in self._touched if j not in self._passed_on and (r := view.jobs[j]).state.ended]:
            self._passed_on.update(r.id for r in ended)
            for record in ended:
                if record.part_of:
                    self.record(arrays.gathered(record))
                self._record_all(workflow.follow(view, record, self.now_s))

    def _report(self) -> None:
        for job in self._touched:
            message = self.router.report(self.view, self.view.jobs[job])
            if message is not None:
                self._post(*message)

    def _extend_overruns(self) -> None:
        """A run that outlasts its window keeps its capacity, a slot at a time."""
        view = self.view
        for job in view.running.values():
            record = view.jobs[job]
            if record.placement and record.placement.kept_s <= self.now_s and not record.room_for:
                pool = view.supply.pool_of(record.placement)
                finish = (self.now_s // SLOT_S + 1) * SLOT_S
                if not record.spec.reservation:  # which ends with its reservation
                    view.supply.take(pool, self.now_s, finish, view.supply.need(record.spec, pool), 1)
                view.jobs[job] = _with_finish(record, finish)


def _after_stoppable(jobs: list[str], specs: dict[str, JobSpec]) -> Iterator[list[str]]:
    """The jobs in order, in batches that end with each that is stoppable."""
    begin = 0
    for n, job in enumerate(jobs, 1):
        if specs[job].stoppable or n == len(jobs):
            yield jobs[begin:n]
            begin = n


def _with_finish(record: JobRecord, finish_s: int) -> JobRecord:
    if record.placement is None:
        return record
    return changed(record, placement=replace(record.placement, finish_s=finish_s))


def _once(submissions: Sequence[Submission]) -> list[Submission]:
    """Without repeats of a key inside one call; the first counts."""
    return list({(s.spec.tenant, s.key): s for s in reversed(submissions)}.values())[::-1]
