"""The HTTP API of a region: REST, problem details, one stream of events. Loopback and tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from sanjin.adapters.decision_log import DecisionLog
from sanjin.adapters.users import UserFile
from sanjin.api import problems
from sanjin.api.access import Access
from sanjin.api.bodies import SCHEMAS
from sanjin.api.callers import Callers
from sanjin.api.guard import Guard
from sanjin.api.rights import Rights
from sanjin.api.routes import routes
from sanjin.api.stream import EventHub
from sanjin.model.errors import NotFound, ProblemsFound, SanjinError
from sanjin.model.status import RegionStatus
from sanjin.tree.region import LiveRegion


class _NoMethod(SanjinError):
    """The path knows no such method."""

    status = 405
    code = "no_method"


def make_app(
    live: LiveRegion,
    hub: EventHub,
    token: str,
    version: str,
    children: APIRouter | None = None,
    state: Path | None = None,
    public: bool = False,
) -> Access:
    """The ASGI application over a live region, for this machine; ``children`` are the routes that other nodes call,
    of the same application :meth:`~sanjin.api.access.Access.over_tls`.

    ``token`` is the operator's; ``state`` the folder that has the file of the other users and takes the log of
    decisions (None: there are no other users, and decisions are not kept). ``public``: who has no token sees the region
    and its sites, read only.
    """
    decisions = DecisionLog(state)
    guard = Guard(live, Rights(decisions))
    region, clock = live.region, live.clock
    about = RegionStatus(
        region=region.id,
        name_en=region.name_en,
        name_zh=region.name_zh,
        version=version,
        utc_offset_h=region.utc_offset_h,
        now_s=clock.now(),
        rate=clock.rate,
        nodes=tuple(live.nodes),
        policy=live.policy,
        up_since_s=clock.now(),
    )
    app = _app(version, routes(live, hub, about, guard, state))
    if children:
        app.include_router(children)
    app.add_exception_handler(SanjinError, problems.handle)
    app.add_exception_handler(Exception, problems.handle)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    callers = Callers(token, UserFile(state) if state else None, decisions, public)
    return Access(app, callers)


def describe(version: str) -> dict[str, Any]:
    """The OpenAPI description, without a region."""
    nothing = cast(Any, None)
    return _app(version, routes(nothing, nothing, nothing, nothing)).openapi()


def _app(version: str, router: APIRouter) -> FastAPI:
    # no documentation pages: they would load scripts from outside addresses
    app = FastAPI(title="Sanjin", version=version, docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    app.include_router(router)
    _complete(app)
    return app


async def _invalid(_: Request, fault: Exception) -> Response:
    if not isinstance(fault, RequestValidationError):
        raise fault
    return problems.answer(ProblemsFound(problems.from_validation(list(fault.errors()))))


async def _http(request: Request, fault: Exception) -> Response:
    if isinstance(fault, HTTPException) and fault.status_code == 405:
        response = problems.answer(_NoMethod(f"{request.url.path} does not take {request.method}"))
        response.headers.update(fault.headers or {})
        return response
    return problems.answer(NotFound(f"there is no {request.url.path}; see /openapi.json"))


def _complete(app: FastAPI) -> None:
    """Add to the generated description what FastAPI cannot see: bodies that we parse, the token."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = generate()
            parts = found.setdefault("components", {})
            parts["schemas"] = problems.schemas() | parts.get("schemas", {}) | SCHEMAS
            parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            found["security"] = [{"token": []}]
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = openapi
