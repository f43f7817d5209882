"""Count k-mers in genome reads and estimate the genome's length from the ones seen often.

A k-mer and its reverse complement count as one, as reads come from both strands. Wrong bases make
k-mers that are seen once or twice; those of the genome are seen about as often as its coverage.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sanjin.examples import common

DATASET = "genome-reads"
K = 21
SOLID_FROM = 5
"""Times a k-mer must be seen to count as part of the genome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """``total`` k-mers counted, ``distinct`` and ``solid`` ones, and the estimated length in bases."""

    reads: int
    total: int
    distinct: int
    solid: int
    genome_bases: int


def run(file: Path, *, size: int = 19_000, k: int = K) -> Result:
    """Count in the first ``size`` reads of ``file`` (one a line, all of one length)."""
    if not 1 <= k <= 31:
        raise ValueError("k is 1 to 31, so that a k-mer fits 62 bits")
    codes = _codes(file, size)
    counts = np.unique(canonical(codes, k), return_counts=True)[1]
    solid = int((counts >= SOLID_FROM).sum())
    return Result(
        reads=len(codes),
        total=int(counts.sum()),
        distinct=len(counts),
        solid=solid,
        genome_bases=solid + k - 1,
    )


def _codes(file: Path, size: int) -> NDArray[np.int64]:
    """Reads as numbers, A C G T as 0 to 3, one row a read."""
    text = np.frombuffer(file.read_bytes(), dtype=np.uint8)
    width = int(np.argmax(text == ord("\n"))) + 1
    letters = text.reshape(-1, width)[:size, :-1]
    table = np.zeros(256, dtype=np.int64)
    table[np.frombuffer(b"ACGT", dtype=np.uint8)] = np.arange(4)
    return table[letters]


def canonical(codes: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Every k-mer of every read as a number, or its reverse complement's where that is less."""
    places = codes.shape[1] - k + 1
    forward = np.zeros((len(codes), places), dtype=np.int64)
    backward = np.zeros_like(forward)
    for offset in range(k):
        part = codes[:, offset : offset + places]
        forward = forward * 4 + part
        backward += (3 - part) << (2 * offset)
    return np.minimum(forward, backward).ravel()


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a job. Nothing is random here: ``--seed`` is accepted as by all kinds, and unused."""
    options = common.parser(__doc__, size=19_000, size_help="reads used")
    options.add_argument("--k", type=int, default=K, help="length of a k-mer, 1 to 31")
    chosen = options.parse_args(argv)
    result = run(common.dataset(DATASET) / "reads.txt", size=chosen.size, k=chosen.k)
    line = f"{result.total} k-mers, {result.distinct} distinct, {result.solid} solid"
    common.finish("kmers", asdict(result), f"{line}: genome of about {result.genome_bases} bases")
    return 0


if __name__ == "__main__":
    sys.exit(main())
