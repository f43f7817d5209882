"""Whether somebody wants traces: the standard's environment, and the header that a client's span comes in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")


class Parent(NamedTuple):
    """A client's span."""

    trace_id: int
    span_id: int


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment names a collector (OTEL_EXPORTER_OTLP_ENDPOINT, or _TRACES_ENDPOINT) and nothing turns
    traces off."""
    named = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return bool(named) and not off and environment.get("OTEL_TRACES_EXPORTER", "otlp") != "none"


def read_parent(header: str) -> Parent | None:
    """The span of a ``traceparent`` header (W3C Trace Context, section 3.2); None where it is none."""
    found = _PARENT.fullmatch(header.strip())
    if found is None or found[1] == "ff" or (found[1] == "00" and found[4]):
        return None
    parent = Parent(int(found[2], 16), int(found[3], 16))
    return parent if all(parent) else None
