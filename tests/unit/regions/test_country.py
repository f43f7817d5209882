"""The generated country is a sound region document, of the size asked for, the same for the same seed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanjin.model.region import NodeTier, Status
from sanjin.regions import country as making
from sanjin.regions.load import bundled, load_region, read_region


def test_provinces_are_as_many_people_as_were_counted() -> None:
    """The bulletin's sum for the 31, without those on active service."""
    assert sum(p.population for p in making.provinces()) == 1_409_778_724
    assert sum(p.units for p in making.provinces()) == 333 + 4 and len(making.provinces()) == 31


@settings(max_examples=5, deadline=None)
@given(st.integers(31, 80), st.integers(0, 200), st.integers(0, 9))
def test_it_has_the_size_asked_for_and_hangs_together(prefectures: int, more: int, seed: int) -> None:
    recipe = making.Recipe(prefectures=prefectures, pools=making.least_pools(prefectures) + more, seed=seed)
    document = making.country(recipe)
    region = read_region(document, "country")  # every check of a region document
    assert sum(len(n.site.pools) for n in region.nodes.values()) == recipe.pools
    edges = [n for n in region.nodes.values() if n.tier is NodeTier.EDGE]
    assert len(edges) == prefectures and len(region.nodes) == 19 + 31 + prefectures
    assert document == making.country(recipe)
    drawn = {p.capacity.status for n in edges for p in n.site.pools} | {n.population.status for n in edges}
    assert drawn == {Status.ESTIMATED}


def test_the_upper_tier_is_that_which_ships() -> None:
    upper = load_region(bundled("national"))
    made = read_region(making.country(making.Recipe(prefectures=31, pools=200)), "country")
    assert sum(len(n.site.pools) for n in upper.nodes.values()) == making.UPPER_POOLS
    assert all(made.nodes[name] == node for name, node in upper.nodes.items())
    assert all(made.nodes[p.id].parent == p.hub for p in making.provinces())


def test_too_small_a_country_is_refused() -> None:
    for recipe in (making.Recipe(prefectures=30), making.Recipe(pools=making.least_pools(337) - 1)):
        with pytest.raises(ValueError):
            making.country(recipe)
