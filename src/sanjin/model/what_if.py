"""What if, asked of a region that is up: what would become of its work from now on in a changed world.

The region's own nodes go on from copies of their stores on a virtual clock, twice: in the world as it is, and in the
changed one. Nothing of the live region is touched. Run times are what jobs said; machines are modelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sanjin.model.job import JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteDown:
    """A site that is down between two times, hours from now: its node is silent, and what runs there is lost.

    What was lost ends as interrupted when the node is back and says so; it is not billed, and repeatable work is run
    again. Work that waits for the node waits, unless it said after how long it is to be placed again.
    """

    site: str
    from_h: float = 0.0
    until_h: float = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """The changed world; what is left out stays as it is. ``carbon_price`` yuan a tonne; ``solar`` and ``tariff``
    multiply on-site generation (solar and wind) and the price of electricity everywhere.

    Where a site generates nothing, ``solar`` changes nothing. Electricity costs the new price from now on; a run
    under way pays the new price of carbon for the whole of itself.
    """

    carbon_price: float | None = None
    solar: float = 1.0
    tariff: float = 1.0
    down: tuple[SiteDown, ...] = ()


class RunState(StrEnum):
    """Where a replay stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineJob:
    """A job as a timeline shows it. Times are seconds UTC, 0 where there is none; ``origin`` is where it was
    submitted, ``site`` and ``pool`` where it ran last or is to run (empty: nowhere yet, or in parts at several).
    ``fen`` is its bill, 0 until it is settled."""

    job: str
    name: str
    tenant: str
    kind: str
    state: JobState
    origin: str
    site: str
    pool: str
    cores: int
    submitted_s: int
    start_s: int
    end_s: int
    fen: int
    facility_mwh: int
    carbon_mg: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineSums:
    """What a timeline's jobs come to. ``mean_wait_s`` over those that started; ``late`` missed their deadline."""

    jobs: int
    succeeded: int
    fen: int
    facility_mwh: int
    carbon_mg: int
    mean_wait_s: float
    late: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Work over time, as it was lived or replayed, in order of submission. ``cut`` of the jobs are left out: the first
    ones are shown. ``hidden`` more are in the sums and nobody's whom the caller may read."""

    begin_s: int
    end_s: int
    sums: TimelineSums
    jobs: tuple[TimelineJob, ...]
    cut: int = 0
    hidden: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIfRun:
    """A what-if that was asked for. ``as_is`` and ``changed`` are there once it is done; ``fault`` where it failed.

    ``asked_s`` and ``begin_s`` (from when on the work is replayed) are region time, seconds UTC; ``took_s`` is wall
    time. ``progress`` is the share of the work of both replays that is over, 0 to 1.
    """

    id: str
    asked_by: str
    asked_s: int
    begin_s: int
    change: WhatIf
    state: RunState
    fault: str = ""
    took_s: float = 0.0
    progress: float = 0.0
    as_is: Timeline | None = None
    changed: Timeline | None = None
