"""The engine of each site, as the document of engines says."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from sanjin.adapters.engines.host_slots import HostSlots
from sanjin.adapters.engines.local import LocalEngine
from sanjin.adapters.engines.run_folder import RunFolder
from sanjin.model.catalogue import problem
from sanjin.model.engines import EngineKind, EngineSettings
from sanjin.model.errors import ProblemsFound
from sanjin.ports import Engine

_USED = "engine.json"
"""What a site's engine was at the last start: beside the folder that it has of its own."""


def engine_choice(engines: Mapping[str, EngineSettings]) -> Callable[[str, Path], Engine]:
    """Makes a site's engine, given its name and the folder in which it has a place of its own.

    Raises ProblemsFound where a site's engine was another at the last start and runs there have not ended: nobody would
    watch over them, and they would be begun again.
    """
    slots = HostSlots(max(os.cpu_count() or 1, 1))

    def make(site: str, own: Path) -> Engine:
        settings = engines.get(site, EngineSettings())
        place = Path(settings.folder) / site if settings.folder else own
        _keep_to(site, own.parent / _USED, settings, place)
        if settings.engine is EngineKind.SLURM:
            from sanjin.adapters.engines.slurm import SlurmEngine
            from sanjin.adapters.engines.slurm_commands import SlurmCommands

            return SlurmEngine(place, SlurmCommands(settings), sandbox=settings.sandbox, python=settings.python)
        return LocalEngine(place, slots=slots, sandbox=settings.sandbox)

    return make


def _keep_to(site: str, used: Path, settings: EngineSettings, place: Path) -> None:
    """Note the engine that a site has now. Raises as :func:`engine_choice`."""
    now = {"engine": settings.engine.value, "folder": str(place)}
    was = msgspec.json.decode(used.read_bytes(), type=dict[str, str]) if used.exists() else now
    if was != now and (left := RunFolder(Path(was["folder"])).unfinished()):
        shown = f"{was['engine']} ({was['folder']})"
        raise ProblemsFound([problem("engine_in_use", "engines", value=left, site=site, was=shown)])
    used.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    used.write_bytes(msgspec.json.encode(now))


def check_sites(engines: Mapping[str, EngineSettings], sites: Mapping[str, object]) -> None:
    """Raises ProblemsFound for each engine of a site that the region has not."""
    faults = [problem("engine_of_no_site", f"engines.{site}", value=site) for site in engines if site not in sites]
    if faults:
        raise ProblemsFound(faults)
