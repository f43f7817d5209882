"""Amounts as people type them: ``512MiB``, ``15m``, ``+6h``, ``2026-07-15T18:00``."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from sanjin.model.catalogue import problem
from sanjin.model.errors import ProblemsFound
from sanjin.model.units import DAY_S, HOUR_S

_BYTES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BYTES.update({"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40})
_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": HOUR_S, "d": DAY_S}
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)")


def _amount(text: str, units: dict[str, int], option: str, example: str) -> int:
    found = _AMOUNT.fullmatch(text.strip())
    if found is None or found[2] not in units:
        raise ProblemsFound([problem("bad_amount", option, value=text, example=example)])
    return round(float(found[1]) * units[found[2]])


def to_bytes(text: str, option: str) -> int:
    """Bytes of ``512MiB``, ``2GB``. Raises ProblemsFound."""
    return _amount(text.strip().upper(), _BYTES, option, "512MiB")


def to_seconds(text: str, option: str) -> int:
    """Seconds of ``90``, ``15m``, ``2h``. Raises ProblemsFound."""
    return _amount(text, _SECONDS, option, "15m")


def to_instant(text: str, now_s: int, utc_offset_h: int, option: str) -> int:
    """Seconds UTC of ``+6h`` (from now) or of an ISO time, local to the region where it has no offset."""
    if text.startswith("+"):
        return now_s + to_seconds(text[1:], option)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ProblemsFound([problem("bad_amount", option, value=text, example="2026-07-15T18:00, +6h")]) from None
    if found.tzinfo is None:
        return int(found.replace(tzinfo=UTC).timestamp()) - utc_offset_h * HOUR_S
    return int(found.timestamp())
