"""Forecasts of demand: their laws, and that they beat the baseline where there is something to learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanjin.flow.demand_forecast import MODELS, daily_profile, forecast_demand, levelled_profile
from sanjin.flow.forecast import WEEK_H, Model
from sanjin.model.forecast import ForecastModel

BEGIN_S = 1_783_872_000


def synthetic_demand(seed: int, weeks: int) -> np.ndarray:
    """SYNTHETIC: a day's and a week's shape, a level that drifts, gamma noise with a deviation of 35 %."""
    rng = np.random.default_rng(seed)
    hour = np.arange(weeks * WEEK_H)
    shape = (1 + 0.6 * np.sin(2 * np.pi * (hour % 24 - 9) / 24)) * np.where(hour % WEEK_H < 120, 1.0, 0.5)
    level = np.exp(np.cumsum(rng.normal(0, 0.005, len(hour))))
    return 100 * shape * level * rng.gamma(8, 1 / 8, len(hour))


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@given(st.integers(WEEK_H, 4 * WEEK_H), st.integers(1, 200), st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_laws(model: Model, hours: int, ahead: int, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    history = rng.exponential(5, hours) * (rng.random(hours) < 0.5)
    found = model(history, ahead)
    assert found.shape == (ahead,)
    assert (found >= 0).all() and np.isfinite(found).all()
    np.testing.assert_allclose(model(scale * history, ahead), scale * found, rtol=1e-9, atol=1e-9)
    assert (model(np.zeros(hours), ahead) == 0).all()


def test_a_profile_follows_the_level_and_is_exact_on_what_repeats() -> None:
    week = np.random.default_rng(1).uniform(1, 9, WEEK_H)
    np.testing.assert_allclose(levelled_profile(np.tile(week, 5), 200), np.resize(week, 200))
    np.testing.assert_allclose(daily_profile(np.tile(week[:24], 9), 50), np.resize(week[:24], 50))
    doubled = np.concatenate([np.tile(week, 4), 2 * week])
    assert (levelled_profile(doubled, WEEK_H) > 1.7 * week).all()
    for model in (levelled_profile, daily_profile):
        with pytest.raises(ValueError, match="history"):
            model(np.ones(23), 1)


@pytest.mark.parametrize("seed", range(3))
def test_the_levelled_profile_beats_the_baseline_on_synthetic_demand(seed: int) -> None:
    """0.73 to 0.76 of the baseline's error was seen."""
    found = forecast_demand(synthetic_demand(seed, 12), BEGIN_S, 48)
    assert found.model == ForecastModel.LEVELLED_PROFILE
    assert found.error is not None and found.baseline_error is not None
    assert found.error < 0.9 * found.baseline_error
    assert (found.origins, found.history_hours, len(found.tested)) == (28, 12 * WEEK_H, 3)
    assert (found.first_hour_s, len(found.values), found.site) == (BEGIN_S + 12 * WEEK_H * 3600, 48, "")
