"""Admit: does the tenant's envelope at this node allow the job now?

An envelope bounds the cores of admitted jobs that have not ended, and the yuan spent plus what live
jobs may cost at most. A job beyond it is held, and admitted in order of arrival as others end.
"""

from __future__ import annotations

from collections.abc import Iterable

from sanjin.flow.envelopes import Amount
from sanjin.flow.view import View
from sanjin.model import event as ev
from sanjin.model.job import JobSpec
from sanjin.model.money import MICRO_PER_FEN, MICRO_PER_YUAN, PICO_PER_MICRO
from sanjin.model.reason import Reason
from sanjin.model.units import MIB


def ceiling_fen(view: View, spec: JobSpec) -> int:
    """What the job can cost at most, in fen (at least 1): so an envelope is never overspent.

    The dearest slot of the horizon at the dearest pool up to the job's time limit, and every input
    over the dearest path, to as many sites as an array can be divided over. A job's own budget bounds the price of
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
    for dataset in spec.inputs:
        micro += round(view.region.datasets[dataset].size.value * yuan_gb * MICRO_PER_YUAN)
    whole = max(-(-micro // MICRO_PER_FEN), 1)
    # each of a run's four accounts is rounded to whole fen: half a fen too much at most, and at most twice as much
    runs = whole if spec.stoppable else max(spec.members, 1)
    return whole + min(whole, 2 * runs)


def admit(view: View, jobs: Iterable[str]) -> Iterable[ev.Event]:
    """Decide on held jobs in order; the caller applies each event before asking for the next.

    Yields Admitted, or Held where the reason is new. A tenant's later jobs do not overtake. What those that stay held
    lack is left in the view's envelopes.
    """
    stopped: dict[str, Reason] = {}
    lacks: dict[str, list[Amount]] = {}
    short = view.envelopes.short = {}
    for job in jobs:
        record = view.jobs[job]
        spec = record.spec
        if spec.tenant in stopped:
            lacks[spec.tenant].append(Amount(spec.quota_cores(), ceiling_fen(view, spec)))
            if record.reason is None:
                yield ev.Held(job=job, reason=stopped[spec.tenant], need=0, free=0)
            continue
        free, need = view.envelopes.free(spec.tenant), Amount(spec.quota_cores(), ceiling_fen(view, spec))
        if free.covers(need):
            yield ev.Admitted(job=job, reserved_fen=need.fen)
            continue
        quota = need.cores > free.cores
        reason = stopped[spec.tenant] = Reason.QUOTA if quota else Reason.BUDGET
        lacks[spec.tenant] = [need]
        if record.reason is not reason:
            of = (need.cores, free.cores) if quota else (need.fen, free.fen)
            yield ev.Held(job=job, reason=reason, need=of[0], free=max(of[1], 0))
    for tenant, needs in lacks.items():
        free = view.envelopes.free(tenant)
        short[tenant] = ((sum(needs, Amount()) - free).at_least(0), (needs[0] - free).at_least(0))
