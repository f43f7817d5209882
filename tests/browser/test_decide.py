"""The ledger, the plan, a what-if and the morning report, as an operator and a planner use them."""

from __future__ import annotations

from tests.browser.conftest import Viewer
from tests.live import Region

REPLAYED_MS = 150_000
"""Two replays in a process of their own, which compiles its kernels first."""


def test_the_ledger_says_where_every_figure_comes_from(viewer: Viewer, region: Region) -> None:
    page = viewer.page
    known = {r["id"]: r for r in region.ask("resources")}
    viewer.to("ledger")
    count = sum(len(r["figures"]) + (r["status"] is not None) for r in known.values())
    page.get_by_role("region", name="How its figures are known").get_by_text(str(count), exact=True).wait_for()
    tariff = next(r["id"] for r in known.values() if r["kind"] == "tariff")
    for each in ("datong", "datong/general", tariff):
        viewer.to(f"ledger/{each.replace('/', '%2F')}")
        page.get_by_role("heading", name=known[each]["name_en"]).wait_for()
        rows = page.get_by_role("article").locator("tbody tr")
        assert rows.count() == len(known[each]["figures"]) > 0
        for figure, row in zip(known[each]["figures"], rows.all_inner_texts(), strict=True):
            assert figure["source"] in row and figure["source_text"] in row and figure["status"] in row
            assert ("≈" in row) is (figure["status"] in ("estimated", "believed"))
    viewer.to("ledger")
    page.get_by_label("How it is known").select_option("believed")
    believed = [r for r in known.values() if any(f["status"] == "believed" for f in r["figures"])]
    others = [r for r in known.values() if r["status"] == "believed"]
    page.get_by_text(f"{len(believed) + len(others)} of {len(known)} resources").wait_for()


def test_the_plan_is_walked_with_the_keyboard(viewer: Viewer, region: Region) -> None:
    page = viewer.page
    viewer.to("decide")
    windows = region.ask("plan")["windows"]
    site = max({w["site"] for w in windows}, key=lambda s: sum(w["site"] == s for w in windows))
    bars = page.locator(f"svg[data-site={site}] a")
    bars.first.wait_for()
    assert page.locator(f"svg[data-site={site}] a[tabindex='0']").count() == 1
    bars.first.focus()
    page.keyboard.press("End")
    job = bars.last.get_attribute("data-job") or ""
    assert page.evaluate("document.activeElement.dataset.job") == job
    assert job in page.locator(".card").inner_text()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/#/jobs/{job}")


def test_a_what_if_goes_from_the_slider_to_the_scrubber(viewer: Viewer, region: Region) -> None:
    page = viewer.page
    viewer.to("decide/what-if")
    page.get_by_label("Carbon price").press("End")
    page.get_by_role("button", name="Add a site that is down").click()
    page.get_by_label("Site", exact=True).select_option("luliang")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("heading", name="Difference").wait_for(timeout=REPLAYED_MS)
    run = region.ask("what-if/" + page.url.rpartition("/")[2])
    assert run["change"]["carbon_price"] == 500 and run["change"]["down"][0]["site"] == "luliang"
    rows = dict(r.split("\t", 1) for r in page.locator("table.sums tbody tr").all_inner_texts())
    assert set(rows) == {"Cost", "Energy", "Carbon", "Mean wait", "Late jobs", "Succeeded"}
    by = run["changed"]["sums"]["fen"] - run["as_is"]["sums"]["fen"]
    words = f"{abs(by) / 100:,.2f} yuan {'more' if by > 0 else 'less'}" if by else "the same"
    assert words in rows["Cost"]
    assert "carbon at 500 yuan/t" in page.get_by_role("region", name="Asked before").inner_text()

    page.get_by_role("button", name="Look at it", exact=True).click()
    page.wait_for_url("**/#/net")
    ribbon = page.get_by_role("region", name="Replay")
    ribbon.get_by_text("carbon at 500 yuan/t").wait_for()
    ribbon.get_by_label("Time shown").press("End")
    page.get_by_role("link", name="Decide", exact=True).click()
    page.get_by_role("heading", name="The work by site").wait_for()
    ran = sum(0 < j["start_s"] < run["changed"]["end_s"] and j["site"] != "" for j in run["changed"]["jobs"])
    page.get_by_text(f"As a table ({ran})").wait_for()
    page.get_by_role("button", name="Back to now").click()
    page.get_by_role("heading", name="The plan by site").wait_for()


def test_the_morning_report_prints(viewer: Viewer, region: Region) -> None:
    page = viewer.page
    viewer.to("report")
    sums = page.get_by_role("region", name="What came of it")
    sums.wait_for(timeout=30_000)
    assert f"Submitted\n{region.ask('briefing?hours=12')['submitted']}\n" in sums.inner_text()
    assert page.get_by_role("region", name="Against running at once").get_by_text("modelled", exact=False).count() > 0
    assert len(page.locator("table.sites tbody tr").all()) == len(region.ask("sites"))
    page.evaluate("() => { window.print = () => { window.printed = true } }")
    page.get_by_role("button", name="Print").click()
    assert page.evaluate("window.printed") is True
    page.emulate_media(media="print")
    page.get_by_text("Made by Sanjin").wait_for()
    assert page.get_by_role("navigation").count() == 0 and page.get_by_role("button", name="Print").count() == 0
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
