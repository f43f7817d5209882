"""Predict machine wear from vibration by ridge regression; prints R2 on held-out machines.

Features are band energies and shape figures of each signal, with their products; the ridge
weight is chosen by cross-validation on the training machines only.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanjin.examples import common

DATASET = "sensor-2026"
WEIGHTS = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
FOLDS = 10

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How well wear was predicted. ``r2`` is on machines that the fit never saw."""

    machines: int
    held_out: int
    features: int
    ridge_weight: float
    r2: float


def run(file: Path, *, seed: int = 2026, size: int = 1200) -> Result:
    """Fit on three quarters of (up to) ``size`` machines of ``file`` and score on the rest."""
    with np.load(file) as arrays:
        signal: NDArray[np.int16] = arrays["signal"][:size]
        wear = arrays["wear"][:size].astype(np.float64)
    table = _products(_features(signal))
    order = np.random.default_rng(seed).permutation(len(wear))
    cut = len(order) * 3 // 4
    train, test = order[:cut], order[cut:]
    weight = _choose(table[train], wear[train])
    guess = _predict(table[train], wear[train], table[test], (weight,))[weight]
    return Result(
        machines=len(wear),
        held_out=len(test),
        features=table.shape[1],
        ridge_weight=weight,
        r2=_r2(wear[test], guess),
    )


def _features(signal: NDArray[np.int16]) -> Matrix:
    """Log energy in 16 frequency bands, RMS, crest factor and kurtosis of each signal."""
    scaled = signal.astype(np.float64) / 6000.0
    power = np.abs(np.fft.rfft(scaled * np.hanning(scaled.shape[1]), axis=1)) ** 2
    steps: Matrix = 4 * (signal.shape[1] / 8) ** np.linspace(0.0, 1.0, 17)
    edges = np.unique(steps.astype(np.int64))
    bands = np.log(np.add.reduceat(power, edges[:-1], axis=1) + 1e-9)
    rms = np.sqrt(np.mean(scaled**2, axis=1))
    crest = np.max(np.abs(scaled), axis=1) / rms
    kurtosis = np.mean(scaled**4, axis=1) / rms**4
    return np.column_stack([bands, rms, crest, kurtosis])


def _products(table: Matrix) -> Matrix:
    """Standardised features and all their pairwise products, standardised again."""
    plain = (table - table.mean(axis=0)) / (table.std(axis=0) + 1e-12)
    left, right = np.triu_indices(plain.shape[1])
    pairs = plain[:, left] * plain[:, right]
    pairs = (pairs - pairs.mean(axis=0)) / (pairs.std(axis=0) + 1e-12)
    return np.column_stack([plain, pairs])


def _predict(table: Matrix, target: Matrix, unseen: Matrix, weights: Sequence[float]) -> dict[float, Matrix]:
    """Predictions for ``unseen`` under each ridge weight; one factorisation serves them all."""
    middle, level = table.mean(axis=0), target.mean()
    left, singular, right = np.linalg.svd(table - middle, full_matrices=False)
    inner = left.T @ (target - level)
    shown = (unseen - middle) @ right.T
    return {w: level + shown @ (singular / (singular**2 + w) * inner) for w in weights}


def _choose(table: Matrix, target: Matrix) -> float:
    """The ridge weight with the least squared error over the folds."""
    fold = np.arange(len(target)) % FOLDS
    error = dict.fromkeys(WEIGHTS, 0.0)
    for number in range(FOLDS):
        inside, outside = fold != number, fold == number
        guesses = _predict(table[inside], target[inside], table[outside], WEIGHTS)
        for weight, guess in guesses.items():
            error[weight] += float(np.sum((guess - target[outside]) ** 2))
    return min(error, key=lambda weight: error[weight])


def _r2(truth: Matrix, guess: Matrix) -> float:
    return float(1 - np.sum((truth - guess) ** 2) / np.sum((truth - truth.mean()) ** 2))


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a job."""
    options = common.parser(__doc__, size=1200, size_help="machines used").parse_args(argv)
    result = run(common.dataset(DATASET) / "vibration.npz", seed=options.seed, size=options.size)
    figures: dict[str, Any] = asdict(result)
    line = f"R2 {result.r2:.4f} on {result.held_out} held-out machines (ridge weight {result.ridge_weight:g})"
    common.finish("regression", figures, line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
