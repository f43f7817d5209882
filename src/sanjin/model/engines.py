"""Which engine runs the work of a site, and how it is reached."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EngineKind(StrEnum):
    """The engines that a site may have."""

    LOCAL = "local"
    """Processes on the machine of the node."""
    SLURM = "slurm"


class Confinement(StrEnum):
    """How runs are confined."""

    AUTO = "auto"
    """By bubblewrap where it works."""
    BWRAP = "bwrap"
    NONE = "none"


class StoreKind(StrEnum):
    """What kind of object store a site may have."""

    FOLDER = "folder"
    S3 = "s3"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """The object store of a site: a ``folder``, or a ``bucket`` that speaks S3. It holds no secret: ``credentials`` is
    the file that does (empty: the environment)."""

    kind: StoreKind = StoreKind.FOLDER
    folder: str = ""
    endpoint: str = ""
    """Address of the S3 service; plain http only on this machine."""
    bucket: str = ""
    region: str = "us-east-1"
    prefix: str = ""
    """What the keys of this site stand below; empty: the site's name."""
    credentials: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """The engine of a site, and its object store where it has one. What is empty is left to the engine; all but
    ``sandbox`` and ``store`` is for Slurm alone."""

    engine: EngineKind = EngineKind.LOCAL
    sandbox: Confinement = Confinement.AUTO
    folder: str = ""
    """Where runs live: a folder that the machines of the cluster share with the node's, under one name."""
    conf: str = ""
    """The cluster's ``slurm.conf``."""
    partition: str = ""
    account: str = ""
    qos: str = ""
    python: str = ""
    """The Python of the cluster's machines that watches over runs; empty: the one of the node, under the same name."""
    store: StoreSettings | None = None
