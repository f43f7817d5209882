"""Forecasts of demand and how wrong they were: a back-test states the error of each.

The baseline is seasonal-naive: the next hours are as the same hours were one season ago (Hyndman and
Athanasopoulos, Forecasting: Principles and Practice, 5.2). Whatever replaces it has to beat it in
:func:`back_test` on the same history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from sanjin.model.record import JobRecord
from sanjin.model.units import HOUR_S

Floats = NDArray[np.float64]
Model = Callable[[Floats, int], Floats]
"""(history by hour, hours ahead) to a forecast of as many hours."""

WEEK_H = 168


def hourly_demand(records: Iterable[JobRecord], begin_s: int, hours: int) -> Floats:
    """Core-hours asked for by jobs that came in each hour from ``begin_s``, float64[hours]; others are left out."""
    found = np.zeros(hours)
    for record in records:
        hour = (record.submitted_s - begin_s) // HOUR_S
        if 0 <= hour < hours:
            found[hour] += record.spec.all_cores() * record.spec.duration_s / HOUR_S
    return found


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
    """Mean weighted error of ``model`` over the last ``origins`` origins, ``step`` hours apart.

    Each forecast sees only what came before its origin. Raises ValueError where the history is too short.
    """
    errors: list[float] = []
    for k in range(origins):
        end = len(history) - k * step
        errors.append(weighted_error(model(history[: end - ahead], ahead), history[end - ahead : end]))
    return float(np.mean(errors))
