"""Find faults in hourly grid load by FFT; prints hours flagged and how many known faults they hit.

The strong periods (day, week, year) are taken out in the frequency domain. How far the rest may
stray by chance comes from surrogates with the same spectrum and random phases.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sanjin.examples import common
from sanjin.examples.data import CITIES

DATASET = "grid-load"
STRONG = 12
"""How many of the strongest frequencies count as the load's usual course."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Hours flagged, of them known faults, and the strongest period in hours (a day, if all is well)."""

    period_h: float
    known: int
    flagged: int
    hits: int
    threshold: float
    hours: tuple[tuple[str, int], ...]


def run(folder: Path, *, seed: int = 2026, size: int = 100) -> Result:
    """Flag hours in the load of ``folder``; ``size`` surrogates set the threshold."""
    load: NDArray[np.float32] = np.load(folder / "load.npy")
    with (folder / "faults.csv").open(newline="", encoding="utf-8") as text:
        known = {(r["city"], int(r["hour"])) for r in csv.DictReader(text)}
    spectrum = np.fft.rfft(load - load.mean(axis=1, keepdims=True), axis=1)
    power = np.abs(spectrum) ** 2
    period_h = load.shape[1] / float(np.argmax(power.sum(axis=0)))
    strongest = np.argsort(power, axis=1)[:, -STRONG:]
    np.put_along_axis(spectrum, strongest, 0.0, axis=1)
    rest = np.fft.irfft(spectrum, n=load.shape[1], axis=1)
    threshold = _threshold(spectrum, load.shape[1], size, np.random.default_rng(seed))
    rows, hours = np.nonzero(np.abs(rest) > threshold * _spread(rest))
    flagged = tuple((CITIES[r], int(h)) for r, h in zip(rows.tolist(), hours.tolist(), strict=True))
    return Result(
        period_h=period_h,
        known=len(known),
        flagged=len(flagged),
        hits=len(known.intersection(flagged)),
        threshold=threshold,
        hours=flagged,
    )


def _spread(rest: NDArray[np.float64]) -> NDArray[np.float64]:
    """Robust standard deviation of each row (1.4826 times the median absolute deviation)."""
    return 1.4826 * np.median(np.abs(rest), axis=1, keepdims=True)


def _threshold(spectrum: NDArray[np.complex128], length: int, count: int, rng: np.random.Generator) -> float:
    """The largest excursion, in spreads, that ``count`` surrogates show, with a tenth to spare."""
    size = np.abs(spectrum)
    worst = 0.0
    for _ in range(max(1, count)):
        phase = np.exp(2j * np.pi * rng.random(size.shape))
        surrogate = np.fft.irfft(size * phase, n=length, axis=1)
        worst = max(worst, float(np.max(np.abs(surrogate) / surrogate.std(axis=1, keepdims=True))))
    return 1.1 * worst


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a job."""
    options = common.parser(__doc__, size=100, size_help="surrogates").parse_args(argv)
    result = run(common.dataset(DATASET), seed=options.seed, size=options.size)
    line = f"{result.flagged} hours flagged, {result.hits} of {result.known} known faults among them"
    common.finish("spectra", asdict(result), f"{line}, main period {result.period_h:.1f} h")
    return 0


if __name__ == "__main__":
    sys.exit(main())
