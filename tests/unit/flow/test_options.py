"""What is kept of a decision, and the rules that keep a job from a site."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sanjin.flow.options import OPTIONS_MAX, numbered, options_of, place_of
from sanjin.flow.place import barred_sites, residency
from sanjin.flow.supply import PriceBook, Supply
from sanjin.flow.view import View
from sanjin.kernels import tables
from sanjin.model.job import JobSpec, JobState
from sanjin.model.network import network_of
from sanjin.model.reason import KERNEL_REASONS, Reason
from sanjin.model.record import JobRecord
from sanjin.model.region import DataGrade
from sanjin.regions.load import bundled, load_region


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 3 * OPTIONS_MAX), st.randoms(use_true_random=False))
def test_the_choice_and_the_best_are_kept(sites: int, rng: random.Random) -> None:
    rows = np.array([[rng.randrange(100) for _ in range(tables.ROW)] for _ in range(sites)])
    rows[:, tables.POOL] = [rng.randrange(-1, 5) for _ in range(sites)]
    feasible = np.flatnonzero(rows[:, tables.POOL] >= 0).tolist()
    choice = rng.choice(feasible) if feasible else -1
    options = options_of(rows, choice)
    assert len(options) == min(sites, OPTIONS_MAX)
    found = dict(numbered(options))
    assert list(found) == sorted(found)
    assert all(row[: tables.ROW] == tuple(rows[i].tolist()) for i, row in found.items())
    if choice >= 0:
        assert options[place_of(options, choice)][: tables.ROW] == tuple(rows[choice].tolist())
    total = rows[:, tables.ENERGY : tables.ROW].sum(axis=1)
    left = [i for i in feasible if i not in found]
    kept = [i for i in found if i in feasible and i != choice]
    assert not left or (all(total[i] <= min(total[left]) for i in kept) and len(kept) + 1 == OPTIONS_MAX)


REGION = load_region(bundled("shanxi"))
SITES = tuple(REGION.nodes)
BOOK = PriceBook(REGION)


def plainly(view: View, record: JobRecord, origin: str) -> list[Reason | None]:
    """The first rule that keeps the job from each site, one after the other."""
    spec, supply, found = record.spec, view.supply, list[Reason | None]()
    allowed = residency(view.region, view.holders, spec, origin)
    source = supply.site_index[spec.latency_origin or origin] if spec.latency_class_ms else -1
    for i, site in enumerate(supply.sites):
        below = view.child_of(site)
        rules = (
            (Reason.SITE_PINNED, bool(spec.site) and site != spec.site),
            (Reason.RESIDENCY, allowed is not None and site not in allowed),
            (Reason.LATENCY_CLASS, source >= 0 and view.network.latency_ms[source, i] > spec.latency_class_ms),
            (Reason.CHECKPOINT_ELSEWHERE, bool(record.done_s) and site != record.site),
            (Reason.OUTSIDE_SUBTREE, not supply.own[i] and (record.bound or not view.parent_reachable)),
            (Reason.NO_OFFER, not supply.heard[i]),
            (Reason.SILENT, below in view.silent),
            (Reason.DECLINED, bool(below) and below in record.barred),
        )
        found.append(next((reason for reason, holds in rules if holds), None))
    return found


@settings(max_examples=200, deadline=None)
@given(
    node=st.sampled_from(SITES), origin=st.sampled_from(SITES), site=st.sampled_from(("", *SITES)),
    grade=st.sampled_from(list(DataGrade)), latency=st.sampled_from((0, 2, 20)), done_s=st.sampled_from((0, 60)),
    bound=st.booleans(), reachable=st.booleans(), few=st.lists(st.sampled_from(SITES), max_size=3),
    deaf=st.lists(st.sampled_from(SITES), max_size=3), barred=st.lists(st.sampled_from(SITES), max_size=2),
)  # fmt: skip
def test_the_first_rule_that_keeps_a_job_from_a_site_is_told(
    node: str, origin: str, site: str, grade: DataGrade, latency: int, done_s: int, bound: bool, reachable: bool,
    few: list[str], deaf: list[str], barred: list[str],
) -> None:  # fmt: skip
    view = View(node, REGION.nodes[node].parent, REGION, network_of(REGION), Supply(REGION, node, BOOK, 8))
    view.parent_reachable, view.silent = reachable, dict.fromkeys(few, 0)
    view.supply.heard[:] = [s not in deaf for s in view.supply.sites]
    spec = JobSpec(
        name="x", command=("true",), tenant="public", site=site, grade=grade, latency_class_ms=latency,
    )  # fmt: skip
    record = JobRecord(
        id=f"{origin}-1", key="k", spec=spec, state=JobState.QUEUED, site=origin, done_s=done_s, bound=bound,
        barred=tuple(barred),
    )  # fmt: skip
    found = [KERNEL_REASONS[code] or None for code in barred_sites(view, record).tolist()]
    assert found == plainly(view, record, origin)

