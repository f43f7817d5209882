"""The register of a region's resources (一本账): what there is, in which state, and where every figure comes from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sanjin.model.region import Status


class ResourceKind(StrEnum):
    """What kind of thing is registered."""

    SITE = "site"
    POOL = "pool"
    LINK = "link"
    DATASET = "dataset"
    GENERATION = "generation"
    FACILITY = "facility"
    TARIFF = "tariff"
    GRID = "grid"
    REGION = "region"


class LifeCycle(StrEnum):
    """Where a resource stands. What the region document states and nobody has seen at work is ``declared``."""

    DECLARED = "declared"
    """In the region document; no node speaks for it here."""
    IN_SERVICE = "in_service"
    """Its node answers, and has measured nothing amiss."""
    REMARKED = "remarked"
    """In service, with a measurement more than the tolerance below what was declared."""
    CUT_OFF = "cut_off"
    """Its node has not been heard of for a while."""
    FAULTY = "faulty"
    """Its node or engine failed last time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFigure:
    """A figure of a resource. ``name`` is a key ``figure.<name>`` of the catalogue; ``source`` as the document states
    it, ``source_text`` what the document's table of sources says of the ids in it; ``measured`` what a benchmark found
    (None: nothing), in the same unit."""

    name: str
    value: float
    unit: str
    date: str
    source: str
    source_text: str
    status: Status
    measured: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A registered resource. ``id`` is unique in the region (``datong``, ``datong/general``,
    ``datong/facility/dt-x``, ``datong/generation/1-pv``, ``taiyuan-datong``, ``dataset/x``, ``grid/x``);
    ``site`` is where it is, empty for what belongs to no site. The notes say in words what else is known; of a
    facility, which has no figures, ``source`` and ``status`` say where its note comes from (elsewhere empty, None)."""

    id: str
    kind: ResourceKind
    site: str
    name_en: str
    name_zh: str
    state: LifeCycle
    figures: tuple[RecordedFigure, ...] = ()
    note_en: str = ""
    note_zh: str = ""
    source: str = ""
    source_text: str = ""
    status: Status | None = None
