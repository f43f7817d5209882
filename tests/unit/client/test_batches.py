"""Jobs go to the API in as few calls as it takes them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanjin.client import client


@given(st.lists(st.binary(max_size=12), max_size=30))
def test_batches_hold_all_lines_in_order_and_no_more_than_a_call_may_carry(lines: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "BATCH", 4)
        patch.setattr(client, "BATCH_BYTES", 20)
        batches = [list(b) for b in client._batches(lines)]
    assert [line for b in batches for line in b] == lines
    assert all(b and len(b) <= 4 for b in batches)
    assert all(len(b) == 1 or len(b"\n".join(b)) < 20 for b in batches)
    # no two that stand beside each other would have gone in one
    for left, right in pairwise(batches):
        together = [*left, right[0]]
        assert len(together) > 4 or sum(len(line) + 1 for line in together) > 20
