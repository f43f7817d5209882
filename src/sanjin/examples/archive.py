"""Compress a dataset and prove the round trip by checksum; prints sizes and the SHA-256.

Each block goes through zlib and LZMA; the smaller result is kept.
"""

from __future__ import annotations

import hashlib
import lzma
import sys
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sanjin.examples import common

BLOCK_BYTES = 256 * 1024
MAGIC = b"SJA1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Sizes and checksum; ``verified`` says that unpacking gave the same bytes."""

    files: int
    raw_bytes: int
    packed_bytes: int
    sha256: str
    verified: bool


def run(folder: Path, target: Path, *, size: int = 6) -> Result:
    """Pack all files of ``folder`` into ``target`` and unpack it again. ``size``: LZMA preset."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    raw = b"".join(p.read_bytes() for p in files)
    target.write_bytes(pack(raw, preset=size))
    digest = hashlib.sha256(raw).hexdigest()
    restored = unpack(target.read_bytes())
    return Result(
        files=len(files),
        raw_bytes=len(raw),
        packed_bytes=target.stat().st_size,
        sha256=digest,
        verified=hashlib.sha256(restored).hexdigest() == digest,
    )


def pack(raw: bytes, *, preset: int) -> bytes:
    """Blocks, each led by its length and method, compressed by whichever of two does better."""
    parts = [MAGIC]
    for start in range(0, len(raw), BLOCK_BYTES):
        block = raw[start : start + BLOCK_BYTES]
        options = {b"Z": zlib.compress(block, 6), b"X": lzma.compress(block, preset=preset)}
        method, packed = min(options.items(), key=lambda item: len(item[1]))
        parts += [method, len(packed).to_bytes(4, "big"), packed]
    return b"".join(parts)


def unpack(data: bytes) -> bytes:
    """What :func:`pack` was given; ValueError where the data is not ours or was cut off."""
    if data[:4] != MAGIC:
        raise ValueError("not an archive of this job")
    at, parts = 4, list[bytes]()
    while at < len(data):
        method, length = data[at : at + 1], int.from_bytes(data[at + 1 : at + 5], "big")
        body = data[at + 5 : at + 5 + length]
        if len(body) != length:
            raise ValueError("archive is cut off")
        parts.append(zlib.decompress(body) if method == b"Z" else lzma.decompress(body))
        at += 5 + length
    return b"".join(parts)


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a job. Nothing is random here: ``--seed`` is accepted as by all kinds, and unused."""
    options = common.parser(__doc__, size=6, size_help="LZMA preset, 0 to 9")
    options.add_argument("--dataset", default="archive-2025")
    chosen = options.parse_args(argv)
    target = common.outputs() / f"{chosen.dataset}.sja"
    result = run(common.dataset(chosen.dataset), target, size=chosen.size)
    if not result.verified:
        raise SystemExit("round trip failed: unpacked bytes differ")
    share = 100 * result.packed_bytes / max(result.raw_bytes, 1)
    line = f"{result.raw_bytes} bytes to {result.packed_bytes} ({share:.1f} %), round trip verified"
    common.finish("archive", asdict(result), f"{line}, sha256 {result.sha256[:16]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
