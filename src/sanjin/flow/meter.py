"""Meter: measured CPU and memory become IT energy, facility energy, yuan and kg CO2e, slot by slot.

CPU seconds and peak memory are measured. Everything after is modelled: power by the pool's stated
figures, PUE by the weather model, price by the tariff, carbon by the grid's yearly factor.

IT power of a run = cores x idle watts + busy cores x core watts + memory x watts/GiB + cards x card
watts, with busy cores = measured CPU seconds / measured wall seconds (x scale for a sample).
"""

from __future__ import annotations

from collections.abc import Iterator

from sanjin.flow.supply import PriceBook
from sanjin.model import event as ev
from sanjin.model.record import JobRecord
from sanjin.model.region import Pool
from sanjin.model.units import GIB, HOUR_S, SLOT_S, mwh_from_joule, slot_of


def meter(
    book: PriceBook, record: JobRecord, ended: ev.RunOver, site: str, pool: Pool, transport_micro: int
) -> ev.Metered:
    """The meter record of an ended run at a site's pool; all sums are of integers."""
    spec = record.spec
    seconds = ended.end_s - ended.start_s
    power = watts(pool, record, ended)
    width = at_once(record, ended)
    core_seconds, card_seconds = round(spec.cores * width * seconds), round(spec.accelerators * width * seconds)
    hourly = core_seconds * pool.price_core.value + card_seconds * pool.price_accelerator.value
    return ev.Metered(
        job=record.id,
        site=site,
        pool=pool.id,
        core_seconds=core_seconds,
        card_seconds=card_seconds,
        use_micro=round(hourly * 1e6 / HOUR_S),
        transport_micro=transport_micro,
        carbon_micro_kg=round(book.region.carbon_price.value * 1000),  # a yuan a tonne is 1000 micro-yuan a kg
        segments=tuple(segments(book, site, ended.start_s, ended.end_s, power)),
    )


def at_once(record: JobRecord, ended: ev.RunOver) -> float:
    """Machines that the run had at once: nodes of a gang; of an array, the members that ran at once on the mean."""
    if record.spec.members and ended.wall_ms:
        return ended.busy_ms / ended.wall_ms
    return float(record.spec.width())


def watts(pool: Pool, record: JobRecord, ended: ev.RunOver) -> float:
    """Mean IT power of the run, W."""
    spec = record.spec
    scale = spec.scale()
    width = at_once(record, ended)
    busy = min(ended.cpu_ms / ended.wall_ms * scale, spec.cores * width) if ended.wall_ms else 0.0
    memory = min(ended.memory_peak_bytes * scale, spec.all_memory_bytes()) / GIB
    return (
        spec.cores * width * pool.watts_idle_core.value
        + busy * pool.watts_core.value
        + memory * pool.watts_gib.value
        + spec.accelerators * width * pool.watts_accelerator.value
    )


def segments(book: PriceBook, site: str, start_s: int, end_s: int, power_w: float) -> Iterator[ev.Segment]:
    """One segment a slot that the run touched."""
    for slot in range(slot_of(start_s), slot_of(max(end_s - 1, start_s)) + 1):
        begin, finish = max(start_s, slot * SLOT_S), min(end_s, (slot + 1) * SLOT_S)
        if finish <= begin:
            continue
        first_slot, pue, price_micro, carbon_mg = book.metered_at(slot, site)
        k = slot - first_slot
        joule = power_w * (finish - begin)
        yield ev.Segment(
            start_s=begin,
            seconds=finish - begin,
            it_mwh=mwh_from_joule(joule),
            facility_mwh=mwh_from_joule(joule * pue[k]),
            price_micro_kwh=price_micro[k],
            carbon_mg_kwh=carbon_mg[k],
        )
