"""Forecasts: exact where the past repeats, never looking ahead, their error stated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanjin.flow.forecast import WEEK_H, back_test, hourly_demand, seasonal_naive, weighted_error
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


def test_demand_counts_core_hours_by_the_hour_of_arrival() -> None:
    spec = JobSpec(name="x", command=("x",), cores=4, duration_s=1800)
    records = [
        JobRecord(id=f"n-{i}", key="", spec=spec, state=JobState.SUCCEEDED, submitted_s=at)
        for i, at in enumerate((999, 1000, 4599, 4600, 99_999))
    ]
    assert hourly_demand(records, 1000, 2).tolist() == [4.0, 2.0]
