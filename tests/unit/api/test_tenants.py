"""No sequence of requests by a user of one tenant shows a byte of another tenant's jobs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sanjin.adapters.decision_log import DecisionLog
from sanjin.api.callers import Caller
from sanjin.api.guard import Guard, Lens
from sanjin.api.redact import record_of
from sanjin.api.rights import Rights
from sanjin.client import Client
from sanjin.model.access import Reach, Role, User
from sanjin.model.event import StopAsked, TransferEnded, encode
from sanjin.model.job import JobSpec, JobState, Submission
from sanjin.model.reason import Reason
from sanjin.model.struct import changed
from sanjin.ports import Entry
from tests.unit.api.conftest import MARKS, OUR_SITE, OURS, SHARED_KEY, THEIR_SITE, THEIRS, AccessWorld, user

JOBS = ("theirs", "theirs_running", "theirs_reserved", "ours", "nobody")
NODES = st.sampled_from(("", OUR_SITE, THEIR_SITE, "taiyuan"))
LEFT = ("/outputs", "/outputs/zq-output")
ABOUT_A_JOB = ("", "/events", "/explain", "/bill", "/logs", "/logs?stream=stderr&follow=false", *LEFT)
SORTED = ("/jobs?order=cost&count=true", "/jobs?order=name&search=zq-name&count=true")
LISTS = ("/jobs", *SORTED, "/plan", "/bills", "/envelopes", "/run-times")
REQUESTS = st.one_of(
    st.tuples(st.just("job"), st.sampled_from(JOBS), st.sampled_from(ABOUT_A_JOB)),
    st.tuples(st.just("cancel"), st.sampled_from(JOBS[:3] + JOBS[4:]), st.just("")),
    st.tuples(st.just("list"), NODES, st.sampled_from((*JOBS, "", "site"))),
    st.tuples(st.just("tenant"), st.sampled_from((OURS, THEIRS, "")), st.sampled_from(LISTS)),
    st.tuples(st.just("journal"), NODES, st.integers(0, 60)),
    st.tuples(st.just("send"), st.sampled_from(("/jobs", "/dry-run")), st.sampled_from((*JOBS[:3], "tenant", "key"))),
    st.tuples(st.just("see"), st.sampled_from(("/sites", "/region", "/audit", "/health")), st.just("")),
)


def ask(access: AccessWorld, http: httpx.Client, request: tuple[str, str, object]) -> tuple[httpx.Response, str]:
    """(answer, the job id that was named and may come back)."""
    kind, what, more = request
    name = str(getattr(access, what, "taiyuan-99999"))
    if kind == "job":
        return http.get(f"/v1/jobs/{name}{more}"), name
    if kind == "cancel":
        return http.post(f"/v1/jobs/{name}/cancel"), name
    if kind == "list":
        named = str(getattr(access, str(more), ""))
        after = f"{THEIR_SITE}:{named}" if more == "site" else named
        return http.get("/v1/jobs", params={"node": what, "after": after, "limit": 1000}), named
    if kind == "tenant":
        return http.get(f"/v1{more}{'&' if '?' in str(more) else '?'}tenant={what}"), ""
    if kind == "journal":
        return http.get("/v1/journal", params={"node": what, "after": str(more)}), ""
    if kind == "send":
        spec = {"name": "probe", "command": ["true"], "site": THEIR_SITE}
        if more == "tenant":
            spec["tenant"] = THEIRS
        elif more != "key":
            spec["reservation"] = str(getattr(access, str(more)))
        key = SHARED_KEY if more == "key" else "probe"
        body = json.dumps({"key": key, "spec": {**spec, "deadline_s": 1, "deadline_firm": True}})
        return http.post(f"/v1{what}", content=body, params={"node": THEIR_SITE}), str(spec.get("reservation", ""))
    return http.get(f"/v1{what}"), ""


def shows(text: str, access: AccessWorld, named: str) -> list[str]:
    """What of THEIRS stands in a text; the id that was asked about may, once it is said that it is not there."""
    for said in (f"there is no job {named}", f"no reservation {named} at", f"没有预留 {named}"):
        text = text.replace(said, "")
    ids = [i for i in access.their_ids() if re.search(rf"(?<![\w-]){re.escape(i)}(?![\w.])", text)]
    return ids + [m for m in MARKS if m in text]


@given(st.lists(REQUESTS, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_no_sequence_of_requests_shows_another_tenants_work(
    access: AccessWorld, requests: list[tuple[str, str, object]]
) -> None:
    for request in requests:
        answer, named = ask(access, access.http("owner"), request)
        assert answer.status_code < 500
        assert shows(answer.text, access, named) == [], request
        if request[0] in ("job", "cancel") and request[1] != "ours":
            # as a job that does not exist, but for its name
            nobody, _ = ask(access, access.http("owner"), (request[0], "nobody", request[2]))
            assert answer.status_code == nobody.status_code == 404
            assert answer.text.replace(named, "?") == nobody.text.replace("taiyuan-99999", "?")
            assert {k: v for k, v in answer.headers.items() if k not in ("date", "content-length")} == {
                k: v for k, v in nobody.headers.items() if k not in ("date", "content-length")
            }
        if request[0] == "list" and request[2] in JOBS[:3]:
            # nor is it a place in the list to go on from
            node = str(getattr(access, str(request[2]))).rpartition("-")[0]
            assert not [j for j in answer.json()["jobs"] if j["id"].startswith(f"{node}-")]
    with Client(access.url, access.tokens["operator"]) as client:
        assert client.job(access.theirs_running).state is JobState.RUNNING


def _stream(http: httpx.Client, last: str, until: str) -> Iterator[str]:
    with http.stream("GET", "/v1/events", headers={"Last-Event-ID": last}) as answer:
        for line in answer.iter_lines():
            yield line
            if until in line and "job.settled" in line:
                return


def test_the_stream_shows_what_the_reader_may_read(access: AccessWorld) -> None:
    with access.http("operator").stream("GET", "/v1/events") as answer:
        first = next(answer.iter_lines()).removeprefix("id: ").rpartition("-")[0] + "-0"
    with Client(access.url, access.tokens["owner"]) as client:
        spec = JobSpec(name="seen", command=("echo", "seen"), site=OUR_SITE)
        name = client.submit([Submission(key="seen", spec=spec)])[0]
        assert client.wait([name], timeout_s=30)[0].spec.tenant == OURS
    ours = "\n".join(_stream(access.http("owner"), first, name))
    assert shows(ours, access, "") == [] and access.ours in ours and '"seen"' in ours
    whole = "\n".join(_stream(access.http("operator"), first, name))
    assert set(shows(whole, access, "")) >= {access.theirs, "zq-name", "zq-environment"}
    site = "\n".join(_stream(access.http("site_operator"), first, name))
    assert shows(site, access, "") == [] and name in site and "our-secret" not in site
    audited = "\n".join(_stream(access.http("auditor"), first, name))
    assert access.theirs in audited and "zq-environment" not in audited and "zq-argument" not in audited


def test_a_submission_is_for_the_callers_tenant_or_refused_with_the_reason(access: AccessWorld) -> None:
    http = access.http("owner")
    spec = {"name": "x", "command": ["true"], "site": "xinzhou"}

    def send(*tenants: str | None) -> httpx.Response:
        lines = [
            json.dumps({"key": f"t-{i}-{t}", "spec": spec if t is None else {**spec, "tenant": t}})
            for i, t in enumerate(tenants)
        ]
        kind = "application/x-ndjson" if len(lines) > 1 else "application/json"
        return http.post("/v1/jobs", content="\n".join(lines), headers={"Content-Type": kind})

    made = send(None).json()["jobs"] + send(None, OURS, None).json()["jobs"]
    assert {http.get(f"/v1/jobs/{j}").json()["spec"]["tenant"] for j in made} == {OURS}
    refused = send(THEIRS)
    assert (refused.status_code, refused.json()["code"]) == (403, "other_tenant")
    assert refused.json()["errors"][0]["path"] == "spec.tenant"
    assert THEIRS in refused.json()["errors"][0]["what"] and OURS in refused.json()["errors"][0]["what_zh"]
    several = send(OURS, THEIRS, None, "public", "made-up")
    assert [e["path"] for e in several.json()["errors"]] == [f"jobs[{i}].spec.tenant" for i in (1, 3, 4)]
    with Client(access.url, access.tokens["owner"]) as client:  # a plain JobSpec says nothing of a tenant
        name = client.submit([JobSpec(name="plain", command=("true",), site="xinzhou")])[0]
        assert client.job(name).spec.tenant == OURS
        assert client.dry_run([JobSpec(name="plain", command=("true",))])[0].options


def _lens(access: AccessWorld, who: User, reach: Reach, datasets: tuple[str, ...] = ()) -> Lens:
    rights = Rights(DecisionLog(None))
    return Lens(access.live, rights, Caller(who, lambda: True), reach, frozenset(datasets))


def test_for_whom_work_made_room_is_not_said_across_tenants(access: AccessWorld) -> None:
    owner, _ = user("o", Role.OWNER, tenant=OURS)
    event = StopAsked(job=access.ours, reason=Reason.MADE_ROOM, room_for=access.theirs)
    entry = Entry(seq=1, at_s=1, kind=event.kind, job=access.ours, body=encode(event), hash=b"")
    seen = _lens(access, owner, Reach(tenant=OURS)).entry(OUR_SITE, entry)
    assert seen is not None and access.theirs.encode() not in seen.body
    auditor, _ = user("a", Role.AUDITOR)
    whole = _lens(access, auditor, Reach(everything=True)).entry(OUR_SITE, entry)
    assert whole is not None and access.theirs.encode() in whole.body
    record = access.live.job(access.ours)
    assert record is not None
    guard = Guard(access.live, Rights(DecisionLog(None)))
    made_room = changed(record, room_for=access.theirs)
    assert guard.shown(Caller(owner, lambda: True), made_room).room_for == ""
    assert guard.shown(Caller(owner, lambda: True), changed(record, room_for=access.ours)).room_for == access.ours
    assert record_of(made_room, private=True, room_for=True) is made_room


def test_a_data_provider_sees_where_the_own_data_go_and_not_for_whom(access: AccessWorld) -> None:
    provider, _ = user("p", Role.DATA_PROVIDER, datasets=("parcels-2026",))
    lens = _lens(access, provider, Reach(), ("parcels-2026",))
    for dataset, there in (("parcels-2026", True), ("another", False)):
        event = TransferEnded(job=access.theirs, dataset=dataset, copied_bytes=7, sha256="0", fault="")
        entry = Entry(seq=1, at_s=1, kind=event.kind, job=access.theirs, body=encode(event), hash=b"")
        seen = lens.entry(OUR_SITE, entry)
        assert (seen is not None) == there
        if seen:
            assert seen.job == "" and access.theirs.encode() not in seen.body and b"parcels-2026" in seen.body
