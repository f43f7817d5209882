"""Reading a document of engines: which engine each site has, and which object store. A site that is not named has
``local``, and none.

::

    engines:
      datong: {engine: slurm, folder: /shared/sanjin, conf: /etc/slurm/slurm.conf, partition: batch, shared_s: 60}
      xinzhou: {engine: slurm, folder: /shared/sanjin, rest: "unix:/run/slurmrestd.sock"}
      yangquan: {engine: ray, folder: /shared/sanjin, address: "http://127.0.0.1:8265", token_file: /etc/sanjin/ray}
      jincheng: {engine: kubernetes, folder: /shared/sanjin, claim: sanjin-runs, kubeconfig: /etc/sanjin/kubeconfig,
                 namespace: sanjin, image: "registry.example/python:3.12", python: /usr/local/bin/python3}
      changzhi: {engine: local, sandbox: bwrap, output_bytes: 1e11, output_files: 1e6, processes: 4096}
      linfen: {engine: local, keep_days: 90, keep_bytes: 5e11}
      luliang:
        engine: local
        sandbox: bwrap
        store: {kind: s3, endpoint: "https://s3.luliang.example", bucket: sanjin, credentials: /etc/sanjin/s3-keys}
        images: {allow: ["oci:tools/*", "docker://registry.example/team/*@sha256:*"], folder: /srv/images}
"""

from __future__ import annotations

import re
from dataclasses import fields
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from sanjin.model.engines import (
    Bounds,
    Confinement,
    EngineKind,
    EngineSettings,
    ImageSettings,
    ImageWay,
    Keep,
    StoreKind,
    StoreSettings,
)
from sanjin.model.errors import ProblemsFound
from sanjin.regions.fields import Table
from sanjin.regions.load import root_of, text_of

_WORD = re.compile(r"[A-Za-z0-9._,+-]{1,200}")
_GRES = re.compile(r"[A-Za-z0-9._+-]{1,100}(:[A-Za-z0-9._+-]{1,100})?")
_BOUNDS = tuple(field.name for field in fields(Bounds))
_KEEP = tuple(field.name for field in fields(Keep))
_WORDS = ("partition", "account", "qos", "gres")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_CARD = re.compile(rf"{_SUBDOMAIN.pattern}/[A-Za-z0-9]([A-Za-z0-9._-]{{0,61}}[A-Za-z0-9])?")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,400}")
_KUBERNETES = {
    "namespace": _LABEL,
    "claim": _SUBDOMAIN,
    "data_claim": _SUBDOMAIN,
    "queue": _SUBDOMAIN,
    "service_account": _SUBDOMAIN,
    "card": _CARD,
    "image": _IMAGE,
}
"""What names of Kubernetes are made of."""
_KEYS = {
    EngineKind.LOCAL: (),
    EngineKind.SLURM: ("folder", "python", "conf", "rest", "token_file", *_WORDS),
    EngineKind.RAY: ("folder", "python", "address", "token_file"),
    EngineKind.KUBERNETES: ("folder", "python", "kubeconfig", "context", "data", *_KUBERNETES),
}
_NEEDED = {EngineKind.KUBERNETES: ("image", "python")}
"""Of keys that are not for every cluster: an image may have its Python anywhere."""
_PATHS = ("folder", "python", "conf", "token_file", "kubeconfig", "data")
_S3_MAY = ("region", "prefix", "credentials")


def load_engines(path: Path) -> dict[str, EngineSettings]:
    """The engines in a document, by site. Raises ProblemsFound with everything that is wrong, by line."""
    return read_engines(text_of(path), str(path))


def read_engines(text: str, file: str) -> dict[str, EngineSettings]:
    """The engines in ``text``; ``file`` is what problems call it. Raises ProblemsFound."""
    root = root_of(text, file)
    found = {site: _engine_in(table) for site, table in root.by_id("engines")}
    root.close()
    if root.notes.found:
        raise ProblemsFound(root.notes.problems)
    return found


def _engine_in(table: Table) -> EngineSettings:
    kind = table.choice("engine", EngineKind, "engine", "引擎")
    sandbox = Confinement.AUTO
    if table.has("sandbox"):
        sandbox = table.choice("sandbox", Confinement, "sandbox", "沙箱")
    said = {key: table.text(key) for key in _KEYS[kind] if table.has(key)}
    if kind is not EngineKind.LOCAL and not table.has("folder"):
        table.note("no_shared_folder", "folder")
    if kind is EngineKind.RAY:
        _check_address(table, "address", "not_an_address")
    if kind is EngineKind.SLURM:
        _check_rest(table)
    for key in _NEEDED.get(kind, ()):
        if not table.has(key):
            table.text(key)
    for key, value in said.items():
        if key in _PATHS and value and not value.startswith("/"):
            table.note("not_a_whole_path", key, found=value)
        if key in _WORDS and value and not (_GRES if key == "gres" else _WORD).fullmatch(value):
            table.note("not_a_slurm_name", key, found=value)
        if key in _KUBERNETES and value and not _KUBERNETES[key].fullmatch(value):
            table.note("not_a_kubernetes_name", key, found=value)
    shared_s = 0.0
    if kind in (EngineKind.SLURM, EngineKind.RAY) and table.has("shared_s"):
        shared_s = table.number("shared_s", 1.0, 3600.0)
    bounds = Bounds(**{key: table.whole(key) for key in _BOUNDS if table.has(key)})
    keep = Keep(**{key: table.whole(key) for key in _KEEP if table.has(key)})
    store = _store_in(table.table("store")) if table.has("store") else None
    images = _images_in(table.table("images")) if table.has("images") else None
    table.close()
    return EngineSettings(
        engine=kind, sandbox=sandbox, bounds=bounds, keep=keep, shared_s=shared_s, store=store, images=images, **said
    )


def _images_in(table: Table) -> ImageSettings:
    way = table.choice("way", ImageWay, "way", "方式") if table.has("way") else ImageWay.BWRAP
    folder = table.text("folder") if table.has("folder") else ""
    if folder and not folder.startswith("/"):
        table.note("not_a_whole_path", "folder", found=folder)
    most = {key: table.whole(key, 1) for key in ("unpacked_bytes",) if table.has(key)}
    found = ImageSettings(allow=table.texts("allow"), folder=folder, way=way, **most)
    table.close()
    return found


def _check_rest(table: Table) -> None:
    """Note what is wrong with where slurmrestd answers."""
    if not table.has("rest"):
        if table.has("token_file"):
            table.note("token_for_nothing", "token_file")
        return
    where = table.text("rest")
    if where and where.startswith("unix:"):
        if not where.startswith("unix:/") or not where.isprintable():
            table.note("not_a_rest_address", "rest", found=where)
        return
    _check_address(table, "rest", "not_a_rest_address")
    if not table.has("token_file"):
        table.note("rest_without_token", "rest")


def _check_address(table: Table, key: str, code: str) -> None:
    """Note what is wrong with an address, as ``code``. A token goes to this machine, or out encrypted."""
    address = table.text(key)
    if not address:
        return
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        bare = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username or parts.password)
    except ValueError:  # a port or an address of IPv6 that is none
        parts, good, bare = None, False, False
    if parts is None or not good or not bare or not address.isascii() or not address.isprintable():
        table.note(code, key, found=address.rpartition("@")[2])  # no password is repeated
    elif table.has("token_file") and parts.scheme == "http" and not _loopback(parts.hostname or ""):
        table.note("token_in_the_open", key, found=address)


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _store_in(table: Table) -> StoreSettings:
    kind = table.choice("kind", StoreKind, "kind of store", "存储类型")
    wanted, may = (("folder",), ()) if kind is StoreKind.FOLDER else (("endpoint", "bucket"), _S3_MAY)
    said = {key: table.text(key) for key in wanted}
    said |= {key: table.text(key) for key in may if table.has(key)}
    for key in ("folder", "credentials"):
        if said.get(key, "/") and not said.get(key, "/").startswith("/"):
            table.note("not_a_whole_path", key, found=said[key])
    for key in ("bucket", "region", "prefix"):
        if said.get(key) and not _WORD.fullmatch(said[key]):
            table.note("not_a_store_name", key, found=said[key])
    if endpoint := said.get("endpoint"):
        found = urlsplit(endpoint)
        plain = found.scheme == "http" and _loopback(found.hostname or "")
        if not (plain or found.scheme == "https") or not found.hostname or found.username or found.path.strip("/"):
            table.note("not_a_store_address", "endpoint", found=found.hostname or endpoint)
    table.close()
    return StoreSettings(kind=kind, **said)
