"""Lists of jobs over the nodes of a region: newest first page by page, or sorted and searched, from anywhere in it."""

from __future__ import annotations

import heapq
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sanjin.model.access import EVERYTHING, Reach
from sanjin.model.catalogue import problem
from sanjin.model.errors import ProblemsFound
from sanjin.model.job import JobOrder
from sanjin.model.listing import JobQuery
from sanjin.model.record import JobRecord
from sanjin.model.status import JobPage
from sanjin.ports import Store

if TYPE_CHECKING:  # as in overview
    from sanjin.tree.region import LiveRegion

LEAST_READ = 20
"""Jobs that are read of a store at once, at least."""

RECORDS_A_READ = 5000

_OFFSET = re.compile(r"@(\d{1,12})")


@dataclass(frozen=True, slots=True)
class _Part:
    """The list of one store, of those that are merged. ``mark`` names it in a page's ``next``: a node, or ``site:``."""

    mark: str
    store: Store
    query: JobQuery


def jobs(
    live: LiveRegion,
    query: JobQuery,
    node: str = "",
    after: str = "",
    reach: Reach = EVERYTHING,
    *,
    count: bool = False,
) -> JobPage:
    """Jobs within ``reach`` that were submitted at ``node`` (empty: anywhere), in the order asked.

    ``after`` is a page's ``next``. Newest first that names for each list that was merged the last job taken of it: of
    each node's own jobs (``datong-7``), and for who sees only some sites of what each of them runs
    (``datong:taiyuan-3``). In another order, or after an offset, it is the next offset (``@200``). ``count``: say too
    how many there are in all. Raises ProblemsFound where ``after`` is of another order.
    """
    parts = list(_parts(live, query, node, reach))
    found = _OFFSET.fullmatch(after)
    if found:
        query = replace(query, offset=int(found[1]))
    elif after and not _newest_first(query):
        raise ProblemsFound([problem("other_order", "after", value=after)])
    if found or not _newest_first(query):
        return _sorted(parts, query, count)
    page = _newest(parts, query, after)
    return replace(page, count=_count(parts)) if count else page


def owned(store: Store) -> Iterator[JobRecord]:
    """Every job that was ever submitted at a node, the newest first."""
    before = ""
    while page := store.jobs(JobQuery(owned=True, limit=RECORDS_A_READ, before=before)):
        yield from page
        before = page[-1].id


def _newest_first(query: JobQuery) -> bool:
    return query.order is JobOrder.SUBMITTED and query.descending and not query.offset


def _parts(live: LiveRegion, query: JobQuery, node: str, reach: Reach) -> Iterator[_Part]:
    """What is merged: each restricted to what is within ``reach``, so that nothing else is found, sorted or counted."""
    query = replace(query, now_s=live.clock.now())
    tenant = query.tenant if reach.everything else reach.tenant
    if (reach.everything or reach.tenant) and query.tenant in ("", tenant):
        for name in [node] if node else list(live.nodes):
            yield _Part(name, live.nodes[name].parts.store, replace(query, owned=True, tenant=tenant))
    for site in sorted(reach.sites & live.nodes.keys()):
        if query.site in ("", site):
            wanted = replace(query, site=site, node=node, other_than=reach.tenant)
            yield _Part(f"{site}:", live.nodes[site].parts.store, wanted)


def _newest(parts: list[_Part], query: JobQuery, after: str) -> JobPage:
    last = dict(_mark(each) for each in after.split(",") if each)
    read = max(-(-2 * query.limit // max(len(parts), 1)), LEAST_READ) if len(parts) > 1 else query.limit + 1
    merged = heapq.merge(
        *(_tagged(part.mark, _pages(part, read, last.get(part.mark, ""))) for part in parts),
        key=lambda m: -m[1].submitted_s,
    )
    found = list(islice(merged, query.limit + 1))  # one more says whether to go on
    for mark, record in found[: query.limit]:
        last[mark] = record.id
    more = ",".join(f"{mark}{job}" if mark.endswith(":") else job for mark, job in last.items())
    return JobPage(jobs=tuple(r for _, r in found[: query.limit]), next=more if len(found) > query.limit else "")


def _mark(text: str) -> tuple[str, str]:
    """(list, last job taken of it) of a part of ``next``."""
    site, colon, job = text.rpartition(":")
    return (site + colon, job) if colon else (job.rpartition("-")[0], job)


def _tagged(mark: str, records: Iterator[JobRecord]) -> Iterator[tuple[str, JobRecord]]:
    return ((mark, record) for record in records)


def _pages(part: _Part, limit: int, before: str) -> Iterator[JobRecord]:
    """All jobs of a store that match, read as they are wanted; ``before`` names one that must match too."""
    query = replace(part.query, limit=limit)
    if before:
        last = part.store.job(before)
        if last is None or not _is_of(last, query):
            return  # to whom the job is nothing, it is no place to go on from either
    while found := part.store.jobs(replace(query, before=before)):
        yield from found
        before = found[-1].id
        if len(found) < limit:
            return


def _is_of(record: JobRecord, query: JobQuery) -> bool:
    tenant = record.spec.tenant
    return query.tenant in ("", tenant) and (not query.other_than or tenant != query.other_than)


def _sorted(parts: list[_Part], query: JobQuery, count: bool) -> JobPage:
    """A page from anywhere: sort keys of all that match, and bodies of the page alone."""
    every, until = _Ordered(parts, query.descending), query.offset + query.limit
    page, bodies = every.page(query.offset, until), dict[tuple[int, str], JobRecord]()
    for number, part in enumerate(parts):
        own = [job for at, job in page if at == number]
        bodies |= {(number, job): record for job, record in part.store.find(own).items()} if own else {}
    return JobPage(
        jobs=tuple(bodies[each] for each in page if each in bodies),
        next=f"@{until}" if every.count > until else "",
        count=every.count if count else -1,
    )


class _Ordered:
    """All that match, in the order asked, each job once; of equals the one that came first, or the other way round."""

    def __init__(self, parts: list[_Part], descending: bool) -> None:
        lists = [part.store.keys(part.query) for part in parts]
        self._jobs = [ids for _, ids in lists]
        self._firsts = list(accumulate((len(ids) for ids in self._jobs), initial=0))
        self._places = _sort([key for keys, _ in lists for key in keys])
        if descending:
            self._places = self._places[::-1]
        if not _are_apart(parts):
            first: dict[str, int] = {}
            for place in self._places.tolist():
                first.setdefault(self._at(place)[1], place)
            self._places = np.array(list(first.values()), np.int64)
        self.count = len(self._places)

    def page(self, begin: int, end: int) -> list[tuple[int, str]]:
        """(list, job) from one place to another."""
        return [self._at(place) for place in self._places[begin:end].tolist()]

    def _at(self, place: int) -> tuple[int, str]:
        number = bisect_right(self._firsts, place) - 1
        return number, self._jobs[number][place - self._firsts[number]]


def _sort(keys: list[Any]) -> NDArray[np.int64]:
    """The places of keys in their order; equal ones stay in theirs."""
    if keys and isinstance(keys[0], str):
        return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)
    return np.argsort(np.array(keys, np.int64), kind="stable")


def _are_apart(parts: list[_Part]) -> bool:
    """Whether no job can be in two of these lists. What went from one site to another is known at both."""
    return sum(part.mark.endswith(":") for part in parts) < 2


def _count(parts: list[_Part]) -> int:
    if _are_apart(parts):
        return sum(part.store.count(part.query) for part in parts)
    return len({job for part in parts for job in part.store.keys(part.query)[1]})
