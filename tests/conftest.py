"""Fixtures that several test files use; and the order of the files."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.kube_lab import kube_lab
from tests.postgres_server import postgres
from tests.ray_lab import ray_lab
from tests.s3_server import s3
from tests.slurm_lab import lab

__all__ = ["kube_lab", "lab", "postgres", "ray_lab", "s3"]

GROUPS = (
    re.compile(r"/test_(ray|slurm|slurm_rest|ray_site|slurm_site|parallel)\.py::|/test_engine\.py::.*\[(.*-)?(ray|slurm)(-.*)?\]"),
    re.compile(r"/test_(tiers|checkpoint|replay_command)\.py::"),
    re.compile(r"/test_(stopping|plain_stops)\.py::"),
    re.compile(r"browser/"),
    re.compile(r"/test_(s3|stores)\.py::|/test_mover\.py::.*\[(.*-)?s3(-.*)?\]"),
)
"""Tests by their ids that share what takes long to get: clusters, S3, and the other shapes of the compiled loop, which
two processes would compile at one time. With several processes (``-n``) all of a group run in one; they begin before
the files."""

LONGEST = (
    "acceptance/test_keeping", "acceptance/test_nodes", "acceptance/test_commands", "acceptance/test_shapes",
    "acceptance/test_forking", "unit/replay/test_fork", "unit/tree/test_stoppable", "unit/kernels/test_place",
    "unit/replay/test_replay", "acceptance/test_workflows", "acceptance/test_two_provinces",
    "unit/replay/test_recorded", "faults/test_simulate", "acceptance/test_cosigning", "unit/replay/test_scenarios",
    "acceptance/test_tutorial", "contract/test_engine", "acceptance/test_functions_as_jobs",
)  # fmt: skip
"""Files of twenty seconds and more. They begin first, so that none is left over at the end."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files go to processes whole, but for what is in a group."""
    from xdist.scheduler import LoadFileScheduling

    class Groups(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            found = _group(nodeid)
            return super()._split_scope(nodeid) if found is None else f"group {found}"

    return Groups(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Groups and then long files first, where they go to several processes; the order within a file stays."""
    if hasattr(config, "workerinput"):
        order = {Path(__file__).parent / f"{name}.py": n for n, name in enumerate(LONGEST)}

        def rank(item: pytest.Item) -> int:
            found = _group(item.nodeid)
            return order.get(item.path, len(order)) if found is None else found - len(GROUPS)

        items.sort(key=rank)


def _group(nodeid: str) -> int | None:
    return next((n for n, pattern in enumerate(GROUPS) if pattern.search(nodeid)), None)
