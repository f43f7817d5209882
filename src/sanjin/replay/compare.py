"""A trace under several rules, beside each other: what is replayed, and what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sanjin.kernels import tables
from sanjin.kernels.pieces import PIECES
from sanjin.model.catalogue import both
from sanjin.model.policy import Policy, Rule
from sanjin.model.region import NodeTier
from sanjin.model.units import HOUR_S
from sanjin.replay import given
from sanjin.replay.online import replay_online
from sanjin.replay.outcome import Account, Outcome, account, quantiles
from sanjin.replay.rules import queue_at_home
from sanjin.replay.tiers import deciders
from sanjin.replay.trace import Ints
from sanjin.replay.workload import Workload

BASELINE = "easy_at_home"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One rule's outcome and its sums, with its name in both languages."""

    key: str
    title_en: str
    title_zh: str
    outcome: Outcome
    account: Account


def _once(rule: Rule) -> Policy:
    """A policy that places work once."""
    return Policy(rule=rule, move_gain_fen=-1, stop_gain_fen=-1)


RULES: dict[str, Callable[[Workload, Policy], Outcome]] = {
    "own": lambda w, own: replay_online(w, own, "own"),
    "home_only": lambda w, _: replay_online(w, _once(Rule.HOME_ONLY)),
    "earliest_finish": lambda w, _: replay_online(w, _once(Rule.EARLIEST_FINISH)),
    "greenest": lambda w, _: replay_online(w, _once(Rule.GREENEST)),
    BASELINE: lambda w, _: queue_at_home(w, True),
    "fcfs_at_home": lambda w, _: queue_at_home(w, False),
}
"""What a replay compares, in the order shown; the first is the region's own policy. Named ``replayed.<key>``. The
others place work once: looking again, and making room, is the region's own."""

QUEUES = (BASELINE, "fcfs_at_home")
"""Those of them that queue in one pool each."""


def compare(
    work: Workload,
    keys: Sequence[str] = tuple(RULES),
    own: Policy | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Replayed]:
    """Replay the workload under each rule; ``own`` is the region's policy. Raises LawBroken where sums disagree.

    Raises KeyError for a name not in :data:`RULES`.
    """
    found: list[Replayed] = []
    for key in keys:
        if progress:
            progress(key)
        outcome = RULES[key](work, own or Policy())
        en, zh = both(f"replayed.{key}")
        found.append(Replayed(key=key, title_en=en, title_zh=zh, outcome=outcome, account=account(work, outcome)))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Jobs of one city of origin, or one queue."""

    jobs: int
    ran: int
    wait_s: dict[str, float]
    bounded_slowdown: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One rule in numbers, for programs: yuan, kWh, kg CO2e, seconds."""

    rule: str
    digest: str
    jobs: int
    ran: int
    total_yuan: float
    billed_yuan: float
    terms_yuan: dict[str, float]
    it_kwh: float
    facility_kwh: float
    pue: float
    carbon_kg: float
    moved_gb: float
    wait_s: dict[str, float]
    bounded_slowdown: dict[str, float]
    use_share: dict[str, float]
    yuan_by_site: dict[str, float]
    lost_runs: int
    lost_core_h: float
    moves: int
    stops: int
    """Runs that stopped so that their job goes on later, as a window ended or to make room."""
    made_room: int
    """Those of them that made room for other work."""
    fairness: float
    """Jain's index over users of their mean bounded slowdown (1: alike for all): Jain, Chiu and Hawe, 1984. Over
    cities where the trace names no users."""
    late_share: float
    """Of the jobs that were done or found no place: those not done by the time that was drawn for them."""
    by_city: dict[str, Group]
    by_queue: dict[str, Group]
    decided: dict[str, int]
    """Jobs by the tier of the node that decides them: the lowest with both origin and site in its subtree."""
    asked_a_job: float | None
    """Nodes that were asked for a place, in the mean; None where every pool was looked at."""
    saved_share: float | None
    """Of the baseline's total; None where that was not replayed, or other jobs found a place there: sums over
    different jobs say nothing."""
    carbon_saved_share: float | None


@dataclass(frozen=True, slots=True)
class Held:
    """What others are held against: the baseline's sums, and which jobs found a place there (bool[J])."""

    total_yuan: float
    carbon_kg: float
    ran: NDArray[np.bool_]


def held_against(found: Sequence[Replayed]) -> Held | None:
    """The baseline, where it was replayed."""
    base = next((each for each in found if each.key == BASELINE), None)
    return Held(base.account.total, base.account.carbon_kg, base.outcome.place >= 0) if base else None


def figures(work: Workload, found: Sequence[Replayed]) -> list[Figures]:
    """The numbers of each rule."""
    base = held_against(found)
    return [figures_of(work, each.key, each.outcome, each.account, base) for each in found]


def figures_of(work: Workload, key: str, outcome: Outcome, a: Account, base: Held | None) -> Figures:
    """An outcome and its sums in numbers."""
    sites = work.supply.sites
    like = base is not None and bool(((outcome.place >= 0) == base.ran).all())
    by_site = np.sum([a.by_site[t] for t in a.terms], axis=0)
    return Figures(
        rule=key,
        digest=outcome.digest(),
        jobs=a.jobs,
        ran=a.ran,
        total_yuan=round(a.total, 4),
        billed_yuan=round(a.billed, 4),
        terms_yuan={t: round(v, 4) for t, v in a.terms.items()},
        it_kwh=round(a.it_kwh, 3),
        facility_kwh=round(a.facility_kwh, 3),
        pue=round(a.pue, 4),
        carbon_kg=round(a.carbon_kg, 3),
        moved_gb=round(a.moved_gb, 3),
        wait_s={k: round(v, 1) for k, v in quantiles(a.wait_s).items()},
        bounded_slowdown={k: round(v, 3) for k, v in quantiles(a.slowdown).items()},
        use_share={name: round(float(v), 4) for name, v in zip(work.supply.pools, a.use_share, strict=True)},
        yuan_by_site={s: round(float(v), 4) for s, v in zip(sites, by_site, strict=True)},
        lost_runs=len(outcome.lost),
        lost_core_h=round(a.lost_core_s / HOUR_S, 3),
        moves=outcome.moves,
        stops=len(outcome.halted),
        made_room=int(outcome.halted.for_room.sum()),
        fairness=fairness(work, outcome, a),
        late_share=late_share(work, outcome),
        by_city=_groups(work.origin, sites, outcome, a),
        by_queue=_groups(work.trace.queue, None, outcome, a),
        decided=decided(work, outcome),
        asked_a_job=None if outcome.asked is None else round(float(outcome.asked.sum()) / max(len(work), 1), 2),
        saved_share=round(1 - a.total / base.total_yuan, 5) if like and base and base.total_yuan else None,
        carbon_saved_share=round(1 - a.carbon_kg / base.carbon_kg, 5) if like and base and base.carbon_kg else None,
    )


def fairness(work: Workload, outcome: Outcome, a: Account) -> float:
    """Jain's index over users of the mean bounded slowdown of their jobs; over cities where none is named."""
    ran = outcome.place >= 0
    known = (work.trace.user >= 0).all()
    _, who = np.unique(work.trace.user[ran] if known else work.origin[ran], return_inverse=True)
    if not len(who):
        return 1.0
    mean = np.bincount(who, a.slowdown) / np.bincount(who)
    return round(float(mean.sum() ** 2 / (len(mean) * (mean**2).sum())), 4)


def decided(work: Workload, outcome: Outcome) -> dict[str, int]:
    """Jobs that found a place, by the tier of the node that decides them."""
    ran = outcome.place >= 0
    by = deciders(work.region, work.origin[ran], work.pool[outcome.place[ran], tables.SITE])
    counts = np.bincount(by, minlength=len(work.region.nodes)).tolist()
    found = {tier.value: 0 for tier in NodeTier if any(n.tier is tier for n in work.region.nodes.values())}
    for node, count in zip(work.region.nodes.values(), counts, strict=True):
        found[node.tier.value] += count
    return found


def late_share(work: Workload, outcome: Outcome) -> float:
    """The share of jobs that are not done when they are due."""
    late = (outcome.place < 0) | (outcome.end_s > work.begin_s + work.due_s)
    return round(float(late.mean()), 5) if len(late) else 0.0


def _groups(by: Ints, names: tuple[str, ...] | None, outcome: Outcome, a: Account) -> dict[str, Group]:
    """Waits and slowdowns by a number of each job; numbers below 0 are left out."""
    ran = outcome.place >= 0
    found: dict[str, Group] = {}
    for value in np.unique(by[by >= 0]).tolist():
        mine = by == value
        part = mine[ran]
        found[str(value) if names is None else names[int(value)]] = Group(
            jobs=int(mine.sum()),
            ran=int(part.sum()),
            wait_s={k: round(v, 1) for k, v in quantiles(a.wait_s[part]).items()},
            bounded_slowdown={k: round(v, 3) for k, v in quantiles(a.slowdown[part]).items()},
        )
    return found


def assumptions(work: Workload) -> list[tuple[str, str]]:
    """What the figures rest on, in English and Chinese."""
    rule, trace, pool = work.rule, work.trace, work.pool
    found = [
        _said("origin", origin=rule.origin, seed=rule.seed),
        _said("delay", low=f"{rule.delay_low_yuan:g}", high=f"{rule.delay_high_yuan:g}"),
        _said("due", least=f"{work.rule.slack_least:g}", most=f"{work.rule.slack_most:g}"),
        _said("data", share=f"{rule.data_share:.0%}", gb=f"{rule.data_median_gb:g}"),
    ]
    if rule.load:
        found.append(_said("scaled", scale=f"{work.scale:.4%}", load=f"{rule.load:.0%}"))
        enlarged = int((pool[:, tables.CORES] > np.rint(work.supply.pool[:, tables.CORES] * work.scale)).sum())
        if enlarged:
            found.append(_said("enlarged", count=enlarged, pools=len(pool), widest=int(trace.cores.max())))
    else:
        found.append(_said("as_it_is"))
    found.append(_said("energy", price=f"{work.region.carbon_price.value:g}"))
    found += given.assumed(work)
    found += [_said(code) for code in ("left_out", "queues", "planned", "looked_again")]
    found += _stopping(work)
    return found + [_said(remark.code, count=remark.count) for remark in trace.remarks]


def _stopping(work: Workload) -> list[tuple[str, str]]:
    """What becomes of work that can stop."""
    rule, count = work.rule, int(work.stoppable.sum())
    if not count:
        return [_said("none_stoppable")]
    said = int((work.trace.stoppable >= 0).sum())
    share, cost = f"{rule.stoppable_share:.0%}", rule.stop_cost_s
    return [_said("stoppable", count=count, said=said, share=share, cost=cost), _said("stopped", most=PIECES)]


def _said(code: str, **values: object) -> tuple[str, str]:
    return both(f"assumed.{code}", **values)
