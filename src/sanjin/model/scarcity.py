"""What scarce capacity is worth, by the hour of the week: a profile that all nodes of a region share."""

from __future__ import annotations

from dataclasses import dataclass

from sanjin.model.units import HOUR_S, SLOT_S

HOURS_A_WEEK = 168
_THURSDAY_H = 72  # 1970-01-01 was a Thursday; weeks begin on Monday


@dataclass(frozen=True, slots=True, kw_only=True)
class Scarcity:
    """Prices beyond use, each a list of 168 from Monday 00:00 local time.

    ``core`` and ``card`` in yuan per core- and card-hour by pool (``site/pool``), ``power`` in yuan per
    kWh of IT load by site; what is not named is not scarce. Learnt from ``jobs`` jobs submitted until
    ``until_s``; ``bound_yuan`` is less than such a week's work could cost at the best.
    """

    core: dict[str, tuple[float, ...]]
    card: dict[str, tuple[float, ...]]
    power: dict[str, tuple[float, ...]]
    jobs: int
    until_s: int
    bound_yuan: float
    error: float | None = None


def hour_of_week(slot: int, utc_offset_h: int) -> int:
    """Local hour of the week of a slot's begin, 0 (Monday 00:00) to 167."""
    return (slot * SLOT_S // HOUR_S + utc_offset_h + _THURSDAY_H) % HOURS_A_WEEK
