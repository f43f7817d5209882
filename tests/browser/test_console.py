"""The console as a whole: every page in both languages and themes, accessible, and asking this node alone."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.browser.conftest import Viewer, sync_api
from tests.live import Region

AXE = Path(__file__).parents[2] / "console/node_modules/axe-core/axe.min.js"
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PAGES = (
    "net", "net/luliang", "net/luliang/hpc", "ledger", "ledger/datong", "match", "match/new", "jobs/{job}", "decide",
    "decide/what-if", "report",
)  # fmt: skip
LOOKS = [
    {"color_scheme": theme, "locale": locale, "viewport": {"width": width, "height": 844}}
    for theme, locale, width in (
        ("light", "en-GB", 1280), ("dark", "zh-CN", 1280), ("light", "zh-CN", 390), ("dark", "en-GB", 390),
    )
]  # fmt: skip


def found_by_axe(page: sync_api.Page) -> list[str]:
    """What is not accessible, in words."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed: run make setup")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("levels => axe.run(document, {runOnly: {type: 'tag', values: levels}})", LEVELS)
    return [f"{v['id']}: {n['target']} {n['failureSummary']}" for v in found["violations"] for n in v["nodes"]]


@pytest.mark.parametrize("viewer", LOOKS, indirect=True, ids=["day-en", "night-zh", "day-zh-narrow", "night-en-narrow"])
def test_every_page_is_clean(viewer: Viewer, region: Region) -> None:
    job = region.ask("jobs?limit=1")["jobs"][0]["id"]
    for path in PAGES:
        viewer.to(path.format(job=job))
        assert "\n".join(found_by_axe(viewer.page)) == "", path
        wide = viewer.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} is wider than the screen by {wide} pixels"
        said = viewer.page.locator("main").inner_text()
        assert "console." not in said and "undefined" not in said and "NaN" not in said, path


def test_both_languages_say_the_same_things(viewer: Viewer) -> None:
    viewer.to("net")
    viewer.page.get_by_role("button", name="中文").click()
    viewer.page.get_by_role("link", name="一本账").wait_for()
    assert viewer.page.evaluate("document.documentElement.lang") == "zh-CN"
    viewer.page.get_by_role("button", name="English").click()
    viewer.page.get_by_role("link", name="Ledger", exact=True).wait_for()


def test_a_token_is_asked_for_and_kept_out_of_the_address(viewer: Viewer) -> None:
    page = viewer.page
    assert "token" not in page.url
    assert page.evaluate("Object.values(localStorage).join() + document.cookie").find("token") == -1
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Token").fill("sjn_wrong_wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("does not know that token").wait_for()
    viewer.faults = [f for f in viewer.faults if "401" not in f]  # the browser itself says so of a refused request


def test_a_visitor_sees_sites_and_no_work(viewer: Viewer) -> None:
    page = viewer.page
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Look without signing in").click()
    page.get_by_role("link", name="Net", exact=True).wait_for()
    links = page.get_by_role("navigation").get_by_role("link").all_inner_texts()
    assert [each.strip() for each in links] == ["Net", "Ledger"]
    viewer.to("net/luliang")
    page.get_by_role("heading", name="Lüliang").wait_for()
    assert page.get_by_text("Latest jobs here").count() == 0 and page.get_by_text("Cut the line").count() == 0


def test_a_hub_is_cut_off_and_healed_on_screen(viewer: Viewer, region: Region) -> None:
    page = viewer.page
    viewer.to("net/yangquan")
    map_ = page.get_by_role("group", name="Map of the region")
    page.get_by_role("button", name="Cut the line").click()
    map_.get_by_role("link", name="cut off").first.wait_for()
    map_.get_by_role("link", name="Yangquan").and_(map_.get_by_role("link", name="cut off")).wait_for()
    page.get_by_text("10/11").wait_for()
    # its own work goes on meanwhile: what is submitted there for its own site runs there
    done = region.run("submit", "--node", "yangquan", "--site", "yangquan", "--duration", "60s", "--wait", "--", "true")
    assert done.returncode == 0, done.stderr
    page.get_by_role("button", name="Join the line").click()
    page.get_by_text("11/11").wait_for()
    assert map_.get_by_role("link", name="cut off").count() == 0
    assert region.run("audit", "verify").returncode == 0


def test_the_keyboard_reaches_everything(viewer: Viewer) -> None:
    page = viewer.page
    viewer.to("net")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className").startswith("skip")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    names = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        names.add(page.evaluate("document.activeElement.getAttribute('href') || ''"))
    assert {f"#/net/{site}" for site in ("taiyuan", "datong", "luliang", "changzhi")} <= names
    page.locator("a[href='#/net/datong']").first.focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Datong", exact=True).wait_for()


def test_the_pages_obey_their_policy(viewer: Viewer) -> None:
    answer = viewer.page.request.get(viewer.url + "/")
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy and "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    made = "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.head.append(s)"
    viewer.page.evaluate(f"() => {{ {made} }}")
    assert viewer.page.evaluate("window.ran") is None
    viewer.faults = [f for f in viewer.faults if "Content Security Policy" not in f]  # the browser says that it refused


def test_at_most_one_request_of_each_list_a_second(viewer: Viewer) -> None:
    asked: list[str] = []
    viewer.to("net")
    viewer.page.on("request", lambda r: asked.append(r.url))
    viewer.page.wait_for_timeout(4000)
    assert len([u for u in asked if "/v1/" in u]) <= 8, list(itertools.islice(asked, 20))
