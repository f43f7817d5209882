"""How wrong forecasts are, each model beside seasonal-naive, in a back-test over what came later.

Demand: core-hours by the hour of arrival of a year of real traces (Azure and Alibaba PAI, from
``../shared/traces``), and of a SYNTHETIC series with a week's shape, a drifting level and noise; forecasts
of 48 hours, one every two days. Generation: a SYNTHETIC year at a site that has PV, the very output that the
model assumes times an AR(1) cloudiness; forecasts of 6 and of 48 hours, at changing hours. No measured series is
at hand; against one, whose shape is not quite the model's, smart persistence will be less far ahead.

``chosen`` is what a user gets: at each origin the model that a back-test before that origin picks, so that
nothing is picked by what came after. The list of models and their constants (8 weeks, 28 days, 48 h) were settled
while looking at these same traces, so that their figures are somewhat kind; no third trace is long enough.

Errors are WAPE (sum of absolute errors over the sum of what came), for generation also the mean error over peak
power. The value is the geometric mean, over the real traces (the synthetic demand where they are absent), of the
error of ``chosen`` over that of seasonal-naive: below 1 is better.

    python benchmarks/forecast.py
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from common import SHARED, finish

from sanjin.flow import demand_forecast
from sanjin.flow.forecast import DAY_H, WEEK_H, Floats, Model, choose_model, seasonal_naive
from sanjin.flow.generation_forecast import smart_persistence
from sanjin.model.energy import hourly_generation_kw
from sanjin.model.forecast import ForecastModel
from sanjin.regions.load import bundled, load_region

BEGIN_S = 1_783_872_000  # Monday 2026-07-13 00:00 in Shanxi
YEAR_H = 8760
LEARN_H = 10 * WEEK_H
"""Hours before the first origin."""


def traced(name: str) -> Floats | None:
    """Core-hours by the hour of arrival over the trace's year; None where the trace is absent."""
    path = SHARED / "traces" / f"{name}-100k.csv"
    if not path.exists():
        return None
    arrival, length, cores = np.loadtxt(path, delimiter=",", skiprows=1).T
    return np.bincount(arrival.astype(int), length * cores, YEAR_H)[:YEAR_H]


def made_demand(seed: int = 1) -> Floats:
    """A synthetic year: shapes of day and week, a drifting level, gamma noise with a deviation of 35 %."""
    rng = np.random.default_rng(seed)
    hour = np.arange(YEAR_H)
    shape = (1 + 0.6 * np.sin(2 * np.pi * (hour % 24 - 9) / 24)) * np.where(hour % WEEK_H < 120, 1.0, 0.5)
    return 100 * shape * np.exp(np.cumsum(rng.normal(0, 0.005, YEAR_H))) * rng.gamma(8, 1 / 8, YEAR_H)


def made_generation(shape: Floats, seed: int = 1, keep: float = 0.9) -> Floats:
    """A synthetic year: the modelled output times an AR(1) cloudiness within bounds."""
    rng = np.random.default_rng(seed)
    cloud = np.zeros(YEAR_H)
    for i, push in enumerate(rng.normal(0, (1 - keep**2) ** 0.5, YEAR_H - 1), start=1):
        cloud[i] = keep * cloud[i - 1] + push
    return shape[:YEAR_H] * np.clip(1 + 0.35 * cloud, 0.05, 1.33)


def errors(series: Floats, ahead: int, step: int, models: dict[ForecastModel, Model], least: int) -> dict[str, float]:
    """Mean absolute error over the mean of what came, of each model and of ``chosen``."""
    off = dict.fromkeys([*map(str, models), "chosen"], 0.0)
    came = 0.0
    for now in range(LEARN_H, len(series) - ahead + 1, step):
        past, actual = series[:now], series[now : now + ahead]
        found = {str(name): model(past, ahead) for name, model in models.items()}
        found["chosen"] = choose_model(past, ahead, models, least).values
        came += float(actual.sum())
        for name, values in found.items():
            off[name] += float(np.abs(values - actual).sum())
    return {name: total / came for name, total in off.items()}


def say(title: str, found: dict[str, float], per_peak: float = 0.0) -> float:
    """Print a table; returns the ratio of ``chosen`` to the baseline."""
    baseline = found[ForecastModel.SEASONAL_NAIVE]
    print(f"\n{title}\n{'model':<20}{'WAPE':>8}{'of naive':>10}" + ("  of peak" if per_peak else ""))
    for name, error in found.items():
        print(f"{name:<20}{error:8.3f}{error / baseline:10.3f}" + (f"{error * per_peak:9.3f}" if per_peak else ""))
    return found["chosen"] / baseline


def generation() -> dict[str, float]:
    """Ratios of chosen to baseline, by title."""
    region = load_region(bundled("shanxi"))
    node = next(n for n in region.nodes.values() if n.site.power.generation)
    peak_kw = sum(g.peak.value for g in node.site.power.generation)
    shape = hourly_generation_kw(node.site.power, BEGIN_S, YEAR_H + WEEK_H, region.utc_offset_h, node.lat, node.lon)
    series = made_generation(shape)
    models: dict[ForecastModel, Model] = {
        ForecastModel.SEASONAL_NAIVE: partial(seasonal_naive, season=DAY_H),
        ForecastModel.SMART_PERSISTENCE: smart_persistence(shape),
    }
    ratios: dict[str, float] = {}
    for ahead in (6, 48):
        found = errors(series, ahead, 25, models, DAY_H)
        title = f"SYNTHETIC generation at {node.id}, {ahead} h ahead"
        ratios[f"generation-synthetic-{ahead}h"] = say(title, found, float(series.mean()) / peak_kw)
    return ratios


def main() -> None:
    ratios: dict[str, float] = {}
    for name in ("azure", "pai"):
        series = traced(name)
        if series is None:
            print(f"\n{name}: the trace is absent ({SHARED / 'traces'}); skipped")
            continue
        ratios[name] = say(f"demand of {name}, 48 h ahead", errors(series, 48, 48, demand_forecast.MODELS, WEEK_H))
    found = errors(made_demand(), 48, 48, demand_forecast.MODELS, WEEK_H)
    made = say("SYNTHETIC demand, 48 h ahead", found)
    real = list(ratios.values()) or [made]
    peers = {**ratios, "demand-synthetic": made, **generation()}
    value = math.exp(sum(map(math.log, real)) / len(real))
    finish(
        "forecast", round(value, 3), "error / error of seasonal-naive", 1.0, {k: round(v, 3) for k, v in peers.items()}
    )


if __name__ == "__main__":
    main()
