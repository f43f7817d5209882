"""Takes the pictures of the console in ``docs/images``: Shanxi on a fast clock with the work of the demo, in Chromium.

    .venv/bin/python docs/gallery.py
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from sanjin.adapters.state_folder import StateFolder
from sanjin.client import Client
from sanjin.examples.demo_jobs import demo_submissions
from sanjin.model.job import JobState, Submission
from sanjin.model.placement import Explanation

IMAGES = Path(__file__).parent / "images"
SANJIN = str(Path(sys.executable).parent / "sanjin")
RATE, START, JOBS = 360.0, "2026-07-15T06:00", 90
SCALE, SCALE_EDGE = 1024, 128
"""Each process is a sample of a job of so many times its cores: the pictures are to show a region that is busy."""
QUIET = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


@dataclass(frozen=True, slots=True)
class Picture:
    """A page as it is to be seen. ``first`` does something on it before."""

    name: str
    path: str
    wide: int = 1280
    high: int = 860
    theme: str = "light"
    locale: str = "en-GB"
    first: Callable[[Page], None] = lambda _: None


def _fill(page: Page) -> None:
    for name, value in (("name", "stops-of-the-week"), ("command", "python3 stops.py --week 28"), ("cores", "2000")):
        page.locator(f"#f-{name}").fill(value)
    page.locator("#f-inputs input").nth(2).check()
    page.keyboard.press("Tab")
    page.wait_for_timeout(3000)
    page.evaluate("scrollTo(0, 0)")


def _ask_what_if(page: Page) -> None:
    page.get_by_label("Carbon price").fill("300")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("button", name="Look at it").wait_for(timeout=240_000)


def _larger(submission: Submission) -> Submission:
    spec, scale = submission.spec, SCALE_EDGE if submission.spec.latency_class_ms else SCALE
    memory_bytes = spec.memory_bytes * scale
    larger = replace(spec, cores=spec.cores * scale, sample_cores=spec.cores, memory_bytes=memory_bytes)
    return replace(submission, spec=larger)


def _feed(client: Client) -> str:
    """Send the demo's work as its time comes, until most has come; the id of a job with something to explain."""
    begin_s = client.region().now_s
    todo = [(node, at, _larger(s)) for node, at, s in demo_submissions(begin_s, JOBS, rate=RATE)]
    while len(todo) > JOBS // 6:
        now = client.region().now_s - begin_s
        while todo and todo[0][1] <= now:
            node, _, submission = todo.pop(0)
            client.submit([submission], node)
        time.sleep(0.3)
    ended = [j for j in client.jobs(state=JobState.SUCCEEDED, limit=200).jobs if j.site != j.id.rpartition("-")[0]]
    return max(ended, key=lambda j: _worth(client.explain(j.id))).id


def _worth(found: list[Explanation]) -> int:
    return max((sum(o.terms is not None for o in e.options) for e in found), default=0)


def _take(browser: Browser, url: str, token: str, picture: Picture) -> None:
    context = browser.new_context(
        viewport={"width": picture.wide, "height": picture.high}, color_scheme=picture.theme, locale=picture.locale,
        device_scale_factor=1.5 if picture.wide < 600 else 1,
    )  # fmt: skip
    page = context.new_page()
    page.goto(f"{url}/#token={token}")
    page.locator("nav").wait_for()
    page.goto(f"{url}/#/{picture.path}")
    page.wait_for_timeout(3000)
    picture.first(page)
    page.screenshot(path=IMAGES / f"console-{picture.name}.png")
    context.close()


def main() -> None:
    """Take them all."""
    state = Path(tempfile.mkdtemp(prefix="sanjin-gallery-"))
    command = [SANJIN, "up", "--state", str(state), "--rate", str(RATE), "--start", START, "--sample-data"]
    process = subprocess.Popen([*command, "--output", "json"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    told: dict[str, Any] = json.loads(process.stdout.readline())
    try:
        with Client.here(state) as client, sync_playwright() as play:
            job = _feed(client)
            browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=list(QUIET))
            for picture in (
                Picture("net", "net"),
                Picture("net-zh", "net/luliang", theme="dark", locale="zh-CN"),
                Picture("phone", "net", wide=390, high=844, theme="dark"),
                Picture("match", "match"),
                Picture("decide", "decide"),
                Picture("job", f"jobs/{job}", high=1000),
                Picture("ledger", "ledger/datong"),
                Picture("new-job", "match/new", high=1000, first=_fill),
                Picture("report", "report", high=1000),
                Picture("what-if", "decide/what-if", first=_ask_what_if),
            ):
                _take(browser, told["url"], StateFolder(state).token(), picture)
                print(picture.name, flush=True)
            browser.close()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


if __name__ == "__main__":
    main()
