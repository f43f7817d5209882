"""What a placement is made of: terms in yuan, one option a site, and the choice."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sanjin.model.reason import Reason


@dataclass(frozen=True, slots=True)
class Terms:
    """The price of one option, micro-yuan a term. The terms are the explanation.

    ``energy`` tariff x PUE x IT power over the run; ``carbon`` grid factor x carbon price over the
    same; ``transport`` moving inputs over the links; ``latency`` the distance from the origin of a job with
    a latency class; ``use`` the site's charge for its machines; ``scarcity`` what the capacity is worth to
    other work; ``waiting`` the job's own price of delay until the start. Each as the region's policy
    weighs it.
    """

    energy: int
    carbon: int
    transport: int
    latency: int
    use: int
    scarcity: int
    waiting: int

    @property
    def total(self) -> int:
        """Sum of the terms, micro-yuan: what placement makes least."""
        paid = self.energy + self.carbon + self.transport + self.use
        return paid + self.latency + self.scarcity + self.waiting

    @property
    def payable(self) -> int:
        """What the tenant is billed of it, micro-yuan: all but latency, scarcity and waiting."""
        return self.total - self.latency - self.scarcity - self.waiting


TERMS = tuple(f.name for f in fields(Terms))
"""Names of the terms, in the order of the kernel's columns and of every table."""


@dataclass(frozen=True, slots=True)
class Option:
    """The best that one site offers a job, or the first constraint that rules the site out."""

    site: str
    pool: str
    reason: Reason | None
    start_s: int
    finish_s: int
    ready_s: int
    """When the inputs can be there, seconds UTC."""
    terms: Terms | None
    total_micro: int = 0
    """Sum of the terms, micro-yuan (0 where there are none)."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A site, a pool and a window for a job. ``finish_s`` is the expected end."""

    site: str
    pool: str
    start_s: int
    finish_s: int
    terms: Terms
    until_s: int = 0
    """Capacity is kept until then, where that is later than the expected end."""
    pieces: tuple[tuple[int, int], ...] = ()
    """Where stoppable work runs in several windows: (start, end) of each, seconds UTC."""

    @property
    def kept_s(self) -> int:
        """When the capacity is free again, seconds UTC."""
        return max(self.finish_s, self.until_s)

    def windows(self) -> tuple[tuple[int, int], ...]:
        """When capacity is taken: (start, end) pairs in order."""
        return self.pieces or ((self.start_s, self.kept_s),)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a job went where it went: one object for the CLI, the API and a dry run.

    ``options`` has one entry a site, in the region's order (of more than 64 sites, the best 64); ``chosen`` is the
    site that won (empty where none could); ``decided_by`` the node that decided at ``at_s``. ``at_once`` is what the
    chosen pool would have cost without waiting for a better hour, room or not (None where it starts at once).
    """

    job: str
    decided_by: str
    at_s: int
    chosen: str
    options: tuple[Option, ...]
    at_once: Option | None = None
    pieces: tuple[tuple[int, int], ...] = ()
    """Where the choice is work in several windows: (start, end) of each, seconds UTC."""

    def choice(self) -> Option | None:
        """The option that won."""
        return self.at(self.chosen) if self.chosen else None

    def at(self, site: str) -> Option | None:
        """The option of a site."""
        return next((o for o in self.options if o.site == site), None)

    def alternative(self) -> Option | None:
        """The least total among the other sites."""
        others = [o for o in self.options if o.terms and o.site != self.chosen]
        return min(others, key=lambda o: (o.terms.total if o.terms else 0, o.start_s, o.site), default=None)
