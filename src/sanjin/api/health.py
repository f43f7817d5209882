"""``/v1/health`` and ``/v1/ready``: for who watches the process, and for who sends work to it. Both need no token, and
tell nothing but how it stands."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Response

from sanjin.model.errors import NotReady
from sanjin.model.status import Health, Ready
from sanjin.tree.node import Node
from sanjin.tree.region import LiveRegion

FAULT = "this node failed; its log says how"
"""What is said of a node's failure to whom its details are not for."""

STALLED_WALL_S = 15.0
"""A node that took no turn for so long does not take work; in rest it takes one a second."""

DEAD_WALL_S = 120.0
"""After so long without a turn only a new start helps."""

_encode = msgspec.json.Encoder().encode


def health_routes(live: LiveRegion) -> APIRouter:
    """The routes over a live region."""
    router = APIRouter(tags=["region"])

    @router.get("/health", response_model=Health)
    async def health() -> Response:
        """Whether the process lives: 503 where a node takes no turns any more, and it must be started again.

        A node with a fault (a full disk, say) lives: it is named in `faults`, and `ok` is false until it can write
        again. Needs no token, so it does not say what is wrong: `/v1/sites` does.
        """
        if any(_still(node) >= DEAD_WALL_S or node.ended() for node in live.nodes.values()):
            raise NotReady("a node takes no turns any more; start it again")
        faults = {name: FAULT for name, node in live.nodes.items() if node.fault or node.lines.behind}
        return Response(_encode(Health(not faults, faults)), media_type="application/json")

    @router.get("/ready", response_model=Ready)
    async def ready() -> Response:
        """Whether every node here can take work: 200, or 503 with the first reason why not.

        Its store takes writes, it takes turns, no other replica has taken its state over, and that was not set back. A
        parent that cannot be reached is told and is no reason: the node works on. Needs no token.
        """
        for node in live.nodes.values():
            if why := _why_not(node):
                raise NotReady(why)
        reachable = all(n.view.parent_reachable or not n.parent for n in live.nodes.values())
        return Response(_encode(Ready(ready=True, parent_reachable=reachable)), media_type="application/json")

    return router


def _why_not(node: Node) -> str:
    """Why a node takes no work, of a short list; empty where it does."""
    if not node.parts.store.active():
        return "another process has taken over this state"
    if node.fault:
        return "the last turn failed: the store takes no writes, or the log says what else"
    if node.lines.behind:
        return "the state was set back: see docs/howto/deploy.md"
    if node.ended() or _still(node) >= STALLED_WALL_S:
        return "it takes no turns"
    return ""


def _still(node: Node) -> float:
    """Wall seconds since the node's last turn."""
    return node.parts.clock.wall() - node.turned_at
