"""Workflow: jobs that come after others, wherever those ran, and find among their inputs what those left.

A job waits at the node where it was submitted until all that it comes after have succeeded. What each left was
registered at its site as a dataset when its run ended, and moves over the links as any input does: where the next job
runs is decided when it may run, and the price of moving counts. Where one fails, those after it end too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from sanjin.flow.run import OUTPUTS, without_run
from sanjin.flow.view import View
from sanjin.model import event as ev
from sanjin.model.catalogue import problem
from sanjin.model.data import Artifact
from sanjin.model.errors import Problem
from sanjin.model.job import JobSpec, JobState, Submission
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord
from sanjin.model.region import DataGrade

AFTER_MAX = 100
"""Jobs that one job may come after."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # of a folder in $SANJIN_INPUTS
_GRADES = tuple(DataGrade)

Known = Mapping[tuple[str, str], JobRecord]
"""Jobs by tenant and the name that another gives them: key or id."""


def named(submissions: Sequence[Submission]) -> dict[str, list[str]]:
    """The names of jobs that these come after, by tenant."""
    found: dict[str, list[str]] = {}
    for s in submissions:
        if s.spec.after:
            found.setdefault(s.spec.tenant, []).extend(s.spec.after)
    return found


def look_up(
    submissions: Sequence[Submission],
    by_key: Callable[[str, Sequence[str]], dict[str, JobRecord]],
    by_id: Callable[[Sequence[str]], dict[str, JobRecord]],
) -> dict[tuple[str, str], JobRecord]:
    """The jobs that these come after and that were submitted before, by tenant and name."""
    found: dict[tuple[str, str], JobRecord] = {}
    for tenant, names in named(submissions).items():
        ids = by_id(names)
        found |= {(tenant, name): r for name, r in ids.items() if r.owned and r.spec.tenant == tenant}
        found |= {(tenant, name): r for name, r in by_key(tenant, names).items()}
    return found


def published(submissions: Sequence[Submission]) -> list[Submission]:
    """The submissions; those that others of them come after publish their outputs."""
    followed = {(s.spec.tenant, name) for s in submissions for name in s.spec.after}
    return [
        replace(s, spec=replace(s.spec, publish=True)) if (s.spec.tenant, s.key) in followed else s for s in submissions
    ]


def check(submissions: Sequence[Submission], known: Known, at: Callable[[int], str]) -> Iterator[Problem]:
    """What is wrong with the order of these jobs; ``at`` is the path of the spec of each."""
    own = {(s.spec.tenant, s.key): s for s in submissions}
    for i, s in enumerate(submissions):
        path, spec = f"{at(i)}.after", s.spec
        if len(set(spec.after)) != len(spec.after):
            yield problem("after_twice", path)
        if len(spec.after) > AFTER_MAX:
            yield problem("too_big", path, value=len(spec.after), most=AFTER_MAX)
        if spec.after and spec.reserves:
            yield problem("reserve_after", path)
        for number, name in enumerate(spec.after):
            yield from _edge(spec, name, own, known, f"{path}[{number}]")
    if ring := _ring(own):
        yield problem("after_ring", f"{at(ring[0])}.after", value=", ".join(submissions[i].key for i in ring))


def _edge(
    spec: JobSpec, name: str, own: Mapping[tuple[str, str], Submission], known: Known, path: str
) -> Iterator[Problem]:
    key = (spec.tenant, name)
    first = own[key].spec if key in own else known[key].spec if key in known else None
    if not _NAME.fullmatch(name):
        yield problem("after_name", path, value=name)
    elif first is None:
        yield problem("after_unknown", path, value=name, tenant=spec.tenant)
    elif not first.publish and key not in own:
        yield problem("after_unpublished", path, value=name)
    elif first.reserves:
        yield problem("after_reservation", path, value=name)
    elif _GRADES.index(first.grade) > _GRADES.index(spec.grade):
        yield problem("after_grade", path, value=spec.grade.value, job=name, grade=first.grade.value)
    elif name in spec.inputs:
        yield problem("after_input", path, value=name)


def _ring(own: Mapping[tuple[str, str], Submission]) -> list[int]:
    """Positions of submissions that come after each other in a ring, or after such; none where there is no ring."""
    left = {key: {(s.spec.tenant, name) for name in s.spec.after} & own.keys() for key, s in own.items()}
    while free := [key for key, before in left.items() if not before]:
        for key in free:
            del left[key]
        for before in left.values():
            before.difference_update(free)
    order = {key: i for i, key in enumerate(own)}
    return sorted(order[key] for key in left)


def waits_for(spec: JobSpec, ids: Mapping[tuple[str, str], str]) -> tuple[tuple[str, str], ...]:
    """The jobs that a job comes after, as its record holds them; ``ids`` by tenant and name."""
    return tuple((ids[spec.tenant, name], name) for name in spec.after)


def follow(view: View, ended: JobRecord, now_s: int) -> Iterator[ev.Fed | ev.Ended]:
    """What the end of a job means to those that come after it."""
    for job in list(view.followers.pop(ended.id, ())):
        record = view.jobs.get(job)
        if record is not None and not record.state.ended:
            yield _told(record, ended, now_s)


def begin(
    view: View, job: str, find: Callable[[Sequence[str]], dict[str, JobRecord]], now_s: int
) -> Iterator[ev.Fed | ev.Ended]:
    """What jobs that had ended before mean to one that was just submitted; ``find`` finds jobs by id."""
    record = view.jobs[job]
    over = [each for each, _ in record.waits_for if each not in view.jobs]
    for ended in find(over).values() if over else ():
        if not view.jobs[job].state.ended:
            yield _told(view.jobs[job], ended, now_s)


def _told(record: JobRecord, ended: JobRecord, now_s: int) -> ev.Fed | ev.Ended:
    name = next(name for job, name in record.waits_for if job == ended.id)
    if ended.state is not JobState.SUCCEEDED:
        return without_run(record, JobState.FAILED, Reason.UPSTREAM_ENDED, now_s, f"{name}: {ended.id}: {ended.state}")
    return ev.Fed(job=record.id, by=ended.id, artifacts=tuple(_named(a, ended.id, name) for a in ended.left))


def _named(artifact: Artifact, job: str, name: str) -> Artifact:
    """The artifact under its name for the job that gets it: those of an array's parts have what names the part too."""
    part = artifact.dataset.removeprefix(job).removesuffix(OUTPUTS)
    return replace(artifact, name=f"{name}{part}")
