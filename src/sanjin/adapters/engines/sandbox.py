"""How a run is confined, and what it finds around it.

With bubblewrap a run sees a file system of its own: system programs and the Python in use, read-only;
``/job/work`` and ``/job/outputs``, its own; ``/job/inputs/<name>``, read-only; ``/job/checkpoint`` where
it has one; a private ``/tmp``, ``/dev`` and ``/proc``. It has no network and sees no other process.
Each copy of a gang and each member of an array has a sandbox of its own; they share the run's folders,
among them a gang's ``/job/gang``. Without bubblewrap a run is the user of the node and only its folders
and variables are its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import sanjin
from sanjin.adapters.engines.run_folder import RunFolder
from sanjin.model.errors import Problem, ProblemsFound
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
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """What confines runs here: ``kind`` is ``bwrap`` or ``none``; ``remark`` says why it is ``none``."""

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


def choose(wanted: str) -> Sandbox:
    """The sandbox for the setting ``auto``, ``bwrap`` (required) or ``none``. Raises ``ProblemsFound``."""
    if wanted == "none":
        return Sandbox(kind="none", remark="the sandbox is switched off by a setting")
    if wanted not in ("auto", "bwrap"):
        problem = Problem(
            "unknown_sandbox",
            "sandbox",
            f"{wanted!r} is no kind of sandbox",
            "Use auto, bwrap or none",
            f"没有名为 {wanted!r} 的沙箱",
            "请使用 auto、bwrap 或 none",
        )
        raise ProblemsFound([problem])
    found = find_bwrap()
    if wanted == "bwrap" and found.kind != "bwrap":
        problem = Problem(
            "no_sandbox",
            "sandbox",
            found.remark,
            "Install bubblewrap and allow user namespaces, or set the sandbox to none",
            "本机无法使用 bwrap 沙箱",
            "请安装 bubblewrap 并允许用户命名空间，或将沙箱设为 none",
        )
        raise ProblemsFound([problem])
    return found


def _python_folders() -> list[str]:
    """Where the Python in use lives: a venv and its base may lie in anybody's home."""
    executable = Path(os.path.realpath(sys.executable))
    return [
        sys.prefix,
        sys.base_prefix,
        os.path.realpath(sys.base_prefix),
        str(executable.parent.parent),
        str(Path(sanjin.__file__).parent),
    ]


def _shown_folders(read_only: Sequence[str]) -> list[str]:
    """Folders to show read-only besides the system's, without those inside another of them."""
    shown: list[str] = []
    for folder in sorted({os.path.abspath(path) for path in [*_python_folders(), *read_only]}):
        inside = any(folder == above or folder.startswith(above + "/") for above in ["/usr", *shown])
        if not inside and folder != "/":
            shown.append(folder)
    return shown


def _base_arguments(read_only: Sequence[str], memory_bytes: int) -> list[str]:
    """bwrap arguments for what every run sees of the system."""
    arguments = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    arguments += ["--hostname", "job", "--ro-bind", "/usr", "/usr"]
    for path in _SYSTEM:
        if os.path.islink(path):
            arguments += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            arguments += ["--ro-bind", path, path]
    for name in _ETC:
        arguments += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    size = ["--size", str(memory_bytes)] if memory_bytes > 0 else []
    arguments += ["--proc", "/proc", "--dev", "/dev", *size, "--tmpfs", "/dev/shm", *size, "--tmpfs", "/tmp"]
    for folder in _shown_folders(read_only):  # after /tmp, since a shown folder may lie in the real one
        arguments += ["--ro-bind-try", folder, folder]
    return arguments


def bwrap_arguments(order: RunOrder, writable: Mapping[str, Path], hidden: Path, read_only: Sequence[str]) -> list[str]:
    """bwrap arguments for one run, without variables, program and command.

    ``writable`` are the folders that it may write, by name under ``/job``; ``hidden`` is the engine's
    folder, covered in case one of the shown folders holds it. ``/tmp`` and ``/dev/shm`` live in
    memory, so neither may outgrow the memory limit, or an equal share of it where several copies or
    members run at once; whatever else lives in memory is made read-only.
    """
    at_once = max(order.nodes, min(order.parallel, order.members))
    arguments = _base_arguments(read_only, -(-order.memory_bytes // at_once))
    if any(str(hidden).startswith(folder + "/") for folder in ["/usr", *_shown_folders(read_only)]):
        arguments += ["--tmpfs", str(hidden)]
    arguments += ["--tmpfs", "/job/inputs"]
    for name, path in sorted(order.inputs.items()):
        arguments += ["--ro-bind", os.path.realpath(path), f"/job/inputs/{name}"]
    for name, path in writable.items():
        arguments += ["--bind", str(path), f"/job/{name}"]
    for path in ("/job/inputs", "/dev", "/"):
        arguments += ["--remount-ro", path]
    return [*arguments, "--chdir", "/job/work"]


def variables(order: RunOrder, run: Path, writable: Mapping[str, Path], kind: str) -> dict[str, str]:
    """The environment of a run: its order's variables, and what every run finds.

    Nothing of the node's own environment is passed on. The order may replace all but ``SANJIN_*``.
    The supervisor adds ``SANJIN_RANK`` or ``SANJIN_INDEX``, which differ between the processes of a run.
    """
    shown = {name: f"/job/{name}" if kind == "bwrap" else str(path) for name, path in writable.items()}
    found = {
        "PATH": ":".join((f"{sys.prefix}/bin", "/usr/local/bin", "/usr/bin", "/bin")),
        "HOME": shown["work"],
        "TMPDIR": "/tmp" if kind == "bwrap" else f"{run}/tmp",
        "LANG": "C.UTF-8",
    }
    found.update({name: str(max(order.cores, 1)) for name in _THREADS})
    found.update(order.environment)
    found["SANJIN_KEY"] = order.key
    found["SANJIN_INPUTS"] = "/job/inputs" if kind == "bwrap" else f"{run}/inputs"
    found["SANJIN_OUTPUTS"] = shown["outputs"]
    if order.nodes > 1:
        found["SANJIN_NODES"] = str(order.nodes)
        found["SANJIN_GANG"] = shown["gang"]
    if order.checkpoint:
        found["SANJIN_CHECKPOINT"] = shown["checkpoint"]
    return found


def confine(order: RunOrder, files: RunFolder, sandbox: Sandbox, read_only: Sequence[str]) -> dict[str, object]:
    """What the supervisor has to know besides the order: how the run is confined, and its variables."""
    writable = files.writable(order)
    bwrap: list[str] = []
    if sandbox.kind == "bwrap":
        bwrap = [sandbox.program, *bwrap_arguments(order, writable, files.root, read_only)]
    told = variables(order, files.runs / order.key, writable, sandbox.kind)
    return {"sandbox": sandbox.kind, "bwrap": bwrap, "variables": told}
