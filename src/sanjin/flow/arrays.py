"""Arrays: many like members as one job, placed in as few parts as capacity allows.

The first member takes its best place; as many more as fit go with it, since it costs each of them the same;
the next part begins with the best place that is left. A part is a job of its own, with some of the members.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sanjin.flow.apply import part_record
from sanjin.flow.options import options_of
from sanjin.flow.place import asked, given_to, nowhere, placement_of
from sanjin.flow.submit import DELAY_PRICE_MAX
from sanjin.flow.supply import run_kernel
from sanjin.flow.view import View
from sanjin.kernels import tables
from sanjin.model import event as ev
from sanjin.model.record import JobRecord
from sanjin.model.struct import changed
from sanjin.model.units import SLOT_S

PARTS_MAX = 500
"""Parts that one array is divided into at a time; members beyond them are placed when these have their place."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Some members at one place: the kernel's row of each, the site's index, and how many they are."""

    row: ev.Row
    site: int
    members: int
    options: tuple[ev.Row, ...]


def place_array(view: View, record: JobRecord, now_s: int) -> list[ev.Event]:
    """Decide on the members of an array, or of a part of one. Reserves in the view's supply what it chooses."""
    parts = list(_parts(view, record, now_s))
    supply = view.supply
    placed = [p for p in parts if p.site >= 0]
    if not placed:
        return [nowhere(view, record, parts[0].options)]
    if not all(supply.own[p.site] for p in placed):  # the parent decides on them all
        for part in placed:
            _take(view, record, part.row, -part.members)
        return [ev.Raised(job=record.id, parent=view.parent, full=False, options=parts[0].options)]
    if len(parts) == 1:
        return [_decision(view, record, parts[0])]
    first, divided = record.spec.first_member, list[ev.Part]()
    # a copy that another node has given up may still be divided elsewhere: the names of two must not meet
    base = f"{record.id}.{supply.site_index[view.node]}.{record.epoch}" if record.epoch else record.id
    for number, part in enumerate(parts, record.parts + 1):
        divided.append(ev.Part(job=f"{base}.{number}", first_member=first, members=part.members))
        first += part.members
    site = max(placed, key=lambda p: p.members).site
    found: list[ev.Event] = [
        ev.Split(job=record.id, parts=tuple(divided), site=supply.sites[site], options=parts[0].options)
    ]
    for name, part in zip(divided, parts, strict=True):
        each = part_record(record, name)
        found.append(_decision(view, each, part) if part.site >= 0 else nowhere(view, each, part.options))
    return found


def _parts(view: View, record: JobRecord, now_s: int) -> Iterator[_Part]:
    """The members in parts, in order; the last has no site (-1) where no more can be placed."""
    supply = view.supply
    one = changed(record, spec=replace(record.spec, members=0, first_member=0))
    given = asked(view, [one], now_s)
    left = record.spec.members
    given.transport[:] //= left  # inputs come once, for all
    for number in range(PARTS_MAX):
        rows, choice = run_kernel(supply, now_s, given)
        site = int(choice[0])
        options, row = options_of(rows[0], site), tuple(rows[0, site].tolist())
        if site < 0 or number == PARTS_MAX - 1:
            if site >= 0:
                _take(view, one, row, -1)
            yield _Part(options[0], -1, left, options)
            return
        members = min(left, 1 + _fit(view, one, row))
        _take(view, one, row, members - 1)
        left -= members
        yield _Part(row, site, members, options)
        if not left:
            return


def _fit(view: View, one: JobRecord, row: ev.Row) -> int:
    """How many more members fit beside one that was placed."""
    supply, pool = view.supply, row[tables.POOL]
    need = supply.need(one.spec, pool)
    k0 = row[tables.START] // SLOT_S - supply.first_slot
    k1 = (row[tables.UNTIL] - 1) // SLOT_S - supply.first_slot + 1
    free = (
        supply.free_cores[pool, k0:k1],
        supply.free_mem[pool, k0:k1],
        supply.free_acc[pool, k0:k1],
        supply.free_mw[int(supply.pool[pool, tables.SITE]), k0:k1],
    )
    return max(min(int(np.min(f)) // n for f, n in zip(free, need, strict=True) if n > 0), 0)


def _take(view: View, record: JobRecord, row: ev.Row, times: int) -> None:
    """Reserve what so many members take (less than 0: free it)."""
    supply, pool = view.supply, row[tables.POOL]
    cores, mem, cards, mw = supply.need(replace(record.spec, members=0), pool)
    need = (cores * times, mem * times, cards * times, mw * times)
    supply.shift(pool, row[tables.START], row[tables.UNTIL], need, 1)


def _decision(view: View, record: JobRecord, part: _Part) -> ev.Event:
    return given_to(view, record, placement_of(view.supply, part.row, part.members), part.options)


def together(record: JobRecord) -> JobRecord:
    """The members of an array, or of a part of one, as one gang: they take and cost the same, in one place."""
    spec = record.spec
    if not spec.members:
        return record
    delay = min(spec.delay_price_fen_per_hour * spec.members, DELAY_PRICE_MAX)
    gang = replace(spec, nodes=spec.members, members=0, first_member=0, delay_price_fen_per_hour=delay)
    return changed(record, spec=gang)


def gathered(record: JobRecord) -> ev.Gathered:
    """What the end of a part adds to the array that it is of."""
    return ev.Gathered(
        job=record.part_of,
        part=record.id,
        site=record.site,
        members=record.spec.members,
        members_done=record.members_done,
        members_failed=record.members_failed,
        start_s=record.start_s,
        end_s=record.end_s,
        fen=record.fen,
        facility_mwh=record.facility_mwh,
        carbon_mg=record.carbon_mg,
        left=record.left,
    )
