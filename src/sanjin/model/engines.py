"""Which engine runs the work of a site, and how it is reached."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EngineKind(StrEnum):
    """The engines that a site may have."""

    LOCAL = "local"
    """Processes on the machine of the node."""
    SLURM = "slurm"
    RAY = "ray"


class Confinement(StrEnum):
    """How runs are confined."""

    AUTO = "auto"
    """By bubblewrap where it works."""
    BWRAP = "bwrap"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """The engine of a site. What is empty is left to the engine; all but ``sandbox`` is for clusters."""

    engine: EngineKind = EngineKind.LOCAL
    sandbox: Confinement = Confinement.AUTO
    folder: str = ""
    """Where runs live: a folder that the machines of the cluster share with the node's, under one name."""
    conf: str = ""
    """Of Slurm: the cluster's ``slurm.conf``."""
    partition: str = ""
    account: str = ""
    qos: str = ""
    address: str = ""
    """Of Ray: where its dashboard answers, as ``http://127.0.0.1:8265``."""
    token_file: str = ""
    """Of Ray: the file, of mode 600, with the token that the dashboard asks for; empty where it asks for none."""
    python: str = ""
    """The Python of the cluster's machines that watches over runs; empty: the one of the node, under the same name."""
