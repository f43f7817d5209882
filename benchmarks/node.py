"""Assignments and reports a second through one parent, and its memory, with 11, 100 and 1,000 children.

The parent is a real ``sanjin node`` in a process of its own, over SQLite, every commit durable. The children are a
load program: each has a certificate and a connection of its own (mutual TLS) and speaks the real exchange; what is
assigned to it it reports as running and then as done, at once. Jobs name their site, so that what is measured is the
tree and not the search among 1,000 sites. A transition is one assignment or one report that the parent has made
durable; parent and load program share this machine. Peer: ``fsync`` of a small file, one at a time on the same disk,
which bounds a parent that would write each transition by itself.

    python benchmarks/node.py [--children 11,100,1000] [--jobs 5000]
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import shutil
import signal
import ssl
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import yaml
from common import SANJIN, finish

from sanjin.adapters.identity.device import Device
from sanjin.adapters.identity.issuer import Issuer
from sanjin.api.exchange import REGION_HEADER
from sanjin.client.uplink import region_digest
from sanjin.model.job import JobState
from sanjin.model.reason import Reason
from sanjin.model.region import Region
from sanjin.model.units import HORIZON_SLOTS, MIB, SLOT_S
from sanjin.ports import Mail
from sanjin.regions.load import bundled, load_region
from sanjin.tree import exchange, offer
from sanjin.tree.mail import Assign, Report

ROOT, TENANT = "taiyuan", "shanxi-univ"
OFFER_S = 0.1
"""Least time between two offers of a child, as of a real one."""

LATENCIES = 40


def document(children: int) -> str:
    """Shanxi's core with so many edge nodes like Yuncheng."""
    known = yaml.safe_load(bundled("shanxi").read_text())
    model, line = known["nodes"]["yuncheng"], known["links"][0]
    core = known["nodes"][ROOT]
    names = [f"e{n:04d}" for n in range(children)]
    nodes = {ROOT: core}
    for n, name in enumerate(names):
        nodes[name] = model | {"name_en": name, "name_zh": name, "adcode": f"99{n:04d}", "parent": ROOT}
    payer = known["tenants"][TENANT] | {"envelopes": {"*": {"cores": 1_000_000_000, "yuan": 1_000_000_000}}}
    links = [line | {"a": ROOT, "b": name} for name in names]
    whole = known | {"nodes": nodes, "links": links, "datasets": {}, "tenants": {TENANT: payer}}
    return yaml.safe_dump(whole, allow_unicode=True, sort_keys=False)


@dataclass
class Tally:
    """What came of the load. ``assigned`` is when each job came to its child, monotonic seconds."""

    assigned: dict[str, float] = field(default_factory=dict)
    reported: int = 0


class Child:
    """One simulated child: its connection, and the mail that the parent has not acknowledged."""

    def __init__(self, name: str, region: Region, digest: str, tls: ssl.SSLContext, port: int, tally: Tally) -> None:
        self.name, self.tls, self.port, self.tally = name, tls, port, tally
        self.outbox: list[Mail] = []
        self.sent = self.received = 0
        self._offered, self._news, self._known = -1e9, True, False
        self._head = f"POST /v1/exchange HTTP/1.1\r\nHost: localhost:{port}\r\n{REGION_HEADER}: {digest}\r\n"
        self._arrays = _arrays(region, name)

    async def run(self) -> None:
        """Call the parent until cancelled."""
        where = {"host": "127.0.0.1", "port": self.port, "ssl": self.tls, "server_hostname": "localhost"}
        reader, writer = await asyncio.open_connection(**where)
        try:
            while True:
                await self._call(reader, writer)
        finally:
            writer.close()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        now = time.monotonic()
        tell = self._news and now - self._offered >= OFFER_S
        if tell:
            self._offered, self._news = now, False
        body = exchange.encode(exchange.Request(
            node=self.name, ack=self.received, mail=tuple(self.outbox), offer=self._offer() if tell else b"",
            want_outside=not self._known))  # fmt: skip
        writer.write(f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(row[15:]) for row in head.lower().split(b"\r\n") if row.startswith(b"content-length:"))
        said = await reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(said.decode())
        self._hear(exchange.read_answer(said))

    def _hear(self, answer: exchange.Answer) -> None:
        self._known = True
        before = len(self.outbox)
        self.outbox = [m for m in self.outbox if m.seq > answer.ack]
        self.tally.reported += before - len(self.outbox)
        for mail in answer.mail:
            if mail.seq <= self.received:
                continue
            self.received = mail.seq
            if mail.kind == "assign":
                self._run(msgspec.json.decode(mail.body, type=Assign))

    def _run(self, job: Assign) -> None:
        self._news = True
        self.tally.assigned[job.job] = time.monotonic()
        now = int(time.time())
        for state, reason in ((JobState.RUNNING, None), (JobState.SUCCEEDED, Reason.EXIT_ZERO)):
            self.sent += 1
            word = Report(
                job=job.job, epoch=job.epoch, state=state, reason=reason, site=self.name, pool="general", start_s=now,
                end_s=now if state.ended else 0, total_micro=0, fen=0, facility_mwh=0, carbon_mg=0, exit_status=0,
                detail="", seen=self.received,
            )  # fmt: skip
            self.outbox.append(Mail(peer="", seq=self.sent, kind=word.kind, body=msgspec.json.encode(word)))

    def _offer(self) -> bytes:
        """All of the site is free: what was assigned is over."""
        pools, arrays = self._arrays
        return offer.encode(offer.Offer(
            node=self.name, ack=self.received, first_slot=int(time.time()) // SLOT_S, slots=HORIZON_SLOTS,
            sites=(self.name,), pools=pools, held={self.name: ()}, **arrays))  # fmt: skip


def _arrays(region: Region, name: str) -> tuple[tuple[str, ...], dict[str, bytes]]:
    """The pools of a site and its whole capacity, as an offer has them."""
    site = region.nodes[name].site
    many = HORIZON_SLOTS
    row = {"cores": b"", "mem": b"", "cards": b""}
    for pool in site.pools:
        row["cores"] += pool.cores.to_bytes(4, "little") * many
        row["mem"] += (pool.memory_bytes // MIB).to_bytes(8, "little") * many
        row["cards"] += pool.accelerators.to_bytes(4, "little") * many
    row["mw"] = round(site.power.it_cap.value * 1_000_000).to_bytes(8, "little") * many
    return tuple(f"{name}/{p.id}" for p in site.pools), row


class Parent:
    """The node under load, in a process of its own."""

    def __init__(self, children: int) -> None:
        self.state = Path(tempfile.mkdtemp(prefix="sanjin-bench-"))
        self.path = self.state / "given.yaml"
        self.path.write_text(document(children))
        self.names = [f"e{n:04d}" for n in range(children)]
        self.port = _free_port()
        words = ["--site", ROOT, "--region", str(self.path), "--listen", f"127.0.0.1:{self.port}"]
        words += ["--cosign-every", "off"]
        command = [SANJIN, "node", *words, "--state", str(self.state / "s"), "--output", "json"]
        log = (self.state / "log").open("w")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        self.told = json.loads(self.process.stdout.readline())
        self.token = (self.state / "s" / "token").read_text().strip()

    def rss_mb(self) -> float:
        """Its resident memory, MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(r.split()[1]) for r in status.splitlines() if r.startswith("VmRSS")) * 1024 / 1e6

    def submit(self, specs: list[dict]) -> list[str]:
        """Submit in one call; the ids."""
        netloc = self.told["url"].partition("//")[2]
        connection = http.client.HTTPConnection(netloc, timeout=120)
        rows = [json.dumps({"key": f"{time.monotonic_ns()}-{n}", "spec": s}) for n, s in enumerate(specs)]
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/x-ndjson"}
        connection.request("POST", "/v1/jobs", "\n".join(rows), headers)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status < 300, body[:500]
        connection.close()
        return json.loads(body)["jobs"]

    def close(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        shutil.rmtree(self.state, ignore_errors=True)


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def spec(site: str) -> dict:
    return {"name": "b", "command": ["true"], "tenant": TENANT, "duration_s": 60, "memory_bytes": 1 << 20, "site": site,
            "delay_price_fen_per_hour": 100_000}  # fmt: skip


async def trial(count: int, jobs: int) -> dict[str, float]:
    """One parent with so many children; its figures."""
    parent = Parent(count)
    tasks: list[asyncio.Task[None]] = []
    try:
        before, tally = parent.rss_mb(), Tally()
        children = _enrolled(parent, tally)
        tasks = [asyncio.create_task(c.run()) for c in children]
        began = time.monotonic()
        while not all(c._known and not c._news for c in children):
            _failed(tasks)
            await asyncio.sleep(0.05)
        joined = time.monotonic() - began
        await asyncio.sleep(3)
        waits = []
        for n in range(LATENCIES):
            at = time.monotonic()
            job = (await asyncio.to_thread(parent.submit, [spec(parent.names[n % count])]))[0]
            while job not in tally.assigned:
                _failed(tasks)
                await asyncio.sleep(0.001)
            waits.append(1000 * (tally.assigned[job] - at))
            await asyncio.sleep(0.05)
        await _all_done(tally, LATENCIES, tasks)
        began = time.monotonic()
        send = asyncio.create_task(asyncio.to_thread(_send, parent, jobs))
        await _all_done(tally, LATENCIES + jobs, tasks)
        wall = time.monotonic() - began
        await send
        rss = parent.rss_mb()
        return {"children": count, "transitions_s": 3 * jobs / wall, "latency_p50_ms": statistics.median(waits),
                "latency_p95_ms": sorted(waits)[int(0.95 * len(waits))], "rss_mb": rss,
                "mb_child": (rss - before) / count, "joined_s": joined}  # fmt: skip
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        parent.close()


def _enrolled(parent: Parent, tally: Tally) -> list[Child]:
    region = load_region(parent.path)
    issuer = Issuer(parent.state / "s" / "identity", region.id, ROOT)
    digest = region_digest((parent.state / "s" / "region.yaml").read_text())
    found = []
    for name in parent.names:
        device = Device(parent.state / "devices" / name, region.id, name)
        token = issuer.invite(name, 3600)
        device.keep(issuer.enrol(device.request(), token.secret), issuer.authority())
        found.append(Child(name, region, digest, device.context(), parent.port, tally))
    return found


def _send(parent: Parent, jobs: int) -> None:
    names = parent.names
    for at in range(0, jobs, 1000):
        parent.submit([spec(names[n % len(names)]) for n in range(at, min(at + 1000, jobs))])


def _failed(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()


async def _all_done(tally: Tally, jobs: int, tasks: list[asyncio.Task[None]]) -> None:
    while tally.reported < 2 * jobs:
        _failed(tasks)
        await asyncio.sleep(0.01)


def fsyncs_s(count: int = 300) -> float:
    """How often a second a small file is written and synced, one after the other."""
    with tempfile.NamedTemporaryFile(dir=tempfile.gettempdir()) as file:
        began = time.monotonic()
        for _ in range(count):
            file.write(b"x" * 200)
            file.flush()
            os.fsync(file.fileno())
        return count / (time.monotonic() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", default="11,100,1000")
    parser.add_argument("--jobs", type=int, default=5_000)
    options = parser.parse_args()
    rows, peer = [], fsyncs_s()
    for count in map(int, options.children.split(",")):
        found = asyncio.run(trial(count, options.jobs))
        rows.append(found)
        print(
            f"{count:5d} children: {found['transitions_s']:8,.0f} transitions/s; a job is at its child after "
            f"{found['latency_p50_ms']:.0f} ms (p95 {found['latency_p95_ms']:.0f}); parent {found['rss_mb']:,.0f} MB, "
            f"{found['mb_child']:.2f} a child; all joined after {found['joined_s']:.1f} s", flush=True,
        )  # fmt: skip
    best = max(r["transitions_s"] for r in rows)
    print(f"{peer:,.0f} fsyncs/s one by one; the best rate is {best / peer:.2f} times that")
    finish("node", round(best), "transitions/s", 3000, {"fsync one by one": round(peer)}, rows=rows)


if __name__ == "__main__":
    main()
