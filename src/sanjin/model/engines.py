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
    """By bubblewrap where it works, else by Landlock where the kernel has it, else by nothing."""
    BWRAP = "bwrap"
    LANDLOCK = "landlock"
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
class Bounds:
    """What a run may take besides what it asks for; 0 for no bound."""

    processes: int = 4096
    """Processes and threads of each copy of a gang, or member of an array that runs at once."""
    output_bytes: int = 100 * 10**9
    """Bytes on disk in its work folder, outputs, gang folder, checkpoint and output streams together."""
    output_files: int = 1_000_000
    """Files and folders there."""


DEFAULT_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """The engine of a site, and its object store where it has one. What is empty is left to the engine; after
    ``bounds`` all but ``store`` is for clusters."""

    engine: EngineKind = EngineKind.LOCAL
    sandbox: Confinement = Confinement.AUTO
    bounds: Bounds = DEFAULT_BOUNDS
    folder: str = ""
    """Where runs live: a folder that the machines of the cluster share with the node's, under one name."""
    conf: str = ""
    """Of Slurm: the cluster's ``slurm.conf``."""
    partition: str = ""
    account: str = ""
    qos: str = ""
    gres: str = "gpu"
    """Of Slurm: the generic resource that cards are, ``name`` or ``name:type``."""
    address: str = ""
    """Of Ray: where its dashboard answers, as ``http://127.0.0.1:8265``."""
    token_file: str = ""
    """Of Ray: the file, of mode 600, with the token that the dashboard asks for; empty where it asks for none."""
    python: str = ""
    """The Python of the cluster's machines that watches over runs; empty: the one of the node, under the same name."""
    shared_s: float = 0.0
    """Where others use the cluster too: seconds between two looks at what they have of it, which is then not in what
    the site offers. 0: nobody else uses it."""
    store: StoreSettings | None = None
