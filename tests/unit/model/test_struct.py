"""Records: a changed copy differs in what was changed, and in nothing else."""

from __future__ import annotations

import msgspec
import pytest

from sanjin.model.job import JobSpec, JobState
from sanjin.model.record import JobRecord
from sanjin.model.struct import changed


def test_a_changed_record_differs_in_what_was_changed_and_leaves_the_first_alone() -> None:
    one = JobRecord(id="n-1", key="k", spec=JobSpec(name="x", command=("true",)), state=JobState.HELD, barred=("a",))
    before = msgspec.structs.asdict(one)
    for field in msgspec.structs.fields(JobRecord):
        assert msgspec.structs.asdict(changed(one, **{field.name: "other"})) == before | {field.name: "other"}
    assert msgspec.structs.asdict(one) == before
    assert changed(one) == one and changed(one) is not one
    with pytest.raises(TypeError):
        changed(one, unknown=1)
