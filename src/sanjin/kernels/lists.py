"""Lists of whole numbers that grow, in arrays with room to spare.

Written as plain loops: an assignment to a slice costs the compiler a second each, mostly for the words of an error
about shapes that never differ here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def larger(old: Any) -> Any:
    """A list with room for twice as many."""
    made = np.empty(2 * old.shape[0], np.int64)
    for n in range(old.shape[0]):
        made[n] = old[n]
    return made


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def wider(old: Any) -> Any:
    """A table with room for twice as many columns."""
    made = np.empty((old.shape[0], 2 * old.shape[1]), np.int64)
    for row in range(old.shape[0]):
        for n in range(old.shape[1]):
            made[row, n] = old[row, n]
    return made


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def with_one(found: Any, count: int, one: int) -> tuple[Any, int]:
    """A list of ``count`` with one more, in a larger array where it is full."""
    if count == found.shape[0]:
        found = larger(found)
    found[count] = one
    return found, count + 1


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")
def put_in_order(found: Any, count: int) -> None:
    """Put the first ``count`` in rising order."""
    ordered = np.sort(found[:count])
    for n in range(count):
        found[n] = ordered[n]


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def without_first(found: Any, count: int, gone: int) -> int:
    """Drop the first ``gone`` of ``count``; how many are left."""
    for n in range(gone, count):
        found[n - gone] = found[n]
    return count - gone


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def set_all(row: Any, value: int) -> None:
    """Make every one of a row the same."""
    for n in range(row.shape[0]):
        row[n] = value


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def set_to(row: Any, other: Any) -> None:
    """Make a row what another of its length is."""
    for n in range(row.shape[0]):
        row[n] = other[n]
