"""The part of a replay's report that says how far replayed waits are from those recorded."""

from __future__ import annotations

from html import escape

from sanjin.model.catalogue import both
from sanjin.model.units import HOUR_S
from sanjin.replay.gap import Beside, RealityGap, Waits
from sanjin.report.demo_page import row, table


def parts(gap: RealityGap | None, no_gap: str | None) -> list[str]:
    """The section; where there is no gap to state, why."""
    head = "<h2>Against what was recorded · 与实际记录相比</h2>"
    if gap is None:
        return [head, _note(no_gap)] if no_gap else []
    fit, rests = gap.calibrated, gap.assumed
    fitted = f"{fit.discipline.upper()}, {fit.usable_share:.0%}"
    machine = "gap.machine" if rests.stated_by_log else "gap.machine_given"
    return [
        head,
        _table(
            _row("measured: recorded, all jobs 实测:全部作业", gap.measured),
            *(_row(f"replayed: {name.upper()} 回放", b.waits, b) for name, b in gap.replayed.items()),
            _row("measured: recorded, second half 实测:后一半", fit.measured),
            _row("replayed: EASY, second half 回放:后一半", fit.before.waits, fit.before),
            _row(f"calibrated: {fitted}, second half 标定:后一半", fit.after.waits, fit.after, won=True),
        ),
        _note(
            "gap.fitted",
            jobs=f"{fit.fit_jobs:,}", replays=fit.replays, discipline=fit.discipline.upper(),
            share=f"{fit.usable_share:.0%}", judged=f"{fit.measured.jobs:,}",
            before=f"{fit.before.distance_s:,.0f}", after=f"{fit.after.distance_s:,.0f}",
        ),
        "<p class=note>Assumed 假定:</p>",
        _note(machine, cores=f"{rests.machine_cores:,}"),
        _note("gap.left_out", without=f"{rests.without_wait:,}", wide=f"{rests.too_wide:,}"),
        *(_note(key) for key in rests.texts),
    ]  # fmt: skip


def _note(key: str, **values: object) -> str:
    en, zh = (escape(each) for each in both(key, **values))
    return f"<p class=note>{en}<br>{zh}</p>"


def _row(name: str, waits: Waits, beside: Beside | None = None, won: bool = False) -> str:
    cells = [f"{waits.jobs:,}", *(f"{s / HOUR_S:.2f}" for s in (waits.mean_s, waits.p50_s, waits.p95_s))]
    if beside:
        correlation = "-" if beside.correlation is None else f"{beside.correlation:.2f}"
        cells += [f"{beside.distance_s / HOUR_S:.2f}", f"{beside.off_a_job_s / HOUR_S:.2f}", correlation]
    else:
        cells += ["", "", ""]
    return row(escape(name), cells, won)


def _table(*rows: str) -> str:
    heads = (
        "waits 等待", "jobs 作业", "mean h 平均", "p50 h", "p95 h", "distance h 分布距离", "off a job h 逐作业偏差",
        "correlation 相关",
    )  # fmt: skip
    return table(heads, rows)
