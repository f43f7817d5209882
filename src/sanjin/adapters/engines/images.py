"""The container images of a site: fetched once, unpacked once, kept by digest.

An image is copied by skopeo, which verifies every blob and asks the machine's own policy of signatures
(containers-policy.json(5)), and unpacked by umoci as an ordinary user would (``--rootless``): files belong to the
node's user, and device files are made as empty ones. What is kept is closed to all other users, since it may hold
setuid programs of strangers. Fetching takes place beside the engine; a run waits until its image is there.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec

from sanjin.adapters.engines.run_folder import Refused
from sanjin.adapters.engines.run_limits import Quota
from sanjin.model.engines import ImageSettings, ImageWay
from sanjin.model.image import ImageName, Transport, image_name

FRESH_S = 10.0
"""Seconds for which a tag is taken to mean the same image, or to be at fault."""
FETCH_S = 3600.0
"""Seconds that fetching and unpacking may take."""
FILES_MAX = 5_000_000
"""Files of an image, its layers included."""
PROGRAMS_PATH = "/usr/local/bin:/usr/bin:/bin"
"""Where skopeo and umoci are looked for."""
_AT_ONCE = 2
_LOOK_S = 0.05
_KEPT = "image.json"
_PASSED = (
    "HOME", "XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE", "CONTAINERS_REGISTRIES_CONF", "HTTPS_PROXY", "NO_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip
"""Of the node's environment: what skopeo is told of registries, and its logins (a file, never in our hands)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that can run: ``name`` has its digest, ``root`` is its root file system (of a SIF: the file itself)."""

    name: str
    root: Path
    variables: dict[str, str]
    """What the image asks to be set."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of a reference, and until when that is taken to be so (monotonic seconds)."""

    image: Image | None
    fault: str
    until_s: float


class _Asked(msgspec.Struct):
    """Of the OCI image configuration, https://github.com/opencontainers/image-spec/blob/main/config.md."""

    Env: list[str] | None = None


class _ImageConfig(msgspec.Struct):
    config: _Asked | None = None


class ImageStore:
    """The images in ``folder``, which is made where it is missing. ``ready`` is called when an answer has come."""

    def __init__(self, folder: Path, settings: ImageSettings, ready: Callable[[], None]) -> None:
        self._folder = folder
        self._settings = settings
        self._ready = ready
        self._guard = threading.Lock()
        self._answers: dict[str, _Answer] = {}
        self._asked: dict[str, Future[None]] = {}
        self._sums: dict[tuple[int, ...], str] = {}
        self._closed = threading.Event()
        self._workers = ThreadPoolExecutor(_AT_ONCE, "images")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)

    def find(self, reference: str) -> Image | None:
        """The image that a reference names; None while it is being fetched. Raises Refused."""
        name = self._checked(reference)
        if name.digest and name.transport is not Transport.SIF and (image := self._kept(name, name.digest)):
            return image
        with self._guard:
            answer = self._answers.get(reference)
            if answer is not None and time.monotonic() < answer.until_s:
                if answer.image is None:
                    raise Refused(answer.fault)
                return answer.image
            if reference not in self._asked and not self._closed.is_set():
                self._asked[reference] = self._workers.submit(self._answer, reference, name)
        return None

    def close(self) -> None:
        """End what is under way; what is kept stays."""
        self._closed.set()
        self._workers.shutdown(wait=True, cancel_futures=True)

    def _checked(self, reference: str) -> ImageName:
        name = image_name(reference)
        if name is None:
            raise Refused(f"{reference[:100]!r} is no reference to an image")
        if not any(fnmatchcase(reference, pattern) for pattern in self._settings.allow):
            raise Refused(f"image {reference} is none of those that this site allows")
        if name.transport is not Transport.REGISTRY and not self._settings.folder:
            raise Refused(f"image {reference}: this site has no folder of images")
        if name.transport is Transport.SIF and self._settings.way is not ImageWay.APPTAINER:
            raise Refused(f"image {reference}: only Apptainer runs SIF files, and this site runs images otherwise")
        return name

    def _answer(self, reference: str, name: ImageName) -> None:
        image, fault = None, ""
        try:
            image = self._sif(name) if name.transport is Transport.SIF else self._fetched(name)
        except Refused as refused:
            fault = f"image {reference}: {refused}"
        except OSError as error:
            fault = f"image {reference}: {error.strerror or error}: {error.filename or ''}"
        except Exception as error:  # whatever a hostile image brings about, the run must come to know
            fault = f"image {reference}: {type(error).__name__}: {error}"
        with self._guard:
            self._answers = {k: a for k, a in self._answers.items() if a.until_s > time.monotonic()}
            self._answers[reference] = _Answer(image, fault, time.monotonic() + FRESH_S)
            self._asked.pop(reference, None)
        self._ready()

    # -- fetching --------------------------------------------------------------------------

    def _kept(self, name: ImageName, digest: str) -> Image | None:
        place = self._folder / digest
        try:
            read: Any = json.loads((place / _KEPT).read_bytes())
        except OSError:
            return None
        return Image(name=name.fixed(digest), root=place / "rootfs", variables=dict(read["variables"]))

    def _fetched(self, name: ImageName) -> Image:
        """The image, unpacked now where it is not kept."""
        until = time.monotonic() + FETCH_S
        digest = self._digest(name, until)
        if name.digest not in ("", digest):
            raise Refused(f"this is sha256:{digest} now")
        with self._locked(digest):
            if image := self._kept(name, digest):
                return image
            making = self._folder / f"making-{digest}"
            _remove(making)
            making.mkdir(mode=0o700)
            try:
                self._make(name, digest, making, until)
                making.rename(self._folder / digest)
            finally:
                _remove(making)
        image = self._kept(name, digest)
        if image is None:
            raise Refused("it cannot be kept")
        return image

    def _make(self, name: ImageName, digest: str, making: Path, until: float) -> None:
        quota = Quota([str(making)], self._settings.unpacked_bytes, FILES_MAX)
        copy = f"{making}/image:run"
        source = self._source(name, digest)
        words = ["skopeo", "--tmpdir", str(making), "copy", "--quiet", *_plain(name, "--src-tls-verify=false")]
        self._say([*words, source, f"oci:{copy}"], until, quota)
        if name.transport is Transport.LAYOUT and self._digest(name, until) != digest:
            raise Refused("it changed while it was copied")
        self._say(["umoci", "raw", "unpack", "--rootless", "--image", copy, f"{making}/rootfs"], until, quota)
        if os.path.islink(making / "rootfs") or not (making / "rootfs").is_dir():
            raise Refused("its root is no folder")
        told = self._say(["skopeo", "inspect", "--config", f"oci:{copy}"], until, quota)
        asked = msgspec.json.decode(told, type=_ImageConfig).config
        pairs = [each.partition("=") for each in (asked.Env if asked else None) or () if "\0" not in each]
        found = {key: value for key, _, value in pairs if key and not key.startswith("SANJIN_")}
        (making / _KEPT).write_text(json.dumps({"variables": found, "from": name.source()}))
        _remove(making / "image")

    def _digest(self, name: ImageName, until: float) -> str:
        """The digest of the manifest that a reference names now."""
        words = ["skopeo", "inspect", "--raw", *_plain(name, "--tls-verify=false"), self._source(name, name.digest)]
        return hashlib.sha256(self._say(words, until)).hexdigest()

    def _source(self, name: ImageName, digest: str) -> str:
        if name.transport is Transport.REGISTRY:
            return f"docker://{name.host}/{name.name}@sha256:{digest}" if digest else name.source()
        return f"oci:{self._inside(name)}" + (f":{name.tag}" if name.tag else "")

    def _inside(self, name: ImageName) -> Path:
        """The path of an image of the site's folder. Raises Refused where a link leads out of it."""
        root = os.path.realpath(self._settings.folder)
        path = os.path.realpath(os.path.join(root, name.name))
        if not path.startswith(f"{root}/") or ":" in path:
            raise Refused("it is not in the site's folder of images")
        if not os.path.exists(path):
            raise Refused("it is not there")
        return Path(path)

    def _sif(self, name: ImageName) -> Image:
        path = self._inside(name)
        found = path.stat()
        key = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        if key not in self._sums:
            with path.open("rb") as file:
                self._sums[key] = hashlib.file_digest(file, "sha256").hexdigest()
        if name.digest not in ("", self._sums[key]):
            raise Refused(f"this is sha256:{self._sums[key]} now")
        return Image(name=name.fixed(self._sums[key]), root=path, variables={})

    @contextlib.contextmanager
    def _locked(self, digest: str) -> Generator[None]:
        """Alone with this digest, also among engines that have the folder at the same time."""
        with open(self._folder / f"{digest}.lock", "w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if self._closed.wait(_LOOK_S):
                        raise Refused("the node is being closed") from None
            yield

    def _say(self, words: list[str], until: float, quota: Quota | None = None) -> bytes:
        """What a program answers. Raises Refused where it fails, takes too long or leaves too much."""
        keep = {name: os.environ[name] for name in _PASSED if name in os.environ}
        environment = {"PATH": PROGRAMS_PATH, "LANG": "C.UTF-8", **keep}
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
            )
        except FileNotFoundError:
            raise Refused(f"{words[0]} is not installed: apt install {words[0]}") from None
        over = ""
        with process:
            while True:
                try:
                    said, told = process.communicate(timeout=_LOOK_S)
                    break
                except subprocess.TimeoutExpired:
                    now = time.monotonic()
                    over = "the node is being closed" if self._closed.is_set() else over
                    over = over or ("it took too long" if now > until else "")
                    over = over or (quota.look(now) if quota else "")
                    if over:
                        process.kill()
        over = over or (quota.settle() if quota else "")
        if over:
            raise Refused(over)
        if process.returncode:
            raise Refused(_last(told) or f"{words[0]} ended with status {process.returncode}")
        return said


def _plain(name: ImageName, option: str) -> list[str]:
    """A registry on this machine may speak without encryption, no other."""
    return [option] if name.host.rpartition(":")[0] in ("127.0.0.1", "localhost") else []


def _last(told: bytes) -> str:
    """The last line that a program said, as it may be shown."""
    lines = [line.strip() for line in told.decode(errors="replace").splitlines() if line.strip()]
    return "".join(c if c.isprintable() else "?" for c in lines[-1])[:300] if lines else ""


def _remove(path: Path) -> None:
    """Remove a folder, also where it holds folders that are closed to their owner."""
    if not path.exists():
        return
    for folder, names, _ in os.walk(path):
        for name in names:
            inside = os.path.join(folder, name)
            if not os.path.islink(inside):
                os.chmod(inside, 0o700)
    shutil.rmtree(path)
