"""Parameter sweeps: a function at every point of a grid of parameters, made by jobs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, Unpack

from sanjin.client.functions import MapHow, Point, map

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Record(Generic[R]):
    """What a function returned for these parameters."""

    parameters: dict[str, Any]
    value: R


def grid(parameters: Mapping[str, Iterable[Any]]) -> list[Point]:
    """Every combination of the values of these parameters, the last changing fastest.

    :func:`~sanjin.client.functions.map` and ``as_completed`` call their function with the parameters by name.
    """
    values = [list(each) for each in parameters.values()]
    return [Point(zip(parameters, each, strict=True)) for each in itertools.product(*values)]


def sweep(f: Callable[..., R], parameters: Mapping[str, Iterable[Any]], **how: Unpack[MapHow]) -> list[Record[R]]:
    """A record for each point of the grid of ``parameters``, in its order: ``f(lr=0.1, depth=2)`` and so on.

    The points are cut into parts, each a job, as by :func:`~sanjin.client.functions.map`, which also says what is
    raised: a note on it names the parameters.
    """
    points = grid(parameters)
    return [Record(dict(point), value) for point, value in zip(points, map(f, points, **how), strict=True)]
