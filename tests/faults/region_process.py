"""A region in a process of its own, to be killed: submits jobs, prints each acknowledged id.

usage: region_process.py FOLDER ROUND COUNT. Prints ``ack ID`` and, once nothing is live, ``idle``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from sanjin.adapters.clock import RealClock
from sanjin.adapters.engines.local import LocalEngine
from sanjin.adapters.movers.site import SiteMover
from sanjin.adapters.store.sqlite import SqliteStore
from sanjin.model.job import JobSpec, Submission
from sanjin.regions.load import bundled, load_region
from sanjin.tree.region import LiveRegion


def main() -> None:
    folder, turn, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    live = LiveRegion(
        load_region(bundled("shanxi")),
        folder,
        RealClock(),
        store=SqliteStore,
        engine=lambda _, own: LocalEngine(own, sandbox="none"),
        mover=lambda name, root: SiteMover(root, name),
        version="kill",
    )
    live.start()
    nodes = ["taiyuan", "datong", "linfen", "changzhi"]
    for i in range(count):
        node = nodes[i % len(nodes)]
        spec = JobSpec(
            name="kill",
            command=("/bin/sh", "-c", "echo once >> $SANJIN_OUTPUTS/mark; sleep 0.05"),
            duration_s=1,
            time_limit_s=600,
            delay_price_fen_per_hour=10**6,
        )
        record = live.nodes[node].submit([Submission(key=f"{turn}-{i}", spec=spec)]).result(60)[0]
        print("ack", record.id, flush=True)
    while any(n.view.jobs for n in live.nodes.values()):
        time.sleep(0.05)
    print("idle", flush=True)
    time.sleep(600)


main()
