"""Units and slots: how Sanjin counts time, energy and bytes.

Time is integer seconds UTC since 1970. A *slot* is 15 minutes, aligned to the epoch; a horizon is
a run of slots. Energy is integer milliwatt-hours in meter records, so that sums are exact.
"""

from __future__ import annotations

SLOT_S = 900
"""Length of a slot in seconds (15 min, the settlement period of Chinese power markets)."""

HORIZON_SLOTS = 672
"""Slots that a placement looks ahead: one week."""

HOUR_S = 3600
DAY_S = 86_400
KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
GB = 1_000_000_000
"""Decimal gigabyte, the unit in which networks charge."""


def slot_of(at_s: int) -> int:
    """Number of the slot that holds the instant ``at_s``, counted from the epoch."""
    return at_s // SLOT_S


def mwh_from_joule(energy_j: float) -> int:
    """Milliwatt-hours (1/1000 Wh) of ``energy_j`` joules, rounded half to even."""
    return round(energy_j / 3.6)
