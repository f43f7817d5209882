"""Forecasts by the hour and how wrong they were: a back-test states the error of each, and picks among them.

The baseline is seasonal-naive: the next hours are as the same hours were one season ago (Hyndman and
Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., 5.2). Whatever replaces it has to beat it in
:func:`choose_model` on the same history. What models there are for demand and for generation is said in
:mod:`sanjin.flow.demand_forecast` and :mod:`sanjin.flow.generation_forecast`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sanjin.model.catalogue import problem
from sanjin.model.errors import ProblemsFound
from sanjin.model.forecast import SEASON_H, ForecastKind, ForecastModel, ModelError

Floats = NDArray[np.float64]
Model = Callable[[Floats, int], Floats]
"""(history by hour, hours ahead) to a forecast of as many hours."""

WEEK_H = SEASON_H[ForecastKind.DEMAND]
DAY_H = SEASON_H[ForecastKind.GENERATION]

MOST_ORIGINS = 28
"""A back-test looks at the last four weeks, where there are as many."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A forecast by the model that was chosen, and the errors of all (none where ``origins`` is 0)."""

    model: ForecastModel
    values: Floats
    tested: tuple[ModelError, ...]
    origins: int

    def error_of(self, model: ForecastModel) -> float | None:
        """The weighted error of one model; None where it is not known."""
        return next((t.error for t in self.tested if t.model == model), None)


def seasonal_naive(history: Floats, ahead: int, season: int = WEEK_H) -> Floats:
    """The last whole season again and again. Raises ValueError where the history is shorter than one."""
    if len(history) < season:
        raise ValueError(f"a season of {season} hours wants as much history, not {len(history)} hours")
    return np.resize(history[-season:], ahead)


def weighted_error(forecast: Floats, actual: Floats) -> float:
    """Sum of absolute errors over the sum of what came (WAPE); 0 is exact, 1 as bad as forecasting nothing.

    NaN where nothing came.
    """
    total = float(actual.sum())
    return float(np.abs(forecast - actual).sum()) / total if total else float("nan")


def back_test(history: Floats, ahead: int, model: Model = seasonal_naive, origins: int = 1, step: int = 24) -> float:
    """Weighted error of ``model`` over the last ``origins`` origins together, ``step`` hours apart.

    Each forecast sees only what came before its origin (rolling origin; Tashman, International Journal of
    Forecasting 16, 2000). NaN where nothing came. Raises ValueError where the history is too short.
    """
    actual = _actuals(history, ahead, origins, step)
    return weighted_error(_forecasts(history, ahead, model, origins, step), actual)


def choose_model(
    history: Floats, ahead: int, models: Mapping[ForecastModel, Model], least: int, peak: float | None = None
) -> Choice:
    """The forecast of the model that a back-test finds least wrong; the first model is the baseline.

    The baseline stays unless another was less wrong over the same origins: one a day at the hour of the day
    where the forecast begins (a morning's error is not an evening's), as many as fit and at most
    :data:`MOST_ORIGINS`. ``least`` is the hours of history that the models need, ``peak`` what the mean
    absolute error is also stated against. Where not one origin fits, the baseline forecasts and no error is
    known. The error stated is that of the history it was chosen on; where models are near each other,
    expect a little more. Raises ProblemsFound where the history is shorter than ``least``.
    """
    if len(history) < least:
        raise ProblemsFound([problem("history_too_short", "", value=len(history), least=least)])
    baseline = next(iter(models))
    past = history[: len(history) - -ahead % DAY_H]
    origins = min(MOST_ORIGINS, (len(past) - least - ahead) // DAY_H + 1)
    if origins <= 0:
        return Choice(baseline, models[baseline](history, ahead), (), 0)
    actual = _actuals(past, ahead, origins, DAY_H)
    off = {
        name: float(np.abs(_forecasts(past, ahead, model, origins, DAY_H) - actual).sum())
        for name, model in models.items()
    }
    chosen = min(off, key=lambda name: off[name])  # the earlier of equals: the baseline
    came = float(actual.sum())
    tested = tuple(
        ModelError(name, sum_off / came if came else None, sum_off / actual.size / peak if peak else None)
        for name, sum_off in off.items()
    )
    return Choice(chosen, models[chosen](history, ahead), tested, origins)


def _actuals(history: Floats, ahead: int, origins: int, step: int) -> Floats:
    """What came after each origin, float64[origins, ahead]; the last origin first."""
    if len(history) < ahead + (origins - 1) * step:
        raise ValueError(f"{len(history)} hours of history hold no {origins} origins with {ahead} hours after each")
    ends = [len(history) - k * step for k in range(origins)]
    return np.array([history[end - ahead : end] for end in ends])


def _forecasts(history: Floats, ahead: int, model: Model, origins: int, step: int) -> Floats:
    """What ``model`` would have said at each origin, of the shape of :func:`_actuals`."""
    return np.array([model(history[: len(history) - k * step - ahead], ahead) for k in range(origins)])
