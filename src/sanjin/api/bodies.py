"""Reading submissions from a request: one JSON object, or NDJSON with one submission a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec
from fastapi import Request
from pydantic import ConfigDict, TypeAdapter, ValidationError

from sanjin.api.problems import from_validation
from sanjin.model.catalogue import problem
from sanjin.model.errors import Problem, ProblemsFound, TooLarge
from sanjin.model.job import Submission

JOBS_MAX = 1000
"""Submissions that one call may carry."""

BODY_MAX = 16 << 20
"""Bytes that one call may carry."""

Check = Callable[[Sequence[Submission]], list[Problem]]

NDJSON = "application/x-ndjson"

_config = ConfigDict(extra="forbid", strict=True)
# a configuration reaches a standard dataclass only from inside a collection
_one = TypeAdapter(tuple[Submission], config=_config)
_many = TypeAdapter(list[Submission], config=_config)
SCHEMAS: dict[str, object] = _many.json_schema(ref_template="#/components/schemas/{model}")["$defs"]
"""JSON schemas of a submission and its parts, by name."""


@dataclass(frozen=True, slots=True)
class _Payer:
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class _Sent:
    spec: _Payer


_sent = msgspec.json.Decoder(_Sent)


async def read_submissions(request: Request, check: Check, tenant: str = "") -> list[Submission]:
    """The submissions in a request's body. Raises ProblemsFound with all faults, or TooLarge.

    What says no tenant is for ``tenant`` (empty: for the usual one). Where a line cannot be read, the other lines are
    checked too, so that all faults are said at once.
    """
    body = await whole_body(request)
    if not is_lines(request):
        return [_paid([_parse_one(body, 0)], [body], tenant)[0]]
    lines = [line for line in body.split(b"\n") if line.strip()]
    if not lines:
        raise ProblemsFound([problem("empty_batch", "")])
    if len(lines) > JOBS_MAX:
        raise ProblemsFound([problem("batch_size", "", value=len(lines), most=JOBS_MAX)])
    try:
        found = _many.validate_json(b"[%s]" % b",".join(lines))
    except ValidationError:
        found = []
    if len(found) != len(lines):  # some line is wrong, or one line holds two: say which
        raise ProblemsFound(_by_line(lines, check, tenant))
    return _paid(found, lines, tenant)


def is_lines(request: Request) -> bool:
    """Whether a request sends one submission a line."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == NDJSON


def _paid(found: list[Submission], texts: Sequence[bytes], tenant: str) -> list[Submission]:
    """The submissions, each for somebody: those whose JSON names no tenant for ``tenant``."""
    if not tenant:
        return found
    return [
        replace(s, spec=replace(s.spec, tenant=tenant)) if _sent.decode(text).spec.tenant is None else s
        for s, text in zip(found, texts, strict=True)
    ]


async def whole_body(request: Request, most: int = BODY_MAX) -> bytes:
    """The whole body. Raises TooLarge where that is more than ``most`` bytes."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise TooLarge(f"this request may carry at most {most >> 10} KiB; send less, or several batches")
        parts.append(part)
    return b"".join(parts)


def _by_line(lines: list[bytes], check: Check, tenant: str) -> list[Problem]:
    found: list[Problem] = []
    for number, line in enumerate(lines, 1):
        try:
            found.extend(replace(p, line=number) for p in check(_paid([_parse_one(line, number)], [line], tenant)))
        except ProblemsFound as fault:
            found.extend(fault.problems)
    return found


def _parse_one(text: bytes, line: int) -> Submission:
    try:
        return _one.validate_json(b"[%s]" % text)[0]
    except ValidationError as fault:
        found = from_validation(fault.errors(include_url=False, include_input=False), line)
        raise ProblemsFound(found) from None
