"""The demo's day: who submits which example job where and when. Example data, from one seed.

Most jobs are patient: an hour of waiting costs their owner a few fen, so they may wait for the
cheap hours at midday. Some are urgent and run at once; a few are bound by latency, a firm
deadline or the grade of their data.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sanjin.model.job import Effects, JobSpec, Submission
from sanjin.model.region import DataGrade, PoolKind
from sanjin.model.units import HOUR_S, MIB

ARRIVALS_S = 3 * HOUR_S
"""All jobs arrive within this time after the start."""

LIMIT_WALL_S = 30.0
"""Wall seconds a job may take: many run on one small machine in the demo and slow each other down,
and the usual limit of four durations would be two wall seconds at the demo's rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of example job. ``expected_wall_s`` was measured in the sandbox of a
    machine with two cores and nothing else to do.

    ``inputs`` are what it reads unless told otherwise; ``memory_bytes`` leaves twice what it needs.
    """

    title_en: str
    title_zh: str
    expected_wall_s: float
    inputs: tuple[str, ...] = ()
    memory_bytes: int = 192 * MIB
    cores: int = 1


KINDS: dict[str, Kind] = {
    "regression": Kind(
        title_en="Machine wear from vibration",
        title_zh="振动预测设备磨损",
        expected_wall_s=0.26,
        inputs=("sensor-2026",),
    ),
    "aggregate": Kind(
        title_en="Table aggregation",
        title_zh="数据表汇总",
        expected_wall_s=0.31,
        inputs=("parcels-2026",),
        memory_bytes=256 * MIB,
    ),
    "routing": Kind(
        title_en="Delivery rounds",
        title_zh="配送路线规划",
        expected_wall_s=0.34,
        inputs=("delivery-stops",),
    ),
    "tiles": Kind(
        title_en="Vegetation map from satellite tiles",
        title_zh="卫星影像植被分析",
        expected_wall_s=0.23,
        inputs=("satellite-tiles",),
    ),
    "archive": Kind(
        title_en="Archive with checksum",
        title_zh="数据归档校验",
        expected_wall_s=0.7,
        inputs=("archive-2025",),
    ),
    "montecarlo": Kind(
        title_en="Power price risk by Monte Carlo",
        title_zh="电价风险蒙特卡罗模拟",
        expected_wall_s=0.32,
        memory_bytes=384 * MIB,
        cores=2,
    ),
    "spectra": Kind(
        title_en="Faults in grid load",
        title_zh="电网负荷频谱异常检测",
        expected_wall_s=0.31,
        inputs=("grid-load",),
    ),
    "kmers": Kind(
        title_en="k-mers in genome reads",
        title_zh="基因测序片段统计",
        expected_wall_s=0.26,
        inputs=("genome-reads",),
        memory_bytes=256 * MIB,
    ),
    "inspect": Kind(
        title_en="Vision inspection burst",
        title_zh="产线视觉质检",
        expected_wall_s=0.34,
        inputs=("factory-frames",),
    ),
    "schedule": Kind(
        title_en="Workshop schedule",
        title_zh="车间排产",
        expected_wall_s=0.3,
    ),
}
"""Every kind of job in the demo; each is a module of this package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pattern:
    """Jobs of one sort: submitted at one of ``nodes``, each with this or that of its own."""

    kind: str
    tenant: str
    nodes: tuple[str, ...]
    options: tuple[str, ...] = ()
    inputs: tuple[str, ...] | None = None
    """None: as the kind says."""
    grade: DataGrade = DataGrade.GENERAL
    effects: Effects = Effects.REPEATABLE
    urgent: bool = False
    near: bool = False
    """Only at the node of submission's side: one-way latency of at most 1 ms."""
    firm_h: int = 0
    """Firm deadline this many hours after arrival."""
    pool_kind: PoolKind | None = None


# These come once, whatever the count: each shows a rule that the others do not.
_SPECIAL = (
    # Core grade: its data may not leave the site that holds it, so neither may the job.
    _Pattern(
        kind="aggregate",
        tenant="health-bureau",
        nodes=("taiyuan",),
        options=("--dataset", "hospital-visits"),
        inputs=("hospital-visits",),
        grade=DataGrade.CORE,
    ),
    _Pattern(kind="routing", tenant="jincheng-logistics", nodes=("jincheng",), firm_h=6),
    _Pattern(kind="spectra", tenant="datong-energy", nodes=("datong",), grade=DataGrade.IMPORTANT, firm_h=9),
    # Inspection at the edge. The first reads recorded frames; the others' cameras are simulated.
    _Pattern(
        kind="inspect",
        tenant="changzhi-works",
        nodes=("changzhi",),
        grade=DataGrade.IMPORTANT,
        near=True,
        pool_kind=PoolKind.EDGE,
    ),
    _Pattern(kind="inspect", tenant="public", nodes=("yuncheng",), inputs=(), near=True),
    _Pattern(kind="inspect", tenant="changzhi-works", nodes=("changzhi",), inputs=(), near=True),
    _Pattern(kind="inspect", tenant="public", nodes=("linfen",), inputs=(), near=True),
)

# These go round until the count is reached. Many nodes do not hold the data they ask for.
_USUAL = (
    _Pattern(kind="regression", tenant="changzhi-works", nodes=("changzhi", "linfen", "yangquan")),
    _Pattern(kind="aggregate", tenant="jincheng-logistics", nodes=("jincheng", "yuncheng", "xinzhou")),
    _Pattern(kind="tiles", tenant="jinzhong-agri", nodes=("jinzhong", "xinzhou", "linfen")),
    _Pattern(kind="kmers", tenant="shanxi-univ", nodes=("taiyuan", "jinzhong"), grade=DataGrade.IMPORTANT),
    _Pattern(
        kind="archive", tenant="public", nodes=("luliang", "yangquan", "shuozhou"), effects=Effects.ONCE
    ),
    _Pattern(kind="spectra", tenant="datong-energy", nodes=("datong", "shuozhou"), grade=DataGrade.IMPORTANT),
    _Pattern(
        kind="montecarlo", tenant="datong-energy", nodes=("datong", "taiyuan"), options=("--workers", "2")
    ),
    _Pattern(kind="routing", tenant="jincheng-logistics", nodes=("jincheng", "changzhi"), urgent=True),
    _Pattern(kind="schedule", tenant="changzhi-works", nodes=("changzhi", "yuncheng")),
    _Pattern(
        kind="aggregate",
        tenant="public",
        nodes=("luliang", "shuozhou", "datong"),
        options=("--dataset", "coal-face-video-index"),
        inputs=("coal-face-video-index",),
        grade=DataGrade.IMPORTANT,
    ),
    _Pattern(kind="regression", tenant="shanxi-univ", nodes=("taiyuan", "linfen")),
    _Pattern(kind="tiles", tenant="jinzhong-agri", nodes=("jinzhong", "yuncheng"), urgent=True),
    _Pattern(
        kind="montecarlo", tenant="shanxi-univ", nodes=("jinzhong", "taiyuan"), options=("--workers", "2")
    ),
    _Pattern(
        kind="archive",
        tenant="shanxi-univ",
        nodes=("taiyuan", "xinzhou"),
        options=("--dataset", "genome-reads"),
        inputs=("genome-reads",),
        grade=DataGrade.IMPORTANT,
        effects=Effects.ONCE,
    ),
)


def demo_submissions(
    start_s: int, count: int = 66, seed: int = 2026, rate: float = 360.0
) -> list[tuple[str, float, Submission]]:
    """Node of submission, arrival (region seconds after ``start_s``) and job, by arrival.

    ``rate`` is how many region seconds pass in one wall second; it turns the measured run times
    into region time.
    """
    draw = random.Random(seed)
    rounds = -(-max(count - len(_SPECIAL), 0) // len(_USUAL))
    patterns = [*_SPECIAL, *(_vary(p, number, draw) for number in range(rounds) for p in _USUAL)][:count]
    draw.shuffle(patterns)
    offsets = sorted(draw.randrange(ARRIVALS_S) for _ in patterns)
    jobs: list[tuple[str, float, Submission]] = []
    for number, (pattern, offset) in enumerate(zip(patterns, offsets, strict=True)):
        node = draw.choice(pattern.nodes)
        spec = _spec(pattern, node, number, draw, rate)
        if pattern.firm_h:
            due = start_s + offset + pattern.firm_h * HOUR_S
            spec = replace(spec, deadline_s=due, deadline_firm=True)
        jobs.append((node, float(offset), Submission(key=f"demo-{seed}-{number}", spec=spec)))
    return jobs


def _vary(pattern: _Pattern, number: int, draw: random.Random) -> _Pattern:
    """The pattern as it comes in round ``number``: every now and then somebody is in a hurry."""
    return replace(pattern, urgent=pattern.urgent or (number > 0 and draw.random() < 0.12))


def _spec(pattern: _Pattern, node: str, number: int, draw: random.Random, rate: float) -> JobSpec:
    kind = KINDS[pattern.kind]
    seed = ("--seed", str(draw.randrange(1, 10_000)))
    patient = draw.choice((1, 1, 1, 2, 2, 3, 5, 8))
    hasty = draw.randrange(2000, 4001, 100)
    return JobSpec(
        name=f"{pattern.kind}-{node}-{number:02d}",
        command=_command(pattern.kind, (*seed, *pattern.options)),
        tenant=pattern.tenant,
        queue="urgent" if pattern.urgent or pattern.near else "batch",
        kind=pattern.kind,
        cores=kind.cores,
        memory_bytes=kind.memory_bytes,
        pool_kind=pattern.pool_kind,
        duration_s=max(1, round(kind.expected_wall_s * rate)),
        time_limit_s=max(1, round(LIMIT_WALL_S * rate)),
        inputs=kind.inputs if pattern.inputs is None else pattern.inputs,
        delay_price_fen_per_hour=hasty if pattern.urgent or pattern.near else patient,
        grade=pattern.grade,
        latency_class_ms=1 if pattern.near else 0,
        latency_origin=node if pattern.near else "",
        effects=pattern.effects,
    )


def _command(kind: str, options: Sequence[str]) -> tuple[str, ...]:
    return (sys.executable, "-m", f"sanjin.examples.{kind}", *options)
