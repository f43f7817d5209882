"""Forecasts: exact where the past repeats, never looking ahead, their error stated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanjin.flow.demand_forecast import hourly_demand
from sanjin.flow.forecast import WEEK_H, back_test, choose_model, seasonal_naive, weighted_error
from sanjin.model.errors import ProblemsFound
from sanjin.model.forecast import ForecastModel
from sanjin.model.job import JobSpec, JobState
from sanjin.model.record import JobRecord


@given(st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_what_repeats_every_week_is_forecast_exactly(ahead: int, seed: int) -> None:
    week = np.random.default_rng(seed).uniform(1, 9, WEEK_H)
    history = np.tile(week, 5)
    assert (seasonal_naive(history, ahead) == np.resize(week, ahead)).all()
    assert back_test(history, WEEK_H, origins=3) == 0


@given(st.integers(0, 2**32 - 1))
def test_a_back_test_never_looks_ahead(seed: int) -> None:
    history = np.random.default_rng(seed).uniform(1, 9, 4 * WEEK_H)
    seen: list[int] = []

    def model(past: np.ndarray, ahead: int) -> np.ndarray:
        seen.append(len(past))
        return np.zeros(ahead)

    assert back_test(history, 24, model, origins=3, step=12) == 1.0
    assert seen == [len(history) - 24 - 12 * k for k in range(3)]


def test_errors() -> None:
    assert weighted_error(np.array([1.0, 3.0]), np.array([2.0, 2.0])) == 0.5
    assert math.isnan(weighted_error(np.ones(2), np.zeros(2)))
    with pytest.raises(ValueError, match="168"):
        seasonal_naive(np.ones(WEEK_H - 1), 1)
    with pytest.raises(ValueError, match="origins"):
        back_test(np.ones(2 * WEEK_H), WEEK_H, origins=9)


def flat(history: np.ndarray, ahead: int) -> np.ndarray:
    return np.full(ahead, history.mean())


def days(ahead: int) -> int:
    """Hours of as many whole days."""
    return -(-ahead // 24) * 24


MODELS = {ForecastModel.SEASONAL_NAIVE: seasonal_naive, ForecastModel.DAILY_PROFILE: flat}


@given(st.integers(WEEK_H, 5 * WEEK_H), st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_the_model_chosen_is_never_worse_than_the_baseline(hours: int, ahead: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    history = rng.uniform(0, 9, hours) * (rng.random(hours) < rng.choice([0.0, 0.02, 0.5]))
    found = choose_model(history, ahead, MODELS, WEEK_H, peak=9.0)
    assert (len(found.values), found.origins > 0) == (ahead, hours >= WEEK_H + days(ahead))
    assert {t.model for t in found.tested} == (set(MODELS) if found.origins else set())
    baseline, chosen = found.error_of(ForecastModel.SEASONAL_NAIVE), found.error_of(found.model)
    if baseline is None or chosen is None:  # nothing came, or nothing could be tested
        first = hours - days(ahead) - 24 * (found.origins - 1)
        tested = [history[k : k + ahead] for k in range(first, hours - ahead + 1, 24)]
        assert not found.origins or not np.any(tested)
    else:
        assert 0 <= chosen <= baseline
    assert all(t.error_of_peak is not None and 0 <= t.error_of_peak < 1 for t in found.tested)


def test_origins_are_at_the_hour_where_the_forecast_begins() -> None:
    seen: list[int] = []

    def model(past: np.ndarray, ahead: int) -> np.ndarray:
        seen.append(len(past))
        return np.zeros(ahead)

    hours = 2 * WEEK_H + 5
    found = choose_model(np.ones(hours), 30, {ForecastModel.SEASONAL_NAIVE: model}, WEEK_H)
    assert seen == [*(hours - 48 - 24 * k for k in range(found.origins)), hours]
    assert WEEK_H <= seen[-2] < WEEK_H + 24


def test_the_baseline_stays_where_nothing_beats_it_or_nothing_can_be_tested() -> None:
    same = choose_model(np.ones(3 * WEEK_H), 24, MODELS, WEEK_H)
    assert (same.model, same.error_of(same.model)) == (ForecastModel.SEASONAL_NAIVE, 0.0)
    short = choose_model(np.ones(WEEK_H + 5), 6, MODELS, WEEK_H)
    assert (short.model, short.origins, short.tested) == (ForecastModel.SEASONAL_NAIVE, 0, ())
    with pytest.raises(ProblemsFound, match="167 hours of history are too few"):
        choose_model(np.ones(WEEK_H - 1), 6, MODELS, WEEK_H)


def test_demand_counts_core_hours_by_the_hour_of_arrival() -> None:
    spec = JobSpec(name="x", command=("x",), cores=4, duration_s=1800)
    records = [
        JobRecord(id=f"n-{i}", key="", spec=spec, state=JobState.SUCCEEDED, submitted_s=at)
        for i, at in enumerate((999, 1000, 4599, 4600, 99_999))
    ]
    assert hourly_demand(records, 1000, 2).tolist() == [4.0, 2.0]
