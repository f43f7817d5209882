"""``sanjin replay``: what a trace of work would have cost in a region, under its rule and under plain ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from sanjin.cli.gap_line import gap_line
from sanjin.cli.output import Format, at, data, note, sentence, table, text, titled
from sanjin.model.catalogue import both, problem
from sanjin.model.errors import Problem, ProblemsFound
from sanjin.model.units import HOUR_S

if TYPE_CHECKING:
    from sanjin.model.region import Region
    from sanjin.model.series import Series
    from sanjin.replay.compare import Figures
    from sanjin.replay.workload import Workload

_Origin = Literal["capacity", "population"]
MADE = "made"


def replay(
    trace: Annotated[str, Parameter(help="A trace (.swf, .csv, .parquet; .gz), a state folder, or: made. 轨迹。")],
    /,
    *,
    region: Annotated[str, Parameter(help="The document, or the name of one that ships. 区域文档。")] = "shanxi",
    policy: Annotated[Path | None, Parameter(help="A policy document, for the region's own rule. 策略文档。")] = None,
    rules: Annotated[tuple[str, ...], Parameter(help="Only these rules; repeat for more. 规则。")] = (),
    report: Annotated[Path | None, Parameter(help="Write the report here (HTML). 报告文件。")] = None,
    load: Annotated[float, Parameter(help="Scale capacity to be asked for this share; 0: as it is. 负载率。")] = 0.6,
    fold: Annotated[int, Parameter(help="Lay a longer trace over itself every so many days; 0: never. 折叠天数。")] = 7,
    origin: Annotated[_Origin, Parameter(help="How cities are weighted that jobs come from. 来源权重。")] = "capacity",
    begin: Annotated[str, Parameter(help="When the trace begins; else as it says, or 2026. 起始时间。")] = "",
    seed: Annotated[int, Parameter(help="Of all that is drawn. 随机种子。")] = 1,
    jobs: Annotated[int, Parameter(help="Of a made trace. 生成作业数。")] = 100_000,
    stoppable: Annotated[
        float, Parameter(help="Share of jobs that can stop and go on, where a trace does not say. 可中断比例。")
    ] = 0.0,
    stop_cost: Annotated[int, Parameter(help="Seconds of work that a stop costs where it does not. 中断代价。")] = 60,
    series: Annotated[Path | None, Parameter(help="Hourly prices, carbon, weather, generation. 逐时序列。")] = None,
    series_repeats: Annotated[bool, Parameter(negative=(), help="In every year. 逐年重复。")] = False,
    scenarios: Annotated[Path | None, Parameter(help="Other worlds beside this: an overlay. 方案文档。")] = None,
    workers: Annotated[int, Parameter(help="Processes for scenarios; 0: one a core. 方案并行进程数。")] = 0,
    ray: Annotated[str, Parameter(help="A Ray cluster for scenarios; auto: that of this machine. Ray 集群。")] = "",
    parquet: Annotated[Path | None, Parameter(help="Write jobs, hours and rules into this folder. 输出目录。")] = None,
    machine_cores: Annotated[
        int, Parameter(help="Cores of the machine whose waits were recorded; 0: as the log states them. 原机核数。")
    ] = 0,
    through_node: Annotated[
        bool, Parameter(negative=(), help="Also through live nodes, and compare every decision: slow. 经由真实节点。")
    ] = False,
    through_flow: Annotated[
        bool, Parameter(negative=(), help="Also through the live flow of one node, and compare. 经由单节点流程。")
    ] = False,
    epoch: Annotated[int, Parameter(help="With --through-flow: a turn every so many s; 0: always. 轮次秒数。")] = 0,
    decision_us: Annotated[
        int, Parameter(help="With --through-flow: a decision takes so many us; -1: as here. 决策耗时。")
    ] = 0,
    from_state: Annotated[
        Path | None, Parameter(help="On top of what this region has now: its state folder. 由现状分叉。")
    ] = None,
    output: Format = "table",
) -> int:
    """Replay a trace of work in a region, on a virtual clock. 回放作业轨迹。

    Nothing runs: energy, weather, links and machines are modelled, and the report says what it rests on.
    """
    from sanjin.cli.amounts import to_instant
    from sanjin.cli.running import region_file
    from sanjin.regions.load import load_region
    from sanjin.regions.policy import applied, load_policy
    from sanjin.replay import compare as comparing
    from sanjin.replay.gap import reality_gap, why_no_gap
    from sanjin.replay.generate import Recipe, generate
    from sanjin.replay.read import read_trace
    from sanjin.replay.scenario import load_scenarios
    from sanjin.replay.sweep import sweep
    from sanjin.replay.workload import Origin, Rule, slots_of, workload

    _check(
        load, fold, jobs, machine_cores, rules, tuple(comparing.RULES), workers, epoch, decision_us, stoppable,
        stop_cost,
    )  # fmt: skip
    if Path(trace).is_dir():
        from sanjin.cli.forking import recorded

        return recorded(Path(trace), output)
    if from_state:
        from sanjin.cli.forking import forked

        made = Recipe(jobs=jobs, seed=seed)
        rule = Rule(
            seed=seed, origin=Origin(origin), load=0.0, fold_days=fold, stoppable_share=stoppable, stop_cost_s=stop_cost
        )
        return forked(from_state, trace, made, rule, policy, output)
    worlds = load_scenarios(scenarios, region_file(region), policy, comparing.RULES) if scenarios else []
    model = load_region(region_file(region))
    chosen = load_policy(policy) if policy else None
    if chosen:
        model = applied(model, chosen)
    found = generate(Recipe(jobs=jobs, seed=seed)) if trace == MADE else read_trace(Path(trace))
    begin_s = to_instant(begin, 0, model.utc_offset_h, "--begin") if begin else 0
    rule = Rule(
        seed=seed, origin=Origin(origin), load=load, fold_days=fold, begin_s=begin_s, stoppable_share=stoppable,
        stop_cost_s=stop_cost,
    )  # fmt: skip
    work = workload(model, found, rule, slots_of(found, rule), _series(series, model, series_repeats))
    _check_series(work)
    if through_node or through_flow:
        from sanjin.cli import deeper

        if through_flow:
            return deeper.through_flow(work, chosen, epoch, decision_us, output)
        return deeper.through_nodes(work, chosen, output)
    note(text("cli.replaying", jobs=len(work), name=found.name))
    keys = rules or tuple(comparing.RULES)
    results = comparing.compare(work, keys, chosen, lambda key: note(f"  {key}"))
    numbers = comparing.figures(work, results)
    others = sweep(
        work, worlds, comparing.held_against(results), workers, ray, lambda name: note(f"  {name}"), chosen
    ) if worlds else []  # fmt: skip
    gap, no_gap = reality_gap(found, machine_cores, lambda key: note(f"  {key}")), why_no_gap(found, machine_cores)
    if report:
        from sanjin.report.replay_page import page

        report.write_text(page(work, results, others, gap, no_gap), encoding="utf-8")
    if parquet:
        from sanjin.replay.tables import write_parquet

        for path in write_parquet(parquet, work, results, [*numbers, *(n for _, n in others)]):
            note(text("cli.report_at", path=path))
    assumed = [{"en": en, "zh": zh} for en, zh in comparing.assumptions(work)]
    told = {
        "trace": found.name,
        "region": model.id,
        "rules": numbers,
        "scenarios": [
            {"title": {"en": s.title_en, "zh": s.title_zh}, "values": dict(s.values), **asdict(n)} for s, n in others
        ],
        "reality_gap": gap,
        "reality_gap_note": no_gap and dict(zip(("en", "zh"), both(no_gap), strict=True)),
        "assumptions": assumed,
    }
    if not data(told, output):
        _print([(text(f"replayed.{n.rule}"), n) for n in numbers])
        if others:
            _print([(titled(s.title_en, s.title_zh), n) for s, n in others])
        note(gap_line(gap, no_gap))
        note(sentence("cli.replay_rests", count=len(assumed)))
    if report:
        note(text("cli.report_at", path=report))
    return 0


def _series(path: Path | None, region: Region, repeats: bool) -> Series | None:
    from sanjin.model.series import repeated
    from sanjin.regions.series import read_series

    if path is None:
        return None
    found = read_series(path, region)
    return repeated(found, region.utc_offset_h) if repeats else found


def _check_series(work: Workload) -> None:
    from sanjin.replay.given import given

    if work.supply.book.series is not None and not given(work):
        offset = work.region.utc_offset_h
        begin, end = (at(s, offset, year=True) for s in (work.begin_s, work.begin_s + work.trace.span_s()))
        raise ProblemsFound([problem("series_elsewhere", "--series", begin=begin, end=end)])


def _check(
    load: float, fold: int, jobs: int, cores: int, rules: Sequence[str], known: Sequence[str], workers: int,
    epoch: int, decision_us: int, stoppable: float, stop_cost: int,
) -> None:  # fmt: skip
    faults: list[Problem] = []
    for option, value, least, most in (
        ("--load", load, 0, 10), ("--fold", fold, 0, 3660), ("--jobs", jobs, 1, 10**7),
        ("--machine-cores", cores, 0, 10**9), ("--workers", workers, 0, 1024), ("--epoch", epoch, 0, 3600),
        ("--decision-us", decision_us, -1, 10**7),
        ("--stoppable", stoppable, 0, 1), ("--stop-cost", stop_cost, 0, 10**7),
    ):  # fmt: skip
        if value < least:
            faults.append(problem("too_small", option, value=value, least=least))
        elif value > most:
            faults.append(problem("too_big", option, value=value, most=most))
    for name in rules:
        if name not in known:
            faults.append(problem("unknown_rule", "--rules", value=name, known=", ".join(known)))
    if faults:
        raise ProblemsFound(faults)


def _print(numbers: Sequence[tuple[str, Figures]]) -> None:
    rows = [
        [
            name,
            f"{n.total_yuan:,.0f}",
            f"{n.billed_yuan:,.0f}",
            f"{n.terms_yuan['waiting']:,.0f}",
            f"{n.facility_kwh:,.0f}",
            f"{n.carbon_kg:,.0f}",
            f"{n.wait_s['mean'] / HOUR_S:.2f}",
            f"{n.bounded_slowdown['p95']:.1f}",
            f"{n.late_share:.1%}",
            "-" if n.saved_share is None else f"{n.saved_share:+.1%}",
            f"{n.jobs - n.ran:,}",
            f"{n.lost_core_h:,.0f}",
            n.digest[:8],
        ]
        for name, n in numbers
    ]
    heads = ["rule", "total_yuan", "billed", "waiting_yuan", "kwh", "kg", "wait_h", "slowdown_p95", "late"]
    heads += ["saved", "no_place", "lost_core_h", "digest"]
    table([f"head.{h}" for h in heads], rows, left=(0, 12))
