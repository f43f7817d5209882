"""The engine of each site, as the document of engines says."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from sanjin.adapters.engines.cluster import Cluster
from sanjin.adapters.engines.host_slots import HostSlots
from sanjin.adapters.engines.local import LocalEngine
from sanjin.adapters.engines.output_keeper import OutputKeeper
from sanjin.adapters.engines.run_folder import RunFolder
from sanjin.cli.store_choice import ObjectsOf
from sanjin.model.catalogue import problem
from sanjin.model.engines import EngineKind, EngineSettings
from sanjin.model.errors import ProblemsFound
from sanjin.model.region import Node
from sanjin.ports import Engine

_USED = "engine.json"
"""What a site's engine was at the last start: beside the folder that it has of its own."""
_OWNER = "owner"
"""Whose a shared folder of runs is: keys begin anew in a new state folder, and another's results are not ours."""


def engine_choice(engines: Mapping[str, EngineSettings], objects: ObjectsOf) -> Callable[[str, Path], Engine]:
    """Makes a site's engine, given its name and the folder in which it has a place of its own. What runs leave is put
    into the site's object store, where it has one.

    Raises ProblemsFound where a site's engine was another at the last start and runs there have not ended: nobody would
    watch over them, and they would be begun again.
    """
    slots = HostSlots(max(os.cpu_count() or 1, 1))

    def make(site: str, own: Path) -> Engine:
        settings = engines.get(site, EngineSettings())
        place = Path(settings.folder) / site if settings.folder else own
        _keep_to(site, own.parent / _USED, settings, place)
        keeper = _keeper(site, place, objects)
        if settings.engine is EngineKind.LOCAL:
            return LocalEngine(
                place, slots=slots, sandbox=settings.sandbox, bounds=settings.bounds, keeper=keeper, keep=settings.keep,
                images=settings.images,
            )  # fmt: skip
        from sanjin.adapters.engines.cluster_engine import ClusterEngine

        cluster, bounds = cluster_of(settings), settings.bounds
        return ClusterEngine(
            place, cluster, sandbox=settings.sandbox, bounds=bounds, python=settings.python, keeper=keeper,
            keep=settings.keep,
            images=settings.images,
            shared_s=settings.shared_s,
        )  # fmt: skip

    return make


def cluster_of(settings: EngineSettings) -> Cluster:
    """How the cluster of a site is spoken to."""
    if settings.engine is EngineKind.RAY:
        from sanjin.adapters.engines.ray import RayCluster

        return RayCluster(settings)
    if settings.engine is EngineKind.KUBERNETES:
        try:
            from sanjin.adapters.engines.kubernetes import KubernetesCluster
        except ImportError:
            raise ProblemsFound([problem("no_lightkube", "engines")]) from None
        return KubernetesCluster(settings)
    if settings.rest:
        from sanjin.adapters.engines.slurm_rest import SlurmRestCluster

        return SlurmRestCluster(settings)
    from sanjin.adapters.engines.slurm import SlurmCluster

    return SlurmCluster(settings)


def _keeper(site: str, place: Path, objects: ObjectsOf) -> OutputKeeper | None:
    store = objects(site)
    return OutputKeeper(place, store) if store is not None else None


def _keep_to(site: str, used: Path, settings: EngineSettings, place: Path) -> None:
    """Note the engine that a site has now, and that the place of its runs is this node's. Raises ProblemsFound."""
    usual = {"engine": EngineKind.LOCAL.value, "folder": str(used.parent / "engine"), "owner": ""}
    was = msgspec.json.decode(used.read_bytes(), type=dict[str, str]) if used.exists() else usual
    now = {"engine": settings.engine.value, "folder": str(place), "owner": was["owner"] or secrets.token_hex(8)}
    same = (was["engine"], was["folder"]) == (now["engine"], now["folder"])
    if not same and Path(was["folder"]).exists() and (left := RunFolder(Path(was["folder"])).unfinished()):
        shown = f"{was['engine']} ({was['folder']})"
        raise ProblemsFound([problem("engine_in_use", "engines", value=left, site=site, was=shown)])
    if settings.folder:  # it may be another's, or not be mounted
        owner = place / _OWNER
        found = owner.read_text() if owner.exists() else ""
        if found != (now["owner"] if same else "") and (found or same):
            raise ProblemsFound([problem("engine_folder", "engines", value=place, site=site)])
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        owner.write_text(now["owner"])
    used.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = used.with_suffix(".new")
    made.write_bytes(msgspec.json.encode(now))
    made.rename(used)


def check_sites(engines: Mapping[str, EngineSettings], nodes: Mapping[str, Node]) -> None:
    """Raises ProblemsFound for each engine of a site that the region has not, and for images unknown to it."""
    faults = [problem("engine_of_no_site", f"engines.{site}", value=site) for site in engines if site not in nodes]
    faults += [
        problem("images_not_declared", f"engines.{site}.images", site=site)
        for site, settings in engines.items()
        if settings.images and site in nodes and not nodes[site].site.images
    ]
    if faults:
        raise ProblemsFound(faults)
