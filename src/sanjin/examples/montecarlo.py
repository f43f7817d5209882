"""Price a cap on the price of power by Monte Carlo in several processes; checks the closed form.

The paths are cut into a fixed number of parts with a random stream each, so the answer does not
depend on how many workers share them.
"""

from __future__ import annotations

import math
import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import numpy as np

from sanjin.examples import common

PARTS = 24
FORWARD, CAP, VOLATILITY, YEARS = 340.0, 380.0, 0.35, 0.5
"""Forward price and cap (yuan/MWh), yearly volatility, time to delivery: made up for the example."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The value found, its standard error, and the exact value (Black 1976, no discount)."""

    paths: int
    workers: int
    value: float
    standard_error: float
    exact: float

    @property
    def sigmas(self) -> float:
        """Distance from the exact value in standard errors."""
        return abs(self.value - self.exact) / self.standard_error


def run(*, seed: int = 2026, size: int = 30_000_000, workers: int = 2) -> Result:
    """Value the cap over (about) ``size`` paths, shared by ``workers`` processes."""
    paths = max(1, size // PARTS)
    shares = [range(w, PARTS, workers) for w in range(max(1, min(workers, PARTS)))]
    alone = len(shares) == 1
    sums = _simulate(seed, paths, shares[0]) if alone else _in_processes(seed, paths, shares)
    count = paths * PARTS
    # fsum is exact, so the order in which the workers' sums come together does not show.
    mean = math.fsum(s for s, _ in sums) / count
    square = math.fsum(q for _, q in sums) / count
    return Result(
        paths=count,
        workers=len(shares),
        value=mean,
        standard_error=math.sqrt(max(square - mean * mean, 0.0) / count),
        exact=_exact(),
    )


def _in_processes(seed: int, paths: int, shares: Sequence[range]) -> list[tuple[float, float]]:
    """Simulate each share in a process of its own.

    Pipes rather than a pool: a pool needs semaphores in /dev/shm, which a sandbox may not have.
    """
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    started: list[tuple[BaseProcess, Connection]] = []
    for share in shares:
        receive, send = context.Pipe(duplex=False)
        process = context.Process(target=_worker, args=(send, seed, paths, share))
        process.start()
        send.close()
        started.append((process, receive))
    sums: list[tuple[float, float]] = []
    for process, receive in started:
        try:
            sums += receive.recv()
        except EOFError:
            raise SystemExit("a worker ended without a result") from None
        process.join()
    return sums


def _worker(send: Connection, seed: int, paths: int, parts: range) -> None:
    send.send(_simulate(seed, paths, parts))
    send.close()


def _simulate(seed: int, paths: int, parts: range) -> list[tuple[float, float]]:
    """Sum and sum of squares of the pay-off, for each part."""
    spread = VOLATILITY * math.sqrt(YEARS)
    sums: list[tuple[float, float]] = []
    for part in parts:
        normal = np.random.default_rng((seed, part)).standard_normal(paths)
        price = FORWARD * np.exp(spread * normal - spread * spread / 2)
        pay = np.maximum(price - CAP, 0.0)
        # Not pay @ pay: BLAS may add in another order with another number of threads.
        sums.append((float(np.sum(pay)), float(np.sum(pay * pay))))
    return sums


def _exact() -> float:
    spread = VOLATILITY * math.sqrt(YEARS)
    upper = math.log(FORWARD / CAP) / spread + spread / 2
    return FORWARD * _normal(upper) - CAP * _normal(upper - spread)


def _normal(x: float) -> float:
    """Distribution function of the standard normal."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a job."""
    options = common.parser(__doc__, size=30_000_000, size_help="paths")
    options.add_argument("--workers", type=int, default=2, help="processes")
    chosen = options.parse_args(argv)
    result = run(seed=chosen.seed, size=chosen.size, workers=chosen.workers)
    line = f"cap worth {result.value:.4f} yuan/MWh, exact {result.exact:.4f} ({result.sigmas:.2f} sigma)"
    common.finish("montecarlo", asdict(result), f"{line}, {result.paths} paths, {result.workers} workers")
    return 0 if result.sigmas < 6 else 1


if __name__ == "__main__":
    sys.exit(main())
