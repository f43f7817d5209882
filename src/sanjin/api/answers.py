"""Answers in JSON, made by msgspec straight from the domain's dataclasses."""

from __future__ import annotations

import msgspec
from fastapi import Response

_encode = msgspec.json.Encoder().encode


def answer(value: object, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(_encode(value), status_code=status, media_type="application/json")
