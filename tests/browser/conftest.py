"""Debian's Chromium on the console of a region that is really up, its clock running fast, with real jobs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sanjin.adapters.state_folder import StateFolder
from sanjin.client import Client
from sanjin.examples.demo_jobs import demo_submissions
from tests.live import Region

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = Path("/usr/bin/chromium")
PAGES = Path(__file__).parents[2] / "src/sanjin/api/console_files/index.html"
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
START, RATE, JOBS = "2026-07-15T06:00", "360", 22
SCALE = 512


@dataclass
class Viewer:
    """A page of the console, and what it did that it must not: errors, and requests to other addresses."""

    page: sync_api.Page
    url: str
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        here = urlsplit(self.url).netloc
        self.page.on("console", lambda m: self.faults.append(f"console: {m.text}") if m.type == "error" else None)
        self.page.on("pageerror", lambda e: self.faults.append(f"error: {e}"))
        self.page.on(
            "request", lambda r: None if urlsplit(r.url).netloc in (here, "") else self.faults.append(f"asks {r.url}")
        )

    def sign_in(self, token: str) -> None:
        """As ``sanjin console --open`` does."""
        self.page.goto(f"{self.url}/#token={token}")
        self.page.get_by_role("navigation").wait_for()

    def to(self, path: str) -> None:
        """Go to a page of the console and wait until it has what it asked for."""
        self.page.goto(f"{self.url}/#/{path}")
        self.page.locator("main h1, main h2").first.wait_for(state="attached")
        self.page.wait_for_timeout(700)


@pytest.fixture(scope="package")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    """Shanxi on a fast clock, with jobs of the demo: some have ended, some run, some wait for a better hour."""
    if not PAGES.exists():
        pytest.skip("the console is not built: run make setup")
    found = Region(tmp_path_factory.mktemp("console") / "state")
    found.up("--region", "shanxi", "--rate", RATE, "--start", START, "--sample-data", "--public-view")
    with Client.here(found.state) as client:
        begin_s = client.region().now_s
        for node, _, submission in demo_submissions(begin_s, JOBS, rate=float(RATE)):
            spec, scale = submission.spec, 64 if submission.spec.latency_class_ms else SCALE
            larger = replace(
                spec, cores=spec.cores * scale, sample_cores=spec.cores, memory_bytes=spec.memory_bytes * scale
            )
            client.submit([replace(submission, spec=larger)], node)
    yield found
    found.down()


@pytest.fixture(scope="package")
def browser() -> Iterator[sync_api.Browser]:
    """Chromium, one for all tests."""
    if not CHROMIUM.exists():
        pytest.skip("chromium is not installed: apt-get install chromium")
    with sync_api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=str(CHROMIUM), args=list(QUIET))
        yield found
        found.close()


@pytest.fixture
def viewer(region: Region, browser: sync_api.Browser, request: pytest.FixtureRequest) -> Iterator[Viewer]:
    """An operator at a screen; ``viewer`` parametrized indirectly takes options of a browser context."""
    options = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", **getattr(request, "param", {})}
    url, token = StateFolder(region.state).found()
    context = browser.new_context(**options, reduced_motion="reduce")
    found = Viewer(context.new_page(), url)
    found.page.set_default_timeout(20_000 if "CI" in os.environ else 10_000)
    found.sign_in(token)
    yield found
    context.close()
    assert found.faults == []
