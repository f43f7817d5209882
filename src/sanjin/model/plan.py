"""The plan as it stands: what each site will do hour by hour, against its prices and its power cap."""

from __future__ import annotations

from dataclasses import dataclass

from sanjin.model.job import JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePlan:
    """A site over the slots of a :class:`Plan`, one value a slot. Prices are per kWh at the facility's meter.

    ``it_kw`` is what placed work may draw at most, of ``it_cap_kw``; ``cores`` what it takes of ``cores_max``, all
    pools together, with what others have of a shared cluster. Slots that are over show what was asked of them as far
    as the node still knows: 0 otherwise.
    """

    site: str
    energy_yuan_kwh: tuple[float, ...]
    carbon_kg_kwh: tuple[float, ...]
    pue: tuple[float, ...]
    it_cap_kw: float
    it_kw: tuple[float, ...]
    cores_max: int
    cores: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedWindow:
    """A window of a job at a site. Work in several windows has several; ``total_micro`` is of the whole job."""

    job: str
    name: str
    tenant: str
    kind: str
    state: JobState
    site: str
    pool: str
    start_s: int
    finish_s: int
    cores: int
    accelerators: int
    total_micro: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is planned over ``slots`` slots of ``slot_s`` seconds from ``first_s``. ``windows`` holds what the caller
    may read, ``hidden`` how many windows of others there are besides; ``left_out`` says how many that the caller may
    read were too many to list: those of the fewest core-hours."""

    now_s: int
    first_s: int
    slot_s: int
    slots: int
    sites: tuple[SitePlan, ...]
    windows: tuple[PlannedWindow, ...]
    hidden: int = 0
    left_out: int = 0
