"""Records: a changed copy is what dataclasses would make."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from sanjin.model.job import JobSpec, JobState
from sanjin.model.record import JobRecord, changed


def test_a_changed_record_is_the_replaced_one_and_leaves_the_first_alone() -> None:
    one = JobRecord(id="n-1", key="k", spec=JobSpec(name="x", command=("true",)), state=JobState.HELD, barred=("a",))
    for field in fields(JobRecord):
        assert changed(one, **{field.name: "other"}) == replace(one, **{field.name: "other"}) != one
    assert changed(one) == one and changed(one) is not one
    with pytest.raises(KeyError):
        changed(one, unknown=1)
