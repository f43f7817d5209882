"""Errors as HTTP answers: problem details (RFC 9457) with every problem at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
from fastapi import Request, Response
from pydantic_core import ErrorDetails

from sanjin.model.catalogue import problem
from sanjin.model.errors import Problem, ProblemsFound, SanjinError
from sanjin.model.status import ProblemDetails

MEDIA_TYPE = "application/problem+json"

PROBLEM: dict[str, Any] = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}}
"""An error answer in the description of a route; as a model, FastAPI would make it anew for every route and status."""

_CODES = {"missing": "missing_field", "missing_argument": "missing_field"}
_CODES.update(dict.fromkeys(("unexpected_keyword_argument", "extra_forbidden"), "unknown_field"))


def schemas() -> dict[str, Any]:
    """JSON schemas of :data:`PROBLEM` and its parts, by name."""
    return msgspec.json.schema_components([ProblemDetails], ref_template="#/components/schemas/{name}")[1]


def details(fault: SanjinError) -> ProblemDetails:
    """The problem details of an error."""
    errors = fault.problems if isinstance(fault, ProblemsFound) else ()
    title = (type(fault).__doc__ or fault.code).split(".")[0].split(";")[0].strip()
    return ProblemDetails(
        type=f"urn:sanjin:problem:{fault.code}",
        title=title,
        status=fault.status,
        detail=str(fault),
        code=fault.code,
        errors=errors,
    )


def answer(fault: SanjinError) -> Response:
    """The HTTP answer of an error."""
    body = msgspec.json.encode(details(fault))
    headers = {"WWW-Authenticate": "Bearer"} if fault.status == 401 else {}
    return Response(body, status_code=fault.status, media_type=MEDIA_TYPE, headers=headers)


async def handle(_: Request, fault: Exception) -> Response:
    """FastAPI's handler for our errors; anything else is our fault and says so without details."""
    if isinstance(fault, SanjinError):
        return answer(fault)
    return answer(SanjinError("an error of ours; the node's log has it"))


def from_validation(errors: Sequence[ErrorDetails], line: int = 0) -> list[Problem]:
    """Pydantic's findings as problems, without the first part of each path (``query``, or a number).

    ``line`` is the line of an NDJSON body (0: not known).
    """
    found: list[Problem] = []
    for each in errors:
        path = ""
        for part in each["loc"][1:]:
            path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
        code = "not_json" if each["type"] == "json_invalid" else _CODES.get(each["type"], "wrong_value")
        made = problem(code, path, value=each["msg"])
        found.append(replace(made, line=line))
    return found
