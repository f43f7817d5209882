"""Inner loops of the shadow prices: what load a batch of choices puts on every pool, site and slot."""

from __future__ import annotations

from typing import Any

from numba import njit

from sanjin.kernels.board import SLOT
from sanjin.kernels.tables import (
    J_CARDS,
    J_CORES,
    J_MEM,
    MW_CARD,
    MW_CORE,
    MW_GIB,
    POOL,
    SITE,
    START,
    UNTIL,
)


@njit(cache=True, no_cfunc_wrapper=True, nogil=True, error_model="numpy")
def add_load(won: Any, choice: Any, pool: Any, job: Any, first_s: int, cores: Any, cards: Any, mw: Any) -> None:
    """Add cores and cards [P, T] and milliwatts [S, T] (int64) of what was chosen, in whole slots.

    ``won`` int64[J, ROW] and ``choice`` int64[J] as :func:`sanjin.kernels.place.choose_batch` writes them.
    """
    for j in range(choice.shape[0]):
        if choice[j] < 0:
            continue
        p = won[j, POOL]
        s = pool[p, SITE]
        power = job[j, J_CORES] * pool[p, MW_CORE] + job[j, J_CARDS] * pool[p, MW_CARD]
        power += job[j, J_MEM] * pool[p, MW_GIB] // 1024
        start, end = won[j, START] - first_s, won[j, UNTIL] - first_s
        for k in range(start // SLOT, (end - 1) // SLOT + 1):
            cores[p, k] += job[j, J_CORES]
            cards[p, k] += job[j, J_CARDS]
            mw[s, k] += power
