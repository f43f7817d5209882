"""Lists of jobs: which are wanted, in which order, and what is searched for text."""

from __future__ import annotations

from dataclasses import dataclass

from sanjin.model.job import JobOrder
from sanjin.model.record import JobRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """Which jobs to list; empty fields do not restrict. Newest first.

    A store's :meth:`~sanjin.ports.Store.jobs` heeds neither ``order``, ``descending`` nor ``offset``, its
    :meth:`~sanjin.ports.Store.keys` neither ``limit``, ``offset`` nor ``before``.
    """

    state: str = ""
    tenant: str = ""
    other_than: str = ""
    """Not of this tenant."""
    owned: bool = False
    node: str = ""
    """Submitted at this node, by the job's id."""
    site: str = ""
    """At this site, as this node knows it."""
    search: str = ""
    """Text that stands in the id, name, kind, tenant or site, whatever the case; at most 200 characters."""
    ended_from_s: int = 0
    """Ended then or later, seconds UTC (0: whether ended or not)."""
    limit: int = 100
    before: str = ""
    """Only jobs that came before this one (empty: from the newest)."""
    order: JobOrder = JobOrder.SUBMITTED
    descending: bool = True
    offset: int = 0
    now_s: int = 0
    """Until when a job that has neither started nor ended has waited, seconds UTC."""

    @property
    def missing(self) -> int:
        """The key of jobs that have none: they stand last."""
        return -1 if self.descending else 1 << 62


def key_of(record: JobRecord, query: JobQuery) -> int | str:
    """What a job is sorted by."""
    match query.order:
        case JobOrder.SUBMITTED:
            return record.submitted_s
        case JobOrder.STARTED:
            return record.start_s or query.missing
        case JobOrder.ENDED:
            return record.end_s or query.missing
        case JobOrder.COST:
            return record.fen
        case JobOrder.WAIT:
            return (record.start_s or record.end_s or query.now_s) - record.submitted_s
        case JobOrder.NAME:
            return sort_name(record)


def sort_name(record: JobRecord) -> str:
    """The name as it is sorted: in one case, on one line."""
    return folded(record.spec.name).replace("\n", " ")


def words_of(record: JobRecord) -> str:
    """What is searched for text, in one case."""
    spec = record.spec
    return folded("\n".join((record.id, spec.name, spec.kind, spec.tenant, record.site)))


def folded(text: str) -> str:
    """A text in one case, without the one character that PostgreSQL does not store."""
    return text.casefold().replace("\0", "")
