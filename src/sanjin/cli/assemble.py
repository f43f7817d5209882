"""The parts of a region on one machine, put together: SQLite, processes, folders."""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from sanjin.adapters.movers.site import SiteMover
from sanjin.adapters.state_folder import StateFolder
from sanjin.adapters.store.sqlite import SqliteStore
from sanjin.cli.engine_choice import check_sites, engine_choice
from sanjin.cli.engines import kept_engines
from sanjin.cli.keys import open_logs
from sanjin.cli.store_choice import store_choice
from sanjin.examples import data
from sanjin.model.policy import Policy
from sanjin.model.region import Region
from sanjin.model.scarcity import Scarcity
from sanjin.ports import Clock, Store
from sanjin.tree.exchange import Uplink
from sanjin.tree.node import Listener
from sanjin.tree.region import LiveRegion
from sanjin.tree.set_back import Restored

SEED = 2026
"""Of the example data."""


def assemble(
    region: Region,
    folder: Path,
    clock: Clock,
    version: str,
    listener: Listener | None = None,
    scarcity: Scarcity | None = None,
    policy: Policy | None = None,
    only: Collection[str] = (),
    uplink: Uplink | None = None,
    data_folder: Path | None = None,
    store: Callable[[Path], Store] = SqliteStore,
    restored: Restored | None = None,
) -> LiveRegion:
    """A region whose nodes share this machine: as many local runs at once as it has cores, over all sites.

    The engine and the object store of each site are what was set on the state folder.

    ``only`` are the nodes that run here (empty: all), ``uplink`` the line of one to a parent elsewhere. Datasets of all
    sites lie in ``data_folder`` (the state folder where it is None). ``restored`` says that the state was.
    """
    engines = kept_engines(StateFolder(folder))
    check_sites(engines, region.nodes)
    objects = store_choice(engines, only or region.nodes)
    live = LiveRegion(
        region,
        folder,
        clock,
        store=store,
        engine=engine_choice(engines, objects),
        mover=lambda name, root: SiteMover(data_folder or root, name, objects, tuple(region.nodes)),
        version=version,
        listener=listener,
        scarcity=scarcity,
        policy=policy,
        keep_prices=lambda prices: StateFolder(folder).keep_scarcity(msgspec.json.encode(prices)),
        only=only,
        uplink=uplink,
        restored=restored,
    )
    live.logs = open_logs(region, folder, {n: node.parts.store for n, node in live.nodes.items()}, clock)
    return live


def restored_state(folder: StateFolder) -> Restored | None:
    """That the state of this folder was restored, where it was not started since."""
    found = folder.restored()
    return Restored(of=found[0], moved=found[1]) if found else None


def seed_data(region: Region, folder: Path) -> None:
    """Generate the sample files of every dataset the examples know, at each node that holds it."""
    objects = store_choice(kept_engines(StateFolder(folder)), region.nodes)
    wanted = [d for d in region.datasets.values() if d.id in data.DATASETS]
    with tempfile.TemporaryDirectory() as made:
        # in a process of its own: what makes the data (DuckDB, Pillow) stays out of the nodes'
        command = [sys.executable, "-m", "sanjin.examples.data", made, str(SEED), *(d.id for d in wanted)]
        subprocess.run(command, check=True)
        for dataset in wanted:
            files: dict[str, bytes | Path] = {p.name: p for p in (Path(made) / dataset.id).iterdir()}
            for node in dataset.replicas:
                SiteMover(folder, node, objects).put(dataset.id, files)


def settle_memory() -> None:
    """Tell the garbage collector that what is there now stays, and to look seldom.

    A node keeps every live job: with Python's thresholds the collector walks all of them again and
    again while jobs come in, for a third of the time that a batch takes. Nothing here makes cycles in bulk.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
