"""The policy of a region: by which rule work is placed, and what each term of its price counts for."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum


class Rule(StrEnum):
    """How a place is chosen.

    ``least_total``: the least sum of all terms. ``cheapest``: the least bill, however long it takes.
    ``greenest``: the least carbon, whatever else it costs. ``earliest_finish``: the first to be done.
    ``home_only``: the least sum, at the node of submission. ``fcfs``: there, in order of arrival (first come,
    first served). ``easy``: as ``fcfs``, but a later job may start where it does not delay the first in the
    queue (EASY backfill: Mu'alem and Feitelson, 2001).
    """

    LEAST_TOTAL = "least_total"
    CHEAPEST = "cheapest"
    GREENEST = "greenest"
    EARLIEST_FINISH = "earliest_finish"
    HOME_ONLY = "home_only"
    FCFS = "fcfs"
    EASY = "easy"

    @property
    def at_home(self) -> bool:
        """Whether work stays at the node of submission (where that could hold it at all)."""
        return self in (Rule.HOME_ONLY, Rule.FCFS, Rule.EASY)

    @property
    def in_order(self) -> bool:
        """Whether a site starts work in the order of its queue."""
        return self in (Rule.FCFS, Rule.EASY)

    @property
    def hurries(self) -> bool:
        """Whether time until the finish is all that counts."""
        return self in (Rule.EARLIEST_FINISH, Rule.FCFS, Rule.EASY)


@dataclass(frozen=True, slots=True)
class Weights:
    """What a yuan of each term counts for in the choice; the names are those of the terms."""

    energy: float = 1.0
    carbon: float = 1.0
    transport: float = 1.0
    latency: float = 1.0
    use: float = 1.0
    scarcity: float = 1.0
    waiting: float = 1.0


WEIGHT_MAX = 1000.0

_OF_RULE = {
    Rule.CHEAPEST: ("energy", "carbon", "transport", "use"),
    Rule.GREENEST: ("carbon",),
    Rule.EARLIEST_FINISH: ("waiting",),
    Rule.FCFS: ("waiting",),
    Rule.EASY: ("waiting",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue: work of a higher ``priority`` is placed first."""

    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator sets in one document.

    ``carbon_yuan_tonne`` replaces the region's price of carbon where it is given.
    ``latency_yuan_ms_hour`` is what a millisecond between a job with a latency class and its origin costs
    for each hour of its run. ``queues`` are the queues that jobs may name; where none is listed, any may
    be named and none goes before another. ``price_refresh_hours`` is how often prices of scarce capacity are
    learnt anew from last week's work (0: never). ``move_gain_fen``: work that has not started is placed again
    where that saves at least so much, fen (less than 0: never). ``stop_gain_fen``: stoppable work makes
    room for other work where that gains at least so much, fen (less than 0: never).
    """

    rule: Rule = Rule.LEAST_TOTAL
    weights: Weights = Weights()
    carbon_yuan_tonne: float | None = None
    latency_yuan_ms_hour: float = 0.01
    queues: dict[str, Queue] = field(default_factory=dict[str, Queue])
    price_refresh_hours: int = 24
    move_gain_fen: int = 10
    stop_gain_fen: int = 10

    def in_force(self) -> Weights:
        """The weights that the rule leaves: a rule that looks at some terms only sets the others to 0."""
        counted = _OF_RULE.get(self.rule)
        if counted is None:
            return self.weights
        return Weights(**{f.name: getattr(self.weights, f.name) * (f.name in counted) for f in fields(Weights)})

    def priority(self, queue: str) -> int:
        """The priority of a queue (0 where it is not listed)."""
        found = self.queues.get(queue)
        return found.priority if found else 0
