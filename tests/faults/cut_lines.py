"""Shanxi as eleven real processes in network namespaces: a hub cut off, an edge killed ten times, the core restarted.

Run by hand, as root (it makes network namespaces; a line is cut by taking its virtual cable down)::

    python -m tests.faults.cut_lines --folder /tmp/cut --jobs 2000 [--wanem ../shared/env/wanem.py]

With ``--wanem`` each line of the tree is a link of its own through that program, which delays every packet by what the
region document says of the line, carries no more than it says, and loses one of a thousand. Without, a bridge joins all
and does none of it.

It prints a table and ends with one line of JSON; exit status 1 where a job was lost or an effect came twice.
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
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sanjin.adapters.store.sqlite import SqliteStore
from sanjin.cli.running import region_file
from sanjin.client import Client
from sanjin.model import event as ev
from sanjin.model.job import Effects, JobSpec, Submission
from sanjin.model.region import Region
from sanjin.ports import JobQuery
from sanjin.regions.load import load_region
from sanjin.tree.overview import audit_node, entries
from tests.nodes import NodeProcess

WAN, PORT = "sj-wan", 8443
HUB, EDGE, KILLS, CUT_S = "datong", "changzhi", 10, 120
WORTH_FEN = 100_000
"""An hour of waiting costs so much that work starts now."""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def make_network(sites: list[str]) -> None:
    """A namespace a site, joined by a bridge in one of its own."""
    ip("netns", "add", WAN)
    ip("-n", WAN, "link", "add", "br0", "type", "bridge")
    ip("-n", WAN, "link", "set", "br0", "up")
    for i, site in enumerate(sites):
        ns, end = f"sj-{site}", f"w{i}"
        ip("netns", "add", ns)
        ip("link", "add", end, "netns", WAN, "type", "veth", "peer", "name", "eth0", "netns", ns)
        ip("-n", WAN, "link", "set", end, "master", "br0", "up")
        ip("-n", ns, "addr", "add", f"10.77.0.{i + 1}/24", "dev", "eth0")
        ip("-n", ns, "link", "set", "eth0", "up")
        ip("-n", ns, "link", "set", "lo", "up")


def make_lines(region: Region, sites: list[str], wanem: Path) -> list[subprocess.Popen[str]]:
    """A namespace a site, and a link with delay and loss a line of the tree; the programs that carry them."""
    carriers: list[subprocess.Popen[str]] = []
    known = {frozenset((line.a, line.b)): line for line in region.links}
    for i, site in enumerate(sites):
        ip("netns", "add", f"sj-{site}")
        ip("-n", f"sj-{site}", "link", "set", "lo", "up")
        ip("-n", f"sj-{site}", "addr", "add", f"{address(i)}/32", "dev", "lo")
    for i, site in enumerate(sites):
        if parent := region.nodes[site].parent:
            line = known[frozenset((site, parent))]
            words = [f"sj-{site}", f"10.78.{i}.2/30", f"sj-{parent}", f"10.78.{i}.1/30", "--dev", f"w{i}"]
            words += ["--delay-ms", str(line.latency.value), "--rate-mbit", str(min(line.bandwidth.value * 1000, 1000))]
            words += ["--loss", "0.001"]
            carrier = subprocess.Popen([sys.executable, str(wanem), *words], stdout=subprocess.PIPE, text=True)
            assert carrier.stdout is not None and carrier.stdout.readline().strip() == "up", site
            carriers.append(carrier)
            ip("-n", f"sj-{site}", "route", "add", f"{address(sites.index(parent))}/32", "dev", f"w{i}")
    return carriers


def address(site: int) -> str:
    return f"10.77.0.{site + 1}"


def set_line(region: Region, sites: list[str], site: str, up: bool, wanem: bool) -> None:
    """Cut or mend the line from a site to its parent; lines to its children stay as they are."""
    name, number = f"w{sites.index(site)}", sites.index(region.nodes[site].parent)
    if not wanem:
        ip("-n", WAN, "link", "set", name, "up" if up else "down")
        return
    ip("-n", f"sj-{site}", "link", "set", name, "up" if up else "down")
    if up:
        ip("-n", f"sj-{site}", "route", "add", f"{address(number)}/32", "dev", name)


def drop_network(sites: list[str]) -> None:
    for name in (WAN, *(f"sj-{s}" for s in sites)):
        subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def submit(node: NodeProcess, count: int, mark: str) -> list[str]:
    """Jobs at this node: half of them must not run twice."""
    words = [*node.within, sys.executable, "-m", "tests.faults.cut_lines", "--submit", str(node.state)]
    done = subprocess.run([*words, "--jobs", str(count), "--mark", mark], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def submit_here(state: Path, count: int, mark: str) -> None:
    specs = [
        JobSpec(
            name=f"{mark}-{i}", command=("true",), duration_s=60, delay_price_fen_per_hour=WORTH_FEN,
            effects=Effects.ONCE if i % 2 else Effects.REPEATABLE,
        )
        for i in range(count)
    ]  # fmt: skip
    with Client.here(state) as client:
        made = [Submission(key=f"{mark}-{i}", spec=s) for i, s in enumerate(specs)]
        print(json.dumps(client.submit(made)))


def counts(nodes: dict[str, NodeProcess]) -> Counter[str]:
    found: Counter[str] = Counter()
    for node in nodes.values():
        store = SqliteStore(node.state / node.site / "state.db")
        found.update(store.counts())
        store.close()
    return found


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, default=Path("/tmp/sanjin-cut"))
    options.add_argument("--jobs", type=int, default=2000)
    options.add_argument("--wanem", type=Path)
    options.add_argument("--submit", type=Path)
    options.add_argument("--mark", default="m")
    given = options.parse_args()
    if given.submit:
        submit_here(given.submit, given.jobs, given.mark)
        return 0
    shutil.rmtree(given.folder, ignore_errors=True)
    region = load_region(region_file("shanxi"))
    sites = list(region.nodes)
    drop_network(sites)
    carriers: list[subprocess.Popen[str]] = []
    if given.wanem:
        carriers = make_lines(region, sites, given.wanem)
    else:
        make_network(sites)
    nodes: dict[str, NodeProcess] = {}
    began = time.monotonic()
    try:
        for i, site in enumerate(sites):
            node = nodes[site] = NodeProcess(given.folder, site, within=("ip", "netns", "exec", f"sj-{site}"))
            node.listen = f"{address(i)}:{PORT}"
            parent = region.nodes[site].parent
            node.join(nodes[parent]) if parent else node.up("--region", "shanxi")
        print(f"{len(nodes)} nodes up after {time.monotonic() - began:.0f} s", flush=True)
        line = partial(set_line, region, sites, HUB, wanem=bool(given.wanem))
        return trial(nodes, sites, given.jobs, line)
    finally:
        for node in reversed(nodes.values()):
            node.end()
        for carrier in carriers:
            carrier.terminate()
        drop_network(sites)


def trial(nodes: dict[str, NodeProcess], sites: list[str], jobs: int, line: Callable[..., None]) -> int:
    began = time.monotonic()
    wanted = [job for site in sites for job in submit(nodes[site], jobs // len(sites), f"first-{site}")]
    line(up=False)
    cut_at = time.monotonic()
    alone = submit(nodes[HUB], 50, "at-once")  # before the hub can know: these may go up, and wait for the line
    time.sleep(15)
    later = submit(nodes[HUB], 50, "later")
    for n in range(KILLS):
        nodes[EDGE].end(signal.SIGKILL)
        nodes[EDGE].up()
        if n == KILLS // 2:
            nodes["taiyuan"].end(signal.SIGKILL)
            nodes["taiyuan"].up()
        print(f"  {EDGE} killed {n + 1} times; {dict(counts(nodes))}", flush=True)
    while time.monotonic() - cut_at < CUT_S:
        time.sleep(1)
    during = {"at once": dict(states(nodes[HUB], alone)), "15 s later": dict(states(nodes[HUB], later))}
    line(up=True)
    print(f"{HUB} was cut off for {time.monotonic() - cut_at:.0f} s; its jobs meanwhile: {during}", flush=True)
    wanted += alone + later
    end = time.monotonic() + 600
    while time.monotonic() < end:
        found = counts(nodes)
        print(f"  {dict(found)}", flush=True)
        if sum(found[s] for s in ("succeeded", "failed", "cancelled", "interrupted", "refused")) == len(wanted):
            break
        time.sleep(10)
    return verdict(nodes, wanted, during, time.monotonic() - began)


def states(node: NodeProcess, jobs: list[str]) -> Counter[str]:
    """How many of these jobs are in which state, as their owner has it."""
    store = SqliteStore(node.state / node.site / "state.db")
    found = {r.id: r.state.value for r in store.jobs(JobQuery(owned=True, limit=10**6))}
    store.close()
    return Counter(found.get(job, "missing") for job in jobs)


def verdict(nodes: dict[str, NodeProcess], wanted: list[str], during: object, took_s: float) -> int:
    ended: Counter[str] = Counter()
    runs: Counter[str] = Counter()
    broken, balance = 0, 0
    region = load_region(region_file("shanxi"))
    known: dict[str, str] = {}
    once: set[str] = set()
    for node in nodes.values():
        store = SqliteStore(node.state / node.site / "state.db")
        owned = store.jobs(JobQuery(owned=True, limit=10**6))
        known |= {r.id: r.state.value for r in owned}
        once |= {r.id for r in owned if r.spec.effects is Effects.ONCE}
        runs.update(e.job for e in entries(store) if e.kind == ev.Started.kind)
        broken += len(audit_node(region, node.site, store).problems)
        balance += sum(line.fen for line in store.ledger())
        store.close()
    for job in wanted:
        ended[known.get(job, "missing")] += 1
    twice = [j for j in once if runs[j] > 1]
    rows = [
        ("jobs submitted", len(wanted)), ("how they ended", dict(ended)), ("runs begun", sum(runs.values())),
        ("'once' jobs that began twice", len(twice)), ("jobs lost", ended["missing"]),
        ("cut-off hub: its jobs before the heal", during), ("faults found by the audit", broken),
        ("ledgers add up to, fen", balance), ("wall seconds", round(took_s)),
    ]  # fmt: skip
    for name, value in rows:
        print(f"{name:40} {value}")
    print(json.dumps({"name": "cut_lines", **{name: value for name, value in rows}}))
    over = ("succeeded", "failed", "cancelled", "interrupted", "refused")
    whole = sum(ended[s] for s in over) == len(wanted)
    return 0 if whole and not twice and not broken and not balance else 1


if __name__ == "__main__":
    sys.exit(main())
