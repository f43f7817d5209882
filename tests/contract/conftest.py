"""What several contracts need: real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.slurm_lab import SlurmLab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmLab]:
    cluster = SlurmLab(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
