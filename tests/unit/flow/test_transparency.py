"""Laws of the Merkle log: RFC 6962 written naively is the oracle; wrong proofs do not pass."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanjin.flow import transparency as tr
from sanjin.flow.transparency import EMPTY, ProofFailed, TileName, Tree


def mth(d: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word."""
    n = len(d)
    if n == 0:
        return hashlib.sha256().digest()
    if n == 1:
        return hashlib.sha256(b"\x00" + d[0]).digest()
    k = 1
    while k * 2 < n:
        k *= 2
    return hashlib.sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


def path(m: int, d: list[bytes]) -> list[bytes]:
    """RFC 6962, 2.1.1."""
    n = len(d)
    if n == 1:
        return []
    k = 1
    while k * 2 < n:
        k *= 2
    return [*path(m, d[:k]), mth(d[k:])] if m < k else [*path(m - k, d[k:]), mth(d[:k])]


def proof(m: int, d: list[bytes]) -> list[bytes]:
    """RFC 6962, 2.1.2."""
    return subproof(m, d, True)


def subproof(m: int, d: list[bytes], whole: bool) -> list[bytes]:
    n = len(d)
    if m == n:
        return [] if whole else [mth(d)]
    k = 1
    while k * 2 < n:
        k *= 2
    if m <= k:
        return [*subproof(m, d[:k], whole), mth(d[k:])]
    return [*subproof(m - k, d[k:], False), mth(d[:k])]


def leaves(n: int) -> list[bytes]:
    return [b"%d" % i for i in range(n)]


def grown(d: list[bytes], cuts: tuple[int, ...] = ()) -> tuple[Tree, dict[TileName, bytes]]:
    tree, tiles = Tree(), {}
    edges = [0, *sorted(min(c, len(d)) for c in cuts), len(d)]
    for first, last in pairwise(edges):
        for name, data in tree.extend(map(tr.leaf_hash, d[first:last])):
            assert name not in tiles  # each is computed once
            tiles[name] = data
    for level, edge in enumerate(tree.edges):
        if edge:
            tiles[TileName(level, tree.size >> 8 * (level + 1), len(edge))] = b"".join(edge)
    return tree, tiles


SIZES = st.one_of(st.integers(1, 70), st.sampled_from([255, 256, 257, 511, 512, 513, 700]))


def test_roots_are_those_of_the_reference_tree() -> None:
    # the inputs and roots that Certificate Transparency's implementations have tested with since 2013
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]
    data = [bytes.fromhex(i) for i in inputs]
    assert [grown(data[: n + 1])[0].root().hex() for n in range(8)] == roots
    assert Tree().root() == EMPTY == mth([])


@settings(max_examples=40, deadline=None)
@given(SIZES, st.lists(st.integers(0, 700), max_size=4))
def test_a_tree_that_grows_in_parts_is_the_tree(n: int, cuts: list[int]) -> None:
    d = leaves(n)
    tree, tiles = grown(d, tuple(cuts))
    assert tree.root() == mth(d)
    assert set(tiles) == set(tr.tiles_of(n))
    again = tr.restored(n // 256 * 256, tiles.get)
    assert again is not None
    list(again.extend(map(tr.leaf_hash, d[n // 256 * 256 :])))
    assert (again.size, again.root(), again.edges) == (tree.size, tree.root(), tree.edges)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_proofs_are_those_of_the_rfc_and_pass(data: st.DataObject) -> None:
    n = data.draw(SIZES)
    m = data.draw(st.integers(0, n - 1))
    old = data.draw(st.integers(0, n))
    d = leaves(n)
    tree, tiles = grown(d)
    subtree = tr.from_tiles(n, tiles.__getitem__)
    included = [tr.range_root(r, subtree) for r in tr.inclusion_ranges(m, n)]
    assert included == path(m, d)
    tr.check_inclusion(tr.leaf_hash(d[m]), m, n, included, tree.root())
    growth = [tr.range_root(r, subtree) for r in tr.growth_ranges(old, n)]
    assert growth == (proof(old, d) if old else [])
    tr.check_growth(old, mth(d[:old]), n, tree.root(), growth)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_wrong_proofs_do_not_pass(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 40))
    m = data.draw(st.integers(0, n - 1))
    old = data.draw(st.integers(1, n - 1))
    d = leaves(n)
    good, grow, leaf, root, before = path(m, d), proof(old, d), tr.leaf_hash(d[m]), mth(d), mth(d[:old])

    def spoilt(hashes: list[bytes]) -> list[bytes]:
        how = data.draw(st.sampled_from(["flip", "drop", "more", "swap"]))
        at = data.draw(st.integers(0, len(hashes) - 1))
        if how == "flip":
            bit = 1 << data.draw(st.integers(0, 7))
            return [*hashes[:at], bytes([hashes[at][0] ^ bit]) + hashes[at][1:], *hashes[at + 1 :]]
        if how == "drop":
            return hashes[:at] + hashes[at + 1 :]
        if how == "more":
            return [*hashes[:at], data.draw(st.binary(min_size=32, max_size=32)), *hashes[at:]]
        made = [*hashes[1:], hashes[0]]
        return made if made != hashes else hashes[:-1]

    bad, bad_grow = spoilt(good), spoilt(grow)
    with pytest.raises(ProofFailed):
        tr.check_inclusion(leaf, m, n, bad, root)
    with pytest.raises(ProofFailed):
        tr.check_inclusion(leaf, (m + 1) % n, n, good, root)
    with pytest.raises(ProofFailed):
        tr.check_inclusion(tr.leaf_hash(b"x"), m, n, good, root)
    with pytest.raises(ProofFailed):
        tr.check_growth(old, before, n, root, bad_grow)
    with pytest.raises(ProofFailed):
        tr.check_growth(old, tr.leaf_hash(b"x"), n, root, grow)
    with pytest.raises(ProofFailed):
        tr.check_growth(old, before, n, tr.leaf_hash(b"x"), grow)


@pytest.mark.parametrize("old", [0, 3, 7])
def test_one_size_has_one_root_and_no_proof(old: int) -> None:
    root = mth(leaves(old))
    tr.check_growth(old, root, old, root, [])
    for other, hashes in ((tr.leaf_hash(b"x"), []), (root, [root])):
        with pytest.raises(ProofFailed):
            tr.check_growth(old, root, old, other, hashes)
    with pytest.raises(ProofFailed):
        tr.check_growth(old + 1, root, old, root, [])


def test_tiles_are_called_as_the_specification_says() -> None:
    assert TileName(2, 1234067).path() == "tile/2/x001/x234/067"
    assert TileName(-1, 5, 17).path() == "tile/entries/005.p/17"
    # "a tree of size 70,000 will be represented by ..." (tlog-tiles, Partial Tiles)
    names = list(tr.tiles_of(70_000))
    assert [sum(n.level == level and n.width == 256 for n in names) for level in range(4)] == [273, 1, 0, 0]
    assert [(n.level, n.width) for n in names if n.width < 256] == [(0, 112), (1, 17), (2, 1)]
    assert [(n.level, n.width) for n in tr.tiles_of(256)] == [(0, 256), (1, 1)]
    for name in [*names, TileName(63, 10**9, 1), TileName(-1, 999), TileName(0, 1000)]:
        assert tr.parse_tile(name.path().removeprefix("tile/")) == name


@pytest.mark.parametrize(
    "path",
    ["", "0", "0/1", "00/001", "64/000", "0/x000/001", "0/001.p/0", "0/001.p/256", "0/001.p/01", "0/0001", "0/x001",
     "-1/000", "data/000", "0/001/002", "0/001.p/1/..", "0/٠٠١", "0/001\n"],
)  # fmt: skip
def test_what_is_no_tile_has_no_name(path: str) -> None:
    assert tr.parse_tile(path) is None


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_bundles_hold_what_was_put_in(found: list[bytes]) -> None:
    packed = tr.bundle(found)
    assert tr.unbundle(packed) == found
    if packed:
        with pytest.raises(ProofFailed):
            tr.unbundle(packed[:-1] if found[-1] else packed + b"\x01")


def test_the_leaf_of_an_entry_is_one_line_of_json() -> None:
    leaf = tr.leaf_bytes(7, 1784073600, "job.placed", "datong-3", b'{"a":1}')
    digest = hashlib.sha256(b'{"a":1}').hexdigest()
    start = b'{"seq":7,"at_s":1784073600,"kind":"job.placed","job":"datong-3",'
    assert leaf == start + f'"body_sha256":"{digest}"}}'.encode()
    # a body of any length fits, since it stands there by its hash
    assert len(tr.leaf_bytes(1, 0, "k", "j", b"x" * 10**6)) < 200
    with pytest.raises(ValueError, match="long"):
        tr.leaf_bytes(1, 0, "k", "j" * 65_536, b"")
