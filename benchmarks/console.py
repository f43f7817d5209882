"""The console: how heavy it is, how soon it is there, what its viewers cost, and a list of 100,000 jobs.

- weight: kB that a first look at the net takes over the line, packed, everything but the live stream; told per file.
- first paint: milliseconds until the browser has drawn something, on loopback, the median of five new browsers.
- viewers: CPU of the region's process with 200 open streams of the present, less what it takes without, in per cent of
  a core, while jobs come and run.
- list: 100,000 jobs at one node, scrolled through from top to end: the share of frames that took longer than 50 ms, the
  longest frame, and the rows that are in the page at once; a page of 200 sorted by cost, from the middle, by the API.

    python benchmarks/console.py [--viewers 200] [--jobs 100000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from common import finish, region_up
from playwright.sync_api import Browser, sync_playwright

GOAL_KB = 150
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
LOOK_S = 20.0
BATCH = 1000
TICKS = os.sysconf("SC_CLK_TCK")

FRAMES = """async () => {
  const list = document.querySelector('[data-row]').closest('[role=rowgroup]')
  const times = []
  let last = performance.now(), most = 0
  const steps = 240
  for (let i = 0; i <= steps; i++) {
    list.scrollTop = (list.scrollHeight - list.clientHeight) * i / steps
    await new Promise(requestAnimationFrame)
    const now = performance.now()
    times.push(now - last)
    last = now
    most = Math.max(most, list.querySelectorAll('[data-row]').length)
  }
  return {times, most, height: list.scrollHeight}
}"""


def weight(browser: Browser, url: str, token: str) -> dict[str, int]:
    """Bytes over the line by file of a first look at the net, but for the stream."""
    page = browser.new_context().new_page()
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    names: dict[str, str] = {}
    found: dict[str, int] = {}
    session.on("Network.responseReceived", lambda e: names.update({e["requestId"]: e["response"]["url"]}))
    session.on(
        "Network.loadingFinished",
        lambda e: found.update({names.get(e["requestId"], "?").removeprefix(url): int(e["encodedDataLength"])}),
    )
    page.goto(f"{url}/#token={token}")
    page.get_by_role("navigation").wait_for()
    page.wait_for_timeout(1500)
    page.context.close()
    return found


def first_paint(browser: Browser, url: str, token: str) -> float:
    """Milliseconds until something is drawn, with an empty cache."""
    page = browser.new_context().new_page()
    page.goto(f"{url}/#token={token}")
    page.get_by_role("navigation").wait_for()
    entries = "performance.getEntriesByName('first-contentful-paint')"
    page.wait_for_function(f"{entries}.length")
    found = float(page.evaluate(f"{entries}[0].startTime"))
    page.context.close()
    return found


def process_of(state: Path) -> int:
    """The process that runs the region of a state folder."""
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        words = each.read_bytes().split(b"\0")
        if b"up" in words and str(state).encode() in words:
            return int(each.parent.name)
    raise SystemExit(f"no process has {state}")


def cpu_s(pid: int) -> float:
    """CPU that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def _look(url: str, token: str, viewers: int, pid: int) -> tuple[float, int]:
    """Share of a core over a while with so many open streams; and bytes that they got."""
    got = 0

    async def view(http: httpx.AsyncClient) -> None:
        nonlocal got
        async with http.stream("GET", "/v1/events", params={"present": "true"}) as answer:
            async for part in answer.aiter_raw():
                got += len(part)

    limits = httpx.Limits(max_connections=viewers + 1)
    head = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=head, limits=limits, timeout=60) as http:
        tasks = [asyncio.create_task(view(http)) for _ in range(viewers)]
        await asyncio.sleep(3)
        before, began = cpu_s(pid), time.perf_counter()
        await asyncio.sleep(LOOK_S)
        share = (cpu_s(pid) - before) / (time.perf_counter() - began)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return share, got


def looked(url: str, token: str, viewers: int, pid: int) -> tuple[float, int]:
    """The same, in a thread of its own: Playwright has this one's event loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _look(url, token, viewers, pid)).result()


def submit(url: str, token: str, count: int, spec: Callable[[int], dict[str, object]]) -> None:
    """So many jobs, in batches."""
    head = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
    with httpx.Client(base_url=url, headers=head, timeout=120) as http:
        for first in range(0, count, BATCH):
            some = [spec(i) for i in range(first, min(first + BATCH, count))]
            lines = [json.dumps({"key": str(each["name"]), "spec": each}) for each in some]
            http.post("/v1/jobs", content="\n".join(lines)).raise_for_status()


def scrolled(browser: Browser, url: str, token: str) -> dict[str, float]:
    """The list of all jobs, from top to end."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(f"{url}/#token={token}")
    page.get_by_role("navigation").wait_for()
    page.goto(f"{url}/#/match")
    page.locator("[data-row]").nth(5).wait_for(timeout=30_000)
    found = page.evaluate(FRAMES)
    page.context.close()
    times = sorted(found["times"])
    return {
        "frames": len(times),
        "slow_share": sum(t > 50 for t in times) / len(times),
        "p50_ms": times[len(times) // 2],
        "longest_ms": times[-1],
        "rows": found["most"],
    }


def main() -> None:
    """Measure, print tables, end with one line of JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--viewers", type=int, default=200)
    options.add_argument("--jobs", type=int, default=100_000)
    given = options.parse_args()
    with sync_playwright() as play, region_up("--rate", "60", "--start", "2026-07-15T06:00") as (url, token, state):
        pid = process_of(state)
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM))
        files = weight(browser, url, token)
        kilobytes = sum(files.values()) / 1000
        for name, size in sorted(files.items(), key=lambda each: -each[1]):
            print(f"  {size / 1000:7.1f} kB  {name}")
        paint = statistics.median(first_paint(browser, url, token) for _ in range(5))
        print(f"first look {kilobytes:.1f} kB; first contentful paint after {paint:.0f} ms")
        submit(url, token, 200, lambda i: {"name": f"work-{i}", "command": ["sleep", "1"], "duration_s": 600})
        alone, _ = looked(url, token, 0, pid)
        watched, got = looked(url, token, given.viewers, pid)
        more = (watched - alone) * 100
        print(f"{given.viewers} viewers: {more:.1f} % of a core more, {alone * 100:.1f} % without; {got / 1e6:.0f} MB")
        now = httpx.get(f"{url}/v1/region", headers={"Authorization": f"Bearer {token}"}).json()["now_s"]
        later = int(now) + 500_000
        began = time.perf_counter()
        submit(
            url, token, given.jobs,
            lambda i: {"name": f"job-{i}", "command": ["true"], "duration_s": 900, "earliest_start_s": later},
        )  # fmt: skip
        print(f"{given.jobs:,} jobs submitted in {time.perf_counter() - began:.0f} s")
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
            took: list[float] = []
            for _ in range(5):
                began = time.perf_counter()
                query = {"order": "name", "offset": given.jobs // 2, "limit": 200, "search": "job", "count": True}
                http.get("/v1/jobs", params=query).raise_for_status()
                took.append((time.perf_counter() - began) * 1000)
        found = scrolled(browser, url, token)
        print(f"list: {found}; a sorted and searched page of 200 from the middle in {statistics.median(took):.0f} ms")
        browser.close()
    finish(
        "console", round(kilobytes, 1), "kB packed on first load", GOAL_KB, {"bound": GOAL_KB},
        first_paint_ms=round(paint), viewers=given.viewers, viewers_cpu_percent=round(more, 1),
        page_ms=round(statistics.median(took)), **{k: round(v, 3) for k, v in found.items()},
    )  # fmt: skip


if __name__ == "__main__":
    main()
