"""Functions as jobs of users who are no operators: their own tenant's, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import sanjin
from sanjin import Client
from sanjin.model.errors import NotAllowed, NotFound
from tests.unit.api.conftest import OUR_SITE, OURS, THEIR_SITE, AccessWorld, access_world


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AccessWorld]:
    """A world of its own: others count the jobs in theirs."""
    yield from access_world(tmp_path_factory.mktemp("own"))


def test_an_owner_maps_a_colleague_reads_and_another_tenant_finds_nothing(own: AccessWorld) -> None:
    secret = "zq-closure"
    with Client(own.url, own.tokens["owner"]) as owner:
        how = sanjin.task(client=owner, duration_s=60)(lambda x: (x, secret))
        assert how.map([1], sites=1, timeout_s=60) == [(1, secret)]  # the cheapest site, by a dry run
        found = how.map(range(4), parts=2, sites=(OUR_SITE, THEIR_SITE), timeout_s=60)
        assert found == [(x, secret) for x in range(4)]
        records = owner.jobs(limit=2).jobs
    assert {r.spec.tenant for r in records} == {OURS} and len({r.site for r in records}) == 2
    job = min(r.id for r in records)
    with Client(own.url, own.tokens["colleague"]) as colleague:
        assert sanjin.Handle(job, colleague).result(20) == found[:2]
    with Client(own.url, own.tokens["their_owner"]) as other, pytest.raises(NotFound):
        sanjin.Handle(job, other).result(20)
    at_our_site = next(r.id for r in records if r.site == OUR_SITE)
    with Client(own.url, own.tokens["site_operator"]) as operator:
        shown = operator.job(at_our_site).spec
        assert (shown.environment, len(shown.command)) == ({}, 1)  # neither the function nor its arguments
        with pytest.raises(NotAllowed):
            sanjin.Handle(at_our_site, operator).result(20)
    with Client(own.url, own.tokens["planner"]) as planner, pytest.raises(NotAllowed):
        sanjin.map(abs, [1], client=planner)
