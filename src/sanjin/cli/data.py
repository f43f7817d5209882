"""``sanjin data``: replicas of datasets at the sites: listed, verified, repaired.

It works on the folders and stores themselves, whether a region is up on them or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sanjin.adapters.movers.site import SiteMover
from sanjin.adapters.state_folder import StateFolder, default_folder
from sanjin.cli.engines import kept_engines
from sanjin.cli.output import Format, State, data, note, sentence, table, text
from sanjin.cli.store_choice import store_choice
from sanjin.model.errors import DataDamaged, NotFound, NotReachable
from sanjin.regions.load import load_region

Site = Annotated[str, Parameter(help="At this site alone. 仅该站点。")]
Dataset = Annotated[str, Parameter(help="This dataset alone. 仅该数据集。")]
DataFolderOf = Annotated[Path | None, Parameter(help="Datasets of all sites, as for sanjin node. 数据目录。")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A dataset at a site, in its ``folder`` or object ``store``. ``state``: held, whole, lost, damaged or repaired;
    ``fault`` is what is wrong with one that is damaged, or why it could not be repaired."""

    dataset: str
    site: str
    place: str
    state: str
    fault: str = ""
    copied_bytes: int = 0


def list_data(
    *,
    site: Site = "",
    dataset: Dataset = "",
    data_folder: DataFolderOf = None,
    state: State = None,
    output: Format = "table",
) -> None:
    """List the replicas of datasets: at which sites, in the folder for runs or in the object store. 数据副本列表。"""
    movers, _ = _movers(state, data_folder, site)
    _print(list(_held(movers, dataset)), output)


def verify_data(
    *,
    site: Site = "",
    dataset: Dataset = "",
    data_folder: DataFolderOf = None,
    state: State = None,
    output: Format = "table",
) -> None:
    """Read every replica against its manifest; changes nothing. Exit 10 where one is damaged or lost. 校验数据副本。

    Lost is a replica that the region document names, of a dataset that another site has.
    """
    movers, declared = _movers(state, data_folder, site)
    found = _looked_at(movers, dataset, declared)
    _print(found, output)
    if wrong := [r for r in found if r.state != "whole"]:
        raise DataDamaged(sentence("cli.data_damaged", count=len(wrong)))


def repair_data(
    *,
    site: Site = "",
    dataset: Dataset = "",
    data_folder: DataFolderOf = None,
    dry_run: Annotated[bool, Parameter(negative=(), help="Only say what would be repaired. 试算。")] = False,
    state: State = None,
    output: Format = "table",
) -> None:
    """Verify as above, and bring what is damaged or lost from a site that has it whole. 修复数据副本。

    Exit 10 where that is not possible.
    """
    movers, declared = _movers(state, data_folder, site)
    found = _looked_at(movers, dataset, declared)
    if not dry_run:
        found = [r if r.state == "whole" else _repaired(movers[r.site], r) for r in found]
    _print(found, output)
    if wrong := [r for r in found if r.state in ("damaged", "lost")]:
        raise DataDamaged(sentence("cli.data_damaged" if dry_run else "cli.data_not_repaired", count=len(wrong)))


def _movers(
    state: Path | None, data_folder: Path | None, site: str
) -> tuple[dict[str, SiteMover], dict[str, tuple[str, ...]]]:
    """A mover for each site that is asked for; and by dataset, the sites that the region document says have it.

    Raises NotFound.
    """
    folder = StateFolder(state or default_folder())
    region, one = load_region(folder.region_document()), folder.node_settings()
    if site and site not in region.nodes:
        raise NotFound(f"there is no site {site}; known: {', '.join(region.nodes)}")
    root = data_folder or (Path(one.data) if one and one.data else folder.path)
    objects, sites = store_choice(kept_engines(folder), ()), tuple(region.nodes)
    movers = {name: SiteMover(root, name, objects, sites) for name in ([site] if site else sites)}
    return movers, {dataset.id: tuple(dataset.replicas) for dataset in region.datasets.values()}


def _held(movers: dict[str, SiteMover], dataset: str) -> Iterator[Replica]:
    for site, mover in movers.items():
        for place, names in (("folder", list(mover.held())), ("store", mover.stored())):
            for name in names:
                if dataset in ("", name):
                    yield Replica(dataset=name, site=site, place=place, state="held")


def _looked_at(movers: dict[str, SiteMover], dataset: str, declared: dict[str, tuple[str, ...]]) -> list[Replica]:
    """Each replica, read."""
    found: list[Replica] = []
    for site, mover in movers.items():
        try:
            here = {name for name in mover.names() if dataset in ("", name)}
            looked = {name: mover.verify(name, look_only=True) for name in sorted(here)}
        except OSError as fault:
            raise NotReachable(f"{site}: {fault}; others can be verified with --site") from fault
        for name, places in looked.items():
            for place, fault in places.items():
                found.append(
                    Replica(dataset=name, site=site, place=place, state="damaged" if fault else "whole", fault=fault)
                )
        for name, sites in declared.items():
            if site in sites and name not in here and dataset in ("", name) and mover.elsewhere(name):
                found.append(Replica(dataset=name, site=site, place="", state="lost"))
    return found


def _repaired(mover: SiteMover, replica: Replica) -> Replica:
    try:
        report = mover.repair(replica.dataset)
    except OSError as fault:
        return replace(replica, fault=str(fault))
    if report.fault:
        return replace(replica, fault=report.fault)
    return replace(replica, state="repaired", copied_bytes=report.copied_bytes)


def _print(found: list[Replica], output: Format) -> None:
    if data(found, output):
        return
    if not found:
        note(text("cli.data_none"))
        return
    rows = [[r.dataset, r.site, text(f"data.{r.place}") if r.place else "", _said(r)] for r in found]
    table(("head.dataset", "head.node", "head.place", "head.state"), rows, left=(0, 1, 2, 3))


def _said(replica: Replica) -> str:
    if replica.state == "damaged":
        return replica.fault
    if replica.state == "repaired":
        return text("data.repaired", bytes=replica.copied_bytes)
    return text(f"data.{replica.state}") + (f": {replica.fault}" if replica.fault else "")
