"""The plan of one simulated life of a region: everything that will be asked of it and done to it, drawn up front.

A plan is a list of explicit events, so that a failure can be reduced: any of them can be left out, and the rest
still means the same. What each single message meets on its way is drawn from the plan's seed and the message's own
number, so it needs no place in the list.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sanjin.model.job import Effects, JobSpec
from sanjin.model.region import (
    Dataset,
    Envelope,
    Figure,
    Link,
    Node,
    NodeTier,
    Pool,
    PoolKind,
    Power,
    Region,
    Site,
    Status,
    Tenant,
)
from sanjin.model.units import GIB, HOUR_S, MIB
from sanjin.regions.load import bundled, load_region

START_S = 1_784_071_800
"""2026-07-15 07:30 in Shanxi."""

CRASHES = (
    "now", "before_commit", "after_commit", "before_send", "answer_arrived", "before_start", "after_start",
)  # fmt: skip
"""Where a node can die: between turns; in a commit, before or after it is durable; as a request is about to leave;
with an answer that has come and was not looked at; as the engine is asked to start runs, before it did or after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """Base of what is planned. ``at_s`` is seconds since the beginning of the plan."""

    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit(Planned):
    """A client submits jobs in one call, all or none, and tries again with the same keys until it has an answer;
    ``twice`` sends the call again although it was answered."""

    node: str
    key: str
    specs: tuple[JobSpec, ...]
    twice: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(Planned):
    """A client asks for the end of the first job that was submitted under ``key``, at the node that owns it."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut(Planned):
    """Until ``until_s`` nothing passes between ``child`` and its parent in the directions named."""

    until_s: float
    child: str
    up: bool
    down: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise(Planned):
    """Until ``until_s`` messages between ``child`` and its parent are lost, repeated and delayed with these chances;
    ``late_s`` is the longest delay, also of a repeated request."""

    until_s: float
    child: str
    drop: float
    repeat: float
    late: float
    late_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash(Planned):
    """The node dies at the ``skip``-th time from ``at_s`` on that it comes to ``where``; it is down for ``down_s``."""

    node: str
    where: str
    skip: int
    down_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Full(Planned):
    """Until ``until_s`` the node's disk is full: no commit succeeds."""

    until_s: float
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump(Planned):
    """Until ``until_s`` the node's clock is wrong by ``by_s`` more."""

    until_s: float
    node: str
    by_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerCut(Planned):
    """Every run at the node is gone without a result, whether the node itself lives or not."""

    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``parents`` names each node's parent, parents first; ``drift`` each node's clock error in seconds at the
    beginning and its change over the plan, the two together within 2 s; ``cores`` the sizes of each node's pools."""

    seed: int
    hours: float
    parents: dict[str, str]
    cores: dict[str, tuple[int, ...]]
    drift: dict[str, tuple[float, float]]
    sqlite: bool
    events: tuple[Planned, ...]

    @property
    def length_s(self) -> float:
        """When the world is healed and left alone, seconds since the beginning."""
        return self.hours * HOUR_S


def draw(seed: int, nodes: int = 11, hours: float = 24.0, jobs: int = 0) -> Plan:
    """The plan of a seed. The same arguments give the same plan; ``jobs`` 0 means as many as suit the hours."""
    rng = random.Random(f"plan/{seed}/{nodes}/{hours}/{jobs}")
    count = rng.randint(max(nodes // 2, 2), nodes) if nodes > 2 else nodes
    parents = _tree(rng, count)
    names = tuple(parents)
    cores = {n: tuple(rng.choice((8, 16, 24, 32)) for _ in range(rng.randint(1, 2))) for n in names}
    drift = {n: (rng.uniform(-1, 1), rng.uniform(-1, 1)) for n in names}
    length = hours * HOUR_S
    events: list[Planned] = [*_load(rng, names, length, jobs or round(12 + 5 * hours))]
    events += _network_faults(rng, [n for n in names if parents[n]], hours, length)
    events += _node_faults(rng, names, hours, length)
    return Plan(
        seed=seed, hours=hours, parents=parents, cores=cores, drift=drift, sqlite=rng.random() < 0.12,
        events=tuple(sorted(events, key=lambda e: e.at_s)),
    )  # fmt: skip


def _tree(rng: random.Random, count: int) -> dict[str, str]:
    parents, inner = {"n0": ""}, ["n0"]
    for i in range(1, count):
        name = f"n{i}"
        parents[name] = rng.choice(inner)
        if rng.random() < 0.5:
            inner.append(name)
    return parents


# -- what clients ask


def _load(rng: random.Random, names: Sequence[str], length: float, jobs: int) -> list[Planned]:
    found: list[Planned] = []
    made = 0
    while made < jobs:
        many = rng.choice((1, 1, 1, 1, 2, 5))
        at, key = rng.uniform(5, length * 0.85), f"k{len(found)}"
        specs = _in_order(tuple(_spec(rng, names, at, length) for _ in range(many)), key, found)
        twice = rng.random() < 0.15
        found.append(Submit(at_s=at, node=rng.choice(names), key=key, specs=specs, twice=twice))
        if rng.random() < 0.15:
            found.append(Cancel(at_s=at + rng.choice((1, 30, 600, 3600)) * rng.random(), key=key))
        made += many
    return found


def _spec(rng: random.Random, names: Sequence[str], at: float, length: float) -> JobSpec:
    """A job that at least one pool of the region could hold (every region has one of 8 cores or more)."""
    now = START_S + int(at)
    shape = rng.random()
    duration = rng.choice((60, 300, 900, 2400, 6000))
    spec = JobSpec(
        name="sim",
        command=("true",),
        tenant=rng.choice(("many", "many", "money")),
        cores=rng.choice((1, 2, 4, 4, 8)),
        memory_bytes=rng.choice((256 * MIB, GIB)),
        duration_s=duration,
        delay_price_fen_per_hour=rng.choice((0, 10, 1000, 100_000)),
        priority=rng.choice((0, 0, 0, 5)),
        effects=rng.choice((Effects.ONCE, Effects.ONCE, Effects.REPEATABLE)),
        time_limit_s=rng.choice((0, 0, duration, 2 * duration)),
    )
    if shape < 0.15:
        spec = replace(spec, members=rng.randint(2, 24), cores=1)
    elif shape < 0.25:
        spec = replace(spec, nodes=rng.randint(2, 4), cores=2)
    elif shape < 0.45:
        spec = replace(spec, stoppable=True, stop_cost_s=30, duration_s=rng.choice((2400, 6000, 12000)))
    if rng.random() < 0.15:
        spec = replace(spec, site=rng.choice(names))
    if rng.random() < 0.15:
        deadline = now + rng.choice((1800, 7200, 4 * HOUR_S))
        spec = replace(spec, deadline_s=deadline, deadline_firm=rng.random() < 0.7)
    if rng.random() < 0.1:
        spec = replace(spec, inputs=(rng.choice(("d0", "d1")),))
    if rng.random() < 0.1:
        spec = replace(spec, earliest_start_s=now + rng.randint(0, round(length / 4)))
    if rng.random() < 0.1:
        spec = replace(spec, budget_fen=rng.randint(1, 40))
    if spec.effects is Effects.REPEATABLE and rng.random() < 0.5:
        spec = replace(spec, replace_after_s=rng.choice((60, 600, 3600)))
    return replace(spec, environment={"RUN_S": str(max(round(spec.duration_s * _factor(rng)), 1))})


def _in_order(specs: tuple[JobSpec, ...], key: str, earlier: Sequence[Planned]) -> tuple[JobSpec, ...]:
    """Some jobs of a call come after others of it, and some checkpoints may move; drawn apart from all else."""
    rng = random.Random(f"order/{key}/{specs[0].environment}/{len(earlier)}")
    found: list[JobSpec] = []
    for i, spec in enumerate(specs):
        if spec.stoppable and rng.random() < 0.7:
            spec = replace(spec, checkpoint_bytes=2 * 10**9)
        before = [n for n in range(i) if specs[n].tenant == spec.tenant]
        if before and rng.random() < 0.4:
            spec = replace(spec, after=tuple(f"{key}.{n}" for n in rng.sample(before, rng.randint(1, len(before)))))
        found.append(spec)
    return tuple(found)


def _factor(rng: random.Random) -> float:
    """How much longer a run takes than its owner expects: mostly less, at times more, seldom far more."""
    return rng.choice((rng.uniform(0.2, 1.0), rng.uniform(0.8, 1.0), rng.uniform(1.0, 1.6), rng.uniform(1.0, 6.0)))


# -- what happens to them


def _network_faults(rng: random.Random, children: Sequence[str], hours: float, length: float) -> list[Planned]:
    found: list[Planned] = []
    if not children:
        return found
    for _ in range(round(len(children) * (1 + hours / 6) * rng.random())):
        at = rng.uniform(0, length)
        long = rng.choice((20, 300, 1800, 2 * HOUR_S))
        up = rng.random() < 0.75
        cut = Cut(at_s=at, until_s=at + long * rng.random(), child=rng.choice(children), up=up,
                  down=not up or rng.random() < 0.6)  # fmt: skip
        found.append(cut)
    for _ in range(round(len(children) * (1 + hours / 6) * rng.random() * 1.5)):
        at = rng.uniform(0, length)
        noise = Noise(
            at_s=at, until_s=at + rng.uniform(60, 2 * HOUR_S), child=rng.choice(children),
            drop=rng.choice((0, 0.05, 0.3)), repeat=rng.choice((0, 0.1, 0.5)), late=rng.choice((0, 0.1, 0.5)),
            late_s=rng.choice((0.5, 8, 120)),
        )  # fmt: skip
        found.append(noise)
    return found


def _node_faults(rng: random.Random, names: Sequence[str], hours: float, length: float) -> list[Planned]:
    found: list[Planned] = []
    many = len(names) * (0.5 + hours / 6)
    for _ in range(round(many * rng.random() * 3)):
        found.append(
            Crash(
                at_s=rng.uniform(0, length), node=rng.choice(names), where=rng.choice(CRASHES),
                skip=rng.choice((0, 0, 1, 3)), down_s=rng.choice((0.05, 0.5, 5, 60, 1800)) * rng.uniform(0.5, 1),
            )
        )  # fmt: skip
    for _ in range(round(many * rng.random() * 0.5)):
        at = rng.uniform(0, length)
        found.append(Full(at_s=at, until_s=at + rng.choice((0.4, 3, 120)), node=rng.choice(names)))
    for _ in range(round(many * rng.random() * 0.3)):
        at = rng.uniform(0, length)
        by = rng.choice((-1, 1)) * rng.choice((3, 60, 1000, 2 * HOUR_S))
        found.append(Jump(at_s=at, until_s=at + rng.choice((60, 1800)), node=rng.choice(names), by_s=by))
    for _ in range(round(many * rng.random() * 0.3)):
        found.append(PowerCut(at_s=rng.uniform(0, length), node=rng.choice(names)))
    return found


# -- the region


def region_of(plan: Plan) -> Region:
    """The region of a plan: places of Shanxi under other names, with small pools, so that everything binds."""
    base = load_region(bundled("shanxi"))
    models, nodes = tuple(base.nodes.values()), dict[str, Node]()
    inner = set(plan.parents.values())
    for i, (name, parent) in enumerate(plan.parents.items()):
        model = models[i % len(models)]
        tier = NodeTier.CORE if not parent else NodeTier.HUB if name in inner else NodeTier.EDGE
        site = _site(model.site, plan.cores[name])
        nodes[name] = replace(model, id=name, name_en=name, name_zh=name, parent=parent, tier=tier, site=site)
    first = base.links[0]
    links = tuple(Link(n, p, first.latency, first.bandwidth, first.price) for n, p in plan.parents.items() if p)
    some = next(iter(base.datasets.values()))
    names = tuple(nodes)
    datasets: dict[str, Dataset] = {
        f"d{i}": replace(some, id=f"d{i}", size=replace(some.size, value=5.0 + 400 * i), replicas=(names[-1 - i],))
        for i in range(min(2, len(names)))
    }
    if "d1" not in datasets:
        datasets["d1"] = replace(datasets["d0"], id="d1")
    payer = next(iter(base.tenants.values()))
    tenants: dict[str, Tenant] = {
        "many": replace(payer, id="many", envelopes={"*": Envelope(cores=24, yuan=1000.0)}),
        "money": replace(payer, id="money", envelopes={"*": Envelope(cores=1000, yuan=6.0)}),
    }
    return replace(base, nodes=nodes, links=links, datasets=datasets, tenants=tenants)


def _site(model: Site, cores: Sequence[int]) -> Site:
    """The site with a general pool of each of these sizes, the second faster; the power cap binds at the last one."""
    pool = next((p for p in model.pools if p.kind is PoolKind.GENERAL), model.pools[0])
    pools: list[Pool] = []
    watts = 0.0
    for i, count in enumerate(cores):
        speed = replace(pool.speed, value=1.0 + 0.25 * i)
        made = replace(
            pool, id=f"p{i}", kind=PoolKind.GENERAL, cores=count, memory_bytes=count * 2 * GIB, accelerators=0,
            accelerator_kind="", speed=speed, machine_cores=0, machine_memory_bytes=0, machine_accelerators=0,
        )  # fmt: skip
        pools.append(made)
        each = pool.watts_core.value + pool.watts_idle_core.value + 2 * pool.watts_gib.value
        watts += count * each * (0.9 if i else 1.0)
    cap: Figure = replace(model.power.it_cap, value=max(watts / 1000, 0.001), status=Status.ESTIMATED)
    power: Power = replace(model.power, it_cap=cap, generation=())
    return replace(model, pools=tuple(pools), power=power)
