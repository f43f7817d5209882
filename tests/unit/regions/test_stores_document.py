"""The object stores in a document of engines: what is wrong with one is said, all at once."""

from __future__ import annotations

import pytest

from sanjin.model.engines import Keep, StoreKind
from sanjin.model.errors import ProblemsFound
from sanjin.regions.engines import read_engines

DOCUMENT = """
engines:
  luliang:
    engine: local
    store: {{kind: s3, endpoint: "{endpoint}", bucket: "{bucket}"}}
"""


def test_a_store_is_read() -> None:
    found = read_engines(DOCUMENT.format(endpoint="http://127.0.0.1:8333", bucket="sanjin"), "e.yaml")
    store = found["luliang"].store
    assert store is not None
    assert (store.kind, store.endpoint, store.bucket) == (StoreKind.S3, "http://127.0.0.1:8333", "sanjin")


@pytest.mark.parametrize(
    "endpoint", ["http://s3.luliang.example", "https://key:secret@s3.example", "https://s3.example/path", "s3.example"]
)
def test_an_address_and_a_name_that_cannot_be_are_said_together(endpoint: str) -> None:
    with pytest.raises(ProblemsFound) as caught:
        read_engines(DOCUMENT.format(endpoint=endpoint, bucket="not a name"), "e.yaml")
    assert {p.code for p in caught.value.problems} == {"not_a_store_name", "not_a_store_address"}
    assert "secret" not in str(caught.value)


def test_how_long_runs_are_kept_is_read() -> None:
    text = "engines:\n  linfen: {engine: local, keep_days: 0, keep_bytes: 5e11}\n  datong: {engine: local}\n"
    found = read_engines(text, "e.yaml")
    assert found["linfen"].keep == Keep(keep_days=0, keep_bytes=5 * 10**11)
    assert found["datong"].keep == Keep(keep_days=30, keep_bytes=0)
    with pytest.raises(ProblemsFound, match="keep_days"):
        read_engines("engines:\n  linfen: {engine: local, keep_days: -1}\n", "e.yaml")
