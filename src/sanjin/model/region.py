"""The region: nodes, sites, pools, links, power, tariffs, datasets, tenants.

A region is read from one YAML document (:mod:`sanjin.regions.load`) and never changes while a
node runs. Every figure about the world is a :class:`Figure` with its provenance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Status(StrEnum):
    """How far a figure can be trusted."""

    SOURCED = "sourced"
    COMPUTED = "computed"
    ESTIMATED = "estimated"
    BELIEVED = "believed"


PERIODS = ("sharp", "peak", "deep_valley", "valley")
"""Price periods by precedence: where ranges overlap, the earlier one holds. Other hours are flat."""


class NodeTier(StrEnum):
    """Place of a node in the tree (一核引领、三极支撑、多边应用)."""

    NATIONAL = "national_hub"
    CORE = "core_hub"
    HUB = "city_hub"
    EDGE = "edge_node"


class IndustryRole(StrEnum):
    """Industrial layout (一核双极多点); independent of the tier."""

    CORE = "core"
    POLE = "pole"
    POINT = "point"
    NONE = "none"


class PoolKind(StrEnum):
    """Kind of compute: 通用 general, 智能 ai, 超级 hpc, 边缘 edge."""

    GENERAL = "general"
    AI = "ai"
    HPC = "hpc"
    EDGE = "edge"


class Quantity(StrEnum):
    """What a machine of a pool is declared to do, and what the benchmark measures of it.

    The two rates of arithmetic are of matrix multiplication, for each core with all cores of a machine at work; memory
    and disk are of one machine, all its cores together.
    """

    FP64_CORE = "fp64_core"
    FP32_CORE = "fp32_core"
    MEMORY_BANDWIDTH = "memory_bandwidth"
    DISK_WRITE = "disk_write"
    DISK_READ = "disk_read"

    @property
    def unit(self) -> str:
        """As the region document states it: prefixes are decimal."""
        return _UNITS[self]


_UNITS = {
    Quantity.FP64_CORE: "GFLOP/s/core",
    Quantity.FP32_CORE: "GFLOP/s/core",
    Quantity.MEMORY_BANDWIDTH: "GB/s",
    Quantity.DISK_WRITE: "MB/s",
    Quantity.DISK_READ: "MB/s",
}


class DataGrade(StrEnum):
    """Grade of data (一般 general, 重要 important, 核心 core); bounds where it may go.

    general: anywhere. important: within the region. core: only at sites that hold a replica, or
    at the node where the job was submitted.
    """

    GENERAL = "general"
    IMPORTANT = "important"
    CORE = "core"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number about the world with its provenance.

    ``unit`` is text such as ``yuan/kWh``; ``date`` ISO (YYYY, YYYY-MM or YYYY-MM-DD); ``source``
    an id in the region's source table or free text.
    """

    value: float
    unit: str
    date: str
    source: str
    status: Status


@dataclass(frozen=True, slots=True)
class Grid:
    """A power grid and the carbon in its electricity. ``factor``: kgCO2/kWh, location-based."""

    id: str
    name_en: str
    name_zh: str
    factor: Figure


@dataclass(frozen=True, slots=True)
class Season:
    """Hours of each price period in some months. Hours are local, ``[from, to)``, 0-24.

    ``periods`` maps a period name (sharp, peak, valley, deep_valley) to hour ranges; sharp wins
    over peak; hours in no range are flat.
    """

    name: str
    months: tuple[int, ...]
    periods: dict[str, tuple[tuple[int, int], ...]]


@dataclass(frozen=True, slots=True)
class Tariff:
    """A time-of-use tariff: flat price in yuan/kWh times a multiplier a period."""

    id: str
    name_en: str
    name_zh: str
    valid_from: str
    flat: Figure
    multipliers: dict[str, Figure]
    seasons: tuple[Season, ...]


@dataclass(frozen=True, slots=True)
class Climate:
    """Monthly mean outdoor temperature (12 values, degC) and the day's swing (half range, degC).

    Hourly temperature is modelled from these, not measured.
    """

    id: str
    monthly_mean: tuple[Figure, ...]
    half_range: Figure


@dataclass(frozen=True, slots=True)
class PueModel:
    """PUE as a function of outdoor temperature and load; see :func:`sanjin.model.energy.pue`.

    ``fixed`` overhead share at full load (power distribution, lights, fans), ``cooling_max`` the
    overhead share of mechanical cooling at full load, ``free_below_c`` outdoor temperature up to
    which free cooling suffices, ``mechanical_above_c`` from which it does nothing.
    """

    fixed: Figure
    cooling_max: Figure
    free_below: Figure
    mechanical_above: Figure


@dataclass(frozen=True, slots=True)
class Generation:
    """On-site generation. ``kind`` pv or wind, ``peak`` in kW, ``price`` yuan/kWh delivered."""

    kind: str
    peak: Figure
    price: Figure


@dataclass(frozen=True, slots=True)
class Power:
    """A site's power. ``it_cap`` kW of IT load, ``typical_load`` share of it that is in use."""

    it_cap: Figure
    typical_load: Figure
    pue: PueModel
    generation: tuple[Generation, ...] = ()


@dataclass(frozen=True, slots=True)
class Pool:
    """Like machines at a site, as one amount of capacity.

    ``speed`` is relative to the region's reference core (a job of duration d runs d / speed).
    ``watts_core`` is what a busy core adds, ``watts_idle_core`` what an allocated idle one draws,
    both with their share of the server; ``price_core`` the site's charge in yuan per core-hour,
    ``price_accelerator`` in yuan per card-hour.
    """

    id: str
    kind: PoolKind
    cores: int
    memory_bytes: int
    accelerators: int
    accelerator_kind: str
    speed: Figure
    watts_core: Figure
    watts_idle_core: Figure
    watts_accelerator: Figure
    watts_gib: Figure
    price_core: Figure
    price_accelerator: Figure
    capacity: Figure
    machine_cores: int = 0
    """Of one machine, as ``machine_memory_bytes`` and ``machine_accelerators``: what a node of a job may take
    (0: not stated, no bound)."""
    machine_memory_bytes: int = 0
    machine_accelerators: int = 0
    declares: dict[Quantity, Figure] = field(default_factory=dict[Quantity, Figure])
    """What a machine of it is declared to do; see :mod:`sanjin.model.performance`. For people, not for placement."""


@dataclass(frozen=True, slots=True)
class Facility:
    """A data centre named in public sources; what is known of it. For people, not for placement."""

    id: str
    name_en: str
    name_zh: str
    facts: str
    status: Status
    source: str


@dataclass(frozen=True, slots=True)
class Site:
    """Where work can run: pools behind one power cap."""

    pools: tuple[Pool, ...]
    power: Power
    grid: str
    tariff: str
    climate: str
    facilities: tuple[Facility, ...] = ()
    images: bool = False
    """Whether work in container images can run here."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the tree. ``parent`` is empty for the root; every node has one site."""

    id: str
    name_en: str
    name_zh: str
    tier: NodeTier
    industry_role: IndustryRole
    parent: str
    lat: float
    lon: float
    population: Figure
    site: Site
    adcode: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """A link between two nodes, usable both ways."""

    a: str
    b: str
    latency: Figure
    """One way, ms."""
    bandwidth: Figure
    """Gbit/s."""
    price: Figure
    """yuan/GB."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset that jobs can name as input, with the nodes that hold a replica."""

    id: str
    title_en: str
    title_zh: str
    owner: str
    grade: DataGrade
    size: Figure
    """GB."""
    replicas: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a tenant may use at one node: cores at once, and yuan in all."""

    cores: int
    yuan: float


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who pays. ``envelopes`` by node id; ``"*"`` is for nodes that are not named."""

    id: str
    name_en: str
    name_zh: str
    envelopes: dict[str, Envelope]

    def envelope(self, node: str) -> Envelope:
        """The envelope in force at ``node`` (nothing at all where none is stated)."""
        return self.envelopes.get(node) or self.envelopes.get("*") or Envelope(cores=0, yuan=0.0)


@dataclass(frozen=True, slots=True)
class Region:
    """A whole region. Mappings are keyed by id; ``nodes`` lists a parent before its children."""

    id: str
    name_en: str
    name_zh: str
    utc_offset_h: int
    carbon_price: Figure
    """yuan per tonne CO2."""
    nodes: dict[str, Node]
    links: tuple[Link, ...]
    grids: dict[str, Grid]
    tariffs: dict[str, Tariff]
    climates: dict[str, Climate]
    datasets: dict[str, Dataset] = field(default_factory=dict[str, Dataset])
    tenants: dict[str, Tenant] = field(default_factory=dict[str, Tenant])
    sources: dict[str, str] = field(default_factory=dict[str, str])

    def root(self) -> Node:
        """The node without a parent."""
        return next(n for n in self.nodes.values() if not n.parent)

    def children(self, node: str) -> tuple[str, ...]:
        """Ids of the direct children of ``node``, in the document's order."""
        return tuple(n.id for n in self.nodes.values() if n.parent == node)

    def subtree(self, node: str) -> tuple[str, ...]:
        """Ids of ``node`` and everything below it, parents first."""
        found = [node]
        for name in found:
            found.extend(self.children(name))
        return tuple(found)
