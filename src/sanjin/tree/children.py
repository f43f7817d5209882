"""What a parent keeps of each child while it runs."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

from sanjin.flow.supply import Supply
from sanjin.tree.exchange import Answer

TOLD_OF_MAX = 64
"""Sites that a child is told of, outside its subtree, at most: a thousand children that each hear of a thousand sites
would be all that their parent does."""


@dataclass(slots=True)
class Held:
    """A child's request that waits for its answer."""

    future: Future[Answer]
    since: float


@dataclass(slots=True)
class Child:
    """What the parent keeps of a child while it runs; ``others`` numbers the sites outside its subtree."""

    others: list[int]
    held: Held | None = None
    wants: bool = True
    counted: bool = False
    told_version: int = -1
    told_at: float = -1e9
    heard: bool = False
    prices: int = 0


def told_of(supply: Supply, node: str, below: set[str], most: int = TOLD_OF_MAX) -> list[int]:
    """Numbers of the sites outside ``below`` that its node is told of: all, or where there are more than ``most``
    ``node``'s own and those with the least mean price of energy and carbon. Work that would be better placed at
    another goes there when it is raised, as it is where its own subtree has no room for it."""
    others = [i for i, site in enumerate(supply.sites) if site not in below]
    if len(others) <= most:
        return others
    energy, carbon = supply.plain_prices()
    mean = (energy + carbon).mean(axis=1)
    return sorted(sorted(others, key=lambda i: (supply.sites[i] != node, float(mean[i]), i))[:most])
