"""The morning report of a region: what the night brought, what the day is to bring, what wants a person's eye."""

from __future__ import annotations

from dataclasses import dataclass

from sanjin.model.reason import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteBriefing:
    """A site over the time reported and the time planned. ``core_h`` were run and ``planned_core_h`` are to run;
    energy at the facility's meter, kWh; ``use`` is the share of its cores that was taken."""

    site: str
    jobs: int
    core_h: float
    kwh: float
    kg: float
    fen: int
    use: float
    planned_jobs: int
    planned_core_h: float
    reachable: bool
    fault: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Jobs that wait for the same reason."""

    reason: Reason
    jobs: int
    oldest_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Briefing:
    """The report made at ``at_s`` over ``[from_s, at_s)`` and the plan until ``until_s``, seconds UTC.

    ``home_fen``, ``home_kg`` and ``home_kwh`` are what the ``compared`` jobs would have come to at once in their own
    city (modelled, as in the demo's report; there is taken to be room), ``ours_fen``, ``ours_kg`` and ``ours_kwh`` what
    they did come to.
    ``moved_jobs`` started later than they could, since that cost less; ``away_jobs`` ran elsewhere than submitted.
    ``cheapest`` lists (site, begin, yuan/kWh) of the cheapest hours ahead.
    """

    at_s: int
    from_s: int
    until_s: int
    submitted: int
    succeeded: int
    failed: int
    running: int
    waiting: tuple[Waiting, ...]
    late: int
    fen: int
    kwh: float
    kg: float
    compared: int
    ours_fen: int
    ours_kwh: float
    ours_kg: float
    home_fen: int
    home_kwh: float
    home_kg: float
    moved_jobs: int
    away_jobs: int
    moved_bytes: int
    sites: tuple[SiteBriefing, ...]
    cheapest: tuple[tuple[str, int, float], ...]
    audit_ok: bool
