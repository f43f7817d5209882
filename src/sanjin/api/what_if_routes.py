"""The routes of what-ifs, and of the timeline that was lived."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath
from pydantic import ConfigDict, TypeAdapter, ValidationError

from sanjin.api.answers import answer
from sanjin.api.bodies import whole_body
from sanjin.api.guard import Asking, Guard
from sanjin.api.problems import PROBLEM, from_validation
from sanjin.api.what_ifs import WhatIfs
from sanjin.model.access import Action
from sanjin.model.errors import ProblemsFound
from sanjin.model.what_if import Timeline, WhatIf, WhatIfRun
from sanjin.tree import timeline as timelines
from sanjin.tree.region import LiveRegion

BODY_MAX = 1 << 16

_ASK_FAULTS: dict[int | str, dict[str, Any]] = {
    413: {"description": "the body is too large", **PROBLEM},
    429: {"description": "too many wait already", **PROBLEM},
    507: {"description": "the folder cannot be written", **PROBLEM},
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/WhatIf"}}},
    }
}
# a configuration reaches a standard dataclass only from inside a collection
_asked = TypeAdapter(tuple[WhatIf], config=ConfigDict(extra="forbid", strict=True))

RunId = Annotated[str, InPath(alias="id", description="id of a what-if, as asking gave it", max_length=20)]


def what_if_routes(live: LiveRegion, guard: Guard, state: Path | None) -> APIRouter:
    """The routes over a live region with its state in ``state``. Making them touches nothing."""
    router, asked = APIRouter(tags=["what-if"]), WhatIfs(live, state)

    @router.post("/what-if", status_code=202, response_model=WhatIfRun, responses=_ASK_FAULTS, openapi_extra=_BODY)
    async def ask(request: Request, caller: Asking) -> Response:
        """Have the region's work that is not over replayed from now on, twice: in the world as it is, and in the
        changed one. What is left out of the body stays as it is.

        The region's own nodes go on from copies of their stores on a virtual clock: a real replay of its decisions, on
        modelled machines, with run times as jobs said. Work that would still come is not guessed. The node of a site
        that is down is silent, and what runs there is lost: it ends as interrupted, repeatable work is run again. Where
        a site generates no power, `solar` changes nothing there.

        One is replayed at a time, in a process of its own; four may wait. Stores in SQLite, all nodes in this process,
        and 20,000 jobs at most.
        """
        guard.need(caller, Action.WHAT_IF)
        change = _read(await whole_body(request, BODY_MAX))
        made = await asyncio.to_thread(asked.ask, change, caller.user.name)
        return answer(made, 202)

    @router.get("/what-if", response_model=list[WhatIfRun])
    def runs(caller: Asking) -> Response:
        """The last 20 what-ifs, newest first, without their timelines."""
        guard.need(caller, Action.WHAT_IF)
        return answer(asked.all())

    @router.get("/what-if/{id}", response_model=WhatIfRun)
    def one(run: RunId, caller: Asking) -> Response:
        """A what-if with its timelines: sums over all jobs that were not over, and of the jobs those that the caller
        may read."""
        guard.need(caller, Action.WHAT_IF)
        reach, found = guard.extent(caller, Action.LIST_JOBS), asked.one(run)
        as_is, changed = (timelines.within(t, reach) if t else None for t in (found.as_is, found.changed))
        return answer(replace(found, as_is=as_is, changed=changed))

    @router.get("/timeline", response_model=Timeline)
    def timeline(
        caller: Asking,
        from_s: Annotated[int, Query(description="seconds UTC", ge=0, le=2**53)] = 0,
        until_s: Annotated[int, Query(description="seconds UTC; 0: now", ge=0, le=2**53)] = 0,
        limit: Annotated[int, Query(ge=1, le=20_000)] = 5000,
    ) -> Response:
        """The region's jobs that the caller may read and that were there at some time between two instants, as they
        went; of the last 50,000 that were submitted."""
        reach = guard.reach(caller, Action.LIST_JOBS)
        return answer(timelines.lived(live, reach, from_s, until_s or live.clock.now(), limit))

    return router


def _read(body: bytes) -> WhatIf:
    """Raises ProblemsFound."""
    try:
        return _asked.validate_json(b"[%s]" % body)[0]
    except ValidationError as fault:
        raise ProblemsFound(from_validation(fault.errors(include_url=False, include_input=False))) from None
