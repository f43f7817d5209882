"""The morning report of a region: what the night brought, what the day is to bring, what wants a person's eye."""

from __future__ import annotations

from dataclasses import dataclass

from sanjin.model.reason import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteBriefing:
    """A site over the time reported and the time planned.

    ``jobs``, ``core_h``, ``kwh`` (at the facility's meter), ``kg`` and ``fen`` are of runs that ended in the time
    reported, each as a whole; ``use`` is the share of its cores that runs took in it. ``planned_jobs`` and
    ``planned_core_h`` are placed there, or run, in the time planned. ``fault`` is what is wrong with its node.
    """

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
    """Jobs that wait for the same reason; the first of them since ``oldest_s``, seconds UTC."""

    reason: Reason
    jobs: int
    oldest_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Briefing:
    """The report made at ``at_s`` over ``[from_s, at_s)`` and the plan until ``until_s``, seconds UTC.

    ``succeeded`` and ``failed`` (also interrupted and refused) ended in that time; ``running`` and ``waiting`` are now;
    ``late`` missed their deadline in that time, or have missed it and are not over. ``fen``, ``kwh`` and ``kg`` are of
    the runs that ended.

    ``home_fen``, ``home_kg`` and ``home_kwh`` are what ``compared`` of them would have come to at once in their own
    city (modelled, as in the demo's report; there is taken to be room), ``ours_fen``, ``ours_kg`` and ``ours_kwh`` what
    they did come to. Work that was stopped and went on is not compared.
    Of the runs that ended, ``moved_jobs`` were placed a quarter of an hour or more after they could have begun, for the
    price of the hour or for want of room; ``away_jobs`` ran elsewhere than submitted. ``moved_bytes`` is the declared
    size of the data that began to move.
    ``cheapest`` lists (site, begin, yuan/kWh) of each site's cheapest hour of the time planned, the cheapest first.
    ``audit_ok``: every journal, ledger and bill verifies.
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
