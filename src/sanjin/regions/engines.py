"""Reading a document of engines: which engine each site has, and which object store. A site that is not named has
``local``, and none.

::

    engines:
      datong: {engine: slurm, folder: /shared/sanjin, conf: /etc/slurm/slurm.conf, partition: batch}
      luliang:
        engine: local
        sandbox: bwrap
        store: {kind: s3, endpoint: "https://s3.luliang.example", bucket: sanjin, credentials: /etc/sanjin/s3-keys}
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from sanjin.model.engines import Confinement, EngineKind, EngineSettings, StoreKind, StoreSettings
from sanjin.model.errors import ProblemsFound
from sanjin.regions.fields import Table
from sanjin.regions.load import root_of, text_of

_WORD = re.compile(r"[A-Za-z0-9._,+-]{1,200}")
_PATHS, _WORDS = ("folder", "conf", "python"), ("partition", "account", "qos")
_S3_MAY, _HERE = ("region", "prefix", "credentials"), ("127.0.0.1", "::1", "localhost")


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
    said: dict[str, str] = {}
    if kind is EngineKind.SLURM:
        said = {key: table.text(key) for key in (*_PATHS, *_WORDS) if table.has(key)}
        if not table.has("folder"):
            table.note("no_shared_folder", "folder")
    for key, value in said.items():
        if key in _PATHS and value and not value.startswith("/"):
            table.note("not_a_whole_path", key, found=value)
        if key in _WORDS and value and not _WORD.fullmatch(value):
            table.note("not_a_slurm_name", key, found=value)
    store = _store_in(table.table("store")) if table.has("store") else None
    table.close()
    return EngineSettings(engine=kind, sandbox=sandbox, store=store, **said)


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
        plain = found.scheme == "http" and found.hostname in _HERE
        if not (plain or found.scheme == "https") or not found.hostname or found.username or found.path.strip("/"):
            table.note("not_a_store_address", "endpoint", found=found.hostname or endpoint)
    table.close()
    return StoreSettings(kind=kind, **said)
