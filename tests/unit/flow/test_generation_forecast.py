"""Forecasts of generation: nothing at night, in proportion to what was measured, better than yesterday again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanjin.flow.generation_forecast import forecast_generation, smart_persistence
from sanjin.model.energy import generation_kw, hourly_generation_kw
from sanjin.model.errors import ProblemsFound
from sanjin.model.forecast import Forecast, ForecastModel
from sanjin.model.region import Generation, Node
from sanjin.regions.load import bundled, load_region

BEGIN_S = 1_783_872_000  # Monday 2026-07-13 00:00 in Shanxi
REGION = load_region(bundled("shanxi"))
NODE = next(n for n in REGION.nodes.values() if n.site.power.generation)
PV = NODE.site.power.generation[0]


def shape_of(hours: int, first_s: int = BEGIN_S, node: Node = NODE) -> np.ndarray:
    return hourly_generation_kw(node.site.power, first_s, hours, REGION.utc_offset_h, node.lat, node.lon)


def with_wind() -> Node:
    power = replace(NODE.site.power, generation=(PV, Generation("wind", PV.peak, PV.price)))
    return replace(NODE, site=replace(NODE.site, power=power))


def synthetic_generation(seed: int, days: int, keep: float = 0.9) -> np.ndarray:
    """SYNTHETIC: the modelled output times a cloudiness that is AR(1) by the hour, in bounds."""
    rng = np.random.default_rng(seed)
    cloud = np.zeros(days * 24)
    for i, push in enumerate(rng.normal(0, (1 - keep**2) ** 0.5, len(cloud) - 1), start=1):
        cloud[i] = keep * cloud[i - 1] + push
    return shape_of(days * 24) * np.clip(1 + 0.35 * cloud, 0.05, 1.33)


def forecast(history: np.ndarray, ahead: int, node: Node = NODE, first_s: int = BEGIN_S) -> Forecast:
    return forecast_generation(node, REGION.utc_offset_h, history, first_s, ahead)


@given(st.integers(0, 4 * 365 * 24))
def test_an_hour_of_the_model_is_the_mean_of_its_quarters(hour: int) -> None:
    first_s = BEGIN_S + hour * 3600
    quarters = [generation_kw(NODE.site.power, first_s + q, 8, NODE.lat, NODE.lon) for q in (450, 1350, 2250, 3150)]
    assert shape_of(2, first_s)[0] == pytest.approx(np.mean(quarters))


@given(st.integers(24, 40 * 24), st.integers(1, 100), st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_laws(hours: int, ahead: int, seed: int, scale: float) -> None:
    shape = shape_of(hours + ahead)
    model = smart_persistence(shape)
    rng = np.random.default_rng(seed)
    history = shape[:hours] * rng.uniform(0, 1.3, hours)
    found = model(history, ahead)
    assert found.shape == (ahead,)
    assert (found >= 0).all() and np.isfinite(found).all()
    assert (found[shape[hours:] == 0] == 0).all()
    np.testing.assert_allclose(model(scale * history, ahead), scale * found, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(model(0.5 * shape[:hours], ahead), 0.5 * shape[hours:], atol=1e-9)


def test_the_ratio_persists_and_decays_to_its_mean() -> None:
    node = with_wind()
    hours, ahead = 30 * 24, 72
    shape = shape_of(hours + ahead, node=node)
    ratio = np.where(np.arange(hours) // 12 % 2, 1.2, 0.8)
    found = smart_persistence(shape)(shape[:hours] * ratio, ahead) / shape[hours:]
    assert 1.1 < found[0] <= 1.2
    assert (np.diff(found) < 0).all()
    assert found[-1] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("ahead", [6, 48])
@pytest.mark.parametrize("seed", range(3))
def test_smart_persistence_beats_the_baseline_on_synthetic_clouds(seed: int, ahead: int) -> None:
    """From noon. 0.38 to 0.75 of the baseline's error was seen."""
    found = forecast(synthetic_generation(seed, 91)[:-12], ahead)
    assert found.model == ForecastModel.SMART_PERSISTENCE
    assert found.error is not None and found.baseline_error is not None
    assert found.error < 0.9 * found.baseline_error
    assert found.origins == 28
    assert all(0 < t.error_of_peak < 0.2 for t in found.tested if t.error_of_peak is not None)


def test_without_a_history_it_is_the_model_and_no_error_is_known() -> None:
    found = forecast(np.zeros(0), 48)
    assert (found.model, found.error, found.origins) == (ForecastModel.MODELLED, None, 0)
    assert found.values == tuple(shape_of(48))


def test_what_cannot_be_forecast_is_said() -> None:
    short = forecast(shape_of(30), 24)
    assert (short.model, short.error, short.origins) == (ForecastModel.SEASONAL_NAIVE, None, 0)
    with pytest.raises(ProblemsFound, match="23 hours of history are too few"):
        forecast(np.ones(23), 24)
    none = next(n for n in REGION.nodes.values() if not n.site.power.generation)
    with pytest.raises(ProblemsFound, match="no on-site generation"):
        forecast(np.ones(48), 24, none)
    nothing = forecast(np.zeros(96), 24)
    assert (nothing.error, set(nothing.values)) == (None, {0.0})
