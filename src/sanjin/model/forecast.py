"""A forecast by the hour, what made it, and how wrong the same way of forecasting has been."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ForecastKind(StrEnum):
    """What is forecast: core-hours asked for by jobs that come in an hour, or mean kW generated on site."""

    DEMAND = "demand"
    GENERATION = "generation"


class ForecastModel(StrEnum):
    """Ways of forecasting; :mod:`sanjin.flow.demand_forecast` and ``generation_forecast`` say what each does."""

    SEASONAL_NAIVE = "seasonal_naive"
    """The baseline of both kinds."""
    LEVELLED_PROFILE = "levelled_profile"
    DAILY_PROFILE = "daily_profile"
    SMART_PERSISTENCE = "smart_persistence"
    MODELLED = "modelled"
    """Nothing was measured: the site's generation as :mod:`sanjin.model.energy` models it."""


SEASON_H = {ForecastKind.DEMAND: 168, ForecastKind.GENERATION: 24}
"""Hours of the baseline's season, which are also the least history that a forecast needs."""

MOST_HOURS = 4 * 168
"""Hours ahead that can be asked for."""

HISTORY_HOURS = 168
"""Hours of history that a forecast shows, at most."""


@dataclass(frozen=True, slots=True)
class ModelError:
    """How wrong ``model`` was in a back-test.

    ``error`` is the sum of absolute errors over the sum of what came (WAPE): 0 is exact, 1 as bad as
    forecasting nothing; None where nothing came. ``error_of_peak`` is the mean absolute error over the
    site's peak power (nMAE, all hours counted, nights too); None for demand, which has no peak.
    """

    model: ForecastModel
    error: float | None
    error_of_peak: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """``values`` for consecutive hours, the first beginning at ``first_hour_s``, each in ``unit``.

    ``site`` is empty for a whole region. ``model`` made the values; ``error`` and ``baseline_error``
    (see :class:`ModelError`) come from a back-test from ``origins`` origins within ``history_hours`` hours
    of history, and ``tested`` has every model, the baseline first. With no origin (a history too short,
    or none) errors are None and ``tested`` is empty: the error is not known. ``history`` is
    what was measured in the hours just before ``first_hour_s``, the last :data:`HISTORY_HOURS` at most; empty where
    the values are modelled.
    """

    kind: ForecastKind
    site: str
    first_hour_s: int
    values: tuple[float, ...]
    unit: str
    model: ForecastModel
    error: float | None
    baseline_error: float | None
    origins: int
    history_hours: int
    tested: tuple[ModelError, ...] = ()
    history: tuple[float, ...] = ()
