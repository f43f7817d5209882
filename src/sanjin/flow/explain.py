"""Explain: the stored rows of a decision as one object for the CLI, the API and a dry run."""

from __future__ import annotations

from collections.abc import Sequence

from sanjin.kernels import place as kernel
from sanjin.model import event as ev
from sanjin.model.placement import Explanation, Option, Terms
from sanjin.model.reason import KERNEL_REASONS

Decision = ev.Placed | ev.Assigned | ev.Raised | ev.Waiting


def option(row: ev.Row, site: str, pools: Sequence[str]) -> Option:
    """One site's row as an option; ``pools`` lists pools as ``site/pool`` in the kernel's order."""
    if row[kernel.POOL] < 0:
        return Option(site, "", KERNEL_REASONS[row[kernel.CODE]], 0, 0, row[kernel.READY], None)
    terms = Terms(*row[kernel.ENERGY : kernel.WAITING + 1])
    return Option(
        site=site,
        pool=pools[row[kernel.POOL]].partition("/")[2],
        reason=None,
        start_s=row[kernel.START],
        finish_s=row[kernel.FINISH],
        ready_s=row[kernel.READY],
        terms=terms,
        total_micro=terms.total,
    )


def explanation(
    job: str, node: str, at_s: int, chosen: str, rows: Sequence[ev.Row], sites: Sequence[str], pools: Sequence[str]
) -> Explanation:
    """The explanation of one decision."""
    options = tuple(option(row, site, pools) for row, site in zip(rows, sites, strict=True))
    return Explanation(job=job, decided_by=node, at_s=at_s, chosen=chosen, options=options)


def chosen_site(decision: Decision, sites: Sequence[str]) -> str:
    """The site that the decision took; for a raised job the best known outside (empty: none)."""
    if isinstance(decision, ev.Placed | ev.Assigned):
        return decision.placement.site
    feasible = [(i, r) for i, r in enumerate(decision.options) if r[kernel.POOL] >= 0]
    if not feasible:
        return ""
    best = min(feasible, key=lambda item: (sum(item[1][kernel.ENERGY :]), item[1][kernel.START], item[0]))
    return sites[best[0]]
