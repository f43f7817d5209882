"""A parallel computation over four sites of three real engines that loses workers, the region and a store's volumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.parallel_lab import HALVES, RAY, SLURM, STORE, Lab
from tests.ray_lab import RayLab
from tests.s3_server import S3Server
from tests.slurm_lab import SlurmLab


def test_a_blocked_product_survives_losses_and_is_numpys(
    lab: SlurmLab, ray_lab: RayLab, s3: S3Server, tmp_path: Path
) -> None:
    other = SlurmLab(tmp_path / "slurm", machines=1)
    try:
        other.start()
        found = Lab(tmp_path, dict(zip(SLURM, (lab, other), strict=True)), ray_lab, s3, print).multiply()
    finally:
        other.stop()
    assert np.array_equal(found.product, found.serial)
    assert found.jobs.keys() == {*SLURM, RAY, STORE}
    assert found.again >= 2  # a run once more, and a part once more
    assert found.away.startswith(f"the store of {STORE} fails: ")
    bad = {(r["dataset"], r["site"], r["place"]) for r in found.found if r["state"] != "whole"}
    assert bad == {(HALVES[0], STORE, "store")}  # the other was mended by the work that needed it
    assert {r["state"] for r in found.mended} == {"whole", "repaired"}
    assert {r["state"] for r in found.whole} == {"whole"}
    assert found.audit == 0
