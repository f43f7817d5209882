"""Forecasts of a site's on-site generation: the modelled output as the shape, scaled by what was measured."""

from __future__ import annotations

from functools import partial

import numpy as np

from sanjin.flow.forecast import DAY_H, Floats, Model, choose_model, seasonal_naive
from sanjin.model.catalogue import problem
from sanjin.model.energy import hourly_generation_kw
from sanjin.model.errors import ProblemsFound
from sanjin.model.forecast import HISTORY_HOURS, Forecast, ForecastKind, ForecastModel
from sanjin.model.region import Node
from sanjin.model.units import HOUR_S

RATIO_DAYS = 30
"""The long-run ratio of measured to modelled output is over as many days."""

RECENT_H = 2
"""The recent ratio is over as many bright hours."""

LEAST_SHARE = 0.1
"""Hours whose shape is below this share of its peak are too dim for a ratio to mean much. Model."""


def smart_persistence(shape: Floats) -> Model:
    """A model for a series that is ``shape`` times a ratio (for the sun, a clear-sky index) that changes slowly.

    ``shape`` has the expected output of each hour of the history and of all hours ahead. The ratio of the
    last bright hours persists ("smart persistence"; Pedro and Coimbra, Solar Energy 86, 2012) and decays to
    the long-run ratio: with weight r^h after h hours, r the ratio's autocorrelation from hour to hour, which
    is the best linear combination of persistence and climatology (Murphy, Weather and Forecasting 7, 1992;
    Yang, Solar Energy 193, 2019) where the ratio is an AR(1) process. Where the shape is 0, so is the forecast.
    """

    def model(history: Floats, ahead: int) -> Floats:
        now = len(history)
        past = slice(max(now - RATIO_DAYS * DAY_H, 0), now)
        usual, last, age, keep = _ratio(history[past], shape[past])
        weight = keep ** (age + np.arange(ahead))
        return shape[now : now + ahead] * (usual + (last - usual) * weight)

    return model


def _ratio(measured: Floats, shape: Floats) -> tuple[float, float, int, float]:
    """Of measured to shape: (long-run ratio, recent one, hours since then and now, autocorrelation at an hour).

    Ratios are of sums, so that bright hours count more. The ratio is 1 where there was no bright hour.
    """
    bright = np.flatnonzero(shape > LEAST_SHARE * shape.max(initial=0.0))
    if not len(bright):
        return 1.0, 1.0, 0, 0.0
    usual = float(measured[bright].sum() / shape[bright].sum())
    recent = bright[-RECENT_H:]
    last = float(measured[recent].sum() / shape[recent].sum())
    off = measured / np.where(shape > 0, shape, 1.0) - usual
    pair = bright[:-1][np.diff(bright) == 1]  # hours whose next hour is bright too
    both = float((off[pair] ** 2).sum() * (off[pair + 1] ** 2).sum()) ** 0.5
    keep = float((off[pair] * off[pair + 1]).sum()) / both if both > 0 else 0.0
    return usual, last, len(shape) - int(bright[-1]), min(max(keep, 0.0), 1.0)


def forecast_generation(node: Node, utc_offset_h: int, history: Floats, first_hour_s: int, ahead: int) -> Forecast:
    """On-site generation of the ``ahead`` hours after ``history``, mean kW of each hour.

    ``history`` is measured, its first hour beginning at ``first_hour_s``. With none, the forecast is the
    modelled output from that hour, its error not known. Raises ProblemsFound where the site has no
    generation, or the history is some but shorter than a day.
    """
    power = node.site.power
    if not power.generation:
        raise ProblemsFound([problem("no_generation", "", value=node.id)])
    hours = len(history) + ahead
    shape = hourly_generation_kw(power, first_hour_s, hours, utc_offset_h, node.lat, node.lon)
    made = partial(
        Forecast,
        kind=ForecastKind.GENERATION,
        site=node.id,
        first_hour_s=first_hour_s + len(history) * HOUR_S,
        unit="kw",
        history_hours=len(history),
        history=tuple(history[-HISTORY_HOURS:].tolist()),
    )
    if not len(history):
        values = tuple(shape.tolist())
        return made(values=values, model=ForecastModel.MODELLED, error=None, baseline_error=None, origins=0)
    models: dict[ForecastModel, Model] = {
        ForecastModel.SEASONAL_NAIVE: partial(seasonal_naive, season=DAY_H),
        ForecastModel.SMART_PERSISTENCE: smart_persistence(shape),
    }
    choice = choose_model(history, ahead, models, DAY_H, sum(g.peak.value for g in power.generation))
    return made(
        values=tuple(choice.values.tolist()),
        model=choice.model,
        error=choice.error_of(choice.model),
        baseline_error=choice.error_of(ForecastModel.SEASONAL_NAIVE),
        origins=choice.origins,
        tested=choice.tested,
    )
