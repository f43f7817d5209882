"""A trace under several rules, beside each other: what is replayed, and what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sanjin.kernels import tables
from sanjin.model.catalogue import say
from sanjin.model.policy import Policy, Rule
from sanjin.replay.online import replay_online
from sanjin.replay.outcome import Account, Outcome, account, quantiles
from sanjin.replay.rules import queue_at_home
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


RULES: dict[str, Callable[[Workload, Policy], Outcome]] = {
    "own": lambda w, own: replay_online(w, own, "own"),
    "home_only": lambda w, _: replay_online(w, Policy(rule=Rule.HOME_ONLY)),
    "earliest_finish": lambda w, _: replay_online(w, Policy(rule=Rule.EARLIEST_FINISH)),
    "greenest": lambda w, _: replay_online(w, Policy(rule=Rule.GREENEST)),
    BASELINE: lambda w, _: queue_at_home(w, True),
    "fcfs_at_home": lambda w, _: queue_at_home(w, False),
}
"""What a replay compares, in the order shown; the first is the region's own policy. Named ``replayed.<key>``."""


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
        en, zh = (say(f"replayed.{key}", lang) for lang in ("en", "zh"))
        found.append(Replayed(key=key, title_en=en, title_zh=zh, outcome=outcome, account=account(work, outcome)))
    return found


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
    saved_share: float
    """Of the baseline's total (0 where that is not replayed)."""
    carbon_saved_share: float


def figures(work: Workload, found: Sequence[Replayed]) -> list[Figures]:
    """The numbers of each rule."""
    base = next((each.account for each in found if each.key == BASELINE), None)
    return [_figures(work, each, base) for each in found]


def _figures(work: Workload, each: Replayed, base: Account | None) -> Figures:
    a, sites = each.account, work.supply.sites
    by_site = np.sum([a.by_site[t] for t in a.terms], axis=0)
    return Figures(
        rule=each.key,
        digest=each.outcome.digest(),
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
        saved_share=round(1 - a.total / base.total, 5) if base and base.total else 0.0,
        carbon_saved_share=round(1 - a.carbon_kg / base.carbon_kg, 5) if base and base.carbon_kg else 0.0,
    )


def assumptions(work: Workload) -> list[tuple[str, str]]:
    """What the figures rest on, in English and Chinese."""
    rule, trace, region = work.rule, work.trace, work.region
    found = [
        (
            f"Origins are drawn by {rule.origin} with seed {rule.seed}; all jobs of a user come from one city.",
            f"来源城市按 {rule.origin} 权重抽取(种子 {rule.seed});同一用户的作业来自同一城市。",
        ),
        (
            f"An hour of waiting costs {rule.delay_low_yuan:g} to {rule.delay_high_yuan:g} yuan a core, "
            "log-uniform: assumed, no trace says it.",
            f"每核等待一小时的代价为 {rule.delay_low_yuan:g} 至 {rule.delay_high_yuan:g} 元,对数均匀分布:假定值。",
        ),
        (
            f"{rule.data_share:.0%} of the jobs read data that lie in their own city, of {rule.data_median_gb:g} GB "
            "in the median: assumed.",
            f"{rule.data_share:.0%} 的作业读取本地数据,中位数 {rule.data_median_gb:g} GB:假定值。",
        ),
        (
            f"Capacity is {work.scale:.4%} of the region's, so that the work asks for {rule.load:.0%} of it."
            if rule.load
            else "Capacity is the region's as its document states it.",
            f"容量按 {work.scale:.4%} 缩放,使作业需求占 {rule.load:.0%}。" if rule.load else "容量取区域文档所载。",
        ),
        *_enlarged(work),
        (
            "Energy is modelled from cores at full use, the tariff, and PUE by the month's mean weather; carbon by the "
            f"grid's yearly factor at {region.carbon_price.value:g} yuan a tonne.",
            f"能耗按满载核数、电价与月均气候下的 PUE 建模;碳按电网年均因子,碳价 {region.carbon_price.value:g} 元/吨。",
        ),
        (
            "Machines at rest are not counted, memory is not in the trace, and links are taken to be free.",
            "不计空闲机器;轨迹不含内存;链路视为空闲。",
        ),
        (
            "Rules plan with the time that jobs asked for"
            + (", which the trace does not say: the time that they ran is taken." if _unknown(work) else "."),
            "各规则按作业申请时长安排" + (";轨迹未载申请时长,以实际时长代替。" if _unknown(work) else "。"),
        ),
    ]
    if (trace.asked_s > trace.run_s).any():
        found.append(
            (
                "What ends early makes room for what comes after it; work that has a place is not placed again, as a "
                "live region would.",
                "提前结束的作业为其后到达者腾出容量;已安排的作业不再重排(实际区域会重排)。",
            )
        )
    for remark in trace.remarks:
        found.append((_REMARKS[remark.code][0].format(n=remark.count), _REMARKS[remark.code][1].format(n=remark.count)))
    return found


def _enlarged(work: Workload) -> list[tuple[str, str]]:
    """Pools that scaling left larger than it says, since they must hold the widest job."""
    if not work.rule.load:
        return []
    plain = np.rint(work.supply.pool[:, tables.CORES] * work.scale)
    count = int((work.pool[:, tables.CORES] > plain).sum())
    if not count:
        return []
    widest = int(work.trace.cores.max())
    return [
        (
            f"{count} of {len(work.pool)} pools are larger than that, to hold the widest job ({widest} cores).",
            f"{len(work.pool)} 个资源池中有 {count} 个大于此比例:每池须容纳最宽的作业({widest} 核)。",
        )
    ]


def _unknown(work: Workload) -> bool:
    return any(r.code == "asked_unknown" and r.count >= len(work) for r in work.trace.remarks)


_REMARKS = {
    "folded": ("The trace is laid over itself every {n} days.", "轨迹每 {n} 天折叠一次。"),
    "bad_line": ("{n} lines of the trace cannot be read and are left out.", "{n} 行无法读取,已略去。"),
    "no_cores": ("{n} jobs without cores are left out.", "{n} 个无核数作业已略去。"),
    "no_run_time": ("{n} jobs without run time are left out.", "{n} 个无运行时长作业已略去。"),
    "before_begin": ("{n} jobs came before the trace begins and are left out.", "{n} 个作业早于起点,已略去。"),
    "out_of_order": ("{n} jobs stood out of the order of arrival.", "{n} 个作业未按到达顺序。"),
    "asked_unknown": ("{n} jobs do not say what time they asked for.", "{n} 个作业未载申请时长。"),
    "asked_too_little": (
        "{n} jobs ran longer than they asked for; they are taken to have asked for what they ran.",
        "{n} 个作业超出申请时长,以实际时长为申请。",
    ),
}
