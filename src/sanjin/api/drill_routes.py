"""Drills: the line between a node and its parent is cut on purpose, and joined again. Nothing is lost meanwhile."""

from __future__ import annotations

import threading
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from sanjin.api.answers import answer
from sanjin.api.guard import Asking, Guard
from sanjin.api.rights import About
from sanjin.model.access import Action
from sanjin.model.catalogue import problem
from sanjin.model.errors import ProblemsFound
from sanjin.model.status import Drill
from sanjin.tree.region import LiveRegion

LONGEST_WALL_S = 86_400

SiteName = Annotated[str, Path(description="id of a node with a parent, both run by this process", max_length=100)]
Seconds = Annotated[int, Query(ge=1, le=LONGEST_WALL_S, description="wall seconds until the line is joined by itself")]


class Drills:
    """The lines that are cut now. Each is joined by itself after a while, and all are when the process ends."""

    def __init__(self, live: LiveRegion) -> None:
        self._live = live
        self._timers: dict[str, threading.Timer] = {}

    def cut(self, site: str, for_s: int) -> None:
        """Cut the line between a node and its parent. Raises ProblemsFound where this process does not run both."""
        self._check(site)
        self.heal(site)
        self._live.board.cut(site)
        timer = self._timers[site] = threading.Timer(for_s, self.heal, (site,))
        timer.daemon = True
        timer.start()

    def heal(self, site: str) -> None:
        """Join it again. Raises as :meth:`cut` does."""
        self._check(site)
        if timer := self._timers.pop(site, None):
            timer.cancel()
        self._live.board.heal(site)

    def _check(self, site: str) -> None:
        nodes = self._live.nodes
        known = [n for n in nodes if self._live.region.nodes[n].parent in nodes]
        if site not in known:
            raise ProblemsFound([problem("no_line", "site", value=site, known=", ".join(known) or "-")])


def drill_routes(live: LiveRegion, guard: Guard) -> APIRouter:
    """Routes of drills over a live region."""
    router, drills = APIRouter(tags=["region"]), Drills(live)

    @router.post("/drills/{site}/cut", response_model=Drill)
    async def cut(site: SiteName, caller: Asking, for_s: Seconds = 600) -> Response:
        """Cut the line between a node and its parent, as if a digger had; both run in this process."""
        guard.need(caller, Action.DRILL, About(site=site), site)
        drills.cut(site, for_s)
        return answer(Drill(site=site, cut=True, for_s=for_s))

    @router.post("/drills/{site}/heal", response_model=Drill)
    async def heal(site: SiteName, caller: Asking) -> Response:
        """Join the line again."""
        guard.need(caller, Action.DRILL, About(site=site), site)
        drills.heal(site)
        return answer(Drill(site=site, cut=False, for_s=0))

    return router
