"""What an explanation says of starting at once is what the kernel would have priced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sanjin.flow.submit import DELAY_PRICE_MAX
from sanjin.model.errors import ProblemsFound
from sanjin.model.job import JobSpec
from sanjin.model.placement import Explanation
from tests.tree_world import World

HURRY = DELAY_PRICE_MAX


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("w"))
    made.run(180)  # until everybody has heard of everybody
    yield made
    made.close()


def priced(world: World, spec: JobSpec) -> Explanation:
    future = world.nodes["taiyuan"].dry_run([spec])
    world.nodes["taiyuan"].step(0)
    return future.result(0)[0]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 600), st.integers(60, 20_000), st.integers(0, 20), st.sampled_from(["datong", "luliang", "linfen"])
)
def test_starting_at_once_is_priced_as_the_kernel_does(
    world: World, cores: int, seconds: int, delay: int, site: str
) -> None:
    spec = JobSpec(
        name="x", command=("x",), cores=cores, duration_s=seconds, delay_price_fen_per_hour=delay, site=site
    )
    found = priced(world, spec)
    choice = found.choice()
    assert choice is not None and choice.terms is not None
    if found.at_once is None:
        return
    assert found.at_once.terms is not None
    # in an empty region the least total was chosen among all starts, so at once cannot be less
    assert found.at_once.total_micro >= choice.total_micro - 6
    hurried = priced(world, replace(spec, delay_price_fen_per_hour=HURRY)).choice()
    assert hurried is not None and hurried.terms is not None
    if hurried.pool == choice.pool:
        assert (hurried.start_s, hurried.finish_s) == (found.at_once.start_s, found.at_once.finish_s)
        for term in ("energy", "carbon", "transport", "use"):
            assert abs(getattr(hurried.terms, term) - getattr(found.at_once.terms, term)) <= 1


@pytest.mark.parametrize("site", ["", "datong", "linfen"])
def test_the_highest_price_of_delay_starts_at_once_and_does_not_overflow(world: World, site: str) -> None:
    spec = JobSpec(
        name="x", command=("x",), cores=500, duration_s=6 * 86_400, delay_price_fen_per_hour=DELAY_PRICE_MAX, site=site
    )
    found = priced(world, spec)
    choice = found.choice()
    assert choice is not None
    assert found.at_once is None
    assert all(o.terms is None or min(o.terms.energy, o.terms.use, o.terms.waiting) >= 0 for o in found.options)
    with pytest.raises(ProblemsFound):
        priced(world, replace(spec, delay_price_fen_per_hour=DELAY_PRICE_MAX + 1))
