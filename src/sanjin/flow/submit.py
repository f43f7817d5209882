"""Submit: is this a job that the region could ever run? All that is wrong is said at once.

What passes is accepted durably and belongs to this node; the same client key gives the same job.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sanjin.flow import workflow
from sanjin.flow.view import View
from sanjin.model import event as ev
from sanjin.model.catalogue import problem
from sanjin.model.errors import Problem
from sanjin.model.image import image_name
from sanjin.model.job import Effects, JobSpec, Submission
from sanjin.model.region import DataGrade
from sanjin.model.units import MIB, SLOT_S

LATENCY_CLASSES = (0, 1, 5, 20)
"""ms, one way; 0 is none (时延圈: city 1, province 5, backbone 20)."""

DELAY_PRICE_MAX = 10**6
"""fen an hour (10,000 yuan): what waiting a whole horizon costs must fit the kernel's 64 bits of pico-yuan."""

BUDGET_MAX = 10**8
"""fen (a million yuan), for the same reason."""

NODES_MAX = 100_000
"""Machines of a gang."""

MEMBERS_MAX = 100_000
"""Members of an array."""

PRIORITY_MAX = 1000

CHECKPOINT_MAX = 10**14
"""Bytes of a checkpoint that may move."""

_MANY = 10**9
_LATE_S = 10**11
_SIZES = ("cores", "memory_bytes", "accelerators")
_GRADES = tuple(DataGrade)


def check(view: View, spec: JobSpec, at: str = "spec") -> list[Problem]:
    """Everything that is wrong with a job, whatever the state of the region; ``at`` prefixes paths."""
    found = [*_numbers(view, spec, at), *_names(view, spec, at), *_reserved(view, spec, at)]
    if not found:
        found.extend(_fits(view, spec, at))
    return found


def _numbers(view: View, spec: JobSpec, at: str) -> Iterator[Problem]:
    horizon = (view.supply.slots - 1) * SLOT_S
    if not spec.name or len(spec.name) > 200:
        yield problem("name_length", f"{at}.name")
    if (not spec.command or not spec.command[0]) and not spec.reserves:
        yield problem("no_command", f"{at}.command")
    if any("\0" in part for part in (*spec.command, *spec.environment, *spec.environment.values())):
        yield problem("nul_byte", f"{at}.command")
    for field, value, least, most in (
        ("cores", spec.cores, 1, _MANY),
        ("memory_bytes", spec.memory_bytes, MIB, 2**60),
        ("accelerators", spec.accelerators, 0, _MANY),
        ("nodes", spec.nodes, 1, NODES_MAX),
        ("members", spec.members, 0, MEMBERS_MAX),
        ("first_member", spec.first_member, 0, _MANY),
        ("duration_s", spec.duration_s, 1, _LATE_S),
        ("duration_spread_s", spec.duration_spread_s, 0, _LATE_S),
        ("priority", spec.priority, -PRIORITY_MAX, PRIORITY_MAX),
        ("stop_cost_s", spec.stop_cost_s, 0, _LATE_S),
        ("checkpoint_bytes", spec.checkpoint_bytes, 0, CHECKPOINT_MAX),
        ("time_limit_s", spec.time_limit_s, 0, _LATE_S),
        ("replace_after_s", spec.replace_after_s, 0, _LATE_S),
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
    if spec.duration_s + spec.duration_spread_s > horizon:
        value = spec.duration_s + spec.duration_spread_s
        yield problem("window_too_long", f"{at}.duration_s", value=value, most=horizon)
    if spec.deadline_s and spec.deadline_s < spec.earliest_start_s + 1:
        yield problem("deadline_too_early", f"{at}.deadline_s")
    if spec.deadline_firm and not spec.deadline_s:
        yield problem("no_deadline", f"{at}.deadline_s")
    if spec.latency_class_ms not in LATENCY_CLASSES:
        yield problem("latency_class", f"{at}.latency_class_ms", value=spec.latency_class_ms)
    if spec.replace_after_s and spec.effects is Effects.ONCE:
        yield problem("replace_once", f"{at}.replace_after_s")
    if spec.nodes > 1 and spec.members:
        yield problem("gang_of_array", f"{at}.members")
    if spec.stoppable and spec.members:
        yield problem("stoppable_array", f"{at}.stoppable")
    if spec.checkpoint_bytes and not spec.stoppable:
        yield problem("checkpoint_unused", f"{at}.checkpoint_bytes")
    if spec.first_member and not spec.members:
        yield problem("no_members", f"{at}.first_member")
    if spec.sample_cores > spec.cores:
        yield problem("sample_larger", f"{at}.sample_cores")


def _names(view: View, spec: JobSpec, at: str) -> Iterator[Problem]:
    region = view.region
    tenant = region.tenants.get(spec.tenant)
    if tenant is None:
        yield problem("unknown_tenant", f"{at}.tenant", value=spec.tenant, known=", ".join(region.tenants))
    elif tenant.envelope(view.node).cores <= 0:
        yield problem("no_envelope", f"{at}.tenant", value=spec.tenant, node=view.node)
    elif (most := view.envelopes.reach(spec.tenant)) < spec.all_cores():
        yield problem("over_quota", f"{at}.cores", value=spec.all_cores(), most=most, node=view.node)
    queues = view.supply.policy.queues
    if queues and spec.queue not in queues:
        yield problem("unknown_queue", f"{at}.queue", value=spec.queue, known=", ".join(queues))
    for field, node in (("site", spec.site), ("latency_origin", spec.latency_origin)):
        if node and node not in region.nodes:
            yield problem("unknown_node", f"{at}.{field}", value=node, known=", ".join(region.nodes))
    if spec.image and image_name(spec.image) is None:
        yield problem("bad_image", f"{at}.image", value=spec.image[:100])
    elif spec.image and not any(node.site.images for node in region.nodes.values()):
        yield problem("no_images", f"{at}.image")
    for number, dataset in enumerate(spec.inputs):
        model = region.datasets.get(dataset)
        if model is None:
            yield problem("unknown_dataset", f"{at}.inputs[{number}]", value=dataset)
        elif _GRADES.index(model.grade) > _GRADES.index(spec.grade):
            yield problem(
                "grade_too_low", f"{at}.grade", value=spec.grade.value, dataset=dataset, grade=model.grade.value
            )


def _reserved(view: View, spec: JobSpec, at: str) -> Iterator[Problem]:
    if spec.reserves and spec.site not in view.sites:
        yield problem("reserve_elsewhere", f"{at}.site", node=spec.site or view.node)
    if spec.reserves and (spec.command or spec.members or spec.stoppable or spec.reservation):
        yield problem("reserve_command", f"{at}.reserves")
    if spec.reservation:
        holder = view.jobs.get(spec.reservation)
        if holder is None or not holder.spec.reserves or holder.spec.tenant != spec.tenant:
            yield problem(
                "unknown_reservation",
                f"{at}.reservation",
                value=spec.reservation,
                tenant=spec.tenant,
                node=view.node,
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
    gang = replace(spec, members=0)
    asked = (gang.all_cores(), gang.all_memory_bytes(), gang.all_accelerators())
    sizes = [(p.cores, p.memory_bytes, p.accelerators) for p in cards]
    if not any(all(a <= b for a, b in zip(asked, size, strict=True)) for size in sizes):
        most = [max(column) for column in zip(*sizes, strict=True)]
        over = [i for i in range(3) if asked[i] > most[i]] or [0]  # no one pool has enough of all
        for i in over:
            yield problem("larger_than_any_site", f"{at}.{_SIZES[i]}", value=asked[i], most=most[i])
        return
    each = (spec.cores, spec.memory_bytes, spec.accelerators)
    machines = [(p.machine_cores, p.machine_memory_bytes, p.machine_accelerators) for p in cards if p.machine_cores]
    if len(machines) < len(cards) or any(all(a <= b for a, b in zip(each, m, strict=True)) for m in machines):
        return
    for field, value, most in zip(_SIZES, each, (max(column) for column in zip(*machines, strict=True)), strict=True):
        if value > most:
            yield problem("larger_than_any_machine", f"{at}.{field}", value=value, most=most)


def submit(view: View, submissions: Sequence[Submission], known: workflow.Known) -> list[ev.Submitted]:
    """Accept checked submissions as jobs of this node, numbered in order. Keys must be new; ``known`` are jobs that
    they come after."""
    names = [f"{view.node}-{number}" for number in range(view.next_number, view.next_number + len(submissions))]
    ids = {key: record.id for key, record in known.items()}
    ids |= {(s.spec.tenant, s.key): name for s, name in zip(submissions, names, strict=True)}
    return [
        ev.Submitted(job=name, key=s.key, spec=s.spec, waits_for=workflow.waits_for(s.spec, ids))
        for s, name in zip(submissions, names, strict=True)
    ]
