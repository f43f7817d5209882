"""Stage: bring a placed job's inputs to this site, each dataset once, over the link model.

The copy is real and checksummed. How long it takes and what it costs follows from the dataset's
declared size, what the links of its path have left in each slot, and their price: links are modelled.
"""

from __future__ import annotations

from sanjin.flow.place import bytes_of, needed, source_of
from sanjin.flow.view import View
from sanjin.model import event as ev
from sanjin.model.data import Artifact
from sanjin.model.job import JobState
from sanjin.model.record import JobRecord
from sanjin.model.units import SLOT_S
from sanjin.ports import Transfer

RETRY_WALL_S, RETRY_MOST_WALL_S = 2.0, 60.0
"""Wall seconds until an input that could not be had is tried again: at first, and at most, doubled each time."""


def stage(view: View, record: JobRecord, now_s: int) -> list[ev.TransferStarted]:
    """Transfers to start now for a job placed here; books their bytes on the links.

    The first job to need a dataset pays its way.
    """
    orders: list[ev.TransferStarted] = []
    done_s, free = now_s, None
    for dataset, artifact in _wanted(record):
        if dataset in view.here or dataset in view.moving:
            continue
        source = source_of(view, dataset, artifact, view.node)
        a, b = view.supply.site_index[source or view.node], view.supply.site_index[view.node]
        size = bytes_of(view.region, dataset, artifact)
        # transfers of one job follow each other, as placement reckoned
        free = view.links.free() if free is None else free
        way = view.links.plan(free, a, b, size, done_s) if a != b else None
        if way is not None:
            view.links.book(way)
            free, done_s = None, way.done_s
        elif a != b:  # what placement saw is gone: nothing is left on the links for the whole horizon
            done_s = (view.supply.first_slot + view.supply.slots) * SLOT_S
        orders.append(
            ev.TransferStarted(
                job=record.id,
                dataset=dataset,
                source=source or view.node,
                declared_bytes=size if source != view.node else 0,
                done_at_s=done_s,
                micro=view.network.transfer_micro(a, b, size),
            )
        )
    return orders


def restage(view: View, now_s: int) -> list[Transfer]:
    """Transfers to ask for again, of inputs that were on their way when the node stopped; books and notes them."""
    wanted: dict[str, Artifact | None] = {}
    for record in view.jobs.values():
        if record.state is JobState.STAGING and not record.sent_to:
            wanted.update((d, a) for d, a in _wanted(record) if d not in view.here)
    transfers: list[Transfer] = []
    for dataset, artifact in wanted.items():
        source = source_of(view, dataset, artifact, view.node)
        size = bytes_of(view.region, dataset, artifact)
        a, b = (view.supply.site_index[n] for n in (source or view.node, view.node))
        way = view.links.plan(view.links.free(), a, b, size, now_s)
        if way is not None:
            view.links.book(way)
        transfers.append(
            Transfer(dataset=dataset, source=source or view.node, done_at_s=way.done_s if way else now_s)
        )
    for t in transfers:
        view.moving[t.dataset] = t.done_at_s
    return transfers


def again(view: View, dataset: str, tries: int, now_s: int, rate: float) -> Transfer:
    """The transfer once more, of an input that could not be had now after so many ``tries``; notes when.

    What it takes of the links was booked, and what it costs was noted, when it was first asked for.
    """
    wait_wall_s = min(RETRY_WALL_S * 2 ** min(tries - 1, 10), RETRY_MOST_WALL_S)
    view.moving[dataset] = at_s = now_s + max(round(wait_wall_s * rate), 1)
    artifact = next((a for r in waiting_for(view, dataset) for d, a in _wanted(r) if d == dataset), None)
    return Transfer(
        dataset=dataset, source=source_of(view, dataset, artifact, view.node) or view.node, done_at_s=at_s
    )


def _wanted(record: JobRecord) -> list[tuple[str, Artifact | None]]:
    """All that a job needs."""
    return needed(record.spec.inputs, record.moving())


def inputs_here(view: View, record: JobRecord) -> bool:
    """Whether all that a job needs is in this site's store."""
    return all(d in view.here for d in record.datasets())


def waiting_for(view: View, dataset: str) -> list[JobRecord]:
    """Jobs of this site that need the dataset and have not started."""
    return [
        r
        for r in view.jobs.values()
        if not r.sent_to and r.state in (JobState.PLACED, JobState.STAGING) and dataset in r.datasets()
    ]
