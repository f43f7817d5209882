"""Reading a document of engines: which engine each site has. A site that is not named has ``local``.

::

    engines:
      datong: {engine: slurm, folder: /shared/sanjin, conf: /etc/slurm/slurm.conf, partition: batch}
      luliang: {engine: local, sandbox: bwrap, output_bytes: 1e11, output_files: 1e6, processes: 4096}
"""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from sanjin.model.engines import Bounds, Confinement, EngineKind, EngineSettings
from sanjin.model.errors import ProblemsFound
from sanjin.regions.fields import Table
from sanjin.regions.load import root_of, text_of

_WORD = re.compile(r"[A-Za-z0-9._,+-]{1,200}")
_BOUNDS = tuple(field.name for field in fields(Bounds))
_PATHS, _WORDS = ("folder", "conf", "python"), ("partition", "account", "qos")


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
    bounds = Bounds(**{key: table.whole(key) for key in _BOUNDS if table.has(key)})
    table.close()
    return EngineSettings(engine=kind, sandbox=sandbox, bounds=bounds, **said)
