"""``sanjin engines``: which engine runs the work of each site."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sanjin.adapters.state_folder import StateFolder, default_folder
from sanjin.cli.output import Format, State, data, note, table, text
from sanjin.model.engines import Confinement, EngineKind, EngineSettings
from sanjin.regions.engines import load_engines


def kept_engines(folder: StateFolder) -> dict[str, EngineSettings]:
    """The engines that were set on a state folder, by site; none where none were. Raises ProblemsFound."""
    document = folder.engines_document()
    return load_engines(document) if document else {}


def set_engines(
    file: Annotated[Path, Parameter(help="The document of engines (YAML). 引擎文档。")],
    /,
    *,
    dry_run: Annotated[bool, Parameter(negative=(), help="Check and show it; keep nothing. 试算。")] = False,
    state: State = None,
    output: Format = "table",
) -> None:
    """Set the sites' engines from a document; in force from the next ``sanjin up`` or ``node`` on. 设置引擎。"""
    found = load_engines(file)
    if not dry_run:
        folder = StateFolder(state or default_folder())
        folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.keep_engines(file.read_text(encoding="utf-8"))
    _print(found, output)
    if output == "table":
        note(text("cli.dry_run_engines" if dry_run else "cli.engines_kept"))


def show(*, state: State = None, output: Format = "table") -> None:
    """Show the engines of the sites. 查看引擎。"""
    _print(kept_engines(StateFolder(state or default_folder())), output)


def _print(found: dict[str, EngineSettings], output: Format) -> None:
    if data(found, output):
        return
    if not found:
        print(text("cli.engines_none"))
        return
    rows: list[list[object]] = []
    for site, settings in found.items():
        apart = ("engine", "bounds", "keep", "store", "images")
        said = {k: v for k, v in asdict(settings).items() if v and k not in apart}
        said |= asdict(settings.bounds) | asdict(settings.keep)
        if settings.store:
            said |= {f"store.{k}": v for k, v in asdict(settings.store).items() if v}
        if settings.images:
            said |= {f"images.{k}": v for k, v in asdict(settings.images).items() if v}
        rows.append([site, settings.engine.value, ", ".join(f"{k}={v}" for k, v in said.items())])
    walled = [s for s, e in found.items() if e.engine is EngineKind.RAY and e.sandbox is not Confinement.NONE]
    table(("head.node", "doctor.engines", "head.settings"), rows, left=(0, 1, 2))
    if walled:
        note(text("cli.engines_ray", sites=", ".join(walled)))
    if unmet := [s for s, e in found.items() if e.engine is EngineKind.KUBERNETES]:
        note(text("cli.engines_kubernetes", sites=", ".join(unmet)))
