"""What the clusters of sites say of themselves, for ``sanjin doctor`` and ``sanjin sites``."""

from __future__ import annotations

from collections.abc import Sequence

from sanjin.adapters.clock import RealClock
from sanjin.adapters.engines.cluster import ClusterAway, ClusterRefused, Shape
from sanjin.cli.engine_choice import cluster_of
from sanjin.cli.output import at, note, table, text
from sanjin.model.engines import EngineSettings
from sanjin.model.errors import SanjinError
from sanjin.model.status import ClusterStatus, SiteStatus

GIB = 1 << 30


def asked(site: str, settings: EngineSettings) -> tuple[str, str]:
    """What a site's cluster says when it is asked from here now; and what is wrong, if anything is."""
    try:
        cluster = cluster_of(settings)
        machine = cluster.largest()
        said = text(
            "doctor.cluster_has", site=site, engine=cluster.name, cores=machine.cores, gib=machine.memory_mib >> 10,
            cards=machine.cards,
        )  # fmt: skip
        if settings.rest:
            from sanjin.adapters.engines.slurm_rest import SlurmRestCluster

            if isinstance(cluster, SlurmRestCluster):
                rest = text("doctor.cluster_rest", version=cluster.version(), rest=settings.rest)
                said = "; ".join([said, rest])
        if cluster.accounts is not None:
            said = "; ".join([said, text(f"doctor.accounts_{'kept' if cluster.accounts.kept() else 'none'}")])
        if settings.shared_s:
            from sanjin.tree.others import cluster_status  # with it come the kernels

            use = cluster.use(lambda batch: False, Shape(0, 0, 0, 0))
            said = "; ".join([said, *_parts(cluster_status(use, RealClock()))])
    except (ClusterAway, ClusterRefused, SanjinError) as fault:
        return site, str(fault)
    return said, ""


def _parts(status: ClusterStatus) -> list[str]:
    return [
        text("doctor.cluster_part", what=text(f"cluster.{p.what}"), count=p.count, cores=p.cores)
        for p in status.parts
        if p.count
    ]


def print_clusters(sites: Sequence[SiteStatus], utc_offset_h: int) -> None:
    """A table of the clusters that sites share with others, and of what others have of them."""
    rows = [
        [s.site, text(f"cluster.{p.what}"), p.count or "", p.cores, p.memory_bytes // GIB, p.accelerators,
         at(p.until_s, utc_offset_h)]
        for s in sites if s.cluster
        for p in s.cluster.parts
    ]  # fmt: skip
    heads = ("site", "what", "count", "cores", "memory_gib", "cards", "until")
    table([f"head.{h}" for h in heads], rows, left=(0, 1, 6))
    note(text("cli.clusters_shared"))
