"""Sanjin runs a region's data centres as one system. The names here are the Python SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sanjin.client import Client as Client
    from sanjin.client.functions import as_completed as as_completed
    from sanjin.client.functions import map as map
    from sanjin.client.functions import task as task
    from sanjin.client.handle import Handle as Handle
    from sanjin.client.sweeps import grid as grid
    from sanjin.client.sweeps import sweep as sweep
    from sanjin.model.job import Effects as Effects
    from sanjin.model.job import JobSpec as JobSpec
    from sanjin.model.job import JobState as JobState
    from sanjin.model.job import Submission as Submission
    from sanjin.model.region import DataGrade as DataGrade
    from sanjin.model.region import PoolKind as PoolKind

__version__ = "0.1.0"

_PLACES = {
    "Client": "sanjin.client",
    "Effects": "sanjin.model.job",
    "Handle": "sanjin.client.handle",
    "JobSpec": "sanjin.model.job",
    "JobState": "sanjin.model.job",
    "Submission": "sanjin.model.job",
    "DataGrade": "sanjin.model.region",
    "PoolKind": "sanjin.model.region",
    "as_completed": "sanjin.client.functions",
    "grid": "sanjin.client.sweeps",
    "map": "sanjin.client.functions",
    "sweep": "sanjin.client.sweeps",
    "task": "sanjin.client.functions",
}

__all__ = [
    "Client", "DataGrade", "Effects", "Handle", "JobSpec", "JobState", "PoolKind", "Submission",
    "as_completed", "grid", "sweep", "task",
]  # fmt: skip
# not `map`: a star import would put it in the place of Python's own


def __getattr__(name: str) -> Any:
    # imported when first used: `sanjin --help` needs none of them
    if name not in _PLACES:
        raise AttributeError(f"module 'sanjin' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)
