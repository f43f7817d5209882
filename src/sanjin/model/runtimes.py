"""How long work was expected to run, and how long it did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median, quantiles

from sanjin.model.job import JobState
from sanjin.model.record import JobRecord
from sanjin.model.region import Region


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTimes:
    """Run times of one kind of job at one site (empty: at all sites), of jobs that succeeded in one run.

    ``expected_s`` and ``found_s`` are medians, region seconds: expected is the job's ``duration_s`` at the speed of the
    pool that ran it. ``bias`` is by how much the sum of what was found is above what was expected, as a share of it;
    ``error`` the median over jobs of the difference either way, as a share of what was expected; ``ratio_p90`` what
    nine of ten jobs stay below of found over expected.
    """

    kind: str
    site: str
    jobs: int
    expected_s: float
    found_s: float
    bias: float
    error: float
    ratio_p90: float


def run_times(region: Region, records: Iterable[JobRecord]) -> list[RunTimes]:
    """Run times by kind, then by kind and site. Arrays, reservations and work that can stop are left out: the time
    from their start to their end is not that of one run."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for kind, site, expected, took in _pairs(region, records):
        for key in ((kind, ""), (kind, site)):
            found.setdefault(key, []).append((expected, took))
    return [_summed(kind, site, pairs) for (kind, site), pairs in sorted(found.items())]


def _pairs(region: Region, records: Iterable[JobRecord]) -> Iterator[tuple[str, str, float, float]]:
    speeds = {f"{n}/{p.id}": p.speed.value for n, node in region.nodes.items() for p in node.site.pools}
    for r in records:
        speed = speeds.get(f"{r.site}/{r.pool}")
        parted = r.runs > 1 or r.spec.members or r.spec.stoppable or r.spec.reserves
        if r.state is JobState.SUCCEEDED and speed and not parted and r.end_s >= r.start_s > 0:
            yield r.spec.kind, r.site, r.spec.duration_s / speed, float(r.end_s - r.start_s)


def _summed(kind: str, site: str, pairs: list[tuple[float, float]]) -> RunTimes:
    ratios = [took / expected for expected, took in pairs]
    return RunTimes(
        kind=kind,
        site=site,
        jobs=len(pairs),
        expected_s=median(expected for expected, _ in pairs),
        found_s=median(took for _, took in pairs),
        bias=sum(took for _, took in pairs) / sum(expected for expected, _ in pairs) - 1,
        error=median(abs(ratio - 1) for ratio in ratios),
        ratio_p90=quantiles(ratios, n=10, method="inclusive")[-1] if len(ratios) > 1 else ratios[0],
    )
