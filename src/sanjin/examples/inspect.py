"""Inspect a burst of factory frames one by one, as a camera would send them; prints p50 and p99.

The work of a frame is small on purpose: this is the job that must run near its line. Where the
dataset was not given to the job, the burst is drawn from the seed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from sanjin.examples import common, data

DATASET = "factory-frames"
DARK = 30.0
"""Grey levels below its column's median from which a smoothed pixel counts as a defect."""
PIXELS_FROM = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was found (checkable) and how long a frame took (this machine's affair)."""

    frames: int
    defects: int
    missed: int
    false_alarms: int
    p50_ms: float
    p99_ms: float


def run(images: NDArray[np.uint8], defective: NDArray[np.bool_], *, size: int = 4000) -> Result:
    """Inspect ``size`` frames, over and over from ``images``; ``defective`` is the truth."""
    spent_ns = np.empty(size, dtype=np.int64)
    found = np.empty(size, dtype=np.bool_)
    for number in range(size):
        begin = time.perf_counter_ns()
        found[number] = has_defect(images[number % len(images)])
        spent_ns[number] = time.perf_counter_ns() - begin
    truth = np.resize(defective, size)
    p50, p99 = np.percentile(spent_ns, (50, 99)) / 1e6
    return Result(
        frames=size,
        defects=int(found.sum()),
        missed=int((truth & ~found).sum()),
        false_alarms=int((found & ~truth).sum()),
        p50_ms=float(p50),
        p99_ms=float(p99),
    )


def has_defect(image: NDArray[np.uint8]) -> bool:
    """Whether a patch of the plate is much darker than the rest of its columns."""
    level = image.astype(np.float32)
    level -= np.median(level, axis=0)
    rows = level[:-2] + level[1:-1] + level[2:]
    smooth = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9.0
    return int(np.count_nonzero(smooth < -DARK)) >= PIXELS_FROM


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a job."""
    options = common.parser(__doc__, size=4000, size_help="frames in the burst").parse_args(argv)
    folder = common.find_dataset(DATASET)
    if folder is None:
        images, defective = data.frames(options.seed)
    else:
        with np.load(folder / "frames.npz") as arrays:
            images, defective = arrays["images"], arrays["defective"]
    result = run(images, defective, size=options.size)
    line = f"p50 {result.p50_ms:.3f} ms, p99 {result.p99_ms:.3f} ms a frame, {result.defects} defects"
    wrong = f"{result.missed} missed, {result.false_alarms} false alarms"
    common.finish("inspect", asdict(result), f"{line} in {result.frames} frames ({wrong})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
