"""The API against its own description: schemathesis makes calls that it allows, and some that it does not.

No answer may be a server error, every status must be a described one, and JSON must fit its schema.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, checks

from sanjin.adapters.clock import RealClock
from sanjin.api.app import describe, make_app
from sanjin.api.server import Server
from sanjin.api.stream import EventHub
from sanjin.cli.assemble import assemble
from sanjin.regions.load import bundled, load_region

TOKEN = "fuzz"
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
"""Not whether what fits the schema is accepted: a region has rules that no schema knows."""

AUTH = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.BaseSchema]:
    hub = EventHub()
    live = assemble(load_region(bundled("shanxi")), tmp_path_factory.mktemp("r"), RealClock(), "test", hub.listen)
    server = Server(make_app(live, hub, TOKEN, "test"), 0)
    live.start()
    server.start()
    found = schemathesis.openapi.from_url(server.url + "/openapi.json", headers=AUTH)
    yield found
    server.stop()
    live.stop()


OPERATIONS = [
    f"{method.upper()} {path}"
    for path, methods in describe("test")["paths"].items()
    for method in methods
    if path != "/v1/events"  # the stream never ends by itself; it has tests of its own
]


@pytest.mark.parametrize("label", OPERATIONS)
def test_every_answer_is_as_described(described: schemathesis.BaseSchema, label: str) -> None:
    method, _, path = label.partition(" ")

    @given(case=described[path][method].as_strategy())
    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def call(case: Case) -> None:
        case.call_and_validate(headers=AUTH, checks=CHECKS)

    call()
