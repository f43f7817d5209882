"""Forecasts of demand: core-hours asked for by the jobs that come in each hour.

A history ends where the forecast begins, so that hours of the week are counted back from its end; no
calendar is needed, and holidays are not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from sanjin.flow.forecast import DAY_H, WEEK_H, Floats, Model, choose_model, seasonal_naive
from sanjin.model.errors import NotFound
from sanjin.model.forecast import HISTORY_HOURS, Forecast, ForecastKind, ForecastModel
from sanjin.model.record import JobRecord
from sanjin.model.units import HOUR_S

PROFILE_WEEKS = 8
"""The levelled profile's mean is over as many weeks. In back-tests of real traces 4 was worse, 12 hardly better."""

PROFILE_DAYS = 28
"""The daily profile's mean is over as many days."""

LEVEL_HALF_LIFE_H = 48
"""An hour of two days ago counts half as much for the level as one of now."""


def hourly_demand(records: Iterable[JobRecord], begin_s: int, hours: int) -> Floats:
    """Core-hours asked for by jobs that came in each hour from ``begin_s``, float64[hours]; others are left out."""
    found = np.zeros(hours)
    for record in records:
        hour = (record.submitted_s - begin_s) // HOUR_S
        if 0 <= hour < hours:
            found[hour] += record.spec.all_cores() * record.spec.duration_s / HOUR_S
    return found


def levelled_profile(history: Floats, ahead: int) -> Floats:
    """Mean of each hour of the week over the last weeks, times a level that follows the last days.

    A multiplicative decomposition whose seasonally adjusted part is forecast by exponential smoothing
    (Hyndman and Athanasopoulos, 5.7 and 8.1); in demand response, an averaging baseline with a day-of
    adjustment (Coughlin, Piette, Goldman and Kiliccote, LBNL-63728, 2008). The level is the ratio of two
    sums with weights that halve every :data:`LEVEL_HALF_LIFE_H`, so that empty hours do no harm. Raises
    ValueError where the history is shorter than a week.
    """
    weeks = min(PROFILE_WEEKS, len(history) // WEEK_H)
    if not weeks:
        raise ValueError(f"a profile of the week wants {WEEK_H} hours of history, not {len(history)}")
    past = history[-weeks * WEEK_H :]
    profile = past.reshape(weeks, WEEK_H).mean(axis=0)
    weight = 0.5 ** (np.arange(len(past))[::-1] / LEVEL_HALF_LIFE_H)
    usual = float(weight @ np.tile(profile, weeks))
    level = float(weight @ past) / usual if usual > 0 else 1.0
    return level * np.resize(profile, ahead)


def daily_profile(history: Floats, ahead: int) -> Floats:
    """Mean of each hour of the day over the last days: for demand that hardly knows weeks, or is very irregular.

    A seasonal mean (Hyndman and Athanasopoulos, 5.2, the mean method a season). Raises ValueError where the
    history is shorter than a day.
    """
    days = min(PROFILE_DAYS, len(history) // DAY_H)
    if not days:
        raise ValueError(f"a profile of the day wants {DAY_H} hours of history, not {len(history)}")
    return np.resize(history[-days * DAY_H :].reshape(days, DAY_H).mean(axis=0), ahead)


MODELS: dict[ForecastModel, Model] = {
    ForecastModel.SEASONAL_NAIVE: seasonal_naive,
    ForecastModel.LEVELLED_PROFILE: levelled_profile,
    ForecastModel.DAILY_PROFILE: daily_profile,
}


def demand_of(records: Sequence[JobRecord], site: str = "", until_s: int = 0) -> tuple[Floats, int]:
    """The hours from the first of all these jobs to the last, or to ``until_s`` where that is later, the last of them
    not over and left out: core-hours asked for at ``site`` (empty: anywhere), and when the first begins.

    Raises NotFound where there is no job.
    """
    if not records:
        raise NotFound("no job was ever submitted here; there is nothing to forecast from")
    begin_s = min(r.submitted_s for r in records) // HOUR_S * HOUR_S
    count = (max(until_s, *(r.submitted_s for r in records)) - begin_s) // HOUR_S
    here = [r for r in records if not site or r.id.rpartition("-")[0] == site]
    return hourly_demand(here, begin_s, count), begin_s


def forecast_demand(history: Floats, first_hour_s: int, ahead: int, site: str = "") -> Forecast:
    """The ``ahead`` hours after ``history``, whose first hour begins at ``first_hour_s``; core-hours.

    Raises ProblemsFound where the history is shorter than a week.
    """
    choice = choose_model(history, ahead, MODELS, WEEK_H)
    return Forecast(
        kind=ForecastKind.DEMAND,
        site=site,
        first_hour_s=first_hour_s + len(history) * HOUR_S,
        values=tuple(choice.values.tolist()),
        unit="core_h",
        model=choice.model,
        error=choice.error_of(choice.model),
        baseline_error=choice.error_of(ForecastModel.SEASONAL_NAIVE),
        origins=choice.origins,
        history_hours=len(history),
        tested=choice.tested,
        history=tuple(history[-HISTORY_HOURS:].tolist()),
    )
