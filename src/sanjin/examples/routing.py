"""Plan van rounds over delivery stops with OR-Tools; prints the distance against the listed order.

The search stops after a number of solutions, not after a time, so the same input gives the same
rounds on a slow machine too.
"""

# The library ships type stubs without types.
# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import csv
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from ortools.constraint_solver import pywrapcp, routing_enums_pb2

from sanjin.examples import common

DATASET = "delivery-stops"
VANS = 3
SOLUTIONS = 700
"""Solutions looked at by the search."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A stop (or the depot, id 0): where it is and how many parcels it takes."""

    id: int
    lat: float
    lon: float
    parcels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Rounds found, as stop ids a van, and their length against the listed order."""

    stops: int
    distance_m: int
    naive_m: int
    rounds: tuple[tuple[int, ...], ...]


def run(file: Path, *, seed: int = 2026, size: int = 20) -> Result:
    """Plan rounds for ``size`` of the stops in ``file``, picked by ``seed``."""
    depot, *all_stops = _read(file)
    chosen = random.Random(seed).sample(all_stops, min(size, len(all_stops)))
    places = [depot, *chosen]
    capacity = math.ceil(sum(s.parcels for s in chosen) / VANS) + 9
    meters = [[_meters(a, b) for b in places] for a in places]
    rounds = _solve(meters, [s.parcels for s in places], capacity)
    listed = _in_order([s.parcels for s in places], capacity)
    return Result(
        stops=len(chosen),
        distance_m=_length(rounds, meters),
        naive_m=_length(listed, meters),
        rounds=tuple(tuple(places[p].id for p in r) for r in rounds),
    )


def _read(file: Path) -> list[Stop]:
    with file.open(newline="", encoding="utf-8") as text:
        return [
            Stop(id=int(r["stop"]), lat=float(r["lat"]), lon=float(r["lon"]), parcels=int(r["parcels"]))
            for r in csv.DictReader(text)
        ]


def _meters(a: Stop, b: Stop) -> int:
    """Great-circle distance, times 1.3 as roads bend."""
    north, east = math.radians(b.lat - a.lat), math.radians(b.lon - a.lon)
    h = math.sin(north / 2) ** 2
    h += math.cos(math.radians(a.lat)) * math.cos(math.radians(b.lat)) * math.sin(east / 2) ** 2
    return round(1.3 * 2 * 6_371_000 * math.asin(math.sqrt(h)))


def _in_order(parcels: Sequence[int], capacity: int) -> list[list[int]]:
    """Rounds in the listed order: the next van starts when one is full."""
    rounds: list[list[int]] = [[]]
    load = 0
    for place in range(1, len(parcels)):
        if load + parcels[place] > capacity:
            rounds.append([])
            load = 0
        rounds[-1].append(place)
        load += parcels[place]
    return rounds


def _length(rounds: Sequence[Sequence[int]], meters: Sequence[Sequence[int]]) -> int:
    """Length of all rounds, each from the depot and back to it."""
    return sum(meters[a][b] for r in rounds for a, b in zip((0, *r), (*r, 0), strict=True))


def _solve(meters: Sequence[Sequence[int]], parcels: Sequence[int], capacity: int) -> list[list[int]]:
    """Rounds of least total length under the vans' capacity, by guided local search."""
    # Any: the library's types are empty.
    index: Any = pywrapcp.RoutingIndexManager(len(parcels), VANS, 0)
    model: Any = pywrapcp.RoutingModel(index)
    cost = model.RegisterTransitMatrix([list(row) for row in meters])
    model.SetArcCostEvaluatorOfAllVehicles(cost)
    load = model.RegisterUnaryTransitVector(list(parcels))
    model.AddDimension(load, 0, capacity, True, "load")
    search: Any = cast("Any", pywrapcp).DefaultRoutingSearchParameters()
    search.first_solution_strategy = routing_enums_pb2.FirstSolutionStrategy.PATH_CHEAPEST_ARC
    search.local_search_metaheuristic = routing_enums_pb2.LocalSearchMetaheuristic.GUIDED_LOCAL_SEARCH
    search.solution_limit = SOLUTIONS
    found = model.SolveWithParameters(search)
    if found is None:
        raise SystemExit("no rounds fit the vans")
    rounds: list[list[int]] = []
    for van in range(VANS):
        at, stops = found.Value(model.NextVar(model.Start(van))), list[int]()
        while not model.IsEnd(at):
            stops.append(index.IndexToNode(at))
            at = found.Value(model.NextVar(at))
        rounds.append(stops)
    return rounds


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a job."""
    options = common.parser(__doc__, size=20, size_help="stops to visit").parse_args(argv)
    result = run(common.dataset(DATASET) / "stops.csv", seed=options.seed, size=options.size)
    saved = 100 * (1 - result.distance_m / result.naive_m)
    found_km, naive_km = result.distance_m / 1000, result.naive_m / 1000
    line = f"{found_km:.1f} km for {result.stops} stops, listed order {naive_km:.1f} km"
    common.finish("routing", asdict(result), f"{line}, {saved:.0f} % less")
    return 0


if __name__ == "__main__":
    sys.exit(main())
