"""Forecasts of a live region: demand from the jobs in its stores, on-site generation as it is modelled."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sanjin.flow.demand_forecast import demand_of, forecast_demand
from sanjin.flow.generation_forecast import forecast_generation
from sanjin.model.catalogue import problem
from sanjin.model.errors import NotFound, ProblemsFound
from sanjin.model.forecast import Forecast, ForecastKind
from sanjin.model.record import JobRecord
from sanjin.model.units import HOUR_S
from sanjin.ports import Store
from sanjin.tree.job_list import owned
from sanjin.tree.region import LiveRegion

JOBS_MAX = 200_000
"""Jobs of a node that demand is forecast from, at most: the last."""


def forecast(live: LiveRegion, kind: ForecastKind, site: str = "", hours: int = 48) -> Forecast:
    """The ``hours`` from the present one on, of a site or (demand alone) of the nodes that run here together.

    Raises ProblemsFound for a wrong question or a history shorter than a week, NotFound where no job ever came, or
    none that is known here.
    """
    generation = kind is ForecastKind.GENERATION
    if site not in live.region.nodes and (site or generation):
        raise ProblemsFound([problem("unknown_node", "site", value=site, known=", ".join(live.region.nodes))])
    now_s = live.clock.now()
    if generation:
        node, first_s = live.region.nodes[site], now_s // HOUR_S * HOUR_S
        return forecast_generation(node, live.region.utc_offset_h, np.zeros(0), first_s, hours)
    if site and site not in live.nodes:
        raise NotFound(f"{site} is another process's node, and the jobs are there: ask there")
    stores = (node.parts.store for node in live.nodes.values())
    history, begin_s = demand_of([record for store in stores for record in _last(store)], site, now_s)
    return forecast_demand(history, begin_s, hours, site)


def _last(store: Store) -> Iterator[JobRecord]:
    for number, record in enumerate(owned(store)):
        if number == JOBS_MAX:
            return
        yield record
