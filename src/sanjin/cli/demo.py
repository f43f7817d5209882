"""The demo: Shanxi on one machine. Real processes; region time runs faster than wall time."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sanjin import __version__
from sanjin.adapters.clock import FastClock
from sanjin.cli.assemble import assemble, seed_data
from sanjin.examples.demo_jobs import KINDS, demo_submissions
from sanjin.model.catalogue import say
from sanjin.model.job import JobState
from sanjin.model.placement import Explanation
from sanjin.model.record import JobRecord
from sanjin.model.region import Region
from sanjin.regions.load import bundled, load_region
from sanjin.tree.region import LiveRegion

START_S = 1_784_066_400
"""2026-07-15 06:00 in Shanxi: the morning peak; the midday valley lies ahead (10-15 h)."""

SAMPLE = 512
"""Each process is a sample of a job this many times as large; the screen and the records say so."""

SAMPLE_EDGE = 64
"""The same for jobs bound to a latency class: edge pools are small."""

GIVE_UP_WALL_S = 240.0


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What came of it. Wall time in seconds."""

    records: list[JobRecord]
    sandbox: str
    wall_s: float
    audit_ok: bool
    explained: list[Explanation]


def run_demo(jobs: int, rate: float, output: str) -> None:
    """Start the region, submit the jobs as they arrive, wait for all ends, print the table."""
    console = Console(stderr=output == "json")
    region = load_region(bundled("shanxi"))
    with tempfile.TemporaryDirectory(prefix="sanjin-demo-") as made:
        folder = Path(made)
        seed_data(region, folder)
        result = _run(region, folder, jobs, rate, console)
    if output == "json":
        print(json.dumps(_as_json(result)))
        return
    console.print(_table(region, result))
    for found in result.explained:
        print_explanation(console, region, found)
    counts = Counter(say(f"state.{r.state}") for r in result.records)
    console.print(
        f"{', '.join(f'{n} {k}' for k, n in counts.items())}; {sum(r.fen for r in result.records) / 100:.2f} yuan 元, "
        f"{sum(r.facility_mwh for r in result.records) / 1e6:.3f} kWh; sandbox 沙箱: {result.sandbox}; "
        f"{result.wall_s:.0f} s; {say('cli.audit_ok' if result.audit_ok else 'cli.audit_broken')}"
    )
    console.print(
        f"Measured: CPU seconds and memory of real processes, x{SAMPLE} (each is a sample of a job of {SAMPLE} "
        f"times its cores; x{SAMPLE_EDGE} at the edge), one wall second = {rate:g} region seconds. "
        f"Modelled: power, PUE, weather, links. "
        f"实测:真实进程的 CPU 时间与内存,按 {SAMPLE} 倍(边缘 {SAMPLE_EDGE} 倍)放大;模型:功率、PUE、天气、链路。"
    )


def _run(region: Region, folder: Path, jobs: int, rate: float, console: Console) -> DemoResult:
    began = time.monotonic()
    clock = FastClock(START_S, rate)
    live = assemble(region, folder, clock, __version__)
    sandbox = next(iter(live.nodes.values())).parts.engine.info().sandbox
    live.start()
    ids: list[str] = []
    arrivals = demo_submissions(clock.now(), jobs, rate=rate)
    begin = clock.now()
    try:
        with console.status("...") as status:
            while time.monotonic() - began < GIVE_UP_WALL_S:
                while arrivals and arrivals[0][1] <= clock.now() - begin:
                    node, _, s = arrivals.pop(0)
                    scale = SAMPLE_EDGE if s.spec.latency_class_ms else SAMPLE
                    spec = replace(
                        s.spec,
                        cores=s.spec.cores * scale,
                        sample_cores=s.spec.cores,
                        memory_bytes=s.spec.memory_bytes * scale,
                    )
                    ids.append(live.nodes[node].submit([replace(s, spec=spec)]).result(30)[0].id)
                records = [r for j in ids if (r := live.job(j))]
                states = Counter(say(f"state.{r.state}") for r in records)
                hour = (clock.now() // 60 + region.utc_offset_h * 60) % 1440
                status.update(f"{hour // 60:02d}:{hour % 60:02d} " + ", ".join(f"{k} {v}" for k, v in states.items()))
                if not arrivals and records and all(r.state.ended for r in records):
                    break
                time.sleep(0.2)
        records = [r for j in ids if (r := live.job(j))]
        wall_s = time.monotonic() - began
        return DemoResult(records, sandbox, wall_s, _audit(live), _explained(live, records))
    finally:
        live.stop()


def _explained(live: LiveRegion, records: list[JobRecord]) -> list[Explanation]:
    """The decision with the widest view on each of three jobs that ran elsewhere than submitted."""
    away = [r for r in records if r.site and r.site != r.id.rpartition("-")[0] and r.state is JobState.SUCCEEDED]
    some = away[:: max(len(away) // 3, 1)][:3]
    return [max(live.explain(r.id), key=lambda e: sum(o.terms is not None for o in e.options)) for r in some]


def print_explanation(console: Console, region: Region, found: Explanation) -> None:
    """Why a job went where it went: the terms of every site, or the rule that bars it."""
    table = Table(title=_sentence(region, found), title_justify="left")
    for head in ("head.site", "head.start", *(f"term.{t}" for t in TERMS), "term.total", "head.why"):
        table.add_column(say(head).replace(" · ", "\n"), justify="right")
    for option in found.options:
        node = region.nodes[option.site]
        name = f"{'>' if option.site == found.chosen else ''}{node.name_en} {node.name_zh}"
        if option.terms is None:
            why = say(f"reason.{option.reason}") if option.reason else ""
            table.add_row(name, *[""] * (len(TERMS) + 2), why)
            continue
        terms = [getattr(option.terms, t) / 1e6 for t in TERMS]
        cells = [f"{value:.4f}" for value in (*terms, option.terms.total / 1e6)]
        table.add_row(name, _clock(region, option.start_s), *cells, "")
    console.print(table)


TERMS = ("energy", "carbon", "transport", "use", "waiting")


def _clock(region: Region, at_s: int) -> str:
    minute = (at_s // 60 + region.utc_offset_h * 60) % 1440
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _sentence(region: Region, found: Explanation) -> str:
    choice = found.choice()
    if choice is None or choice.terms is None:
        return say("explain.nowhere", job=found.job)
    node = region.nodes[found.chosen]
    values = {
        "job": found.job,
        "pool": choice.pool,
        "start": _clock(region, choice.start_s),
        "finish": _clock(region, choice.finish_s),
        "total": f"{choice.terms.total / 1e6:.4f}",
    }
    en = say("explain.chosen", "en", site=node.name_en, **values)
    return f"{en}\n{say('explain.chosen', 'zh', site=node.name_zh, **values)}"


def _audit(live: LiveRegion) -> bool:
    from sanjin.flow.audit import verify

    results = [
        verify(n.name, n.parts.store.journal(limit=10**7), n.parts.store.tip(), n.parts.store.ledger())
        for n in live.nodes.values()
    ]
    return not any(r.problems for r in results)


def _table(region: Region, result: DemoResult) -> Table:
    table = Table(title=f"{region.name_en} {region.name_zh}")
    heads = ("head.kind", "head.jobs", "head.ran", "head.cost", "head.kwh", "head.kg", "head.wait")
    for head in heads:
        table.add_column(say(head).replace(" · ", "\n"), justify="left" if head == "head.ran" else "right")
    groups: dict[str, list[JobRecord]] = defaultdict(list)
    for record in result.records:
        groups[record.spec.kind or record.spec.name].append(record)
    for kind, records in sorted(groups.items()):
        model = KINDS.get(kind)
        sites = Counter(r.site for r in records if r.site)
        done = [r for r in records if r.state is JobState.SUCCEEDED]
        wait = sum(r.start_s - r.submitted_s for r in done) / max(len(done), 1) / 3600
        table.add_row(
            f"{model.title_en}\n{model.title_zh}" if model else kind,
            f"{len(done)}/{len(records)}",
            ", ".join(f"{region.nodes[s].name_zh} {n}" for s, n in sites.most_common(4)),
            f"{sum(r.fen for r in records) / 100:.2f}",
            f"{sum(r.facility_mwh for r in records) / 1e6:.3f}",
            f"{sum(r.carbon_mg for r in records) / 1e6:.3f}",
            f"{wait:.1f} h",
        )
    return table


def _as_json(result: DemoResult) -> dict[str, object]:
    return {
        "sandbox": result.sandbox,
        "wall_s": round(result.wall_s, 1),
        "audit_ok": result.audit_ok,
        "jobs": [
            {
                "job": r.id,
                "kind": r.spec.kind,
                "state": r.state.value,
                "reason": r.reason.value if r.reason else "",
                "site": r.site,
                "start_s": r.start_s,
                "end_s": r.end_s,
                "fen": r.fen,
                "facility_mwh": r.facility_mwh,
                "carbon_mg": r.carbon_mg,
            }
            for r in result.records
        ],
    }
