"""How a run is confined, and what it finds around it.

With bubblewrap a run sees a file system of its own: system programs and the Python in use, read-only;
``/job/work`` and ``/job/outputs``, its own; ``/job/inputs/<name>``, read-only; ``/job/checkpoint`` where
it has one; a private ``/tmp``, ``/dev`` and ``/proc``. It has no network and sees no other process.
Each copy of a gang and each member of an array has a sandbox of its own; they share the run's folders,
among them a gang's ``/job/gang``.

With Landlock a run sees the machine's file system, and can open in it what bubblewrap would show, its own
folders (under their real names) and all of ``/proc``; it can make no sockets but local ones and send no
signals to others. With neither, a run is the user of the node and only its folders and variables are its own.

A run in a container image sees the image's root file system instead of the machine's, read-only, and all else as with
bubblewrap: by bubblewrap, or by Apptainer where the site says so. No place is mounted by a path that leads through the
image: what is at the root of it is mounted one by one at the root of an empty file system, so that links in it lead
nowhere else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import sanjin
from sanjin.adapters.engines.images import Image
from sanjin.adapters.engines.run_folder import INSIDE, Refused, RunFolder
from sanjin.adapters.engines.run_gang import ports_of
from sanjin.adapters.engines.run_landlock import landlock_version, network_filter
from sanjin.model.catalogue import problem
from sanjin.model.engines import Bounds, Confinement, ImageWay
from sanjin.model.errors import ProblemsFound
from sanjin.ports import RunOrder

_ETC = (
    "alternatives",
    "fonts",
    "group",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "passwd",
    "ssl",
    "timezone",
)
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SYS = ("/sys/devices/system/cpu", "/sys/fs/cgroup")
"""What a machine says of its cores, and of the bounds that hold for a process. Landlock shows that these are there; a
library that finds them and may not read them gives up (DuckDB does)."""
_OWN_ROOTS = ("dev", "job", "proc", "sys", "tmp")
"""At the root of a file system: what a run has of its own, whatever its image has there."""
_IMAGE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEVICES = ("full", "null", "random", "urandom", "zero")
_LANDLOCK_SINCE = ((2, "nothing, but renames between folders fail"), (3, "emptying files"), (6, "signals"))
"""What a version of Landlock does not do yet that the given one does."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """What confines runs here: ``kind`` is ``bwrap``, ``landlock`` or ``none``; ``remark`` says why it is not more."""

    kind: str
    program: str = ""
    remark: str = ""


@cache
def find_bwrap() -> Sandbox:
    """Try bubblewrap once, for real: kernels and containers differ in what they allow."""
    program = shutil.which("bwrap")
    if program is None:
        return Sandbox(kind="none", remark="bwrap is not installed: apt install bubblewrap")
    command = [program, *_base_arguments((), 0), "--", "true"]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=20, env={"PATH": "/usr/bin:/bin"}
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Sandbox(kind="none", remark=f"bwrap cannot make namespaces here: {error}")
    if done.returncode != 0:
        said = done.stderr.strip() or f"exit status {done.returncode}"
        return Sandbox(kind="none", remark=f"bwrap cannot make namespaces here: {said}")
    return Sandbox(kind="bwrap", program=program)


def find_landlock() -> Sandbox:
    """Landlock, where this kernel has it."""
    version = landlock_version()
    if not version:
        return Sandbox(kind="none", remark="this kernel has no Landlock, or it is switched off")
    left = [what for since, what in _LANDLOCK_SINCE if version < since]
    left += [] if network_filter(os.uname().machine) else ["sockets"]
    return Sandbox(kind="landlock", remark=f"Landlock {version} does not refuse: {', '.join(left)}" if left else "")


def choose(wanted: str) -> Sandbox:
    """The sandbox for a setting of :class:`~sanjin.model.engines.Confinement`. Raises ``ProblemsFound``.

    ``auto`` takes what there is; ``bwrap`` and ``landlock`` are required where they are asked for.
    """
    if wanted == "none":
        return Sandbox(kind="none", remark="the sandbox is switched off by a setting")
    if wanted not in tuple(Confinement):
        raise ProblemsFound([problem("unknown_sandbox", "sandbox", found=wanted)])
    found = find_landlock() if wanted == "landlock" else find_bwrap()
    if wanted == "auto" and found.kind == "none":
        second = find_landlock()
        found = replace(second, remark="; ".join(filter(None, (found.remark, second.remark))))
    if wanted not in ("auto", found.kind):
        raise ProblemsFound([problem("no_sandbox", "sandbox", kind=wanted, why=found.remark)])
    return found


def image_runner(way: ImageWay) -> Sandbox:
    """What runs images here. Raises ``ProblemsFound`` where it is missing."""
    if way is ImageWay.BWRAP:
        return choose("bwrap")
    program = shutil.which("apptainer")
    if program is None:
        raise ProblemsFound([problem("no_apptainer", "images.way")])
    return Sandbox(kind="apptainer", program=program)


def _python_folders() -> list[str]:
    """Where the Python in use lives: a venv and its base may lie in anybody's home."""
    executable = Path(os.path.realpath(sys.executable))
    return [
        sys.prefix,
        sys.base_prefix,
        os.path.realpath(sys.base_prefix),
        str(executable.parent.parent),
        str(Path(sanjin.__file__).parents[1]),  # what is on Python's path is listed before it is looked into
    ]


def _shown_folders(read_only: Sequence[str]) -> list[str]:
    """Folders to show read-only besides the system's, without those inside another of them."""
    shown: list[str] = []
    for folder in sorted({os.path.abspath(path) for path in [*_python_folders(), *read_only]}):
        inside = any(folder == above or folder.startswith(above + "/") for above in ["/usr", *shown])
        if not inside and folder != "/":
            shown.append(folder)
    return shown


def _image_arguments(root: Path) -> list[str]:
    """bwrap arguments for what a run sees of an image: what lies at its root, without what every run has of its own."""
    arguments: list[str] = []
    for entry in sorted(os.scandir(root), key=lambda e: e.name):
        if entry.name in _OWN_ROOTS:
            continue
        if entry.is_symlink():
            arguments += ["--symlink", os.readlink(entry.path), f"/{entry.name}"]
        elif entry.is_dir() or entry.is_file():
            arguments += ["--ro-bind", entry.path, f"/{entry.name}"]
    return arguments


def _system_arguments() -> list[str]:
    """bwrap arguments for what a run sees of the machine's own system."""
    arguments = ["--ro-bind", "/usr", "/usr"]
    for path in _SYSTEM:
        if os.path.islink(path):
            arguments += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            arguments += ["--ro-bind", path, path]
    for name in _ETC:
        arguments += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return arguments


def _base_arguments(read_only: Sequence[str], memory_bytes: int, image: Image | None = None) -> list[str]:
    """bwrap arguments for what every run sees of the system."""
    arguments = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "job"]
    arguments += _image_arguments(image.root) if image else _system_arguments()
    size = ["--size", str(memory_bytes)] if memory_bytes > 0 else []
    arguments += ["--proc", "/proc", "--dev", "/dev", *size, "--tmpfs", "/dev/shm", *size, "--tmpfs", "/tmp"]
    for folder in () if image else _shown_folders(read_only):  # after /tmp: a shown folder may lie in the real one
        arguments += ["--ro-bind-try", folder, folder]
    return arguments


def bwrap_arguments(
    order: RunOrder, writable: Mapping[str, Path], hidden: Path, read_only: Sequence[str], image: Image | None = None
) -> list[str]:
    """bwrap arguments for one run, without variables, program and command.

    ``writable`` are the folders that it may write, by name under ``/job``; ``hidden`` is the engine's
    folder, covered in case one of the shown folders holds it. ``/tmp`` and ``/dev/shm`` live in
    memory, so neither may outgrow the memory limit, or an equal share of it where several copies or
    members run at once; whatever else lives in memory is made read-only.
    """
    at_once = max(order.nodes, min(order.parallel, order.members))
    arguments = _base_arguments(read_only, -(-order.memory_bytes // at_once), image)
    if image is None and any(str(hidden).startswith(folder + "/") for folder in ["/usr", *_shown_folders(read_only)]):
        arguments += ["--tmpfs", str(hidden)]
    arguments += ["--tmpfs", "/job/inputs"]
    for name, path in sorted(order.inputs.items()):
        arguments += ["--ro-bind", os.path.realpath(path), f"/job/inputs/{name}"]
    for name, path in writable.items():
        arguments += ["--bind", str(path), f"/job/{name}"]
    for path in ("/job/inputs", "/"):  # /dev too, by the supervisor, when it has put the run's cards there
        arguments += ["--remount-ro", path]
    return [*arguments, "--chdir", "/job/work"]


def apptainer_arguments(
    order: RunOrder, run: Path, writable: Mapping[str, Path], program: str, image: Image
) -> list[str]:
    """The command line of Apptainer for one run, without its command. Raises Refused for a path that it cannot take."""
    binds = [(os.path.realpath(path), f"/job/inputs/{name}", ":ro") for name, path in sorted(order.inputs.items())]
    binds += [(str(path), f"/job/{name}", "") for name, path in writable.items()]
    words = [program, "exec", "--containall", "--no-privs", "--net", "--network", "none", "--workdir", f"{run}/tmp"]
    words += ["--nv"] if order.accelerators else []
    for source, place, how in binds:
        if set(source) & set(":,\"\\"):
            raise Refused(f"{source}: Apptainer cannot be given a path with such a character")
        words += ["--bind", f"{source}:{place}{how}"]
    return [*words, "--pwd", "/job/work", str(image.root)]


def variables(
    order: RunOrder, run: Path, writable: Mapping[str, Path], kind: str, image: Image | None = None
) -> dict[str, str]:
    """The environment of a run: its order's variables, and what every run finds.

    Nothing of the node's own environment is passed on. The order may replace all but ``SANJIN_*``.
    The supervisor adds ``SANJIN_RANK`` or ``SANJIN_INDEX``, which differ between the processes of a run.
    """
    inside = kind in INSIDE
    shown = {name: f"/job/{name}" if inside else str(path) for name, path in writable.items()}
    path = _IMAGE_PATH if image else ":".join((f"{sys.prefix}/bin", "/usr/local/bin", "/usr/bin", "/bin"))
    found = {"PATH": path, "LANG": "C.UTF-8", **(image.variables if image else {})}
    found |= {"HOME": shown["work"], "TMPDIR": "/tmp" if inside else f"{run}/tmp"}
    found.update({name: str(max(order.cores, 1)) for name in _THREADS})
    found.update(order.environment)
    found["SANJIN_KEY"] = order.key
    found["SANJIN_INPUTS"] = "/job/inputs" if inside else f"{run}/inputs"
    found["SANJIN_OUTPUTS"] = shown["outputs"]
    if order.nodes > 1:
        found["SANJIN_NODES"] = str(order.nodes)
        found["SANJIN_GANG"] = shown["gang"]
        found["SANJIN_HOSTS"] = ",".join(["127.0.0.1"] * order.nodes)  # its machines, by rank, if it has several
        found["SANJIN_PORTS"] = ports_of(order.key)
    if order.checkpoint:
        found["SANJIN_CHECKPOINT"] = shown["checkpoint"]
    return found


def landlock_paths(order: RunOrder, files: RunFolder, read_only: Sequence[str]) -> dict[str, list[str]]:
    """What a run may ``read`` (and execute) and ``write`` under Landlock. Raises Refused where it would be too much.

    Landlock cannot take back what a folder above gives, so none that it may read may hold the engine's own.
    """
    shown = _shown_folders(read_only)
    inputs = [os.path.realpath(path) for path in order.inputs.values()]
    for folder in (*shown, *inputs):
        if f"{files.root}/".startswith(f"{os.path.realpath(folder)}/"):
            raise Refused(f"{folder} holds the folder of all runs, {files.root}: Landlock cannot hide one in the other")
    run = files.runs / order.key
    system = ["/usr", *_SYSTEM, "/proc", *_SYS, *(f"/etc/{name}" for name in _ETC)]
    own = [*map(str, files.writable(order).values()), f"{run}/tmp"]
    devices = [f"/dev/{name}" for name in _DEVICES]
    return {"read": [*system, *shown, *inputs, f"{run}/inputs"], "write": [*own, *devices]}


def confine(
    order: RunOrder,
    files: RunFolder,
    sandbox: Sandbox,
    read_only: Sequence[str],
    bounds: Bounds,
    image: Image | None = None,
) -> dict[str, object]:
    """What the supervisor has to know besides the order: how the run is confined and bounded, and its variables.

    ``sandbox`` is what runs images where the run has one. Raises Refused where it cannot be confined as it should.
    """
    writable = files.writable(order)
    bwrap: list[str] = []
    apptainer: list[str] = []
    landlock: dict[str, list[str]] = {}
    if sandbox.kind == "bwrap":
        bwrap = [sandbox.program, *bwrap_arguments(order, writable, files.root, read_only, image)]
    elif sandbox.kind == "apptainer" and image is not None:
        apptainer = apptainer_arguments(order, files.runs / order.key, writable, sandbox.program, image)
    elif sandbox.kind == "landlock":
        landlock = landlock_paths(order, files, read_only)
    run, at_once = files.runs / order.key, max(order.nodes, min(order.parallel, order.members))
    return {
        "sandbox": sandbox.kind,
        "bwrap": bwrap,
        "apptainer": apptainer,
        "image": image.name if image else "",
        "landlock": landlock,
        "variables": variables(order, run, writable, sandbox.kind, image),
        "kept": [*map(str, writable.values()), *(f"{run}/{name}" for name in ("tmp", "stdout", "stderr"))],
        "processes": bounds.processes * at_once,
        "output_bytes": bounds.output_bytes,
        "output_files": bounds.output_files,
    }
