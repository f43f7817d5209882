"""Explain: the stored rows of a decision as one object for the CLI, the API and a dry run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sanjin.flow.options import numbered, options_of
from sanjin.flow.place import asked
from sanjin.flow.supply import HURRY_FEN_PER_HOUR, Supply, run_kernel
from sanjin.flow.view import View
from sanjin.kernels import tables
from sanjin.model import event as ev
from sanjin.model.job import JobSpec, JobState
from sanjin.model.money import PICO_PER_MICRO
from sanjin.model.placement import Explanation, Option, Terms
from sanjin.model.reason import KERNEL_REASONS
from sanjin.model.record import JobRecord
from sanjin.model.units import HOUR_S, SLOT_S

Decision = ev.Placed | ev.Assigned | ev.Raised | ev.Waiting | ev.Split


def option(row: ev.Row, site: str, pools: Sequence[str]) -> Option:
    """One site's row as an option; ``pools`` lists pools as ``site/pool`` in the kernel's order."""
    if row[tables.POOL] < 0:
        return Option(site, "", KERNEL_REASONS[row[tables.CODE]], 0, 0, row[tables.READY], None)
    terms = Terms(*row[tables.ENERGY : tables.WAITING + 1])
    return Option(
        site=site,
        pool=pools[row[tables.POOL]].partition("/")[2],
        reason=None,
        start_s=row[tables.START],
        finish_s=row[tables.FINISH],
        ready_s=row[tables.READY],
        terms=terms,
        total_micro=terms.total,
    )


def explanation(
    supply: Supply,
    job: str,
    node: str,
    at_s: int,
    chosen: str,
    rows: Sequence[ev.Row],
    spec: JobSpec,
    since_s: int,
    pieces: tuple[tuple[int, int], ...] = (),
) -> Explanation:
    """The explanation of one decision about a job that was submitted at ``since_s``; of an array, about a member."""
    spec = replace(spec, members=0) if spec.members else spec
    options = tuple(option(row, supply.sites[i], supply.pools) for i, row in numbered(rows))
    found = Explanation(job=job, decided_by=node, at_s=at_s, chosen=chosen, options=options, pieces=pieces)
    choice = found.choice()
    return replace(found, at_once=at_once(supply, spec, choice, at_s, since_s, pieces)) if choice else found


def at_once(
    supply: Supply,
    spec: JobSpec,
    choice: Option,
    at_s: int,
    since_s: int,
    pieces: tuple[tuple[int, int], ...] = (),
) -> Option | None:
    """The chosen pool at the first moment that inputs and the job's own wish allow, whether there was room or not.

    None where that is when it starts, or where nothing was chosen. Scarcity is taken as 0: its price
    then is not kept.
    """
    begin = max(at_s, spec.earliest_start_s, choice.ready_s)
    if choice.terms is None or choice.start_s <= begin:
        return None
    pool = supply.pool_index[f"{choice.site}/{choice.pool}"]
    site, milliwatt = int(supply.pool[pool, tables.SITE]), supply.need(spec, pool)[3]
    took = sum(b - a for a, b in pieces) or choice.finish_s - choice.start_s
    stop_cost_s = -(-spec.stop_cost_s * 1000 // int(supply.pool[pool, tables.SPEED]))
    length = took - max(len(pieces) - 1, 0) * stop_cost_s  # in one window nothing is lost by stopping
    finish = begin + length
    energy = carbon = 0
    for slot in range(begin // SLOT_S, (finish - 1) // SLOT_S + 1):
        prices = supply.book.at(slot)
        seconds = min(finish, (slot + 1) * SLOT_S) - max(begin, slot * SLOT_S)
        energy += int(prices.energy[site, slot - prices.first_slot]) * seconds
        carbon += int(prices.carbon[site, slot - prices.first_slot]) * seconds
    terms = Terms(
        energy=round(energy * milliwatt // 1000 // PICO_PER_MICRO * supply.weights.energy),
        carbon=round(carbon * milliwatt // 1000 // PICO_PER_MICRO * supply.weights.carbon),
        transport=choice.terms.transport,
        latency=choice.terms.latency * length // took,
        use=choice.terms.use * length // took,
        scarcity=0,
        waiting=_waiting(supply, spec, begin, since_s, finish),
    )
    return Option(choice.site, choice.pool, None, begin, finish, choice.ready_s, terms, terms.total)


def _waiting(supply: Supply, spec: JobSpec, begin: int, since_s: int, finish: int) -> int:
    """The term of waiting of a start at ``begin``, micro-yuan."""
    hurries = supply.policy.rule.hurries
    fen = HURRY_FEN_PER_HOUR if hurries else spec.delay_price_fen_per_hour
    seconds = max(begin - max(since_s, spec.earliest_start_s), 0) + (finish - begin) * hurries
    return round(fen * seconds * supply.weights.waiting) * 10_000 // HOUR_S


def dry_run(view: View, specs: Sequence[JobSpec], now_s: int) -> list[Explanation]:
    """Where each of these jobs would go if it alone were submitted here now; nothing changes."""
    now = max(now_s, view.supply.first_slot * SLOT_S)
    found: list[Explanation] = []
    for spec, members in ((replace(s, members=0, first_member=0), s.members) for s in specs):
        record = JobRecord(
            id=f"{view.node}-0", key="", spec=spec, state=JobState.QUEUED, submitted_s=now, updated_s=now
        )
        given = asked(view, [record], now)
        given.transport[:] //= max(members, 1)  # of an array one member is priced; inputs come once, for all
        with view.supply.trial():
            rows, choice = run_kernel(view.supply, now, given)
        options = options_of(rows[0], int(choice[0]))
        site = view.supply.sites[int(choice[0])] if choice[0] >= 0 else ""
        found.append(explanation(view.supply, "", view.node, now, site, options, spec, now))
    return found


def chosen_site(decision: Decision, sites: Sequence[str]) -> str:
    """The site that the decision took; for a raised job the best known outside (empty: none)."""
    if isinstance(decision, ev.Placed | ev.Assigned):
        return decision.placement.site
    if isinstance(decision, ev.Split):
        return decision.site
    feasible = [(i, r) for i, r in numbered(decision.options) if r[tables.POOL] >= 0]
    if not feasible:
        return ""
    best = min(feasible, key=lambda item: (sum(item[1][tables.ENERGY : tables.ROW]), item[1][tables.START], item[0]))
    return sites[best[0]]
