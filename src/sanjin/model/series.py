"""Hourly figures of energy that stand in place of the region's own models: given by a file, or synthetic.

A series has hours one after another. Where it says nothing of a figure, a site or an hour - inside its span or
outside - the region's model goes on applying. A figure holds for its whole hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from sanjin.model.calendar import MONTH_DAYS, Ints, local_of
from sanjin.model.units import HOUR_S

Floats = NDArray[np.float64]

ALL_SITES = "*"
"""What stands for every site that has no figure of its own."""

SYNTHETIC = "synthetic"
"""How the source of synthetic rows begins."""

_LEAP_YEAR_H = 366 * 24
_FEBRUARY_29 = slice(59 * 24, 60 * 24)
_FEBRUARY_28 = slice(58 * 24, 59 * 24)
_BEGINS = np.concatenate(([0], np.cumsum(MONTH_DAYS + (np.arange(12) == 1))[:-1]))


class Quantity(StrEnum):
    """What a series may say; the values name the columns of its file."""

    PRICE = "price_yuan_kwh"
    """Of the grid's electricity at the meter, before PUE. In place of the tariff."""
    CARBON = "carbon_kg_kwh"
    """CO2e of the grid's electricity. In place of the grid's yearly factor."""
    TEMPERATURE = "temperature_c"
    """Outdoors. In place of the month's mean and the day's swing; PUE follows from it."""
    GENERATION = "generation_kw"
    """On site. In place of the modelled one; its price stays that of the region document."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Hourly figures. ``first_hour`` counts hours since 1970 (UTC); there are ``hours`` of them.

    ``values`` has float64[hours] by quantity and by site (or :data:`ALL_SITES`), NaN where nothing is said.
    ``source`` is what the file says of where its figures come from; ``synthetic`` where any of them was made by a
    model. ``year`` is set by :func:`repeated`.
    """

    name: str
    source: str
    synthetic: bool
    first_hour: int
    hours: int
    values: Mapping[Quantity, Mapping[str, Floats]]
    year: Ints | None = None
    utc_offset_h: int = 0

    def at(self, quantity: Quantity, site: str, at_s: Ints) -> Floats:
        """The figure of a site at instants (seconds UTC), of the same shape; NaN where the series says nothing."""
        found = np.full(at_s.shape, np.nan)
        by_site = self.values.get(quantity, {})
        given = [by_site[name] for name in (site, ALL_SITES) if name in by_site]
        if not given or not self.hours:
            return found
        hour = at_s // HOUR_S - self.first_hour
        if self.year is not None:
            outside = (hour < 0) | (hour >= self.hours)
            hour = np.where(outside, self.year[_hour_of_year(at_s, self.utc_offset_h)], hour)
        inside = (hour >= 0) & (hour < self.hours)
        at = np.clip(hour, 0, self.hours - 1)
        for values in given:
            found = np.where(np.isnan(found) & inside, values[at], found)
        return found


def repeated(series: Series, utc_offset_h: int) -> Series:
    """The series with its hours said again in every other year: the same month, day and hour, local time.

    Of an hour that the series has in several years the first counts; 29 February is as the 28th where it has none.
    """
    hours = (series.first_hour + np.arange(series.hours, dtype=np.int64)) * HOUR_S
    year = np.full(_LEAP_YEAR_H, -1, np.int64)
    year[_hour_of_year(hours, utc_offset_h)[::-1]] = np.arange(series.hours)[::-1]
    year[_FEBRUARY_29] = np.where(year[_FEBRUARY_29] < 0, year[_FEBRUARY_28], year[_FEBRUARY_29])
    return replace(series, year=year, utc_offset_h=utc_offset_h)


def _hour_of_year(at_s: Ints, utc_offset_h: int) -> Ints:
    """Hour of a leap year: so every month and day has its own, in every year."""
    at = local_of(at_s, utc_offset_h)
    return (_BEGINS[at.month] + at.day_of_month) * 24 + at.hour.astype(np.int64)
