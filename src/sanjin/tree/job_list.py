"""Lists of jobs over the nodes of a region: newest first page by page, or sorted and searched, from anywhere in it."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

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

EVERY = 1 << 40
"""More jobs than there are."""

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
    page = _newest(parts, query, after) if not found and _newest_first(query) else _sorted(parts, query)
    return replace(page, count=_count(parts)) if count else page


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
    merged = heapq.merge(
        *(_tagged(part.mark, _pages(part, query.limit + 1, last.get(part.mark, ""))) for part in parts),
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


def _sorted(parts: list[_Part], query: JobQuery) -> JobPage:
    """A page from anywhere: sort keys of all that may come before it, bodies of the page alone."""
    until, apart = query.offset + query.limit + 1, _are_apart(parts)
    if len(parts) == 1:
        wanted = replace(parts[0].query, offset=query.offset, limit=query.limit + 1)
        some = [(0, job) for _, job in parts[0].store.sorted_jobs(wanted)]
    else:
        lists = [p.store.sorted_jobs(replace(p.query, offset=0, limit=until if apart else EVERY)) for p in parts]
        some = _merged(lists, query, apart)[query.offset : until]
    page, bodies = some[: query.limit], dict[tuple[int, str], JobRecord]()
    for number, part in enumerate(parts):
        own = [job for at, job in page if at == number]
        bodies |= {(number, job): record for job, record in part.store.find(own).items()} if own else {}
    more = f"@{query.offset + query.limit}" if len(some) > query.limit else ""
    return JobPage(jobs=tuple(bodies[each] for each in page if each in bodies), next=more)


def _merged(lists: list[list[tuple[int | str, str]]], query: JobQuery, apart: bool) -> list[tuple[int, str]]:
    """(list, job) in the order asked; each job once."""
    every = [(key, number, job) for number, keys in enumerate(lists) for key, job in keys]
    every.sort(key=lambda each: each[0], reverse=query.descending)  # type: ignore[arg-type, return-value]
    if apart:
        return [(number, job) for _, number, job in every]
    first: dict[str, int] = {}
    for _, number, job in every:
        first.setdefault(job, number)
    return [(number, job) for job, number in first.items()]


def _are_apart(parts: list[_Part]) -> bool:
    """Whether no job can be in two of these lists. What went from one site to another is known at both."""
    return sum(part.mark.endswith(":") for part in parts) < 2


def _count(parts: list[_Part]) -> int:
    if _are_apart(parts):
        return sum(part.store.count(part.query) for part in parts)
    return len({job for part in parts for _, job in part.store.sorted_jobs(replace(part.query, limit=EVERY))})
