"""What ``sanjin doctor`` looks at."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from sanjin.adapters.engines.local import LocalEngine
from sanjin.adapters.engines.run_landlock import landlock_version
from sanjin.adapters.engines.run_limits import group_homes
from sanjin.adapters.state_folder import default_folder
from sanjin.cli.output import text
from sanjin.model.catalogue import say
from sanjin.model.errors import SanjinError

FREE_BYTES = 1 << 30


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
        _engines(),
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
    ]


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


def _engines() -> Check:
    return Check("engines", True, say("doctor.engines_met"), needed=False)


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
