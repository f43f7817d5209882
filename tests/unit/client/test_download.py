"""Downloads go on where they were cut, are verified, and stay in their folder."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanjin.client.download import COMING, Downloaded, download
from sanjin.model.data import DataFile
from sanjin.model.errors import DataDamaged, NotReachable


def of(name: str, content: bytes) -> DataFile:
    return DataFile(name, len(content), hashlib.sha256(content).hexdigest())


class Far:
    """Files behind a line that is cut after so many bytes, each time."""

    def __init__(self, cuts: list[int], **contents: bytes) -> None:
        self.contents, self.cuts, self.asked = contents, cuts, list[tuple[str, int]]()

    def read(self, name: str, offset: int) -> Iterator[bytes]:
        self.asked.append((name, offset))
        rest = self.contents[name][offset:]
        cut = self.cuts.pop(0) if self.cuts else len(rest)
        yield from (rest[i : i + 3] for i in range(0, min(cut, len(rest)), 3))
        if cut < len(rest):
            raise httpx.ReadError("cut")


@given(st.binary(max_size=60), st.lists(st.integers(0, 20), max_size=4))
def test_however_the_line_is_cut_the_file_arrives_whole(content: bytes, cuts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder, far = Path(made) / "new", Far(cuts, a=content)
        download((of("a", content),), folder, far.read)
        assert (folder / "a").read_bytes() == content
        assert not (folder / COMING).exists()
        offsets = [offset for _, offset in far.asked]
        assert offsets == sorted(offsets)
        again = download((of("a", content),), folder, far.read)
        assert again[0].fetched_bytes == 0


def test_a_download_of_yesterday_goes_on(tmp_path: Path) -> None:
    far = Far([4, 0, 0, 0, 0, 0], a=b"0123456789")
    with pytest.raises(NotReachable, match="call this again"):
        download((of("a", b"0123456789"),), tmp_path, far.read)
    far.cuts, far.asked = [], []
    (found,) = download((of("a", b"0123456789"),), tmp_path, far.read)
    assert (found.fetched_bytes, far.asked) == (4, [("a", 6)])
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_what_is_not_what_its_checksum_says_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"of before")
    far = Far([], a=b"good", b=b"evil", c=b"longer than said")
    with pytest.raises(DataDamaged, match="b: what came"):
        download((of("a", b"good"), of("b", b"live")), tmp_path, far.read)
    with pytest.raises(DataDamaged, match="c: what came"):
        download((of("c", b"longer"),), tmp_path, far.read)
    assert (tmp_path / "a").read_bytes() == b"good"
    assert (tmp_path / "b").read_bytes() == b"of before"
    far.contents["b"] = b"live"
    (found,) = download((of("b", b"live"),), tmp_path, far.read)
    assert found == Downloaded(
        name="b", path=str(tmp_path / "b"), bytes=4, sha256=of("b", b"live").sha256, fetched_bytes=4
    )


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "", ".", "a//b", "./a", f"{COMING}/x", "a\0"])
def test_no_name_leaves_the_folder_whoever_says_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataDamaged, match="cannot be the name"):
        download((of("a", b"x"), of(name, b"x")), tmp_path / "in", Far([], a=b"x").read)
    assert list(tmp_path.iterdir()) == []
