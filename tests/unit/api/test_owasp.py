"""OWASP API Security Top 10 (2023), each that applies; API7 and API10 do not: the API fetches nothing from anywhere.

API1, reading another tenant's objects, has a law of its own in test_tenants.py as well.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from starlette.types import Receive, Scope, Send

from sanjin.adapters.decision_log import FILE_BYTES, REFUSALS_A_SECOND, DecisionLog
from sanjin.adapters.users import UserFile, new_token
from sanjin.api.access import OPEN, Access
from sanjin.api.app import describe
from sanjin.api.bodies import JOBS_MAX, NDJSON
from sanjin.api.callers import Callers
from sanjin.api.rights import Rights
from sanjin.model.access import BOOTSTRAP, Action, Role, User
from sanjin.model.errors import NotAllowed, NoToken
from sanjin.tree.node import Node
from tests.unit.api.conftest import OURS, THEIRS, AccessWorld, user
from tests.unit.api.test_fuzz import CHECKS
from tests.unit.api.test_tenants import shows

ROUTES = [(m.upper(), p) for p, methods in describe("test")["paths"].items() for m in methods]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(("method", "path"), [r for r in ROUTES if "{job}" in r[1]])
def test_api1_broken_object_level_authorization(access: AccessWorld, method: str, path: str) -> None:
    for job in access.their_ids():
        theirs, nobody = (
            access.http("owner").request(method, path.format(job=name, name="x")) for name in (job, "linfen-999999")
        )
        assert theirs.status_code == nobody.status_code == 404
        assert theirs.text.replace(job, "") == nobody.text.replace("linfen-999999", "")


def test_api1_another_tenants_job_is_no_place_in_a_list(access: AccessWorld) -> None:
    http = access.http("owner")
    for theirs in access.their_ids():
        node = theirs.rpartition("-")[0]
        for after in (theirs, f"{node}-999999"):
            page = http.get("/v1/jobs", params={"node": node, "after": after, "limit": 1000}).json()
            assert page == {"jobs": [], "next": "", "count": -1}
    mine = http.get("/v1/jobs", params={"node": "taiyuan", "after": access.ours_elsewhere}).json()["jobs"]
    assert access.ours in [j["id"] for j in mine]


def test_api1_a_wrong_line_is_no_way_to_ask_about_another_tenants_reservation(access: AccessWorld) -> None:
    spec = {"name": "x", "command": ["true"], "tenant": THEIRS}
    said = set()
    for name in (access.theirs_reserved, "linfen-999999"):
        lines = ["not json", json.dumps({"key": "k", "spec": {**spec, "reservation": name}})]
        for path in ("/v1/jobs", "/v1/dry-run"):
            answer = access.http("owner").post(
                path, params={"node": "linfen"}, content="\n".join(lines), headers={"Content-Type": NDJSON}
            )
            said.add(json.dumps([e for e in answer.json()["errors"] if e["line"] == 2]))
    assert len(said) == 1 and "other_tenant" in said.pop()


def test_api2_broken_authentication(access: AccessWorld) -> None:
    good = access.tokens["owner"]
    head, _, secret = good.rpartition("_")[0], "", good.split("_", 2)[2]
    other = access.tokens["their_owner"].split("_", 2)
    forged = [
        "",
        good[:-1],
        good + "x",
        good.upper(),
        secret,
        f"sj_{other[1]}_{secret}",
        f"sj_{'0' * 12}_{secret}",
        f"{head}_" + "\u00e9" * 43,
        access.tokens["expired"],
        access.tokens["revoked"],
        new_token("0" * 12)[0],
    ]
    said = set()
    for token in forged:
        header = f"Bearer {token}".strip().encode("latin-1")
        answer = httpx.get(access.url + "/v1/jobs", headers=[(b"authorization", header)])
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        said.add(answer.text)
    assert len(said) == 1, "which of them it was is nobody's business"
    assert httpx.get(f"{access.url}/v1/jobs?token={good}").status_code == 401


def test_api2_revoking_and_granting_reach_a_region_that_is_up(access: AccessWorld) -> None:
    made, token = user("short", Role.OWNER, tenant=OURS)
    file = UserFile(access.state)
    headers = bearer(token)
    file.change(lambda users: (*users, made))
    until = time.monotonic() + 3
    while httpx.get(access.url + "/v1/jobs", headers=headers).status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.1)
    with httpx.stream("GET", access.url + "/v1/events", headers=headers, timeout=20) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("id: ")
        file.change(lambda users: tuple(u for u in users if u.id != made.id))
        while httpx.get(access.url + "/v1/jobs", headers=headers).status_code != 401:
            assert time.monotonic() < until + 3
            time.sleep(0.1)
        # the open stream ends with the right to it, at the next news at the latest
        spec = {"name": "news", "command": ["true"], "site": "xinzhou"}
        body = json.dumps({"key": str(uuid.uuid4()), "spec": spec})
        assert access.http("owner").post("/v1/jobs", content=body).status_code == 201
        assert len(list(lines)) < 50


def test_api2_a_file_of_users_that_others_can_read_lets_nobody_in(tmp_path: Path) -> None:
    made, token = user("one", Role.AUDITOR)
    file = UserFile(tmp_path)
    file.change(lambda _: (made,))
    callers = Callers("operator", file, DecisionLog(None))
    assert callers.find(f"Bearer {token}".encode()).user == made
    file.path.chmod(0o640)
    late = Callers("operator", file, DecisionLog(None))
    with pytest.raises(NoToken):
        late.find(f"Bearer {token}".encode())
    assert late.find(b"Bearer operator").user == BOOTSTRAP
    with pytest.raises(NotAllowed):
        file.change(lambda users: users)
    file.path.write_text("[{}]")
    file.path.chmod(0o600)
    with pytest.raises(NoToken):
        Callers("operator", file, DecisionLog(None)).find(f"Bearer {token}".encode())


def test_api3_broken_object_property_level_authorization(access: AccessWorld) -> None:
    spec = {"name": "x", "command": ["true"]}
    for more in ({"state": "succeeded"}, {"fen": 0}, {"owned": True}, {"came_from": "x"}):
        for body in ({"key": "m", "spec": {**spec, **more}}, {"key": "m", "spec": spec, **more}):
            answer = access.http("owner").post("/v1/jobs", content=json.dumps(body))
            assert answer.json()["errors"][0]["code"] == "unknown_field"
    for path in ("", "/events", "/explain"):  # and what a reader may not know of a job is not in it
        text = access.http("auditor").get(f"/v1/jobs/{access.theirs}{path}").text
        assert not any(mark in text for mark in ("zq-key", "zq-argument", "zq-environment", "zq-output"))


def test_api4_unrestricted_resource_consumption(access: AccessWorld, tmp_path: Path) -> None:
    http = access.http("owner")
    line = json.dumps({"key": "k", "spec": {"name": "x", "command": ["true"], "tenant": "made-up"}})
    many = "\n".join([line] * (JOBS_MAX + 1))
    assert http.post("/v1/jobs", content=many, headers={"Content-Type": NDJSON}).status_code == 422
    before = len(access.log())
    made_up = "\n".join(line.replace("made-up", f"made-up-{i}") for i in range(500))
    answer = http.post("/v1/jobs", content=made_up, headers={"Content-Type": NDJSON})
    assert (answer.status_code, len(answer.json()["errors"])) == (403, 500)
    assert len(access.log()) - before <= 2, "made-up names fill neither the log nor what is remembered"
    assert http.get("/v1/jobs", params={"limit": 1001}).status_code == 422
    assert http.get("/v1/journal", params={"limit": 5001}).status_code == 422
    log = DecisionLog(tmp_path)
    for _ in range(500):
        log.refused("", "not a token")
    log.close()
    lines = (tmp_path / "decisions.jsonl").read_text().splitlines()
    assert len(lines) <= 3 * REFUSALS_A_SECOND and FILE_BYTES <= 1 << 24


@pytest.mark.parametrize(("method", "path"), [r for r in ROUTES if r[1] not in OPEN])
def test_api5_broken_function_level_authorization(access: AccessWorld, method: str, path: str) -> None:
    nobody, token = user("nobody", Role.OWNER)  # an owner of no tenant: nothing but the region itself
    body = json.dumps({"key": "k", "spec": {"name": "x", "command": ["true"]}})
    access.know(nobody)
    some = path.format(job=access.ours, node="taiyuan", site="datong", path="0/000", name="left", id="1")
    where = access.url + some + "?kind=generation&site=datong" * (path == "/v1/forecast")
    answer = httpx.request(method, where, content=body if method == "POST" else None, headers=bearer(token))
    everybodys = {"/v1/region", "/v1/sites", "/v1/links", "/v1/me", "/v1/resources", "/v1/plan", "/v1/forecast"}
    assert answer.status_code == (200 if path in everybodys else 404 if "{job}" in path else 403)


def test_api5_an_answer_for_which_nobody_asked_is_withheld(caplog: pytest.LogCaptureFixture) -> None:
    async def forgetful(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"secret"})

    app = Access(forgetful, Callers("t", None, DecisionLog(None)))
    transport = httpx.ASGITransport(app=app)

    async def call() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.get("/v1/forgotten", headers=bearer("t"))

    with caplog.at_level(logging.ERROR, "sanjin.access"):
        answer = asyncio.run(call())
    assert answer.status_code == 403 and "secret" not in answer.text
    assert "asks nobody" in caplog.text


def test_api6_unrestricted_access_to_sensitive_business_flows(access: AccessWorld) -> None:
    """Reserving and submitting spend a tenant's quota and budget: only its own people and the operator may."""
    spec = {"name": "x", "command": [], "reserves": True, "site": "linfen", "duration_s": 900, "tenant": THEIRS}
    for who in ("owner", "site_operator", "planner", "auditor", "data_provider"):
        answer = access.http(who).post("/v1/jobs?node=linfen", content=json.dumps({"key": "r", "spec": spec}))
        assert answer.status_code == 403
    inside = {"name": "x", "command": ["true"], "reservation": access.theirs_reserved}
    for who in ("owner", "planner"):
        answer = access.http(who).post("/v1/dry-run?node=linfen", content=json.dumps({"key": "r", "spec": inside}))
        assert answer.json()["errors"][0]["code"] == "unknown_reservation"


def test_api8_security_misconfiguration(access: AccessWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("users.json", "decisions.jsonl"):
        assert access.state.joinpath(name).stat().st_mode & 0o077 == 0
    http = access.http("operator")
    for path in ("/docs", "/redoc", "/v1/users.json", "/v1/../users.json", "/users.json", "/assets/../users.json"):
        assert http.get(path).status_code == 404
    for path in ("/", "/icon.svg", "/assets/x.js"):  # pages need no token, and answer to no other name either
        assert httpx.get(access.url + path, headers={"Host": "evil.example"}).status_code == 403
    answer = http.get("/v1/jobs", headers={"Host": "evil.example", "X-Forwarded-Host": "localhost"})
    assert answer.status_code == 403
    answer = http.options("/v1/jobs", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers and "server" not in answer.headers
    with monkeypatch.context() as m:
        # a fault that no turn clears meanwhile
        m.setattr(Node, "fault", property(lambda _: "/secret/path: cannot write", lambda *_: None), raising=False)
        assert "/secret" not in httpx.get(access.url + "/v1/health").text
        assert "/secret" not in access.http("owner").get("/v1/sites").text
        assert "/secret" in access.http("auditor").get("/v1/sites").text
    host, _, port = access.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as raw:  # there is no websocket to come in by
        head = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
        raw.sendall(f"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode())
        assert b" 101 " not in raw.recv(100)


def test_api9_improper_inventory_management(access: AccessWorld) -> None:
    """Every path that is served is described, and every one of them wants a token but the one that says so."""

    def served(routes: list[object]) -> set[str]:
        found: set[str] = set()
        for each in routes:
            inside = getattr(each, "original_router", None)
            found |= served(inside.routes) if inside else {each.path.replace(":path}", "}")}  # type: ignore[attr-defined]
        return found

    there = {p.removeprefix("/v1") for _, p in ROUTES} | {"/openapi.json"}
    assert served(access.app.app.routes) == there  # type: ignore[attr-defined]
    for method, path in ROUTES:
        some = path.format(job="x", node="taiyuan", site="datong", path="0/000", name="x", id="x")
        answer = httpx.request(method, access.url + some)
        assert answer.status_code == (200 if path in OPEN else 401)


def test_the_log_has_every_decision_and_no_secret(access: AccessWorld) -> None:
    http = access.http("owner")
    time.sleep(1.0)  # other tests' callers without a token have had their ten lines of this second
    before = len(access.log())
    body = json.dumps({"key": "logged", "spec": {"name": "own-logged", "command": ["true", "own-argument"]}})
    made = http.post("/v1/jobs", content=body).json()["jobs"][0]
    http.get(f"/v1/jobs/{access.theirs}")
    http.get(f"/v1/jobs/{access.ours}/logs")
    http.get("/v1/jobs")
    acting = {"name": "x", "command": ["true"], "site": "xinzhou", "tenant": THEIRS}
    access.http("operator").post("/v1/jobs", content=json.dumps({"key": "for-them", "spec": acting}))
    httpx.get(access.url + "/v1/jobs", headers=bearer(access.tokens["revoked"]))
    new = access.log()[before:]
    told = [(e["action"], e["resource"], e["allow"], e.get("policy")) for e in new if e.get("name") == "owner"]
    own = "owners-handle-their-tenants-work"
    assert told == [
        ("submit", "Job:new", True, own),
        ("submitted", f"Job:{made}", True, None),
        ("read_job", f"Job:{access.theirs}", False, ""),
        ("read_job", f"Job:{access.ours}", True, own),
        ("read_logs", f"Log:{access.ours}", True, own),
        ("list_jobs", "Job:*", True, ""),
    ]
    assert ("bootstrap", "submit", THEIRS) in [(e["user"], e["action"], e.get("tenant")) for e in new]
    refused = new[-1]
    assert (refused["action"], refused["allow"], refused["why"]) == ("authenticate", False, "revoked")
    text = "\n".join(p.read_text() for p in access.state.glob("decisions.jsonl*"))
    text += access.state.joinpath("users.json").read_text()
    for token in access.tokens.values():
        assert token not in text and token.split("_", 2)[-1] not in text
    assert not any(mark in text for mark in ("zq-argument", "own-argument", "own-logged", "our-secret"))
    assert all({"at", "user", "action", "allow"} <= e.keys() for e in new)


def test_the_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sanjin.adapters.decision_log.FILE_BYTES", 2000)
    log = DecisionLog(tmp_path)
    rights = Rights(log)
    who = User(id="1", name="n\n{forged}", roles=(Role.AUDITOR,))
    for number in range(500):
        rights.ask(who, Action.READ_JOB, what=f'"\n{number}')
    log.close()
    files = list(tmp_path.iterdir())
    assert len(files) == 8 and all(f.stat().st_size <= 2000 and f.stat().st_mode & 0o077 == 0 for f in files)
    assert all(json.loads(line)["user"] == "1" for f in files for line in f.read_text().splitlines())


@pytest.fixture(scope="module")
def described(access: AccessWorld) -> Iterator[schemathesis.BaseSchema]:
    yield schemathesis.openapi.from_url(access.url + "/openapi.json", headers=bearer(access.tokens["owner"]))


@pytest.mark.parametrize("label", [f"{m} {p}" for m, p in ROUTES if p != "/v1/events"])
def test_a_fuzzer_with_little_privilege_finds_no_server_error_and_nothing_of_others(
    access: AccessWorld, described: schemathesis.BaseSchema, label: str
) -> None:
    method, _, path = label.partition(" ")

    @given(case=described[path][method].as_strategy())
    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def call(case: Case) -> None:
        answer = case.call_and_validate(headers=bearer(access.tokens["owner"]), checks=CHECKS)
        assert shows(answer.text, access, "") == []

    call()
