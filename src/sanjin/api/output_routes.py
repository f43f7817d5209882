"""The routes of what jobs left: the list, and each file, whole or a part of it (RFC 9110, ranges of bytes)."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Path, Response
from fastapi.responses import StreamingResponse

from sanjin.api import problems
from sanjin.api.callers import Caller
from sanjin.api.guard import Asking, Guard
from sanjin.model.access import Action
from sanjin.model.data import JobOutputs
from sanjin.model.errors import DataDamaged, NoSuchRange
from sanjin.ports import Engine
from sanjin.tree import overview
from sanjin.tree.region import LiveRegion

PART_BYTES = 1 << 20
"""Read and sent at once."""

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": _BINARY},
    206: {"description": "the part that was asked for", "content": _BINARY},
    416: {"description": "the part begins behind the end of the file"},
}

JobId = Annotated[str, Path(description="id of a job, as submit gave it", max_length=120)]


def output_routes(live: LiveRegion, guard: Guard) -> APIRouter:
    """The routes over the outputs of a live region's jobs, for who may read their logs."""
    router = APIRouter(tags=["jobs"])

    @router.get("/jobs/{job}/outputs", response_model=JobOutputs)
    def outputs(job: JobId, caller: Asking) -> Response:
        """What a job's ended runs left in `$SANJIN_OUTPUTS`: name, bytes, SHA-256 of each file, and what is left out.

        A name stands after `<run>/` where the job was ever paused, and after `<part>/` where it is an array that was
        divided. `complete`: nothing more will come.
        """
        guard.job(caller, Action.READ_LOGS, job)
        return Response(msgspec.json.encode(overview.outputs(live, job)), media_type="application/json")

    @router.get("/jobs/{job}/outputs/{name:path}", response_class=StreamingResponse, responses=_FILE)
    async def output(
        job: JobId,
        name: Annotated[str, Path(description="name of a file, as the list has it", max_length=1000)],
        caller: Asking,
        byte_range: Annotated[str, Header(alias="Range", description="`bytes=<first>-<last>`", max_length=100)] = "",
        if_range: Annotated[str, Header(description="the `ETag` of before: else the whole", max_length=100)] = "",
    ) -> Response:
        """One file that a job left. `Repr-Digest` (RFC 9530) has its SHA-256, and so has `ETag` in hex.

        With `Range` a part of it, so that what was cut can go on; one range at a time.
        """
        await asyncio.to_thread(guard.job, caller, Action.READ_LOGS, job)
        node, run, file = await asyncio.to_thread(overview.output, live, job, name)
        engine, etag = node.parts.engine, f'"{file.sha256}"'
        headers = {
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, no-cache",
            "Content-Disposition": "attachment",
            "ETag": etag,
            "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(file.sha256)).decode()}:",
            "X-Content-Type-Options": "nosniff",
        }
        wanted = _wanted(byte_range, file.bytes) if if_range in ("", etag) else None
        first, end = wanted or (0, file.bytes)
        if wanted and first >= end:
            answer = problems.answer(NoSuchRange(f"{name} has {file.bytes} bytes"))
            answer.headers["Content-Range"] = f"bytes */{file.bytes}"
            return answer
        if await asyncio.to_thread(_size_differs, engine, run, file.name, file.bytes):
            raise DataDamaged(f"output {name} of job {job} is not what the run left: its size differs, or it is gone")
        headers["Content-Length"] = str(end - first)
        if wanted:
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{file.bytes}"
        return StreamingResponse(
            _bytes(engine, run, file.name, first, end, caller),
            status_code=206 if wanted else 200,
            headers=headers,
            media_type="application/octet-stream",
        )

    return router


def _wanted(header: str, size: int) -> tuple[int, int] | None:
    """First byte and end of the range that a header asks for; None for the whole. Empty: there is nothing of it."""
    found = _RANGE.fullmatch(header.strip())
    if found is None or found[0] == "bytes=-":
        return None  # none, several, or other units: all of it is a right answer too
    if not found[1]:
        return max(size - int(found[2]), 0), size
    first, end = int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
    return None if found[2] and int(found[2]) < first else (first, end)


def _size_differs(engine: Engine, run: str, name: str, size: int) -> bool:
    return bool(engine.output(run, name, size, 1)) or (size > 0 and not engine.output(run, name, size - 1, 1))


async def _bytes(engine: Engine, run: str, name: str, first: int, end: int, caller: Caller) -> AsyncIterator[bytes]:
    while first < end and caller.still():
        part = await asyncio.to_thread(engine.output, run, name, first, min(PART_BYTES, end - first))
        if not part:
            return  # it was cut meanwhile: the answer is shorter than it said, so the caller learns of it
        first += len(part)
        yield part
