"""The demo: a day of Shanxi on one machine. Real processes; region time runs faster than wall time."""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sanjin import __version__
from sanjin.adapters.clock import FastClock
from sanjin.adapters.state_folder import StateFolder
from sanjin.api.app import make_app
from sanjin.api.server import Server
from sanjin.api.stream import EventHub
from sanjin.cli.assemble import assemble, seed_data, settle_memory
from sanjin.cli.console import door
from sanjin.cli.explaining import print_explanation, widest
from sanjin.cli.output import Format, data, note, sentence, table, text
from sanjin.cli.progress import Progress
from sanjin.client import Client
from sanjin.examples.demo_jobs import KINDS, demo_submissions
from sanjin.flow.supply import compile_kernel
from sanjin.model import event as ev
from sanjin.model.errors import SanjinError
from sanjin.model.job import JobSpec, JobState, Submission
from sanjin.model.network import network_of
from sanjin.model.placement import Explanation
from sanjin.model.record import JobRecord
from sanjin.model.region import Region
from sanjin.model.status import AuditResult
from sanjin.regions.load import bundled, load_region
from sanjin.report.comparison import Comparison, Run, by_kind, compare, totals
from sanjin.tree.region import LiveRegion

START_S = 1_784_066_400
"""2026-07-15 06:00 in Shanxi: the morning peak; the midday valley lies ahead (10-15 h)."""

SAMPLE = 512
"""Each process is a sample of a job this many times as large; the screen and the records say so."""

SAMPLE_EDGE = 64
"""The same for jobs bound to a latency class: edge pools are small."""

GIVE_UP_WALL_S = 240.0
LOOK_WALL_S = 0.25
EXPLAINED = 3

LATER_S = 1800
"""A planned start this long after submission is a wait for a better hour, region seconds."""


@dataclass(frozen=True, slots=True)
class _Day:
    """What came of it. Wall time in seconds."""

    records: list[JobRecord]
    found: Comparison
    explained: list[Explanation]
    audits: list[AuditResult]
    sandbox: str
    wall_s: float


def demo(
    *,
    jobs: Annotated[int, Parameter(help="How many jobs. 作业数。")] = 66,
    rate: Annotated[float, Parameter(help="Region seconds a wall second. 时间倍率。")] = 360.0,
    folder: Annotated[Path, Parameter(help="Where state and report go. 输出目录。")] = Path("demo-out"),
    output: Format = "table",
) -> int:
    """Run a day's work of Shanxi on this machine: real processes, a faster clock. 演示。"""
    region = load_region(bundled("shanxi"))
    state = StateFolder(_fresh(folder) / "state")
    state.claim()
    try:
        state.keep_region(bundled("shanxi").read_text(encoding="utf-8"))
        seed_data(region, state.path)
        began = time.monotonic()
        compile_kernel(region)
        clock = state.clock(rate, START_S)
        if not isinstance(clock, FastClock):
            raise SanjinError("--rate must not be 1: the day would take a day")
        hub = EventHub()
        live = assemble(region, state.path, clock, __version__, hub.listen)
        server = Server(make_app(live, hub, state.token(), __version__, state=state.path), 0)
        live.start()
        settle_memory()
        server.start()
        state.announce(server.url)
        if output == "table":
            note(text("cli.console_watch", page=door(state.path, server.url, state.token())))
        try:
            with Client.here(state.path) as client:
                day = _day(region, live, client, jobs, rate, began, quiet=output != "table")
        finally:
            server.stop()
            live.stop()
    finally:
        state.release()
    report = folder / "report.html"
    _write_report(region, day, rate, report)
    summary = _summary(day, report)
    if not data(summary, output):
        _print_day(region, day, report, state.path, rate)
    well = all(r.state is JobState.SUCCEEDED for r in day.records) and not any(a.problems for a in day.audits)
    return 0 if well else 9


def _fresh(folder: Path) -> Path:
    """An empty output folder; an older one of ours is removed, anything else is not touched."""
    mark = folder / ".sanjin-demo"
    if folder.exists() and any(folder.iterdir()) and not mark.exists():
        raise SanjinError(f"{folder} holds something else; give another --folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    mark.touch()
    return folder


def _day(
    region: Region, live: LiveRegion, client: Client, jobs: int, rate: float, began: float, quiet: bool
) -> _Day:
    begin_s = client.region().now_s
    arrivals = [
        (node, offset, replace(s, spec=_scaled(s))) for node, offset, s in demo_submissions(begin_s, jobs, rate=rate)
    ]
    ids: list[str] = []
    clock = live.clock
    with Progress(region, jobs, quiet) as progress:
        while time.monotonic() - began < GIVE_UP_WALL_S:
            while arrivals and arrivals[0][1] <= clock.now() - begin_s:
                node, _, submission = arrivals.pop(0)
                ids += client.submit([submission], node)
            records = client.jobs(limit=1000).jobs
            progress.show(clock.now(), records)
            if not arrivals and all(r.state.ended for r in records):
                break
            time.sleep(LOOK_WALL_S)
    records = [client.job(j) for j in ids]
    wall_s = time.monotonic() - began
    found = compare(region, network_of(region), _runs(client, records))
    return _Day(
        records, found, _explained(client, records), client.audit(), client.sites()[0].sandbox, wall_s
    )


def _scaled(submission: Submission) -> JobSpec:
    """The job of which the process is a sample."""
    spec = submission.spec
    scale = SAMPLE_EDGE if spec.latency_class_ms else SAMPLE
    return replace(
        spec, cores=spec.cores * scale, sample_cores=spec.cores, memory_bytes=spec.memory_bytes * scale
    )


def _runs(client: Client, records: Sequence[JobRecord]) -> list[Run]:
    """What was measured of each job that ran, from the journal of its site."""
    found: list[Run] = []
    for record in records:
        there = [h for h in client.happenings(record.id) if h.node == record.site]
        events = {type(e): e for e in (ev.from_fields(h.kind, h.body) for h in there)}
        placed, ended, settled = (events.get(kind) for kind in (ev.Placed, ev.Ended, ev.Settled))
        if isinstance(placed, ev.Placed) and isinstance(ended, ev.Ended) and isinstance(settled, ev.Settled):
            planned_s = placed.placement.start_s
            found.append(Run(record=record, planned_s=planned_s, ended=ended, settled=settled))
    return found


def _explained(client: Client, records: Sequence[JobRecord]) -> list[Explanation]:
    """The widest decision on each of some jobs that ran elsewhere than submitted, and waited longest."""
    away = [r for r in records if r.site and r.site != r.id.rpartition("-")[0] and r.state is JobState.SUCCEEDED]
    by_wait = sorted(away, key=lambda r: r.submitted_s - r.start_s)
    some = {r.site: r for r in reversed(by_wait)}.values()
    return [widest(client.explain(r.id)) for r in list(some)[:EXPLAINED]]


def _remarks(day: _Day, rate: float) -> list[str]:
    return [
        f"Measured: wall time, CPU seconds and peak memory of {len(day.records)} real processes "
        f"(sandbox: {day.sandbox}), on one machine. Each is a sample of a job of {SAMPLE} times its cores "
        f"({SAMPLE_EDGE} times at the edge), and CPU and memory were multiplied by that; one wall second was "
        f"{rate:g} region seconds.",
        "Modelled: power from cores, memory and the pools' stated figures; PUE, weather and on-site "
        "generation; links and the time that data takes. Pool capacities and several prices are estimates: "
        "see `sanjin region show shanxi` and the region document for every figure's source and status.",
        f"实测:{len(day.records)} 个真实进程的用时、CPU 与内存峰值(沙箱:{day.sandbox})。每个进程是 {SAMPLE} 倍"
        f"(边缘 {SAMPLE_EDGE} 倍)核数作业的样本,CPU 与内存按此放大;一秒墙钟时间为 {rate:g} 秒区域时间。",
        "模型:功率、PUE、天气、自发电、链路与传输时间。资源池容量及部分价格为估计值,出处与状态见区域文档。",
    ]


def _write_report(region: Region, day: _Day, rate: float, report: Path) -> None:
    from sanjin.report.demo_page import page

    titles = {name: (kind.title_en, kind.title_zh) for name, kind in KINDS.items()}
    report.write_text(
        page(region, day.found, day.explained, titles, START_S, _remarks(day, rate)), encoding="utf-8"
    )


def _summary(day: _Day, report: Path) -> dict[str, object]:
    ours, home = totals(day.found)
    return {
        "sandbox": day.sandbox,
        "wall_s": round(day.wall_s, 1),
        "audit_ok": not any(a.problems for a in day.audits),
        "report": str(report),
        "compared_jobs": len(day.found.pairs()),
        "placed": ours,
        "at_home": home,
        "jobs": day.records,
    }


def _print_day(region: Region, day: _Day, report: Path, state: Path, rate: float) -> None:
    rows: list[list[object]] = []
    for each in by_kind(day.found):
        model = KINDS[each.kind]
        why = Counter(_why(r) for r in each.runs).most_common(1)[0][0]
        rows.append(
            [
                f"{model.title_en} {model.title_zh}",
                len(each.runs),
                ", ".join(f"{region.nodes[s].name_zh} {n}" for s, n in each.sites().most_common(4)),
                text(why),
                f"{each.yuan:.2f}",
                f"{each.kwh:.2f}",
                f"{each.kg:.2f}",
                f"{each.wait_h:.1f} h",
                "" if each.against_home is None else f"{each.against_home * 100:+.0f} %",
            ]
        )
    heads = ("kind", "jobs", "ran", "why", "cost", "kwh", "kg", "wait", "vs_home")
    table([f"head.{h}" for h in heads], rows, left=(0, 2, 3))
    for each in day.explained:
        print()
        print_explanation(each, region.utc_offset_h)
    ours, home_sum = totals(day.found)
    states = Counter(text(f"state.{r.state}") for r in day.records)
    print()
    print(", ".join(f"{n} {s}" for s, n in states.items()) + f"; {day.wall_s:.0f} s; sandbox 沙箱: {day.sandbox}")
    print(
        sentence(
            "demo.against_home",
            count=len(day.found.pairs()),
            yuan=f"{ours['yuan']:.2f}",
            kwh=f"{ours['kwh']:.2f}",
            kg=f"{ours['kg']:.2f}",
            home_yuan=f"{home_sum['yuan']:.2f}",
            home_kwh=f"{home_sum['kwh']:.2f}",
            home_kg=f"{home_sum['kg']:.2f}",
            wait=f"{ours['wait_h']:.1f}",
        )
    )
    print(text("cli.audit_ok" if not any(a.problems for a in day.audits) else "cli.audit_broken"))
    print()
    print("\n".join(_remarks(day, rate)))
    print()
    print(sentence("demo.report", report=report.absolute()))
    away = next((e.job for e in day.explained), "taiyuan-1")
    print(sentence("demo.ask", state=state, job=away))
    sys.stdout.flush()


def _why(run: Run) -> str:
    """The main reason for a job's place, for the table."""
    record, spec = run.record, run.record.spec
    if spec.latency_class_ms:
        return "why.latency"
    if spec.grade.value == "core":
        return "why.residency"
    home = record.id.rpartition("-")[0]
    # the site's plan: the owner of a job that was sent on keeps no placement of it
    if run.planned_s - record.submitted_s > LATER_S:
        return "why.later_home" if record.site == home else "why.later_away"
    return "why.home" if record.site == home else "why.away"


