"""Cut a satellite scene into tiles and map its vegetation (NDVI); prints the vegetated share.

The scene is false colour: near infrared in the red channel, red in the green one.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sanjin.examples import common

DATASET = "satellite-tiles"
GREEN_FROM = 0.3
"""NDVI from which a pixel counts as vegetation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One tile: its place in the grid, mean NDVI and vegetated pixels."""

    row: int
    column: int
    ndvi_mean: float
    green_pixels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The scene as a whole; ``ndvi_mean`` is over all pixels of all tiles."""

    tiles: tuple[Tile, ...]
    pixels: int
    ndvi_mean: float
    green_share: float


def run(file: Path, previews: Path | None = None, *, size: int = 64) -> Result:
    """Map the scene in ``file`` in square tiles of ``size`` pixels; a preview of each if asked."""
    with Image.open(file) as image:
        bands = np.asarray(image.convert("RGB"))
    height, width = (bands.shape[0] // size) * size, (bands.shape[1] // size) * size
    tiles: list[Tile] = []
    for top in range(0, height, size):
        for left in range(0, width, size):
            index = ndvi(bands[top : top + size, left : left + size])
            tile = Tile(
                row=top // size,
                column=left // size,
                ndvi_mean=float(index.mean()),
                green_pixels=int((index >= GREEN_FROM).sum()),
            )
            tiles.append(tile)
            if previews is not None:
                _preview(index).save(previews / f"ndvi-{tile.row:02d}-{tile.column:02d}.png")
    pixels = len(tiles) * size * size
    return Result(
        tiles=tuple(tiles),
        pixels=pixels,
        ndvi_mean=sum(t.ndvi_mean for t in tiles) / len(tiles),
        green_share=sum(t.green_pixels for t in tiles) / pixels,
    )


def ndvi(bands: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(NIR - red) / (NIR + red), 0 where both are dark."""
    infrared, red = bands[..., 0].astype(np.float64), bands[..., 1].astype(np.float64)
    return (infrared - red) / np.maximum(infrared + red, 1.0)


def _preview(index: NDArray[np.float64]) -> Image.Image:
    """The tile at half size, brown (bare) to green (covered)."""
    share = np.clip((index + 0.2) / 1.0, 0, 1)[..., None]
    colours = (1 - share) * np.array([150.0, 110.0, 70.0]) + share * np.array([20.0, 120.0, 40.0])
    picture = Image.fromarray(colours.astype(np.uint8))
    return picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a job. Nothing is random here: ``--seed`` is accepted as by all kinds, and unused."""
    options = common.parser(__doc__, size=64, size_help="side of a tile in pixels").parse_args(argv)
    folder = common.outputs()
    result = run(common.dataset(DATASET) / "scene.png", folder, size=options.size)
    with (folder / "tiles.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("row", "column", "ndvi_mean", "green_pixels"))
        rows.writerows((t.row, t.column, f"{t.ndvi_mean:.4f}", t.green_pixels) for t in result.tiles)
    figures = asdict(result)
    figures["tiles"] = len(result.tiles)
    line = f"{100 * result.green_share:.1f} % vegetated, mean NDVI {result.ndvi_mean:.4f}"
    common.finish("tiles", figures, f"{line} over {len(result.tiles)} tiles")
    return 0


if __name__ == "__main__":
    sys.exit(main())
