"""A parallel computation that survives losses: a blocked product of matrices over four sites of three real engines.

Two Slurm clusters, a Ray cluster and processes, all on this machine (root), multiply the blocks of two integer
matrices by ``sanjin.map``; the blocks come from an object store (SeaweedFS) with a second replica at another site. On
the way workers are killed by kill -9, the region with all its nodes too, and then the store's volumes are lost. The
product is compared with NumPy's serial one, number by number, and the lost data are found and repaired.

    make demo-parallel
    python benchmarks/demo_parallel.py [--blocks 8] [--side 256] [--folder parallel-out]
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _pytest.outcomes import Skipped

from tests.parallel_lab import SLURM, Lab
from tests.ray_lab import RayLab
from tests.s3_server import S3Server
from tests.slurm_lab import SlurmLab


def main() -> int:
    """Bring it up, run it, tell what came of it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--blocks", type=int, default=8, help="blocks of a row")
    options.add_argument("--side", type=int, default=256, help="rows of a block")
    options.add_argument("--folder", type=Path, default=Path("parallel-out"))
    given = options.parse_args()
    folder, began = given.folder.absolute(), time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("ray", "s3"):
        (folder / name).mkdir(parents=True)

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s: {text}", flush=True)

    try:
        slurm = {site: SlurmLab(folder / "slurm" / site) for site in SLURM}
        ray, s3 = RayLab(folder / "ray"), S3Server(Path(sys.executable).with_name("weed"), folder / "s3")
    except Skipped as missing:
        raise SystemExit(f"this machine cannot: {missing}") from None
    servers = [*slurm.values(), ray, s3]
    try:
        for server in servers:
            server.start()
        tell(f"{len(slurm)} Slurm clusters, a Ray cluster and an object store are up")
        found = Lab(folder, slurm, ray, s3, tell, given.blocks, given.side).multiply()
    finally:
        for server in servers:
            server.stop()
    equal = bool((found.product == found.serial).all())
    told = asdict(found) | {"product": None, "serial": None, "found": None, "mended": None, "whole": None}
    left = [r for r in found.whole if r["state"] != "whole"]
    told |= {"equal_to_serial": equal, "side": len(found.serial), "not_whole": len(left)}
    told["wall_s"] = round(time.monotonic() - began)
    print(json.dumps({name: value for name, value in told.items() if value is not None}))
    return 0 if equal and not left and not found.audit else 1


if __name__ == "__main__":
    sys.exit(main())
