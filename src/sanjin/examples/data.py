"""Sample data for the example jobs: synthetic, small, the same for the same seed.

Nothing here was measured and nobody is described: every value comes from a seeded generator.
Libraries are imported inside the functions, so that asking for ``DATASETS`` costs nothing.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CITIES = (
    "taiyuan", "datong", "yangquan", "changzhi", "jincheng", "shuozhou",
    "jinzhong", "yuncheng", "xinzhou", "linfen", "luliang",
)  # fmt: skip
"""The eleven cities of the example region."""

GENOME_BASES = 30_000
"""Length of the synthetic genome that ``genome-reads`` was read from."""

FRAME_PIXELS = 64
"""Side of a factory frame."""

LOAD_HOURS = 365 * 24


def generate(dataset_id: str, folder: Path | str, seed: int) -> None:
    """Write the files of a dataset into ``folder``; raises KeyError for an id not in DATASETS."""
    write = _WRITERS[dataset_id]
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    write(target, seed)


def frames(seed: int, count: int = 320) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Frames of a production line (count, side, side) and whether each shows a defect.

    A good part is a bright plate under uneven light; a defect is a dark scratch or pit on it.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    side = FRAME_PIXELS
    light = np.linspace(150.0, 190.0, side)[None, None, :]
    images = light + rng.normal(0.0, 4.0, (count, side, side))
    defective = rng.random(count) < 0.1
    for index in np.flatnonzero(defective):
        top, left = rng.integers(8, side - 16, 2)
        height, width = rng.integers(3, 8, 2)
        images[index, top : top + height, left : left + width] -= 60.0
    return np.clip(images, 0, 255).astype(np.uint8), defective


def _sensor(folder: Path, seed: int) -> None:
    """Vibration of machines: harmonics and broadband noise that grow with wear (0 new, 1 worn)."""
    import numpy as np

    rng = np.random.default_rng(seed)
    machines, samples = 1200, 1024
    wear = rng.random(machines)
    speed_hz = rng.uniform(24.0, 26.0, machines)
    time_s = np.arange(samples) / 2048.0
    angle = 2 * np.pi * speed_hz[:, None] * time_s[None, :] + rng.uniform(0, 6.28, (machines, 1))
    gain = rng.normal(1.0, 0.05, (machines, 1))
    signal = np.sin(angle) + (0.1 + 0.5 * wear[:, None]) * np.sin(3 * angle)
    signal += 0.4 * wear[:, None] ** 2 * np.sin(7 * angle + 0.4)
    signal += (0.2 + 0.3 * wear[:, None]) * rng.normal(0.0, 1.0, (machines, samples))
    counts = np.clip(gain * signal * 6000, -32768, 32767).astype(np.int16)
    np.savez(folder / "vibration.npz", signal=counts, wear=wear.astype(np.float32))


def _parcels(folder: Path, seed: int) -> None:
    """Parcels sent between cities in 2026, one row each."""
    _parquet(
        folder / "parcels.parquet",
        """
        SELECT i AS parcel_id,
               (hash(i * 7 + 1, {seed}) % 365)::INTEGER AS day,
               ({cities})[1 + (hash(i * 7 + 2, {seed}) % 11)::INTEGER] AS origin,
               ({cities})[1 + (hash(i * 7 + 3, {seed}) % 11)::INTEGER] AS destination,
               (100 + hash(i * 7 + 4, {seed}) % 20000)::INTEGER AS weight_g,
               (600 + hash(i * 7 + 5, {seed}) % 3000)::INTEGER AS fee_fen
        FROM range(150000) AS rows(i)
        """,
        seed,
    )


def _hospital(folder: Path, seed: int) -> None:
    """Visits to hospitals: made up row by row, no person stands behind any of them."""
    _parquet(
        folder / "visits.parquet",
        """
        SELECT 'synthetic-' || i AS visit_id,
               (hash(i * 5 + 1, {seed}) % 365)::INTEGER AS day,
               (['emergency', 'surgery', 'cardiology', 'paediatrics', 'respiratory'])
                   [1 + (hash(i * 5 + 2, {seed}) % 5)::INTEGER] AS department,
               (1 + hash(i * 5 + 3, {seed}) % 240)::INTEGER AS stay_h,
               (2000 + hash(i * 5 + 4, {seed}) % 500000)::INTEGER AS cost_fen
        FROM range(80000) AS rows(i)
        """,
        seed,
    )


def _parquet(path: Path, query: str, seed: int) -> None:
    """Write the rows of ``query`` as Parquet; one thread, so that the file's bytes repeat."""
    import duckdb

    select = query.format(seed=int(seed), cities=list(CITIES))
    target = str(path).replace("'", "''")
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"COPY ({select}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")


def _stops(folder: Path, seed: int) -> None:
    """Stops around Jincheng; row 0 is the depot."""
    rng = random.Random(seed)
    lines = ["stop,lat,lon,parcels", "0,35.49070,112.85110,0"]
    for stop in range(1, 121):
        lat, lon = 35.4907 + rng.gauss(0, 0.09), 112.8511 + rng.gauss(0, 0.11)
        lines.append(f"{stop},{lat:.5f},{lon:.5f},{rng.randint(1, 9)}")
    (folder / "stops.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _satellite(folder: Path, seed: int) -> None:
    """A false-colour scene, bands near infrared, red, green: fields with and without crops."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(seed)
    fields, cell = 32, 32
    green = rng.random((fields, fields)) < 0.55
    vigour = np.where(green, rng.uniform(0.6, 1.0, green.shape), rng.uniform(0.0, 0.2, green.shape))
    cover = np.kron(vigour, np.ones((cell, cell)))
    bands = np.stack([60 + 150 * cover, 120 - 80 * cover, 90 - 20 * cover], axis=-1)
    noise = rng.integers(-3, 4, bands.shape)
    scene = np.clip(bands + noise, 0, 255).astype(np.uint8)
    Image.fromarray(scene).save(folder / "scene.png", compress_level=1)


def _archive(folder: Path, seed: int) -> None:
    """Log text of a year of a made-up control system, about 3 MB."""
    rng = random.Random(seed)
    verbs = ("opened", "closed", "tested", "reset", "alarmed", "read")
    lines: list[str] = []
    for number in range(42_000):
        day, second = divmod(number * 750, 86_400)
        city = CITIES[rng.randrange(len(CITIES))]
        lines.append(
            f"2025 day {day + 1:03d} {second:05d} {city} valve-{rng.randrange(400):03d} "
            f"{verbs[rng.randrange(6)]} pressure={rng.gauss(520, 14):.1f} kPa code={rng.randrange(65536):04x}"
        )
    (folder / "events.log").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _load(folder: Path, seed: int) -> None:
    """Hourly load (MW) of each city for a year, and the hours in which a fault was put in."""
    import numpy as np

    rng = np.random.default_rng(seed)
    hours = np.arange(LOAD_HOURS)
    load = np.empty((len(CITIES), LOAD_HOURS), dtype=np.float32)
    faults = ["city,hour"]
    for row, city in enumerate(CITIES):
        base = rng.uniform(900.0, 3200.0)
        shape = 1 + 0.18 * np.sin(2 * np.pi * (hours - 9) / 24) + 0.05 * np.sin(4 * np.pi * hours / 24)
        shape += 0.06 * np.sin(2 * np.pi * hours / 168) + 0.1 * np.cos(2 * np.pi * hours / LOAD_HOURS)
        load[row] = base * (shape + rng.normal(0.0, 0.015, LOAD_HOURS))
        for hour in sorted(rng.choice(np.arange(24, LOAD_HOURS - 24), 4, replace=False).tolist()):
            load[row, hour] += base * rng.choice([-1.0, 1.0]) * rng.uniform(0.15, 0.3)
            faults.append(f"{city},{hour}")
    np.save(folder / "load.npy", load)
    (folder / "faults.csv").write_text("\n".join(faults) + "\n", encoding="utf-8")


def _reads(folder: Path, seed: int) -> None:
    """Reads of 150 bases from both strands of a random genome, with 0.3 % wrong bases."""
    import numpy as np

    rng = np.random.default_rng(seed)
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    genome = rng.integers(0, 4, GENOME_BASES)
    starts = rng.integers(0, GENOME_BASES - 150 + 1, 19_000)
    reads = genome[starts[:, None] + np.arange(150)[None, :]]
    backward = rng.random(len(reads)) < 0.5
    reads[backward] = 3 - reads[backward, ::-1]  # A-T and C-G are complements: 0-3 and 1-2
    wrong = rng.random(reads.shape) < 0.003
    reads[wrong] = (reads[wrong] + rng.integers(1, 4, int(wrong.sum()))) % 4
    text = np.full((len(reads), 151), ord("\n"), dtype=np.uint8)
    text[:, :150] = letters[reads]
    (folder / "reads.txt").write_bytes(text.tobytes())


def _video_index(folder: Path, seed: int) -> None:
    """Index of clips from cameras at coal faces (the clips themselves do not exist)."""
    rng = random.Random(seed)
    events = ("none", "none", "none", "person", "vehicle", "dust", "belt")
    lines = ["clip,face,camera,day,length_s,event"]
    for clip in range(30_000):
        face, camera = rng.randrange(24), rng.randrange(6)
        event = events[rng.randrange(len(events))]
        lines.append(
            f"{clip},face-{face:02d},cam-{camera},{rng.randrange(365)},{rng.randint(10, 600)},{event}"
        )
    (folder / "clips.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _frames(folder: Path, seed: int) -> None:
    """Frames of a production line and which of them show a defect."""
    import numpy as np

    images, defective = frames(seed)
    np.savez(folder / "frames.npz", images=images, defective=defective)


_WRITERS: dict[str, Callable[[Path, int], None]] = {
    "sensor-2026": _sensor,
    "parcels-2026": _parcels,
    "delivery-stops": _stops,
    "satellite-tiles": _satellite,
    "archive-2025": _archive,
    "grid-load": _load,
    "genome-reads": _reads,
    "coal-face-video-index": _video_index,
    "hospital-visits": _hospital,
    "factory-frames": _frames,
}

DATASETS: tuple[str, ...] = tuple(_WRITERS)
"""Ids of all sample datasets."""


def main() -> None:
    """``python -m sanjin.examples.data FOLDER SEED DATASET...``: each dataset into a folder of its name."""
    root, seed, *names = sys.argv[1:]
    for name in names:
        generate(name, Path(root) / name, int(seed))


if __name__ == "__main__":
    main()
