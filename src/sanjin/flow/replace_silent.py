"""Replace: work whose node has fallen silent is placed again, where its owner allowed that.

A line that is cut says nothing about what runs behind it. So ``effects: once`` waits until the node answers, or until
an operator has looked and confirms that it does not run; ``effects: repeatable`` may say after how long it is placed
again.
"""

from __future__ import annotations

from collections.abc import Iterator

from sanjin.flow.place import fits_here
from sanjin.flow.view import View
from sanjin.model import event as ev
from sanjin.model.job import Effects
from sanjin.model.record import JobRecord


def overdue(view: View, now_s: int) -> Iterator[ev.Replaced]:
    """Jobs whose node has been silent for longer than they wait."""
    if not view.silent:
        return
    for record in [view.jobs[job] for job in view.replaceable if job in view.jobs]:
        since_s = view.silent.get(record.sent_to)
        if since_s is None or record.spec.effects is not Effects.REPEATABLE or not _may_come_back(view, record):
            continue
        if now_s - since_s >= record.spec.replace_after_s:
            yield ev.Replaced(job=record.id, peer=record.sent_to, silent_s=now_s - since_s)


def confirm(view: View, job: str, now_s: int) -> list[ev.Event]:
    """An operator says that the silent node does not run this job. Nothing where it is not with a silent node."""
    record = view.jobs.get(job)
    if record is None or record.sent_to not in view.silent or not _may_come_back(view, record):
        return []
    silent_s = now_s - view.silent[record.sent_to]
    return [ev.Replaced(job=job, peer=record.sent_to, silent_s=silent_s, confirmed=True)]


def _may_come_back(view: View, record: JobRecord) -> bool:
    """Whether it can be placed again: its end was not asked for, and a job that went up has a pool here that fits."""
    if record.cancel_asked or not record.state.live or not record.sent_to:
        return False
    return record.sent_to != view.parent or fits_here(view, record.spec)
