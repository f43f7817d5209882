"""Submit: is this a job that the region could ever run? All that is wrong is said at once.

What passes is accepted durably and belongs to this node; the same client key gives the same job.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sanjin.flow.view import View
from sanjin.model import event as ev
from sanjin.model.catalogue import say
from sanjin.model.errors import Problem
from sanjin.model.job import JobSpec, Submission
from sanjin.model.region import DataGrade
from sanjin.model.units import MIB, SLOT_S

LATENCY_CLASSES = (0, 1, 5, 20)
"""ms, one way; 0 is none (时延圈: city 1, province 5, backbone 20)."""

DELAY_PRICE_MAX = 10**6
"""fen an hour (10,000 yuan): what waiting a whole horizon costs must fit the kernel's 64 bits of pico-yuan."""

BUDGET_MAX = 10**8
"""fen (a million yuan), for the same reason."""

_MANY = 10**9
_LATE_S = 10**11
_GRADES = tuple(DataGrade)


def problem(code: str, path: str, **values: object) -> Problem:
    """A problem worded by the catalogue (``problem.<code>`` and ``todo.<code>``)."""
    what, todo = f"problem.{code}", f"todo.{code}"
    return Problem(
        code=code,
        path=path,
        what=say(what, "en", **values),
        todo=say(todo, "en", **values),
        what_zh=say(what, "zh", **values),
        todo_zh=say(todo, "zh", **values),
    )


def check(view: View, spec: JobSpec, at: str = "spec") -> list[Problem]:
    """Everything that is wrong with a job, whatever the state of the region; ``at`` prefixes paths."""
    found = [*_numbers(view, spec, at), *_names(view, spec, at)]
    if not found:
        found.extend(_fits(view, spec, at))
    return found


def _numbers(view: View, spec: JobSpec, at: str) -> Iterator[Problem]:
    horizon = (view.supply.slots - 1) * SLOT_S
    if not spec.name or len(spec.name) > 200:
        yield problem("name_length", f"{at}.name")
    if not spec.command or not spec.command[0]:
        yield problem("no_command", f"{at}.command")
    if any("\0" in part for part in (*spec.command, *spec.environment, *spec.environment.values())):
        yield problem("nul_byte", f"{at}.command")
    for field, value, least, most in (
        ("cores", spec.cores, 1, _MANY),
        ("memory_bytes", spec.memory_bytes, MIB, 2**60),
        ("accelerators", spec.accelerators, 0, _MANY),
        ("duration_s", spec.duration_s, 1, _LATE_S),
        ("time_limit_s", spec.time_limit_s, 0, _LATE_S),
        ("earliest_start_s", spec.earliest_start_s, 0, _LATE_S),
        ("deadline_s", spec.deadline_s, 0, _LATE_S),
        ("delay_price_fen_per_hour", spec.delay_price_fen_per_hour, 0, DELAY_PRICE_MAX),
        ("budget_fen", spec.budget_fen, 0, BUDGET_MAX),
        ("sample_cores", spec.sample_cores, 0, _MANY),
    ):
        if value < least:
            yield problem("too_small", f"{at}.{field}", value=value, least=least)
        elif value > most:
            yield problem("too_big", f"{at}.{field}", value=value, most=most)
    if spec.duration_s > horizon:
        yield problem("window_too_long", f"{at}.duration_s", value=spec.duration_s, most=horizon)
    if spec.deadline_s and spec.deadline_s < spec.earliest_start_s + 1:
        yield problem("deadline_too_early", f"{at}.deadline_s")
    if spec.deadline_firm and not spec.deadline_s:
        yield problem("no_deadline", f"{at}.deadline_s")
    if spec.latency_class_ms not in LATENCY_CLASSES:
        yield problem("latency_class", f"{at}.latency_class_ms", value=spec.latency_class_ms)
    if spec.sample_cores > spec.cores:
        yield problem("sample_larger", f"{at}.sample_cores")


def _names(view: View, spec: JobSpec, at: str) -> Iterator[Problem]:
    region = view.region
    tenant = region.tenants.get(spec.tenant)
    if tenant is None:
        yield problem("unknown_tenant", f"{at}.tenant", value=spec.tenant, known=", ".join(region.tenants))
    elif tenant.envelope(view.node).cores <= 0:
        yield problem("no_envelope", f"{at}.tenant", value=spec.tenant, node=view.node)
    elif tenant.envelope(view.node).cores < spec.cores:
        most = tenant.envelope(view.node).cores
        yield problem("over_quota", f"{at}.cores", value=spec.cores, most=most, node=view.node)
    for field, node in (("site", spec.site), ("latency_origin", spec.latency_origin)):
        if node and node not in region.nodes:
            yield problem("unknown_node", f"{at}.{field}", value=node, known=", ".join(region.nodes))
    for number, dataset in enumerate(spec.inputs):
        model = region.datasets.get(dataset)
        if model is None:
            yield problem("unknown_dataset", f"{at}.inputs[{number}]", value=dataset)
        elif _GRADES.index(model.grade) > _GRADES.index(spec.grade):
            yield problem(
                "grade_too_low", f"{at}.grade", value=spec.grade.value, dataset=dataset, grade=model.grade.value
            )


def _fits(view: View, spec: JobSpec, at: str) -> Iterator[Problem]:
    """Whether any pool of the region could hold the job when it is empty."""
    pools = view.supply.pool_models
    of_kind = [p for p in pools if spec.pool_kind in (None, p.kind)]
    if not of_kind:
        yield problem("no_pool_kind", f"{at}.pool_kind", value=spec.pool_kind)
        return
    cards = [
        p
        for p in of_kind
        if not spec.accelerators
        or (p.accelerators and (not spec.accelerator_kind or p.accelerator_kind == spec.accelerator_kind))
    ]
    if not cards:
        yield problem("no_accelerator", f"{at}.accelerator_kind", value=spec.accelerator_kind or "-")
        return
    if any(
        p.cores >= spec.cores and p.memory_bytes >= spec.memory_bytes and p.accelerators >= spec.accelerators
        for p in cards
    ):
        return
    for field, value, most in (
        ("cores", spec.cores, max(p.cores for p in cards)),
        ("memory_bytes", spec.memory_bytes, max(p.memory_bytes for p in cards)),
        ("accelerators", spec.accelerators, max(p.accelerators for p in cards)),
    ):
        if value > most:
            yield problem("larger_than_any_site", f"{at}.{field}", value=value, most=most)
    if spec.cores <= max(p.cores for p in cards) and spec.memory_bytes <= max(p.memory_bytes for p in cards):
        yield problem("larger_than_any_site", f"{at}.cores", value=spec.cores, most=max(p.cores for p in cards))


def submit(view: View, submissions: Sequence[Submission]) -> list[ev.Submitted]:
    """Accept checked submissions as jobs of this node, numbered in order. Keys must be new."""
    first = view.next_number
    return [
        ev.Submitted(job=f"{view.node}-{first + i}", key=s.key, spec=s.spec) for i, s in enumerate(submissions)
    ]
