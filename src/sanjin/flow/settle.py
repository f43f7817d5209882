"""Settle: a meter record becomes a double entry in whole fen.

The tenant is debited; the site (for its machines), the grid's energy and carbon accounts and the
network are credited. Each credit is rounded once, half to even, and the debit is their sum: so an
entry always balances, and a bill recomputes from the journal to the fen. Energy may cost less than
nothing: then its account is debited.
"""

from __future__ import annotations

from sanjin.model import event as ev
from sanjin.model.money import fen_from_micro

MWH_PER_KWH = 1_000_000


def settle(metered: ev.Metered, tenant: str, grid: str) -> ev.Settled:
    """The settlement of one run. Pure: the same meter record gives the same postings."""
    energy = carbon_mg = it_mwh = facility_mwh = 0
    for s in metered.segments:
        energy += s.facility_mwh * s.price_micro_kwh
        carbon_mg += s.facility_mwh * s.carbon_mg_kwh
        it_mwh += s.it_mwh
        facility_mwh += s.facility_mwh
    energy, carbon_mg = energy // MWH_PER_KWH, carbon_mg // MWH_PER_KWH
    carbon = round(carbon_mg * metered.carbon_micro_kg / 1_000_000)
    credits = (
        (f"site:{metered.site}", fen_from_micro(metered.use_micro)),
        (f"energy:{grid}", fen_from_micro(energy)),
        (f"carbon:{grid}", fen_from_micro(carbon)),
        ("network", fen_from_micro(metered.transport_micro)),
    )
    total = sum(fen for _, fen in credits)
    postings = [ev.Posting(account=f"tenant:{tenant}", fen=total)]
    postings.extend(ev.Posting(account=account, fen=-fen) for account, fen in credits if fen)
    return ev.Settled(
        job=metered.job,
        tenant=tenant,
        fen=total,
        it_mwh=it_mwh,
        facility_mwh=facility_mwh,
        carbon_mg=carbon_mg,
        postings=tuple(postings) if len(postings) > 1 else (),
    )
