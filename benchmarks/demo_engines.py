"""Shanxi with real engines: eleven Slurm clusters, a Ray cluster and processes, all on this machine (root).

Each of Shanxi's eleven sites gets a Slurm cluster of its own; two edge nodes are added for the other engines, Zuoyun
(Ray, where it is installed) and Pingding (processes). Example jobs of all kinds are submitted at the sites, placed by
price on a clock that runs faster, and really run. Meanwhile one Slurm controller is killed, and started again later.
Told are where they ran and how they ended, how often each began, what the audit found, and what it cost.

    make demo-engines
    python benchmarks/demo_engines.py [--jobs 500] [--rate 360] [--folder engines-out]
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import SANJIN

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _pytest.outcomes import Skipped

from sanjin.client import Client
from sanjin.examples.demo_jobs import demo_submissions
from sanjin.model.job import Submission
from sanjin.model.record import JobRecord
from sanjin.regions.load import bundled
from tests.ray_lab import RayLab
from tests.slurm_lab import SlurmLab

SLURM = (
    "taiyuan", "datong", "yangquan", "luliang", "changzhi", "jincheng", "shuozhou", "jinzhong", "yuncheng", "xinzhou",
    "linfen",
)  # fmt: skip
RAY, PROCESSES, KILLED = "zuoyun", "pingding", "datong"
START = "2026-07-15T06:00"
GIVE_UP_S, AWAY_S = 1500.0, 15.0
SAMPLE = 64
"""Each process is a sample of a job of so many times its cores, so that sites have something to weigh."""

MORE = """
  {name}:
    name_en: {en}
    name_zh: {zh}
    adcode: "{adcode}"
    tier: edge_node
    industry_role: none
    parent: {parent}
    lat: {lat}
    lon: {lon}
    population: {{<<: *assumed, value: {people}, unit: persons}}
    grid: shanxi
    tariff: shanxi-2026
    climate: {climate}
    power:
      it_cap: {{<<: *assumed, value: 150, unit: kW}}
      typical_load: {{<<: *assumed, value: 0.50, unit: share}}
      pue:
        fixed: {{<<: *assumed, value: 0.20, unit: share}}
        cooling_max: {{<<: *assumed, value: 0.3, unit: share}}
        free_below: {{<<: *assumed, value: 10, unit: degC}}
        mechanical_above: {{<<: *assumed, value: 24, unit: degC}}
    pools:
      edge: *edge
      general: *edge_general
"""
ADDED = (
    {"name": RAY, "en": "Zuoyun", "zh": "左云", "adcode": "140226", "parent": "datong", "lat": 40.013, "lon": 112.703,
     "people": 120000, "climate": "datong"},
    {"name": PROCESSES, "en": "Pingding", "zh": "平定", "adcode": "140321", "parent": "yangquan", "lat": 37.786,
     "lon": 113.632, "people": 290000, "climate": "yangquan"},
)  # fmt: skip
LINK = "  - {{a: {parent}, b: {name}, latency: {{<<: *latency, value: 0.4}}, bandwidth: *gbps_40, price: *gb_edge}}\n"


def document() -> str:
    """Shanxi, and two edge nodes more."""
    text = bundled("shanxi").read_text(encoding="utf-8")
    nodes, links = "".join(MORE.format(**a) for a in ADDED), "".join(LINK.format(**a) for a in ADDED)
    before, at, after = text.partition("\n  # Edge node; no industrial role is stated.\n")
    assert at, "the region document has changed: where are its edge nodes?"
    before, begin, rest = (before + nodes + at + after).partition("\nlinks:\n")
    return before + begin + links + rest


def started(folder: Path) -> tuple[dict[str, SlurmLab], RayLab | None]:
    """Eleven Slurm clusters, and a Ray cluster where it is installed."""
    slurm = {site: SlurmLab(folder / "slurm" / site, machines=1) for site in SLURM}
    for lab in slurm.values():
        lab.start()
    try:
        (folder / "ray").mkdir()
        ray = RayLab(folder / "ray", machines=1)
        ray.start()
    except Skipped as missing:
        print(f"no Ray: {missing}; {RAY} has processes instead")
        return slurm, None
    return slurm, ray


def engines(folder: Path, slurm: dict[str, SlurmLab], ray: RayLab | None) -> str:
    """The document of engines."""
    rows = [f"  {site}: {{engine: slurm, folder: {folder}/shared, conf: {lab.settings.conf}}}\n"
            for site, lab in slurm.items()]  # fmt: skip
    if ray is not None:
        rows += [f"  {RAY}: {{engine: ray, folder: {folder}/shared, address: '{ray.address}', "
                 f"token_file: {ray.token_file}}}\n"]  # fmt: skip
    return "engines:\n" + "".join(rows)


def jobs_of(count: int, begin_s: int, rate: float) -> list[tuple[str, float, Submission]]:
    """The demo's jobs, more of them, some of each tied to the sites of the other engines."""
    found: list[tuple[str, float, Submission]] = []
    for number, (node, offset, s) in enumerate(demo_submissions(begin_s, count, rate=rate)):
        # no deadlines: at this rate a machine that is busy for a second is late by minutes
        spec = replace(s.spec, cores=s.spec.cores * SAMPLE, sample_cores=s.spec.cores, deadline_s=0,
                       deadline_firm=False, memory_bytes=s.spec.memory_bytes * SAMPLE)  # fmt: skip
        if number % 12 < 2 and not spec.latency_class_ms and spec.pool_kind is None:
            spec = replace(spec, site=(RAY, PROCESSES)[number % 12])
        found.append((node, offset, Submission(key=s.key, spec=spec)))
    return found


def begun(folder: Path) -> Counter[str]:
    """How many runs of each job really began, by the marks of their supervisors."""
    runs = [*folder.glob("shared/*/runs/*/started"), *folder.glob("state/*/engine/runs/*/started")]
    return Counter(path.parent.name.partition(".")[0] for path in runs if not path.read_text().startswith("0 "))


def driven(client: Client, jobs: list[tuple[str, float, Submission]], lab: SlurmLab, begin_s: int) -> list[str]:
    """Submit each when it is due, kill a controller and start it again on the way; their ids once all have ended."""
    ids, waiting, began, killed_s = list[str](), list(jobs), time.monotonic(), 0.0
    while time.monotonic() - began < GIVE_UP_S:
        now_s = client.region().now_s - begin_s
        while waiting and waiting[0][1] <= now_s:
            node, _, submission = waiting.pop(0)
            ids += client.submit([submission], node)
        counts = Counter(str(r.state) for r in client.jobs(limit=1000).jobs)
        print(f"{time.monotonic() - began:5.0f} s: {dict(counts)}", flush=True)
        over = sum(counts[s] for s in ("succeeded", "failed", "cancelled", "interrupted", "refused"))
        if killed_s == 0 and over >= len(jobs) // 4:
            lab.kill_controller()
            killed_s = time.monotonic()
            print(f"        the Slurm controller of {KILLED} was killed", flush=True)
        if killed_s > 0 and time.monotonic() > killed_s + AWAY_S:
            lab.start_controller()
            killed_s = -1
            print("        it was started again", flush=True)
        if not waiting and over == len(jobs) and killed_s < 0:
            return ids
        time.sleep(2)
    raise SystemExit("gave up waiting")


def all_of(client: Client, ids: list[str]) -> list[JobRecord]:
    """The records of these jobs."""
    return [client.job(j) for j in ids]


def main() -> int:
    """Bring it up, run it, tell what came of it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, default=500)
    options.add_argument("--rate", type=float, default=360.0)
    options.add_argument("--folder", type=Path, default=Path("engines-out"))
    given = options.parse_args()
    folder = given.folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    state, began = folder / "state", time.monotonic()
    slurm, ray = started(folder)
    node: subprocess.Popen[str] | None = None
    try:
        print(f"{len(slurm)} Slurm clusters and {'one' if ray else 'no'} Ray cluster up after "
              f"{time.monotonic() - began:.0f} s", flush=True)  # fmt: skip
        (folder / "region.yaml").write_text(document(), encoding="utf-8")
        (folder / "engines.yaml").write_text(engines(folder, slurm, ray))
        command = [SANJIN, "engines", "set", str(folder / "engines.yaml"), "--state", str(state), "--output", "json"]
        subprocess.run(command, check=True, capture_output=True)
        command = [SANJIN, "up", "--state", str(state), "--region", str(folder / "region.yaml"), "--sample-data",
                   "--rate", str(given.rate), "--start", START, "--output", "json"]  # fmt: skip
        node = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert node.stdout is not None
        node.stdout.readline()
        with Client.here(state) as client:
            began, begin_s = time.monotonic(), client.region().now_s
            ids = driven(client, jobs_of(given.jobs, begin_s, given.rate), slurm[KILLED], begin_s)
            took, records = time.monotonic() - began, all_of(client, ids)
            audits, sites = client.audit(), {s.site: s for s in client.sites()}
            bills = client.bills()
    finally:
        if node is not None:
            node.send_signal(signal.SIGINT)
            node.wait(60)
        for lab in slurm.values():
            lab.stop()
        if ray is not None:
            ray.stop()
    return told(records, begun(folder), audits, {n: s.engine for n, s in sites.items()}, bills, took)


def told(
    records: list[JobRecord], runs: Counter[str], audits: list[Any], engine: dict[str, str], bills: Any, took: float
) -> int:
    """Print it; the exit code."""
    ran = Counter((engine.get(r.site, ""), r.site) for r in records)
    for (kind, site), count in sorted(ran.items()):
        print(f"{kind or '-':8} {site or '-':12} {count:5}")
    ends = Counter(str(r.state) for r in records)
    once = [r for r in records if str(r.spec.effects) == "once"]
    twice = [r.id for r in once if runs[r.id] > 1]
    faults = sum(len(a.problems) for a in audits)
    found = {
        "jobs": len(records), "ends": dict(ends), "wall_s": round(took), "runs_begun": runs.total(),
        "once_that_began_twice": len(twice), "audit_faults": faults,
        "by_engine": dict(Counter(engine.get(r.site, "") for r in records)), "yuan": sum(b.fen for b in bills) / 100,
        "fen_billed_and_posted": (sum(b.fen for b in bills), sum(b.posted_fen for b in bills)),
    }  # fmt: skip
    print(json.dumps(found))
    return 0 if not twice and not faults and set(ends) == {"succeeded"} else 1


if __name__ == "__main__":
    sys.exit(main())
