"""References to container images: what a job may name as the root file system of its run.

::

    docker://registry.example/tools/solver:2.1            in a registry
    docker://registry.example/tools/solver@sha256:0f...   the same, fixed
    oci:tools/solver:2.1                                  in the site's folder of images, an OCI image layout
    oci:tools/solver:2.1@sha256:0f...                     the same, and no other than this one
    sif:tools/solver.sif                                  a file of Apptainer's there

Transports are those of containers-transports(5) and Apptainer; names, tags and digests as in the OCI distribution
specification, https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

REFERENCE_MAX = 500
"""Characters of a reference."""

_DIGEST = r"@sha256:(?P<digest>[0-9a-f]{64})"
_TAG = r":(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127})"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::[0-9]{1,5})?"
_FILE = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_REGISTRY = re.compile(rf"docker://(?P<host>{_HOST})/(?P<name>{_PART}(?:/{_PART})*)(?:{_TAG}|{_DIGEST})")
_LAYOUT = re.compile(rf"oci:(?P<name>{_FILE}(?:/{_FILE})*)(?:{_TAG})?(?:{_DIGEST})?")
_SIF = re.compile(rf"sif:(?P<name>{_FILE}(?:/{_FILE})*)(?:{_DIGEST})?")


class Transport(StrEnum):
    """Where an image is."""

    REGISTRY = "docker"
    LAYOUT = "oci"
    SIF = "sif"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageName:
    """A reference, taken apart. ``name`` is a path with ``/`` in it, never absolute and without ``..``."""

    transport: Transport
    name: str
    host: str = ""
    tag: str = ""
    digest: str = ""
    """Hexadecimal SHA-256 of the manifest (of a SIF: of the file), where the reference fixes it."""

    def source(self) -> str:
        """The reference without its digest, as the node's own tools take it."""
        start = "docker://" if self.host else f"{self.transport}:"
        return start + "/".join(filter(None, (self.host, self.name))) + (f":{self.tag}" if self.tag else "")

    def fixed(self, digest: str) -> str:
        """The reference that names this very image."""
        return f"{self.source() if not self.host else f'docker://{self.host}/{self.name}'}@sha256:{digest}"


def image_name(reference: str) -> ImageName | None:
    """The parts of a reference; None where it is none."""
    if len(reference) > REFERENCE_MAX:
        return None
    for transport, form in ((Transport.REGISTRY, _REGISTRY), (Transport.LAYOUT, _LAYOUT), (Transport.SIF, _SIF)):
        if found := form.fullmatch(reference):
            return ImageName(transport=transport, **{name: part or "" for name, part in found.groupdict().items()})
    return None
