"""Options: the rows of a decision as they are kept, one a site; of a large region those that matter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sanjin.kernels import tables
from sanjin.model import event as ev

OPTIONS_MAX = 64
"""Sites whose options are kept with a decision: all, or the best of more. A job that is placed among a thousand sites
would otherwise write a hundred kilobytes each time somebody decides on it."""


def options_of(rows: NDArray[np.int64], choice: int) -> tuple[ev.Row, ...]:
    """The rows int64[S, ROW] of one job, as they are written.

    Of up to :data:`OPTIONS_MAX` sites all, in their order. Of more the ``choice`` (-1: none) and those with the least
    total, then those that cannot take it, each with the number of its site after the row.
    """
    if len(rows) <= OPTIONS_MAX:
        return tuple(map(tuple, rows.tolist()))
    total = rows[:, tables.ENERGY : tables.WAITING + 1].sum(axis=1)
    order = np.lexsort((total, rows[:, tables.POOL] < 0, np.arange(len(rows)) != choice))[:OPTIONS_MAX]
    kept = np.sort(order)
    return tuple(map(tuple, np.column_stack((rows[kept], kept)).tolist()))


def numbered(options: Sequence[ev.Row]) -> list[tuple[int, ev.Row]]:
    """(number of the site, row) of each."""
    return [(row[tables.ROW] if len(row) > tables.ROW else i, row) for i, row in enumerate(options)]


def place_of(options: Sequence[ev.Row], site: int) -> int:
    """Where in the options a site's row is. Raises ValueError where it was not kept."""
    if len(options[0]) == tables.ROW:
        return site
    return [row[tables.ROW] for row in options].index(site)
