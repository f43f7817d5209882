"""The reality gap of a replay in one line, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sanjin.cli.output import sentence

if TYPE_CHECKING:
    from sanjin.replay.gap import RealityGap


def gap_line(gap: RealityGap | None, no_gap: str | None) -> str:
    """What was recorded, what was replayed and how far calibration narrows it; or why that cannot be said."""
    if gap is None:
        return sentence(no_gap or "gap.no_waits")
    fit = gap.calibrated
    return sentence(
        "cli.gap",
        recorded=f"{gap.measured.mean_s:,.0f}",
        cores=f"{gap.assumed.machine_cores:,}",
        easy=f"{gap.replayed['easy'].waits.mean_s:,.0f}",
        fcfs=f"{gap.replayed['fcfs'].waits.mean_s:,.0f}",
        discipline=fit.discipline.upper(),
        share=f"{fit.usable_share:.0%}",
        before=f"{fit.before.distance_s:,.0f}",
        after=f"{fit.after.distance_s:,.0f}",
    )
