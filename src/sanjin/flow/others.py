"""Others in a site's cluster: what they have of it is not there for work placed here.

A cluster says what it has, what of it others use and until when, and what of theirs waits. A site may count on what is
left, so its pools are short by as much as that is less than the region document says they have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sanjin.flow.supply import Supply
from sanjin.kernels import tables
from sanjin.model.units import MIB, SLOT_S
from sanjin.ports import Amount, Clock, ClusterUse, Taken, TakenBy

Floats = NDArray[np.float64]
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class _Group:
    """Pools that stand for the same machines of the cluster."""

    pools: list[int]
    whole: Floats
    taken: list[Taken]


def short_by(supply: Supply, site: int, use: ClusterUse, clock: Clock) -> NDArray[np.int64]:
    """int64[3, pools of the site, T]: cores, MiB and cards that each pool lacks in each slot because of others.

    Pools with accelerators stand for the cluster's machines that have some, the others for the rest; where either the
    site or the cluster has but one kind, all are one. Pools of a kind are short in proportion to their size. What runs
    counts until its time limit. What waits counts from the start that the cluster has planned for it; where it has
    none, that work is done by whatever is free, before any of ours.
    """
    pools = supply.pools_at[site]
    found = np.zeros((3, len(pools), supply.slots), np.int64)
    for group in _groups(supply, pools, use):
        sizes = supply.pool[group.pools][:, [tables.CORES, tables.CORES + 1, tables.CORES + 2]].T
        said = sizes.sum(axis=1)
        left = group.whole[:, None] - _by_others(supply, group, clock)
        short = np.ceil(np.clip(said[:, None] - np.maximum(left, 0), 0, said[:, None]) - _ROUNDING).astype(np.int64)
        for i in range(3):
            if said[i]:  # so that parts add up: each pool takes what the sum up to it takes more
                upto = short[i] * np.cumsum(sizes[i])[:, None] // said[i]
                rows = [pools.index(p) for p in group.pools]
                found[i, rows] = np.diff(upto, axis=0, prepend=0)
    return found


def _groups(supply: Supply, pools: list[int], use: ClusterUse) -> list[_Group]:
    kinds = [[p for p in pools if bool(supply.pool_models[p].accelerators) is carded] for carded in (False, True)]
    whole = [_figures(use.plain), _figures(use.carded)]
    if all(kinds) and all(each[0] > 0 for each in whole):
        taken = [[t for t in use.taken if t.carded is carded] for carded in (False, True)]
        return [_Group(*each) for each in zip(kinds, whole, taken, strict=True)]
    return [_Group(list(pools), whole[0] + whole[1], list(use.taken))]


def _figures(amount: Amount) -> Floats:
    return np.array([amount.cores, amount.memory_bytes / MIB, amount.accelerators])


def _by_others(supply: Supply, group: _Group, clock: Clock) -> Floats:
    """float64[3, T]: what others have in each slot, now or by the cluster's plans."""
    begins, ends = np.zeros((2, 3, supply.slots + 1)), np.zeros((2, 3, supply.slots + 1))
    backlog, horizon_s = np.zeros((3, 1)), supply.slots * SLOT_S
    for each in group.taken:
        amount, lasts_s = _figures(each.amount), each.lasts_s * clock.rate or horizon_s
        if not each.since:
            backlog[:, 0] += amount * min(lasts_s, horizon_s)
            continue
        since_s, ours = clock.region_at(each.since), int(each.by is TakenBy.OURS)
        until_s = since_s + lasts_s if each.lasts_s else float("inf")
        first, last = (min(max(s / SLOT_S - supply.first_slot, 0), supply.slots) for s in (since_s, until_s))
        begins[ours, :, int(first)] += amount
        ends[ours, :, max(int(np.ceil(last)), 1) if last > 0 else int(first)] += amount
    others, ours = np.cumsum(begins - ends, axis=2)[:, :, : supply.slots]
    free = np.maximum(group.whole[:, None] - others - ours, 0) * SLOT_S
    done_before = np.cumsum(free, axis=1) - free
    return others + np.clip(backlog - done_before, 0, free) / SLOT_S
