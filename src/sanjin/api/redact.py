"""What a reader of a job who may not read its logs does not get: environment, arguments, output, client key."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import msgspec

from sanjin.model.record import JobRecord
from sanjin.model.struct import changed
from sanjin.ports import Entry


def record_of(record: JobRecord, private: bool, room_for: bool) -> JobRecord:
    """The record as it is shown; ``private`` and ``room_for`` (the job that it made room for) where they may be."""
    if not private:
        spec = replace(record.spec, environment={}, command=record.spec.command[:1])
        record = changed(record, spec=spec, detail="", key="")
    return record if room_for or not record.room_for else changed(record, room_for="")


def entry_of(entry: Entry, private: bool, room_for: bool, job: bool = True) -> Entry:
    """The journal entry as it is shown; without ``job`` it does not say of which job it is."""
    if private and job and (room_for or b'"room_for"' not in entry.body):
        return entry  # as nearly all are for their own tenant
    body = msgspec.json.decode(entry.body, type=dict[str, Any])
    if not private:
        for name in ("key", "detail"):
            if name in body:
                body[name] = ""
        spec = body.get("spec")
        if isinstance(spec, dict):
            shown = cast(dict[str, Any], spec)
            shown["environment"] = {}
            shown["command"] = shown.get("command", [])[:1]
    if not room_for and body.get("room_for"):
        body["room_for"] = ""
    if not job:
        body["job"] = ""
    return replace(entry, body=msgspec.json.encode(body), job=entry.job if job else "")
