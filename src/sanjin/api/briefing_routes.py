"""The route of the morning report."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from sanjin.api.answers import answer
from sanjin.api.guard import Asking, Guard
from sanjin.model.access import Action
from sanjin.model.briefing import Briefing
from sanjin.report.briefing import briefing
from sanjin.tree.region import LiveRegion


def briefing_routes(live: LiveRegion, guard: Guard) -> APIRouter:
    """The route over a live region, for who may read every journal."""
    router = APIRouter(tags=["region"])

    @router.get("/briefing", response_model=Briefing)
    def report(
        caller: Asking,
        hours: Annotated[float, Query(description="region hours reported", gt=0, le=744)] = 24,
        ahead: Annotated[float, Query(description="region hours planned", ge=1, le=168)] = 24,
    ) -> Response:
        """The morning report: what the last hours brought against at once in its own city, what the next ones are to
        bring, what waits and why, what is wrong. For who may read every journal.

        CPU, memory and run times are measured; energy, carbon and money are modelled from them; what is planned and
        what would have been at home is estimated. It verifies all journals, which takes a while where they are long.
        """
        guard.need(caller, Action.READ_JOURNAL)
        return answer(briefing(live, hours, ahead))

    return router
