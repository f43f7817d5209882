"""Histories of measured power: CSV with the columns ``time`` and ``kw``, a line an hour; others are ignored.

::

    time,kw
    2026-07-01T00:00,0
    2026-07-01T01:00,0

``time`` is the begin of the hour, ISO 8601 (local to the region where it has no offset) or whole seconds
since 1970; ``kw`` the hour's mean power, at least 0.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from sanjin.flow.forecast import Floats
from sanjin.model.catalogue import problem
from sanjin.model.errors import Problem, ProblemsFound
from sanjin.model.units import HOUR_S

COLUMNS = ("time", "kw")

MOST_SHOWN = 50
"""Faults of one file that are listed; of others the number is said."""

END_S = 4_102_444_800
"""2100: what comes later was not measured (milliseconds, perhaps)."""


def read_history(path: Path, utc_offset_h: int) -> tuple[int, Floats]:
    """(begin of the first hour in seconds UTC, kW by hour). Raises ProblemsFound with all that is wrong."""
    lines = _lines(path)
    powers: list[float] = []
    faults: list[Problem] = []
    first_s = due_s = None
    for line, time, power in lines:
        here: list[Problem] = []
        at_s = _instant(time, utc_offset_h, here)
        if at_s is not None and due_s is not None and at_s != due_s:
            here.append(problem("not_hourly", "time", value=f"{(at_s - due_s) / HOUR_S + 1:g}"))
        powers.append(_power(power, here))
        faults += [replace(p, file=str(path), line=line) for p in here]
        first_s = at_s if first_s is None else first_s
        # a line whose time cannot be read is taken to be in its place
        before_s = due_s if at_s is None else at_s
        due_s = None if before_s is None else before_s + HOUR_S
    if faults:
        raise ProblemsFound(_shown(faults))
    return first_s or 0, np.array(powers)


def _lines(path: Path) -> list[tuple[int, str, str]]:
    """(line, time, kw) of each line after the first."""
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""), restval="")
        missing = [c for c in COLUMNS if c not in (rows.fieldnames or ())]
        if not missing:
            return [(rows.line_num, row["time"], row["kw"]) for row in rows]
    except (OSError, UnicodeError, csv.Error) as fault:
        raise ProblemsFound([replace(problem("unreadable", "", value=fault), file=str(path), line=1)]) from fault
    raise ProblemsFound([replace(problem("missing_column", "", value=c), file=str(path), line=1) for c in missing])


def _instant(text: str, utc_offset_h: int, faults: list[Problem]) -> int | None:
    """Seconds UTC; None and a fault more where the text says none that begins an hour."""
    try:
        if text.isascii() and text.isdigit():
            at_s = int(text)
        else:
            found = datetime.fromisoformat(text)
            local = found.tzinfo is None
            at_s = round(found.replace(tzinfo=UTC).timestamp() - utc_offset_h * HOUR_S if local else found.timestamp())
        known = 0 <= at_s < END_S
    except (ValueError, OverflowError):
        at_s, known = 0, False
    if not known:
        faults.append(problem("bad_amount", "time", value=repr(text), example="2026-07-15T18:00"))
        return None
    if at_s % HOUR_S:
        faults.append(problem("not_on_the_hour", "time", value=text))
        return None
    return at_s


def _power(text: str, faults: list[Problem]) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        faults.append(problem("bad_amount", "kw", value=repr(text), example="12.5"))
    elif found < 0:
        faults.append(problem("too_small", "kw", value=text, least=0))
    return found


def _shown(faults: list[Problem]) -> list[Problem]:
    """The first of them, and how many more there are."""
    shown, rest = faults[:MOST_SHOWN], faults[MOST_SHOWN:]
    if not rest:
        return shown
    return [*shown, replace(problem("more_faults", "", value=len(rest)), file=rest[0].file, line=rest[0].line)]
