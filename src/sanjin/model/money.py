"""Money, in three integer scales that are stated here and nowhere else.

======== ============== ===================================================
scale    one unit is    used for
======== ============== ===================================================
fen      0.01 yuan      ledgers, budgets, bills
micro    1e-6 yuan      the terms and the total of a placement
pico     1e-12 yuan     price tables per watt-second (a tariff of 0.50
                        yuan/kWh is 138,889 pico per watt-second)
======== ============== ===================================================

Integers make a replay bit-identical on every machine.
"""

from __future__ import annotations

FEN_PER_YUAN = 100
MICRO_PER_YUAN = 1_000_000
MICRO_PER_FEN = MICRO_PER_YUAN // FEN_PER_YUAN
PICO_PER_MICRO = 1_000_000
WATT_SECONDS_PER_KWH = 3_600_000


def micro_from_yuan(yuan: float) -> int:
    """Micro-yuan nearest to ``yuan``."""
    return round(yuan * MICRO_PER_YUAN)


def pico_per_watt_second(yuan_per_kwh: float) -> int:
    """Price table entry for a price in yuan per kWh."""
    return round(yuan_per_kwh * 1e12 / WATT_SECONDS_PER_KWH)


def fen_from_micro(micro: int) -> int:
    """Fen nearest to ``micro`` micro-yuan, halves to even."""
    whole, rest = divmod(micro, MICRO_PER_FEN)
    half = MICRO_PER_FEN // 2
    if rest > half or (rest == half and whole % 2 == 1):
        return whole + 1
    return whole


def yuan_text(fen: int) -> str:
    """``fen`` as yuan with two decimals: ``-12.34``."""
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02d}"
