"""A region with users of every role and work of two tenants, for tests of who may do what."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest

from sanjin.adapters.clock import RealClock
from sanjin.adapters.users import UserFile, new_id, new_token
from sanjin.api.access import Access
from sanjin.api.app import make_app
from sanjin.api.server import Server
from sanjin.api.stream import EventHub
from sanjin.cli.assemble import assemble
from sanjin.client import Client
from sanjin.model.access import Role, User
from sanjin.model.job import JobSpec, JobState, Submission
from sanjin.regions.load import bundled, load_region
from sanjin.tree.region import LiveRegion
from tests.support import until

OURS, THEIRS = "shanxi-univ", "health-bureau"
OUR_SITE, THEIR_SITE = "datong", "linfen"
SHARED_KEY = "a-key-that-both-use"
OPERATOR = "the-operators-own-token"
LEAVES = "echo our-output | tee $SANJIN_OUTPUTS/left"
MARKS = ("zq-name", "zq-key", "zq-argument", "zq-environment", "zq-output")
"""What stands in THEIRS' jobs and nowhere else."""


@dataclass
class AccessWorld:
    live: LiveRegion
    hub: EventHub
    app: Access
    url: str
    state: Path
    tokens: dict[str, str] = field(default_factory=dict)
    ours: str = ""
    """A job of OURS that ran at OUR_SITE."""
    ours_elsewhere: str = ""
    """One that ran at THEIR_SITE."""
    theirs: str = ""
    """A job of THEIRS that ran at THEIR_SITE."""
    theirs_running: str = ""
    theirs_reserved: str = ""
    https: dict[str, httpx.Client] = field(default_factory=dict)

    def http(self, who: str) -> httpx.Client:
        if who not in self.https:
            headers = {"Authorization": f"Bearer {self.tokens[who]}"}
            self.https[who] = httpx.Client(base_url=self.url, headers=headers, timeout=20)
        return self.https[who]

    def know(self, who: User) -> None:
        """Make a user known to the running API, at once."""
        UserFile(self.state).change(lambda users: (*(u for u in users if u.name != who.name), who))
        self.app._callers._looked = -1e9

    def log(self) -> list[dict[str, object]]:
        lines = (self.state / "decisions.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def their_ids(self) -> tuple[str, ...]:
        return (self.theirs, self.theirs_running, self.theirs_reserved)


def user(name: str, role: Role, **more: object) -> tuple[User, str]:
    made = new_id()
    token, hashed = new_token(made)
    return User(id=made, name=name, roles=(role,), token_sha256=hashed, **more), token  # type: ignore[arg-type]


def _people(folder: Path) -> dict[str, str]:
    now = int(time.time())
    made = {
        "planner": user("planner", Role.PLANNER),
        "site_operator": user("site_operator", Role.SITE_OPERATOR, sites=(OUR_SITE,)),
        "owner": user("owner", Role.OWNER, tenant=OURS),
        "colleague": user("colleague", Role.OWNER, tenant=OURS),
        "their_owner": user("their_owner", Role.OWNER, tenant=THEIRS),
        "data_provider": user("data_provider", Role.DATA_PROVIDER, datasets=("parcels-2026",)),
        "auditor": user("auditor", Role.AUDITOR),
        "expired": user("expired", Role.OPERATOR, expires_s=now - 1),
        "revoked": user("revoked", Role.OPERATOR, revoked_s=now - 1),
    }
    UserFile(folder).change(lambda _: tuple(u for u, _ in made.values()))
    return {"operator": OPERATOR, **{name: token for name, (_, token) in made.items()}}


def _work(world: AccessWorld) -> None:
    secret = {"ZQ": "zq-environment"}
    leaves = "echo zq-output | tee $SANJIN_OUTPUTS/zq-output; : zq-argument"
    with Client(world.url, OPERATOR) as client:
        until(lambda: all(s.parent_reachable for s in client.sites()), "reachable tree")
        spec = JobSpec(name="ours", command=("sh", "-c", LEAVES), environment={"OUR": "our-secret"}, tenant=OURS)
        theirs = JobSpec(name="zq-name", command=("sh", "-c", leaves), environment=secret, tenant=THEIRS)
        long = JobSpec(name="zq-name", command=("sleep", "600", "zq-argument"), environment=secret, tenant=THEIRS)
        kept = JobSpec(name="zq-name", command=(), reserves=True, site=THEIR_SITE, tenant=THEIRS, duration_s=3600)
        sent = [
            ("zq-key-1", replace(theirs, site=THEIR_SITE), THEIR_SITE),
            ("our-key-1", replace(spec, site=OUR_SITE), ""),
            ("our-key-2", replace(spec, site=THEIR_SITE), ""),
            ("zq-key-2", replace(long, command=("sleep", "600"), site=THEIR_SITE), ""),
            (SHARED_KEY, kept, THEIR_SITE),
        ]
        names = [client.submit([Submission(key=key, spec=s)], node)[0] for key, s, node in sent]
        world.theirs, world.ours, world.ours_elsewhere, world.theirs_running, world.theirs_reserved = names
        assert all(r.state is JobState.SUCCEEDED for r in client.wait(names[:3], timeout_s=60))
        assert all(client.outputs(name).complete for name in names[:3])
        until(lambda: client.job(world.theirs_running).state is JobState.RUNNING, "running job")


@pytest.fixture(scope="session")
def access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AccessWorld]:
    yield from access_world(tmp_path_factory.mktemp("access"))


def access_world(folder: Path) -> Iterator[AccessWorld]:
    hub = EventHub()
    live = assemble(load_region(bundled("shanxi")), folder, RealClock(), "test", hub.listen)
    app = make_app(live, hub, OPERATOR, "test", state=folder)
    assert isinstance(app, Access)
    server = Server(app, 0)
    world = AccessWorld(live, hub, app, server.url, folder, _people(folder))
    live.start()
    server.start()
    try:
        _work(world)
        yield world
        with Client(world.url, OPERATOR) as client:
            client.cancel(world.theirs_running)
    finally:
        for http in world.https.values():
            http.close()
        server.stop()
        live.stop()
