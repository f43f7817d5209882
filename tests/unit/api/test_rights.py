"""Role x action, written out by hand: what the policies allow, and what the API answers."""

from __future__ import annotations

import json
import uuid
from importlib.resources import files

import cedarpy
import pytest

from sanjin.adapters.decision_log import DecisionLog
from sanjin.api.rights import NOBODYS, About, Rights, ask_cedar
from sanjin.model.access import BOOTSTRAP, Action, Reach, Role, User
from tests.unit.api.conftest import OUR_SITE, OURS, THEIRS, AccessWorld

WHO = {
    "op": User(id="1", name="op", roles=(Role.OPERATOR,)),
    "pl": User(id="2", name="pl", roles=(Role.PLANNER,)),
    "si": User(id="3", name="si", roles=(Role.SITE_OPERATOR,), sites=("datong", "xinzhou")),
    "ow": User(id="4", name="ow", roles=(Role.OWNER,), tenant="a"),
    "da": User(id="5", name="da", roles=(Role.DATA_PROVIDER,), datasets=("d",)),
    "au": User(id="6", name="au", roles=(Role.AUDITOR,)),
    "vi": User(id="8", name="vi", roles=(Role.VISITOR,), tenant="a", sites=("datong",), datasets=("d",)),
    "no": User(id="7", name="no", roles=(), tenant="a", sites=("datong",), datasets=("d",)),
}

OWN, AT, ELSE, SET, OTHER = (
    About(tenant="a", site="linfen"),
    About(tenant="b", site="datong"),
    About(tenant="b", site="linfen"),
    About(name="d"),
    About(name="e"),
)

# who is allowed (the others are not): of the owner's tenant at a foreign site | of another tenant at the site
# operator's site | of another tenant elsewhere | of nobody, that is of everybody
TABLE = {
    Action.READ_REGION: ("op pl si ow da au vi",) * 4,
    Action.READ_SITES: ("op pl si ow da au vi",) * 4,
    Action.WHAT_IF: ("op pl",) * 4,
    Action.DRILL: ("op",) * 4,
    Action.DRY_RUN: ("op pl ow", "op pl", "op pl", "op pl"),
    Action.SUBMIT: ("op ow", "op", "op", "op"),
    Action.RESERVE: ("op ow", "op", "op", "op"),
    Action.LIST_JOBS: ("op ow au", "op si au", "op au", "op au"),
    Action.READ_JOB: ("op ow au", "op si au", "op au", "op au"),
    Action.CANCEL_JOB: ("op ow", "op", "op", "op"),
    Action.READ_LOGS: ("op ow", "op", "op", "op"),
    Action.READ_BILL: ("op ow au", "op si au", "op au", "op au"),
    Action.READ_JOURNAL: ("op ow au", "op si au", "op au", "op au"),
    Action.READ_EVENTS: ("op ow au", "op si au", "op au", "op au"),
    Action.AUDIT: ("op au", "op si au", "op au", "op au"),
    Action.MANAGE_USERS: ("op",) * 4,
}


@pytest.mark.parametrize("action", TABLE)
def test_each_role_may_what_the_table_says(action: Action) -> None:
    for about, allowed in zip((OWN, AT, ELSE, NOBODYS), TABLE[action], strict=True):
        found = {name for name, user in WHO.items() if ask_cedar(user, action, about).allow}
        assert found == set(allowed.split()), (action, about)


def test_uses_of_data_are_for_their_provider() -> None:
    assert set(TABLE) | {Action.READ_USES} == set(Action)
    for about, allowed in ((SET, "op da au"), (OTHER, "op au"), (NOBODYS, "op au")):
        assert {n for n, u in WHO.items() if ask_cedar(u, Action.READ_USES, about).allow} == set(allowed.split())


def test_the_policies_fit_their_schema_and_each_has_a_name() -> None:
    texts = [files("sanjin.api").joinpath(f"policies.{kind}").read_text() for kind in ("cedar", "cedarschema")]
    assert cedarpy.validate_policies(*texts).errors == []
    assert texts[0].count("permit (") == texts[0].count("@id(")


def test_a_decision_is_remembered_for_this_user_with_these_grants_alone() -> None:
    rights = Rights(DecisionLog(None))
    before = WHO["si"]
    assert rights.decide(before, Action.READ_JOB, AT).allow
    after = User(id="3", name="si", roles=(Role.SITE_OPERATOR,), sites=("xinzhou",))
    assert not rights.decide(after, Action.READ_JOB, AT).allow
    assert rights.reach(WHO["ow"], Action.LIST_JOBS) == Reach(tenant="a")
    assert rights.reach(before, Action.LIST_JOBS) == Reach(sites=frozenset(("datong", "xinzhou")))
    assert rights.reach(WHO["au"], Action.LIST_JOBS) == Reach(everything=True)
    assert rights.reach(WHO["pl"], Action.LIST_JOBS).nothing
    assert rights.reach(BOOTSTRAP, Action.READ_JOURNAL).everything
    both = User(id="8", name="x", roles=(Role.OWNER, Role.SITE_OPERATOR), tenant="a", sites=("datong",))
    assert rights.reach(both, Action.READ_JOB) == Reach(tenant="a", sites=frozenset(("datong",)))


def new(tenant: str = "", **fields: object) -> bytes:
    spec = {"name": "x", "command": ["true"], "site": "xinzhou", **fields}
    return json.dumps({"key": str(uuid.uuid4()), "spec": {**spec, **({"tenant": tenant} if tenant else {})}}).encode()


def kept(tenant: str) -> bytes:
    return new(tenant, reserves=True, command=[], site="linfen", duration_s=900)


ROLES = ("operator", "planner", "site_operator", "owner", "data_provider", "auditor")

# method, path, body; what each role is answered, in the order of ROLES
ROUTES: list[tuple[str, str, bytes | None, tuple[int, ...]]] = [
    ("GET", "/region", None, (200, 200, 200, 200, 200, 200)),
    ("GET", "/sites", None, (200, 200, 200, 200, 200, 200)),
    ("GET", "/jobs", None, (200, 403, 200, 200, 403, 200)),
    ("GET", "/jobs?order=cost&count=true&search=x", None, (200, 403, 200, 200, 403, 200)),
    ("GET", "/resources", None, (200, 200, 200, 200, 200, 200)),
    ("GET", "/plan", None, (200, 200, 200, 200, 200, 200)),
    ("GET", "/forecast?kind=generation&site=datong", None, (200, 200, 200, 200, 200, 200)),
    ("GET", "/jobs/{ours}", None, (200, 404, 200, 200, 404, 200)),
    ("GET", "/jobs/{ours}/events", None, (200, 404, 200, 200, 404, 200)),
    ("GET", "/jobs/{ours}/explain", None, (200, 404, 200, 200, 404, 200)),
    ("GET", "/jobs/{ours}/bill", None, (200, 404, 200, 200, 404, 200)),
    ("GET", "/jobs/{ours}/logs", None, (200, 404, 403, 200, 404, 403)),
    ("GET", "/jobs/{ours}/outputs", None, (200, 404, 403, 200, 404, 403)),
    ("GET", "/jobs/{ours}/outputs/left", None, (200, 404, 403, 200, 404, 403)),
    ("POST", "/jobs/{ours}/cancel", None, (200, 404, 403, 200, 404, 403)),
    ("GET", "/jobs/{ours_elsewhere}", None, (200, 404, 404, 200, 404, 200)),
    ("GET", "/jobs/{theirs}", None, (200, 404, 404, 404, 404, 200)),
    ("GET", "/jobs/{theirs}/events", None, (200, 404, 404, 404, 404, 200)),
    ("GET", "/jobs/{theirs}/explain", None, (200, 404, 404, 404, 404, 200)),
    ("GET", "/jobs/{theirs}/bill", None, (200, 404, 404, 404, 404, 200)),
    ("GET", "/jobs/{theirs}/logs", None, (200, 404, 404, 404, 404, 403)),
    ("GET", "/jobs/{theirs}/outputs", None, (200, 404, 404, 404, 404, 403)),
    ("GET", "/jobs/{theirs}/outputs/zq-output", None, (200, 404, 404, 404, 404, 403)),
    ("POST", "/jobs/{theirs}/cancel", None, (200, 404, 404, 404, 404, 403)),
    ("POST", "/jobs", new(OURS), (201, 403, 403, 201, 403, 403)),
    ("POST", "/jobs", new(THEIRS), (201, 403, 403, 403, 403, 403)),
    ("POST", "/jobs?node=linfen", kept(OURS), (201, 403, 403, 201, 403, 403)),
    ("POST", "/dry-run", new(OURS), (200, 200, 403, 200, 403, 403)),
    ("POST", "/dry-run", new(THEIRS), (200, 200, 403, 403, 403, 403)),
    ("GET", "/bills", None, (200, 403, 200, 200, 403, 200)),
    ("GET", "/run-times", None, (200, 403, 200, 200, 403, 200)),
    ("GET", "/envelopes", None, (200, 403, 200, 200, 403, 200)),
    ("GET", "/audit", None, (200, 403, 200, 403, 403, 200)),
    ("GET", "/audit?node=datong", None, (200, 403, 200, 403, 403, 200)),
    ("GET", "/audit?node=linfen", None, (200, 403, 403, 403, 403, 200)),
    ("GET", "/journal?node=datong", None, (200, 403, 200, 200, 200, 200)),
    ("GET", "/events", None, (200, 403, 200, 200, 200, 200)),
    ("POST", "/what-if", b'{"solar": -1}', (422, 422, 403, 403, 403, 403)),
    ("GET", "/what-if", None, (200, 200, 403, 403, 403, 403)),
    ("GET", "/what-if/999", None, (404, 404, 403, 403, 403, 403)),
    ("GET", "/timeline", None, (200, 403, 200, 200, 403, 200)),
    ("GET", "/briefing", None, (200, 403, 403, 403, 403, 200)),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "wanted"), ROUTES, ids=[f"{m} {p} {i}" for i, (m, p, *_) in enumerate(ROUTES)]
)
def test_each_role_is_answered_as_the_table_says(
    access: AccessWorld, method: str, path: str, body: bytes | None, wanted: tuple[int, ...]
) -> None:
    where = "/v1" + path.format(ours=access.ours, ours_elsewhere=access.ours_elsewhere, theirs=access.theirs)
    found = []
    for role in ROLES:
        content = body and json.dumps({**json.loads(body), "key": str(uuid.uuid4())}).encode()
        with access.http(role).stream(method, where, content=content) as answer:  # a stream of events never ends
            found.append(answer.status_code)
    assert tuple(found) == wanted


def test_lists_hold_what_each_role_may_read(access: AccessWorld) -> None:
    def names(who: str) -> set[str]:
        return {j["id"] for j in access.http(who).get("/v1/jobs", params={"limit": 1000}).json()["jobs"]}

    def tenants(who: str, of: str = "/v1/bills") -> set[str]:
        return {b["tenant"] for b in access.http(who).get(of).json()}

    everything = names("operator")
    assert {access.ours, access.ours_elsewhere, *access.their_ids()} <= everything == names("auditor")
    own = names("owner")
    assert {access.ours, access.ours_elsewhere} <= own == names("colleague")
    assert {j["spec"]["tenant"] for j in access.http("owner").get("/v1/jobs").json()["jobs"]} == {OURS}
    assert names("site_operator") == {access.ours}
    assert set(access.their_ids()) <= names("their_owner")
    assert tenants("operator") == tenants("auditor") >= {OURS, THEIRS}
    assert (tenants("owner"), tenants("their_owner"), tenants("site_operator")) == ({OURS}, {THEIRS}, set())
    assert tenants("operator", "/v1/envelopes") >= {OURS, THEIRS}
    assert [tenants(who, "/v1/envelopes") for who in ("owner", "site_operator")] == [{OURS}, set()]
    audited = [r["node"] for r in access.http("site_operator").get("/v1/audit").json()]
    assert audited == [OUR_SITE]


def test_pages_of_what_is_filtered_have_no_gaps(access: AccessWorld) -> None:
    for who in ("owner", "their_owner", "site_operator", "auditor"):
        whole = [j["id"] for j in access.http(who).get("/v1/jobs", params={"limit": 1000}).json()["jobs"]]
        seen, after = [], ""
        while True:
            page = access.http(who).get("/v1/jobs", params={"limit": 1, "after": after}).json()
            seen += [j["id"] for j in page["jobs"]]
            after = page["next"]
            if not after:
                break
        assert seen == whole, who


def test_journals_are_filtered(access: AccessWorld) -> None:
    def journal(who: str, node: str, after: int = 0, limit: int = 5000) -> list[dict[str, object]]:
        query = {"node": node, "after": after, "limit": limit}
        return access.http(who).get("/v1/journal", params=query).json()

    site = "linfen"
    whole = journal("operator", site)
    assert [e["seq"] for e in whole] == [e["seq"] for e in journal("auditor", site)]
    ours = journal("owner", site)
    theirs = journal("their_owner", site)
    assert ours and {e["job"] for e in theirs} >= {access.theirs, access.theirs_running}
    assert not {e["job"] for e in ours} & set(access.their_ids())
    assert {e["job"] for e in ours} <= {j["id"] for j in access.http("owner").get("/v1/jobs").json()["jobs"]}
    assert [e["seq"] for e in journal("owner", site, after=int(str(ours[0]["seq"])), limit=1)] == [ours[1]["seq"]]
    assert journal("site_operator", site) == []
    at_home = journal("site_operator", OUR_SITE)
    assert {e["job"] for e in at_home} == {"", access.ours}
    assert journal("data_provider", site) == []


def test_whose_logs_one_may_not_read_of_that_one_sees_no_secrets(access: AccessWorld) -> None:
    for who, whole in (("operator", True), ("colleague", True), ("auditor", False), ("site_operator", False)):
        http = access.http(who)
        texts = [
            http.get(f"/v1/jobs/{access.ours}").text,
            http.get(f"/v1/jobs/{access.ours}/events").text,
            http.get("/v1/jobs", params={"limit": 1000}).text,
            http.get("/v1/journal", params={"node": OUR_SITE}).text,
        ]
        for text in texts:
            assert access.ours in text
            for secret in ("our-secret", "our-output", "our-key-1"):
                assert (secret in text) == whole
