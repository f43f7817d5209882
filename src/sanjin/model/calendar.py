"""Local calendar values of instants, as arrays. China has no daylight saving time: a fixed offset will do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sanjin.model.units import DAY_S, HOUR_S

Ints = NDArray[np.int64]

MONTH_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
"""Days of the months of a common year."""

_MONTH_BEGINS = np.concatenate(([0], np.cumsum(MONTH_DAYS)[:-1]))


@dataclass(frozen=True, slots=True)
class Local:
    """Instants as local calendar values, int64 arrays except ``hour`` (float64, 0 to 24)."""

    month: Ints
    """0 to 11."""
    day_of_month: Ints
    """From 0."""
    day_of_year: Ints
    """From 0."""
    month_days: Ints
    hour: NDArray[np.float64]


def local_of(at_s: Ints, utc_offset_h: int) -> Local:
    """Gregorian calendar of each instant (Howard Hinnant, "chrono-compatible date algorithms")."""
    local_s = at_s + utc_offset_h * HOUR_S
    days = local_s // DAY_S
    z = days + 719_468  # days since 0000-03-01
    era = z // 146_097
    day_of_era = z - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    since_march = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    march_month = (5 * since_march + 2) // 153
    day_of_month = since_march - (153 * march_month + 2) // 5
    month = (march_month + 2) % 12
    year = year_of_era + era * 400 + (month < 2)
    leap = ((year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))).astype(np.int64)
    return Local(
        month=month,
        day_of_month=day_of_month,
        day_of_year=_MONTH_BEGINS[month] + day_of_month + leap * (month > 1),
        month_days=MONTH_DAYS[month] + leap * (month == 1),
        hour=(local_s - days * DAY_S) / HOUR_S,
    )
