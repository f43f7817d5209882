"""``sanjin forecast``: demand, from the work that came; on-site generation, from what was measured. With its error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter

from sanjin.adapters.state_folder import StateFolder, default_folder
from sanjin.cli.history_file import read_history
from sanjin.cli.output import Format, State, Word, at, data, note, sentence, table, text
from sanjin.cli.pricing import kept_records
from sanjin.flow.demand_forecast import demand_of, forecast_demand
from sanjin.flow.forecast import Floats
from sanjin.flow.generation_forecast import forecast_generation
from sanjin.model.catalogue import problem
from sanjin.model.errors import NotFound, Problem, ProblemsFound
from sanjin.model.forecast import MOST_HOURS, SEASON_H, Forecast, ForecastKind, ForecastModel
from sanjin.model.region import Region
from sanjin.model.units import HOUR_S
from sanjin.regions.load import load_region

BAR = 30
"""Characters of the longest bar."""

_UNITS = {ForecastKind.DEMAND: "unit.core_h", ForecastKind.GENERATION: "unit.kw"}

Hours = Annotated[int, Parameter(help=f"Hours ahead, 1 to {MOST_HOURS}. 预测小时数。")]
Plot = Annotated[Path | None, Parameter(help="Also draw it, into this .svg file. 输出图。")]


def demand(
    *,
    site: Annotated[str, Parameter(help="Only jobs submitted at this node. 提交节点。")] = "",
    hours: Hours = 48,
    plot: Plot = None,
    state: State = None,
    output: Format = "table",
) -> None:
    """Forecast the core-hours that jobs will ask for, by the hour of their arrival. 需求预测。

    It begins with the hour of the last job, which is not over. The region may be up meanwhile.
    """
    folder = StateFolder(state or default_folder())
    region = load_region(folder.region_document())
    _check(region, site or None, hours, plot)
    records = kept_records(folder.path, region)
    if not records:
        raise NotFound(f"{folder.path}: no job was ever submitted here; there is nothing to forecast from")
    history, begin_s = demand_of(records, site)
    _show(forecast_demand(history, begin_s, hours, site), history, region, plot, output)


def generation(
    *,
    site: Annotated[str, Parameter(help="The site. 站点。")],
    history: Annotated[Path | None, Parameter(help="CSV of measured power: time, kw by the hour. 实测数据。")] = None,
    hours: Hours = 48,
    plot: Plot = None,
    state: State = None,
    output: Format = "table",
) -> None:
    """Forecast a site's own generation, mean kW by the hour. 发电预测。

    With a history it begins where that ends; without one it is modelled, from now.
    """
    folder = StateFolder(state or default_folder())
    region = load_region(folder.region_document())
    _check(region, site, hours, plot)
    measured: Floats = np.zeros(0)
    if history is None:
        first_s = folder.clock(None, None).now() // HOUR_S * HOUR_S
    else:
        first_s, measured = read_history(history, region.utc_offset_h)
        least = SEASON_H[ForecastKind.GENERATION]
        if len(measured) < least:
            short = problem("history_too_short", "", value=len(measured), least=least)
            raise ProblemsFound([replace(short, file=str(history), line=len(measured) + 1)])
    found = forecast_generation(region.nodes[site], region.utc_offset_h, measured, first_s, hours)
    _show(found, measured, region, plot, output)


def _check(region: Region, site: str | None, hours: int, plot: Path | None) -> None:
    """Raises ProblemsFound with everything that is wrong with the options."""
    found: list[Problem] = []
    if site is not None and site not in region.nodes:
        found.append(problem("unknown_node", "--site", value=site, known=", ".join(region.nodes)))
    if hours < 1:
        found.append(problem("too_small", "--hours", value=hours, least=1))
    if hours > MOST_HOURS:
        found.append(problem("too_big", "--hours", value=hours, most=MOST_HOURS))
    if plot and plot.suffix != ".svg":
        found.append(problem("plot_not_svg", "--plot", value=plot))
    if found:
        raise ProblemsFound(found)


def _show(found: Forecast, history: Floats, region: Region, plot: Path | None, output: Format) -> None:
    if plot:
        _draw(found, history, region, plot)
    if data(found, output):
        return
    most = max(found.values) or 1.0
    rows = [
        [at(found.first_hour_s + k * HOUR_S, region.utc_offset_h), f"{value:.1f}", "█" * round(BAR * value / most)]
        for k, value in enumerate(found.values)
    ]
    table(("head.time", _UNITS[found.kind], "head.shape"), rows, left=(0, 2))
    if found.model == ForecastModel.MODELLED:
        note(sentence("cli.forecast_modelled"))
        return
    note(sentence("cli.forecast_by", model=Word(f"model.{found.model}"), hours=found.history_hours))
    if not found.origins:
        note(sentence("cli.forecast_no_error", least=SEASON_H[found.kind] + -(-len(found.values) // 24) * 24))
        return
    note(sentence("cli.forecast_error", origins=found.origins))
    heads = ["head.model", "head.off", "head.off_peak"]
    errors = [[text(f"model.{t.model}"), _percent(t.error), _percent(t.error_of_peak)] for t in found.tested]
    columns = 2 if found.kind == ForecastKind.DEMAND else 3  # demand has no peak
    table(heads[:columns], [row[:columns] for row in errors])


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _draw(found: Forecast, history: Floats, region: Region, file: Path) -> None:
    from sanjin.report import plots

    picture = plots.forecast(found, history.tolist(), region.utc_offset_h, text(_UNITS[found.kind]))
    try:
        file.write_text(picture, encoding="utf-8")
    except OSError as fault:
        raise ProblemsFound([problem("unwritable", "--plot", value=fault)]) from fault
    note(text("cli.forecast_plot", file=file))
