"""Admit: does the tenant's envelope at this node allow the job now?

An envelope bounds the cores of admitted jobs that have not ended, and the yuan spent plus what live
jobs may cost at most. A job beyond it is held, and admitted in order of arrival as others end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from sanjin.flow.envelopes import Amount, overdue
from sanjin.flow.place import MOVES_MAX
from sanjin.flow.view import View
from sanjin.model import event as ev
from sanjin.model.data import Artifact
from sanjin.model.job import JobSpec
from sanjin.model.money import MICRO_PER_FEN, MICRO_PER_YUAN, PICO_PER_MICRO
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord
from sanjin.model.units import GB, MIB

A_TURN = 2000
"""Held jobs looked at in one turn."""


def ceiling_fen(view: View, spec: JobSpec, artifacts: Sequence[Artifact] = ()) -> int:
    """What the job can cost at most, in fen (at least 1): so an envelope is never overspent.

    The dearest slot of the horizon at the dearest pool up to the job's time limit, and every input and artifact
    over the dearest path, to as many sites as an array can be divided over; a checkpoint as often as it may move, and
    all else with it. A job's own budget bounds the price of
    its place, which is reckoned with the expected time; what it really costs may be more, and is bounded by this
    alone.
    """
    ceiling = view.supply.ceiling
    seconds = spec.limit_s()
    mib = -(-spec.memory_bytes // MIB) * spec.width()
    cores, cards = spec.all_cores(), spec.all_accelerators()
    power = cores * ceiling.mw_core + cards * ceiling.mw_card + mib * ceiling.mw_gib // 1024
    pico = ceiling.price_pico * seconds * power // 1000
    pico += seconds * (cores * ceiling.use_core_pico + cards * ceiling.use_card_pico)
    micro = pico // PICO_PER_MICRO
    yuan_gb = view.network.dearest_yuan_gb * min(max(spec.members, 1), len(view.supply.sites))
    times = MOVES_MAX + 1 if spec.checkpoint_bytes else 1
    moved = [view.region.datasets[dataset].size.value for dataset in spec.inputs]
    moved += [n / GB for n in (*(a.bytes for a in artifacts), spec.checkpoint_bytes)]
    micro += sum(round(gb * yuan_gb * MICRO_PER_YUAN) for gb in moved) * times
    whole = max(-(-micro // MICRO_PER_FEN), 1)
    # each of a run's four accounts is rounded to whole fen: half a fen too much at most, and at most twice as much
    runs = whole if spec.stoppable else max(spec.members, 1)
    return whole + min(whole, 2 * runs)


def admit(view: View, jobs: Iterable[str]) -> Iterable[ev.Event]:
    """Decide on held jobs in order; the caller applies each event before asking for the next.

    Yields Admitted, or Held where the reason is new. A tenant's later jobs do not overtake. What the first lacks that
    stays held is left in the view's envelopes.
    """
    stopped: dict[str, Reason] = {}
    short = view.envelopes.short = {}
    for job in jobs:
        record = view.jobs[job]
        spec = record.spec
        if spec.tenant in stopped:
            if record.reason is None:
                yield ev.Held(job=job, reason=stopped[spec.tenant], need=0, free=0)
            continue
        free, need = view.envelopes.free(spec.tenant), need_of(view, record)
        if free.covers(need):
            yield ev.Admitted(job=job, reserved_fen=need.fen)
            continue
        quota = need.cores > free.cores
        reason = stopped[spec.tenant] = Reason.QUOTA if quota else Reason.BUDGET
        short[spec.tenant] = (need - free).or_nothing()
        if record.reason is not reason:
            of = (need.cores, free.cores) if quota else (need.fen, free.fen)
            yield ev.Held(job=job, reason=reason, need=of[0], free=max(of[1], 0))


def need_of(view: View, record: JobRecord) -> Amount:
    """What a job takes of its tenant's envelope."""
    return Amount(record.spec.quota_cores(), ceiling_fen(view, record.spec, record.artifacts))


def due(view: View, now_s: int) -> Iterator[ev.EnvelopeMoved]:
    """What is to be given back to the parent, and asked of it."""
    yield from overdue(view, now_s)
    yield from ask(view, now_s)


def ask(view: View, now_s: int) -> Iterator[ev.EnvelopeAsked]:
    """Ask the parent for what work that is held here, or at a child, lacks; not while it does not answer."""
    envelopes = view.envelopes
    for tenant in {**envelopes.wanted, **envelopes.short} if view.parent_reachable else ():
        if envelopes.share(tenant, view.parent).ask_s > now_s:
            continue
        if tenant in envelopes.short:
            whole, least = _held(view, tenant), envelopes.short[tenant]
        else:
            whole, least = envelopes.wanted[tenant]
        yield ev.EnvelopeAsked(
            job="", peer=view.parent, tenant=tenant, cores=whole.cores, fen=whole.fen, least_cores=least.cores,
            least_fen=least.fen,
        )  # fmt: skip


def _held(view: View, tenant: str) -> Amount:
    """What all the tenant's held jobs lack, of those that are looked at in a turn."""
    held = (view.jobs[job] for job in islice(view.held, A_TURN))
    needs = (need_of(view, record) for record in held if record.spec.tenant == tenant)
    return (sum(needs, Amount()) - view.envelopes.free(tenant)).or_nothing()
