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
    KUBERNETES = "kubernetes"


class Confinement(StrEnum):
    """How runs are confined."""

    AUTO = "auto"
    """By bubblewrap where it works, else by Landlock where the kernel has it, else by nothing."""
    BWRAP = "bwrap"
    LANDLOCK = "landlock"
    NONE = "none"


class ImageWay(StrEnum):
    """What runs the images of a site."""

    BWRAP = "bwrap"
    """Our own sandbox, with the image's root file system in place of the machine's."""
    APPTAINER = "apptainer"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """How container images run at a site."""

    allow: tuple[str, ...]
    """Patterns of the references that may run; ``*`` is any text, ``/`` too. What none allows is refused."""
    folder: str = ""
    """Where OCI image layouts and SIF files of the site are, for ``oci:`` and ``sif:``."""
    way: ImageWay = ImageWay.BWRAP
    unpacked_bytes: int = 50 * 10**9
    """What an image may take on disk while it is unpacked, layers included."""


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
class Keep:
    """How long the folders of runs that are over stay at a site: outputs, logs and all; 0 for ever."""

    keep_days: int = 30
    keep_bytes: int = 0
    """Bytes on disk of all of them together: beyond it the oldest go first. 0 for no bound."""


DEFAULT_KEEP = Keep()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """The engine of a site, and its object store where it has one. What is empty is left to the engine; after
    ``keep`` all but ``store`` and ``images`` is for clusters."""

    engine: EngineKind = EngineKind.LOCAL
    sandbox: Confinement = Confinement.AUTO
    bounds: Bounds = DEFAULT_BOUNDS
    keep: Keep = DEFAULT_KEEP
    folder: str = ""
    """Where runs live: a folder that the machines of the cluster share with the node's, under one name."""
    conf: str = ""
    """Of Slurm: the cluster's ``slurm.conf``."""
    rest: str = ""
    """Of Slurm: where its ``slurmrestd`` answers, as ``unix:/run/slurmrestd.sock`` or ``https://slurm.example:6820``;
    empty: Slurm's commands are used."""
    partition: str = ""
    account: str = ""
    qos: str = ""
    gres: str = "gpu"
    """Of Slurm: the generic resource that cards are, ``name`` or ``name:type``."""
    address: str = ""
    """Of Ray: where its dashboard answers, as ``http://127.0.0.1:8265``."""
    token_file: str = ""
    """Of Ray, and of Slurm's ``rest``: the file, of mode 600, with the token that is asked for; empty where none is."""
    kubeconfig: str = ""
    """Of Kubernetes: the file, of mode 600, that leads to the API server; empty: the service account of the pod
    that the node runs in."""
    context: str = ""
    """Of the kubeconfig; empty: its current one."""
    namespace: str = ""
    """Where Jobs are made; empty: that of the context."""
    image: str = ""
    """The container image that runs work, with Python, ``sh``, ``sed`` and ``flock``."""
    claim: str = ""
    """The persistent volume claim whose root is ``folder``; empty: the cluster's machines have it themselves."""
    data: str = ""
    """A folder of datasets that work may read."""
    data_claim: str = ""
    """As ``claim``, of ``data``."""
    queue: str = ""
    """The local queue of Kueue's that Jobs go through; empty: none."""
    service_account: str = ""
    """Of pods, whose token they do not get; empty: the namespace's own."""
    card: str = ""
    """The resource that cards are; empty: nvidia.com/gpu."""
    python: str = ""
    """The Python of the cluster's machines that watches over runs; empty: the one of the node, under the same name."""
    shared_s: float = 0.0
    """Where others use the cluster too: seconds between two looks at what they have of it, which is then not in what
    the site offers. 0: nobody else uses it."""
    store: StoreSettings | None = None
    images: ImageSettings | None = None
    """Where this is missing, no image runs."""
