"""The routes of the register, the plan and the forecasts: what there is, what is to happen, what will come."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from sanjin.api.answers import answer
from sanjin.api.guard import Asking, Guard
from sanjin.model.access import Action
from sanjin.model.forecast import MOST_HOURS as FORECAST_HOURS
from sanjin.model.forecast import Forecast, ForecastKind
from sanjin.model.plan import Plan
from sanjin.model.resources import Resource
from sanjin.tree.plan import MOST_BACK_HOURS, MOST_HOURS, plan
from sanjin.tree.region import LiveRegion
from sanjin.tree.register import resources


def planning_routes(live: LiveRegion, guard: Guard) -> APIRouter:
    """The routes over a live region."""
    router = APIRouter(tags=["region"])

    @router.get("/resources", response_model=list[Resource])
    def register(caller: Asking) -> Response:
        """Everything that is registered in the region, its state, and each figure with its date, source and status."""
        guard.need(caller, Action.READ_REGION)
        return answer(resources(live))

    @router.get("/plan", response_model=Plan)
    def planned(
        caller: Asking,
        hours: Annotated[int, Query(description="hours to come", ge=1, le=MOST_HOURS)] = 24,
        back: Annotated[int, Query(description="hours that are over", ge=0, le=MOST_BACK_HOURS)] = 6,
    ) -> Response:
        """What each site is to do by the slot, against prices and power cap; windows of work that the caller may read.

        Other windows are only counted. Prices and PUE are modelled; of slots that are over it is told what is known.
        """
        guard.need(caller, Action.READ_SITES)
        return answer(plan(live, hours, back, guard.extent(caller, Action.LIST_JOBS)))

    @router.get("/forecast", response_model=Forecast)
    def forecasts(
        caller: Asking,
        kind: ForecastKind,
        site: Annotated[str, Query(description="of generation: required; of demand empty: all", max_length=100)] = "",
        hours: Annotated[int, Query(description="hours ahead", ge=1, le=FORECAST_HOURS)] = 48,
    ) -> Response:
        """Demand from the work that came, or a site's own generation as it is modelled, by the hour, with the error of
        a back-test and the last week of history."""
        from sanjin.tree.forecasts import forecast

        guard.need(caller, Action.READ_SITES)
        return answer(forecast(live, kind, site, hours))

    return router
