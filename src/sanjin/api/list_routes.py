"""The route of the list of jobs: sorted, searched and counted here, however long it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Response

from sanjin.api.answers import answer
from sanjin.api.guard import Asking, Guard
from sanjin.model.access import Action
from sanjin.model.catalogue import problem
from sanjin.model.errors import ProblemsFound
from sanjin.model.job import JobOrder, JobState
from sanjin.model.listing import JobQuery
from sanjin.model.status import JobPage
from sanjin.tree import job_list
from sanjin.tree.region import LiveRegion


def list_routes(live: LiveRegion, guard: Guard) -> APIRouter:
    """The route over a live region."""
    router = APIRouter(tags=["jobs"])

    @router.get("/jobs", response_model=JobPage)
    def jobs(
        caller: Asking,
        node: Annotated[str, Query(description="submitted at this node; empty: anywhere", max_length=100)] = "",
        state: JobState | None = None,
        tenant: Annotated[str, Query(max_length=200)] = "",
        site: Annotated[str, Query(description="at this site", max_length=100)] = "",
        search: Annotated[str, Query(description="within id, name, kind, tenant or site", max_length=200)] = "",
        order: Annotated[JobOrder, Query(description="sorted by this")] = JobOrder.SUBMITTED,
        descending: Annotated[bool, Query(description="the latest, dearest, last first")] = True,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        offset: Annotated[int, Query(description="leave out so many", ge=0, le=2**40)] = 0,
        after: Annotated[str, Query(description="`next` of the page before", max_length=10_000)] = "",
        count: Annotated[bool, Query(description="say too how many match in all")] = False,
    ) -> Response:
        """Jobs that the caller may read, newest first or as asked.

        Jobs that have not started (ended) stand last by `started` (`ended`). `cost` is what was settled so far. `wait`
        is the time to the start; of a job that has none to its end, or to now.
        """
        reach = guard.reach(caller, Action.LIST_JOBS)
        if node and node not in live.nodes:
            raise ProblemsFound([problem("no_node", "node", value=node, known=", ".join(live.nodes))])
        query = JobQuery(
            state=state or "", tenant=tenant, site=site, search=search.strip(), limit=limit, order=order,
            descending=descending, offset=offset,
        )  # fmt: skip
        page = job_list.jobs(live, query, node, after, reach, count=count)
        shown = replace(page, jobs=tuple(guard.shown(caller, r) for r in page.jobs))
        return answer(shown)

    return router
