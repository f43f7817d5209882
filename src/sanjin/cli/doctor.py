"""What ``sanjin doctor`` looks at."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from sanjin.adapters.engines.local import LocalEngine
from sanjin.adapters.engines.run_cards import present
from sanjin.adapters.engines.run_landlock import landlock_version
from sanjin.adapters.engines.run_limits import group_homes
from sanjin.adapters.engines.run_sweeper import size_of
from sanjin.adapters.state_folder import StateFolder, default_folder
from sanjin.cli.engines import kept_engines
from sanjin.cli.output import text
from sanjin.model.catalogue import say
from sanjin.model.engines import EngineSettings
from sanjin.model.errors import SanjinError

FREE_BYTES = 1 << 30
FILES_LOOKED_AT = 200_000
"""Files of a site's runs whose size is added up, at most: a few seconds."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. ``needed``: Sanjin does not work without it."""

    what: str
    ok: bool
    value: str
    todo: str = ""
    needed: bool = True


def checks(state: Path | None) -> list[Check]:
    """Everything that is looked at, in a fixed order."""
    folder = (state or default_folder()).absolute()
    return [
        Check("python", sys.version_info >= (3, 11), platform.python_version()),
        Check("cores", True, str(os.cpu_count())),
        _state_folder(folder),
        _disk(folder),
        _sync(folder),
        *_confinement(),
        _kernels(),
        _region(folder),
        *_kept(folder),
        _engines(),
        _kubernetes(),
        *_clusters(folder),
    ]


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _state_folder(folder: Path) -> Check:
    there = _existing(folder)
    ok = os.access(there, os.W_OK)
    token = folder / "token"
    if token.exists() and token.stat().st_mode & 0o077:
        return Check("state", False, str(folder), f"chmod 600 {token}")
    return Check("state", ok, str(folder), "" if ok else f"make {there} writable, or give another --state")


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(_existing(folder)).free
    ok = free >= FREE_BYTES
    return Check("disk", ok, f"{free / 1e9:.1f} GB", "" if ok else "free at least 1 GB")


def _sync(folder: Path) -> Check:
    """How long one durable write takes here: the floor of what a single submit can take."""
    there = _existing(folder)
    if not os.access(there, os.W_OK):
        return Check("sync", False, "", "see the state folder", needed=False)
    with tempfile.TemporaryFile(dir=there) as file:
        began = time.perf_counter()
        for _ in range(10):
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
        return Check("sync", True, f"{(time.perf_counter() - began) * 100:.1f} ms")


def _confinement() -> list[Check]:
    """How runs are confined and bounded here."""
    with tempfile.TemporaryDirectory() as made:
        engine = LocalEngine(Path(made))
        info = engine.info()
        engine.close()
    kind, why = info.sandbox, "; ".join(info.remarks)
    todo = "" if kind == "bwrap" else text("doctor.todo_sandbox", why=why)
    closed = kind != "none"
    version = landlock_version()
    return [
        Check("sandbox", closed, kind, todo, needed=False),
        Check(
            "job_network",
            closed,
            text(f"doctor.job_network_{kind}"),
            "" if closed else text("doctor.todo_job_network"),
            needed=False,
        ),
        Check(
            "landlock",
            version > 0,
            f"ABI {version}" if version else "",
            "" if version else text("doctor.todo_landlock"),
            needed=False,
        ),
        *_groups(),
        _images(kind),
        _cards(),
    ]


def _cards() -> Check:
    """Device files of cards, which runs that ask for accelerators may be given."""
    count = len(present("nvidia")) or len(present("render"))
    told = text("doctor.cards_found", count=count) if count else text("doctor.cards_none")
    return Check("cards", True, told, needed=False)


def _images(sandbox: str) -> Check:
    """Whether container images can be fetched, unpacked and run here."""
    missing = [name for name in ("skopeo", "umoci") if shutil.which(name) is None]
    apptainer = shutil.which("apptainer") is not None
    missing += ["bubblewrap"] if sandbox != "bwrap" and not apptainer else []
    if missing:
        todo = text("doctor.todo_images", missing=" ".join(missing))
        return Check("images", False, "", todo, needed=False)
    told = [text("doctor.images_ready")] if sandbox == "bwrap" else []
    told += [text("doctor.images_apptainer")] if apptainer else []
    return Check("images", True, "; ".join(told), needed=False)


def _groups() -> list[Check]:
    """Whether the kernel keeps runs to their memory and processes, or the supervisor has to look."""
    homes = group_homes()
    found: list[Check] = []
    for what, controller in (("job_memory", "memory"), ("job_processes", "pids")):
        home = homes.get(controller)
        if home is None:
            todo = text("doctor.todo_groups", controller=controller)
            found.append(Check(what, False, text("doctor.sampled"), todo, needed=False))
        else:
            folder, unified = home
            said = text("doctor.group_v2", folder=folder) if unified else text("doctor.group", folder=folder)
            found.append(Check(what, True, said, needed=False))
    return found


def _kernels() -> Check:
    """Whether compiled kernels are kept between starts, so that a start compiles nothing."""
    from sanjin.kernels import place

    there = Path(place.__file__).parent / "__pycache__"
    kept = any(there.rglob("*.nbc"))
    return Check("kernels", kept, str(there) if kept else "", "" if kept else "compiled at first use", needed=False)


def _region(folder: Path) -> Check:
    from sanjin.client import Client

    try:
        with Client.here(folder) as client:
            found = client.region()
            return Check("region", True, f"{found.region} {client.url}", needed=False)
    except SanjinError as fault:
        return Check("region", False, "", str(fault), needed=False)


def _kept(folder: Path) -> list[Check]:
    """What finished runs take at each site that has any, and how long they stay."""
    try:
        engines = kept_engines(StateFolder(folder))
    except SanjinError as fault:
        return [Check("kept", False, "", str(fault).partition("\n")[0], needed=False)]
    found: list[Check] = []
    places = {path.parent.name: path for path in folder.glob("*/engine")}
    places |= {site: Path(e.folder) / site for site, e in engines.items() if e.folder}
    for site, place in sorted(places.items()):
        runs = len(os.listdir(place / "runs")) if (place / "runs").is_dir() else 0
        if runs:
            keep = engines.get(site, EngineSettings()).keep
            files, used = size_of(place / "runs", FILES_LOOKED_AT)
            more = ">= " if files == FILES_LOOKED_AT else ""
            for_ = text("doctor.kept_days", days=keep.keep_days) if keep.keep_days else text("doctor.kept_ever")
            bound = f", {keep.keep_bytes / 1e9:g} GB" if keep.keep_bytes else ""
            said = text("doctor.kept_runs", site=site, runs=runs, used=f"{more}{used / 1e9:.3f}")
            found.append(Check("kept", True, f"{said}; {for_}{bound}", needed=False))
    return found


def _engines() -> Check:
    return Check("engines", True, say("doctor.engines_met"), needed=False)


def _kubernetes() -> Check:
    """Whether sites may run work in Kubernetes from here, and what that has met."""
    here = importlib.util.find_spec("lightkube") is not None
    todo = "" if here else text("doctor.todo_kubernetes")
    return Check("kubernetes", here, text("doctor.kubernetes_met"), todo, needed=False)


def _clusters(folder: Path) -> list[Check]:
    """What the clusters say of which the document of engines speaks."""
    from sanjin.adapters.state_folder import StateFolder
    from sanjin.cli.clusters import asked
    from sanjin.cli.engines import kept_engines
    from sanjin.model.engines import EngineKind

    found: list[Check] = []
    for site, settings in kept_engines(StateFolder(folder)).items():
        if settings.engine is not EngineKind.LOCAL:
            said, fault = asked(site, settings)
            todo = f"{fault}; {text('doctor.todo_cluster')}" if fault else ""
            found.append(Check("cluster", not fault, said, todo, needed=False))
    return found
