"""One-stop matching in a browser: a job from the first click to its bill, what is wrong with one, and very many."""

from __future__ import annotations

import json
import re
from pathlib import Path

from sanjin.client import Client
from sanjin.model.job import JobSpec, Submission
from tests.browser.conftest import Viewer, sync_api
from tests.live import Region

MANY = 650
COMMAND = """sh -c 'echo "the sum is 45"; printf 45 > "$SANJIN_OUTPUTS/sum.txt"'"""


def numbers(texts: list[str]) -> list[float]:
    return [float(re.findall(r"[\d,]+\.\d+", text)[0].replace(",", "")) for text in texts]


def fill(page: sync_api.Page, **fields: str) -> None:
    for name, value in fields.items():
        page.locator(f"#f-{name}").fill(value)


def lose_first_answer(page: sync_api.Page, keys: list[str]) -> None:
    """The node accepts what is sent, and the line is lost before it can say so, once; ``keys`` is what was sent."""

    def handle(route: sync_api.Route) -> None:
        if route.request.method == "POST":
            keys.append(json.loads(route.request.post_data or "")["key"])
            if len(keys) == 1:
                route.fetch()
                route.abort()
                return
        route.continue_()

    page.route("**/v1/jobs", handle)


def test_from_the_first_click_to_the_bill(viewer: Viewer, region: Region, tmp_path: Path) -> None:
    page, keys = viewer.page, list[str]()
    page.get_by_role("link", name="Match", exact=True).click()
    page.get_by_role("link", name="New job").click()
    fill(page, name="sums", command=COMMAND, cores="64", memory_gib="1")
    fill(page, delay_price_yuan="5", budget_yuan="4")
    page.locator("#f-inputs").get_by_label("Vibration of factory machines").check()

    options = page.locator("fieldset tbody tr")
    page.get_by_text("dearer than the job's budget").wait_for()  # moving its input there is
    assert 2 <= options.count() < 11
    reckoned = numbers(options.locator("td:nth-of-type(2)").all_inner_texts())
    assert reckoned == sorted(reckoned)
    assert options.first.get_by_role("radio").is_checked()

    lose_first_answer(page, keys)
    page.get_by_role("button", name="Send").click()
    page.get_by_text("The node did not answer").wait_for()
    page.unroute_all()
    lose_first_answer(page, keys)
    page.get_by_label("Cores").press("End")
    page.locator("#f-cores").fill("65")  # and as it was before: that is the same job
    page.locator("#f-cores").fill("64")
    options.get_by_text("best").wait_for()
    page.get_by_role("button", name="Send").click()
    page.wait_for_url("**/#/jobs/*")
    assert len(keys) == 2 and keys[0] == keys[1], "what is sent again has the key of before"
    assert len([j for j in region.ask("jobs?search=sums&offset=0")["jobs"] if j["key"] == keys[0]]) == 1

    job = page.url.rpartition("/")[2]
    page.get_by_role("heading", name="sums", exact=True).wait_for()
    page.get_by_role("heading", name="Bill").wait_for(timeout=60_000)
    page.get_by_role("status").get_by_text("succeeded").wait_for()
    page.get_by_role("log").get_by_text("the sum is 45").wait_for()
    bill = region.ask(f"jobs/{job}/bill")
    page.get_by_text(f"{bill['fen'] / 100:.2f} yuan").first.wait_for()
    assert page.get_by_text("adds up").count() == 1
    for event in ("submitted", "placed", "started", "settled"):
        assert page.get_by_role("cell", name=re.compile(f"^{event}")).count() >= 1, event
    page.get_by_text("Its life in words").click()
    assert page.get_by_text(re.compile("^Ran at ")).count() == 1
    with page.expect_download() as taken:
        page.get_by_role("button", name="Download sum.txt").click()
    taken.value.save_as(tmp_path / "sum.txt")
    assert (tmp_path / "sum.txt").read_text() == "45"
    viewer.faults = [f for f in viewer.faults if "ERR_FAILED" not in f]  # the line that the test cut


def test_what_is_wrong_is_said_all_at_once_and_where_it_is(viewer: Viewer, tmp_path: Path) -> None:
    page = viewer.page
    viewer.to("match/new")
    fill(page, name="x", command="echo 'open", cores="0", budget_yuan="some")
    page.get_by_text("More", exact=True).click()
    fill(page, nodes="2", members="3")
    summary = page.locator("[aria-live=polite]")
    summary.get_by_text("4 things to put right").wait_for()
    for field, text in (
        ("command", "not closed"), ("cores", "below 1"), ("budget_yuan", "no number"), ("members", "gang"),
    ):  # fmt: skip
        assert text in page.locator(f"#p-{field}").inner_text(), field
        assert text in summary.inner_text()
    summary.get_by_role("button", name="Cores").click()
    page.locator("#f-cores:focus").wait_for()
    assert page.get_by_role("button", name="Send").count() == 0

    file = tmp_path / "jobs.ndjson"
    good = {"key": "a", "spec": {"name": "a", "command": ["true"]}}
    file.write_text("\n\n".join((json.dumps(good), '{"key": "b", "spec": {"name": "", "command": []}}', "no json")))
    page.get_by_role("button", name="By file").click()
    page.locator("#file").set_input_files(file)
    page.get_by_text("3 things to put right").wait_for()
    listed = page.locator("[aria-live=polite] li:visible").all_inner_texts()
    assert [line.split(":")[0] for line in listed] == ["line 3", "line 3", "line 5"]
    assert page.get_by_role("button", name="Send all").is_disabled()
    viewer.faults = [f for f in viewer.faults if "422" not in f]  # the browser itself says so of a refused request


def test_very_many_jobs_are_a_few_rows_at_a_time(viewer: Viewer, region: Region) -> None:
    page = viewer.page
    with Client.here(region.state) as client:
        later = client.region().now_s + 5 * 86_400
        specs = [JobSpec(name=f"row-{n:04}", command=("true",), earliest_start_s=later) for n in range(MANY)]
        client.submit([Submission(key=f"row-{n}", spec=spec) for n, spec in enumerate(specs)])
    viewer.to("match")
    page.get_by_label("Find by").fill("row-")
    page.get_by_text(f"{MANY} jobs match").wait_for()
    grid, rows = page.get_by_role("grid", name="Jobs"), page.locator("[data-row]")
    assert grid.get_attribute("aria-rowcount") == str(MANY + 1)
    page.get_by_role("button", name="Job").click()
    page.locator("[role=columnheader][aria-sort=ascending]").wait_for()
    page.get_by_role("link", name="row-0000").focus()
    for key, name in (("ArrowDown", 1), ("End", MANY - 1), ("ArrowUp", MANY - 2), ("Home", 0), ("PageDown", None)):
        page.keyboard.press(key)
        if name is not None:
            sync_api.expect(page.locator("[data-row] a:focus")).to_have_text(f"row-{name:04}")
        assert 5 < rows.count() < 60
    for at in (0.37, 0.9, 0.12):  # wherever one scrolls to, the row there is the row there
        page.locator(".box").evaluate(f"box => box.scrollTop = Math.round({at} * box.scrollHeight)")
        index = round(at * MANY) + 2
        page.get_by_role("link", name=f"row-{index:04}").wait_for()
        assert page.locator(f"[data-row='{index}'] a").inner_text() == f"row-{index:04}"
    page.get_by_label("Find by").fill("row-0333")
    page.get_by_text("1 jobs match").wait_for()
    page.get_by_role("link", name="row-0333").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="row-0333").wait_for()
    page.get_by_role("button", name="Cancel job").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    page.get_by_role("status").get_by_text("cancelled").wait_for()
