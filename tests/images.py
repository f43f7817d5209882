"""Container images for tests: OCI layouts made on this machine, of a busybox and whatever else a test puts in."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.support import needs

Member = bytes | tuple[int, bytes] | tarfile.TarInfo
"""The content of a file, with or without its mode; or an entry of a tar."""


def needs_tools() -> None:
    """Skip where images can be neither made nor unpacked; fail when ``CI=true``."""
    for program in ("skopeo", "umoci", "busybox"):
        needs(program)


def make_layout(
    folder: Path, name: str, tag: str = "latest", more: Mapping[str, Member] | None = None, env: Mapping[str, str] = {}
) -> str:
    """An image with a busybox (``/bin/sh`` and the rest), files of text, and entries of a tar as they are given.

    Returns its reference. A layout that is there gets a new image of this tag.
    """
    place = folder / name
    made = folder / "making"
    made.mkdir(parents=True)
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        _umoci("init", "--layout", str(place))
    _umoci("new", "--image", f"{place}:{tag}")
    layer = made / "layer.tar"
    with tarfile.open(layer, "w") as tar:
        for path in ("bin", "etc", "usr"):
            _put(tar, folder_named(path))
        _put(tar, _file("bin/busybox", 0o755), Path(needs("busybox")).read_bytes())
        for applet in ("sh", "cat", "env", "ls", "echo", "id", "sleep", "touch", "stat", "readlink", "mkdir", "true"):
            _put(tar, link_named(f"bin/{applet}", "busybox"))
        for path, member in (more or {}).items():
            if isinstance(member, tarfile.TarInfo):
                _put(tar, member)
            else:
                mode, content = member if isinstance(member, tuple) else (0o644, member)
                _put(tar, _file(path, mode), content)
    _umoci("raw", "add-layer", "--image", f"{place}:{tag}", str(layer))
    for key, value in env.items():
        _umoci("config", "--image", f"{place}:{tag}", f"--config.env={key}={value}")
    shutil.rmtree(made)
    return f"oci:{name}:{tag}"


def folder_named(path: str) -> tarfile.TarInfo:
    """A folder of a layer."""
    info = tarfile.TarInfo(path)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info


def link_named(path: str, target: str, *, hard: bool = False) -> tarfile.TarInfo:
    """A link of a layer."""
    info = tarfile.TarInfo(path)
    info.type, info.linkname = tarfile.LNKTYPE if hard else tarfile.SYMTYPE, target
    return info


def device_named(path: str, major: int, minor: int) -> tarfile.TarInfo:
    """A device file of a layer, open to all."""
    info = tarfile.TarInfo(path)
    info.type, info.mode, info.devmajor, info.devminor = tarfile.CHRTYPE, 0o666, major, minor
    return info


def _file(path: str, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.mode = mode
    return info


def _put(tar: tarfile.TarFile, info: tarfile.TarInfo, content: bytes = b"") -> None:
    info.size = len(content)
    info.uid, info.gid = os.getuid(), os.getgid()
    tar.addfile(info, io.BytesIO(content))


def _umoci(*words: str) -> None:
    subprocess.run(["umoci", *words], check=True, capture_output=True)
