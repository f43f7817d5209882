"""Fixtures that several test files use; and the order of the files."""

from pathlib import Path

import pytest

from tests.kube_lab import kube_lab
from tests.postgres_server import postgres
from tests.ray_lab import ray_lab
from tests.s3_server import s3
from tests.slurm_lab import lab

__all__ = ["kube_lab", "lab", "postgres", "ray_lab", "s3"]

LONGEST = (
    "acceptance/test_keeping", "acceptance/test_nodes", "acceptance/test_replay_command", "acceptance/test_commands",
    "acceptance/test_shapes", "acceptance/test_forking", "unit/replay/test_fork", "unit/tree/test_stoppable",
    "unit/kernels/test_place", "unit/replay/test_replay", "acceptance/test_two_provinces", "unit/replay/test_recorded",
    "unit/replay/test_checkpoint", "faults/test_simulate", "acceptance/test_cosigning", "unit/replay/test_scenarios",
    "acceptance/test_tutorial", "contract/test_engine", "contract/test_ray", "contract/test_slurm",
    "acceptance/test_slurm_site", "acceptance/test_ray_site",
    "acceptance/test_functions_as_jobs",
    "contract/test_s3", "acceptance/test_stores",
)  # fmt: skip
"""Files of twenty seconds and more. With two processes they begin first, so that none is left over at the end."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long files first, where files go to several processes (``-n``); the order within a file stays."""
    if hasattr(config, "workerinput"):
        order = {Path(__file__).parent / f"{name}.py": n for n, name in enumerate(LONGEST)}
        items.sort(key=lambda item: order.get(item.path, len(order)))
