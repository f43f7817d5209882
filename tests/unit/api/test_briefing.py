"""The morning report of a region with work of two tenants, against its own journals and bills."""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec
import pytest

from sanjin.model import event as ev
from sanjin.model.briefing import Briefing, Waiting
from sanjin.model.job import JobState
from sanjin.model.reason import Reason
from sanjin.model.units import HOUR_S, SLOT_S
from sanjin.report.briefing import _since, briefing
from sanjin.report.briefing_page import html, markdown
from tests.unit.api.conftest import THEIR_SITE, AccessWorld


@pytest.fixture(scope="module")
def found(access: AccessWorld) -> Briefing:
    answer = access.http("operator").get("/v1/briefing", params={"hours": 1, "ahead": 24})
    assert answer.status_code == 200
    return msgspec.json.decode(answer.content, type=Briefing)


def test_it_adds_up_to_what_the_journals_and_bills_say(access: AccessWorld, found: Briefing) -> None:
    entries = [e for n in access.live.nodes.values() for e in n.parts.store.journal(limit=50_000)]
    events = [ev.decode(e.kind, e.body) for e in entries if e.at_s <= found.at_s]
    settled = [e for e in events if isinstance(e, ev.Settled)]
    assert found.fen == sum(e.fen for e in settled) == sum(s.fen for s in found.sites)
    assert found.kwh == pytest.approx(sum(e.facility_mwh for e in settled) / 1e6)
    assert found.submitted == sum(isinstance(e, ev.Submitted) for e in events)
    assert found.succeeded >= 3 and found.audit_ok
    assert found.compared >= 3  # runs of a second: what they came to at home may round to nothing
    there = {s.site: s for s in found.sites}
    assert there[THEIR_SITE].planned_core_h > 0  # a long job runs there
    assert all(s.reachable and 0 <= s.use <= 1 for s in found.sites)
    assert found.away_jobs >= 2  # sent to a site other than where they were submitted


def test_the_cheapest_hour_of_a_site_is_cheapest(access: AccessWorld, found: Briefing) -> None:
    book = access.live.nodes[access.live.root].parts.book
    assert {site for site, _, _ in found.cheapest} == set(access.live.region.nodes)
    assert [y for _, _, y in found.cheapest] == sorted(y for _, _, y in found.cheapest)
    sites = list(access.live.region.nodes)
    for site, begin, yuan in found.cheapest:
        assert begin % HOUR_S == 0 and found.at_s <= begin <= found.until_s - HOUR_S
        block = book.at(found.at_s // SLOT_S)
        row = block.facility_micro[sites.index(site)] / 1e6
        first = begin // SLOT_S - block.first_slot
        assert yuan == pytest.approx(row[first : first + 4].mean())
        ahead = row[-(-found.at_s // HOUR_S) * 4 - block.first_slot :]
        hours = ahead[: (found.until_s // HOUR_S - -(-found.at_s // HOUR_S)) * 4].reshape(-1, 4).mean(axis=1)
        assert yuan == pytest.approx(hours.min())


def test_time_before_is_left_out(access: AccessWorld) -> None:
    store = access.live.nodes[THEIR_SITE].parts.store
    whole = store.journal(limit=50_000)
    for at_s in {0, whole[0].at_s, whole[len(whole) // 2].at_s, whole[-1].at_s, whole[-1].at_s + 1}:
        assert [e.seq for e in _since(store, at_s)][: len(whole)] == [e.seq for e in whole if e.at_s >= at_s]
    none = briefing(access.live, 0.0, 1.0)
    assert (none.submitted, none.compared, none.fen) == (0, 0, 0)


def test_what_is_wrong_stands_first(found: Briefing) -> None:
    first, second, *rest = found.sites
    sites = (replace(first, fault="disk | full"), replace(second, reachable=False), *rest)
    names = {s.site: s.site.title() for s in found.sites}
    text = markdown(replace(found, audit_ok=False, late=3, sites=sites), "Shanxi 山西", names, str)
    said = text[: text.index("## What was done")]
    assert "disk \\| full" in said and "audit verify" in said and "3 jobs missed" in said
    assert f"{names[second.site]} does not answer" in said
    calm = markdown(replace(found, failed=0, late=0), "Shanxi 山西", names, str)
    assert "Nothing does." in calm[: calm.index("## What was done")]


def test_it_is_written_in_both_languages_for_people(found: Briefing) -> None:
    names = {s.site: f"<{s.site}>" for s in found.sites}
    waits = tuple(replace_reason(found, reason) for reason in (Reason.QUOTA, Reason.CAPACITY))
    more = replace(found, waiting=waits)
    text, page = (write(more, "Shanxi 山西", names, lambda s: f"t{s}") for write in (markdown, html))
    for each in (text, page):
        assert "quota" in each and "配额" in each and "实测" in each and "modelled" in each and "estimated" in each
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables) and any("---:" in line for line in tables)
    assert "\\<datong\\>" in text and "<datong>" not in page and "&lt;datong&gt;" in page
    assert page.startswith("<!doctype html>") and page.count("<svg") == 2
    assert re.search(r"(src|href)=.?https?:", page.replace("xlink:href", "")) is None


def replace_reason(found: Briefing, reason: Reason) -> Waiting:


    return Waiting(reason=reason, jobs=2, oldest_s=found.from_s)


def test_the_timeline_lived_is_what_was_there_in_that_time(access: AccessWorld) -> None:
    now = access.live.clock.now()
    http = access.http("operator")
    whole = http.get("/v1/timeline").json()
    assert whole["sums"]["jobs"] == len(whole["jobs"]) >= 5 and whole["cut"] == 0
    times = [(j["submitted_s"], j["job"]) for j in whole["jobs"]]
    assert times == sorted(times)
    first = whole["jobs"][0]
    before = http.get("/v1/timeline", params={"from_s": 0, "until_s": first["submitted_s"]}).json()
    assert before["jobs"] == [] and before["sums"]["jobs"] == 0
    later = http.get("/v1/timeline", params={"from_s": now + 10, "until_s": now + 20}).json()
    assert {j["state"] for j in later["jobs"]} & {JobState.SUCCEEDED} == set()
    assert access.theirs_running in {j["job"] for j in later["jobs"]}
    some = http.get("/v1/timeline", params={"limit": 2}).json()
    assert some["jobs"] == whole["jobs"][:2] and some["cut"] == whole["sums"]["jobs"] - 2
    own = access.http("owner").get("/v1/timeline").json()
    assert {j["tenant"] for j in own["jobs"]} == {"shanxi-univ"} and own["sums"]["jobs"] == len(own["jobs"])
