"""What a parent keeps of each child while it runs."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

from sanjin.tree.exchange import Answer


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
