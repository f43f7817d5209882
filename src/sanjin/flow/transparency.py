"""Transparency: a journal as an RFC 6962 Merkle log, in tiles of height 8 (https://c2sp.org/tlog-tiles).

The leaf of a journal entry is one line of JSON without spaces, its members in this order::

    {"seq":7,"at_s":1784073600,"kind":"job.placed","job":"datong-3","body_sha256":"<64 hex digits>"}

``body_sha256`` is the SHA-256 of the entry's body, the bytes of its JSON text without whitespace between
tokens. All of it can be had from what ``GET /v1/journal`` shows. The body stands in the leaf by its hash
for two reasons: a tile of entries gives an entry 65,535 bytes at most and a body may be longer; and who
keeps a copy of the log need not be shown what jobs do. Entry ``seq`` is leaf ``seq - 1``.

Everything here is a pure function of its arguments, but for :class:`Tree`, which grows.

Hashes (RFC 6962, section 2.1): leaf ``SHA-256(0x00 | leaf)``, node ``SHA-256(0x01 | left | right)``, the
empty tree ``SHA-256("")``. A tree of n > 1 leaves splits at the largest power of two below n.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from sanjin.model.status import Happening
from sanjin.ports import Entry

HEIGHT = 8
WIDTH = 1 << HEIGHT
"""Hashes in a full tile, and entries in a full bundle."""

HASH = 32
LEAF_MAX = 65_535
"""Bytes of a leaf at most: a bundle writes its length in 16 bits."""

EMPTY = hashlib.sha256(b"").digest()

_NUMBER = r"(?:x\d{3}/)*\d{3}"
_TILE = re.compile(rf"(0|[1-9]\d?|entries)/({_NUMBER})(?:\.p/([1-9]\d{{0,2}}))?", re.ASCII)
_TOP = 63


class ProofFailed(ValueError):
    """A proof does not lead from what is claimed to the root that was signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """What a leaf says of its entry; the order of the fields is the order of its bytes."""

    seq: int
    at_s: int
    kind: str
    job: str
    body_sha256: str


def leaf_bytes(seq: int, at_s: int, kind: str, job: str, body: bytes) -> bytes:
    """The leaf of a journal entry. Raises ValueError where it is longer than a bundle can hold."""
    found = Leaf(seq=seq, at_s=at_s, kind=kind, job=job, body_sha256=hashlib.sha256(body).hexdigest())
    made = msgspec.json.encode(found)
    if len(made) > LEAF_MAX:
        raise ValueError(f"entry {seq}: its leaf is {len(made)} bytes long, {LEAF_MAX} is the most")
    return made


def leaf_of(entry: Entry) -> bytes:
    """The leaf of a journal entry as stored."""
    return leaf_bytes(entry.seq, entry.at_s, entry.kind, entry.job, entry.body)


def leaf_shown(entry: Happening) -> bytes:
    """The leaf of an entry as ``GET /v1/journal`` shows it. Raises ValueError."""
    return leaf_bytes(entry.seq, entry.at_s, entry.kind, entry.job, msgspec.json.encode(entry.body))


def leaf_hash(leaf: bytes) -> bytes:
    """Hash of a leaf (RFC 6962, 2.1)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of two subtrees (RFC 6962, 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over these leaf hashes (or roots of subtrees of one size)."""
    if not hashes:
        return EMPTY
    level = list(hashes)
    while len(level) > 1:
        # the last of an odd number goes up as it is: that is where RFC 6962 splits
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(paired) * 2 :]
    return level[0]


def split_hashes(data: bytes) -> list[bytes]:
    """The hashes that a tile holds."""
    return [data[i : i + HASH] for i in range(0, len(data), HASH)]


# -- where tiles are


@dataclass(frozen=True, slots=True)
class TileName:
    """A tile, or a bundle of entries where ``level`` is -1. ``width`` below 256: a partial one."""

    level: int
    index: int
    width: int = WIDTH

    def path(self) -> str:
        """``tile/<L>/<N>[.p/<W>]`` as tlog-tiles has it."""
        groups = [f"{self.index % 1000:03d}"]
        rest = self.index // 1000
        while rest:
            groups.insert(0, f"x{rest % 1000:03d}")
            rest //= 1000
        level = "entries" if self.level < 0 else str(self.level)
        return f"tile/{level}/{'/'.join(groups)}" + ("" if self.width == WIDTH else f".p/{self.width}")


def parse_tile(path: str) -> TileName | None:
    """The tile of a path below ``tile/``; None where it is no such path. Each tile has one path only."""
    found = _TILE.fullmatch(path)
    if found is None:
        return None
    level, number, width = found.groups()
    name = TileName(
        -1 if level == "entries" else int(level),
        int(number.replace("x", "").replace("/", "")),
        WIDTH if width is None else int(width),
    )
    # a number with needless groups (x000/001), a width of 256 or a level beyond 63 is not how a tile is called
    return name if name.path() == f"tile/{path}" and name.level <= _TOP else None


def tile_width(level: int, index: int, size: int) -> int:
    """How many hashes tile ``index`` of ``level`` has in a tree of ``size`` leaves (0: there is none)."""
    return max(0, min(WIDTH, (size >> HEIGHT * level) - index * WIDTH))


def tiles_of(size: int) -> Iterator[TileName]:
    """Every tile of hashes of a tree, partial ones too, from the leaves up (tlog-tiles, Merkle Tree)."""
    level = 0
    while count := size >> HEIGHT * level:
        for index in range((count + WIDTH - 1) // WIDTH):
            yield TileName(level, index, tile_width(level, index, size))
        level += 1


def bundle(leaves: Iterable[bytes]) -> bytes:
    """A bundle of entries: each leaf after its length, 16 bits big-endian."""
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def unbundle(data: bytes) -> list[bytes]:
    """The leaves of a bundle. Raises ProofFailed where it is cut off."""
    found: list[bytes] = []
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        leaf = data[at + 2 : at + 2 + length]
        if at + 2 > len(data) or len(leaf) != length:
            raise ProofFailed("a bundle of entries is cut off")
        found.append(leaf)
        at += 2 + length
    return found


# -- a tree that grows


class Tree:
    """The right edge of a growing log: of every level, the hashes of the tile that is not full yet.

    What it needs to grow is at most 255 hashes a level, however long the log is.
    """

    def __init__(self) -> None:
        self.size = 0
        self.edges: list[list[bytes]] = []

    def extend(self, hashes: Iterable[bytes]) -> Iterator[tuple[TileName, bytes]]:
        """Append leaf hashes; gives each tile that becomes full, once. To be exhausted."""
        for each in hashes:
            self.size += 1
            yield from self._add(0, each)

    def _add(self, level: int, value: bytes) -> Iterator[tuple[TileName, bytes]]:
        if level == len(self.edges):
            self.edges.append([])
        edge = self.edges[level]
        edge.append(value)
        if len(edge) == WIDTH:
            index = (self.size >> HEIGHT * (level + 1)) - 1
            yield TileName(level, index), b"".join(edge)
            self.edges[level] = []
            yield from self._add(level + 1, root_of(edge))

    def root(self) -> bytes:
        """The root of the tree as it is."""
        found: bytes | None = None
        for edge in self.edges:
            # what lies right of a level's tile joins it as its last, smaller part
            parts = edge if found is None else [*edge, found]
            found = root_of(parts) if parts else None
        return EMPTY if found is None else found


def restored(size: int, read: Callable[[TileName], bytes | None]) -> Tree | None:
    """The tree of the ``size`` first leaves (a multiple of 256) from its full tiles; None where one is missing."""
    tree = Tree()
    tree.size = size
    level = 0
    while count := size >> HEIGHT * level:
        # a level's hashes are the roots of the tiles below it
        edge: list[bytes] = []
        for below in range(count // WIDTH * WIDTH, count) if level else ():
            data = read(TileName(level - 1, below))
            if data is None or len(data) != WIDTH * HASH:
                return None
            edge.append(root_of(split_hashes(data)))
        tree.edges.append(edge)
        level += 1
    return tree


# -- proofs: which subtrees they are made of

Range = tuple[int, int]
"""Leaves from the first to before the second."""


def _half(count: int) -> int:
    """The largest power of two below ``count``."""
    return 1 << (count - 1).bit_length() - 1


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """The subtrees whose roots prove leaf ``index`` in a tree of ``size``, from the leaf up (RFC 6962, 2.1.1)."""
    found: list[Range] = []
    first, last = 0, size
    while last - first > 1:
        middle = first + _half(last - first)
        if index < middle:
            found.append((middle, last))
            last = middle
        else:
            found.append((first, middle))
            first = middle
    return found[::-1]


def growth_ranges(old: int, size: int) -> list[Range]:
    """The subtrees that prove the first ``old`` leaves a beginning of the first ``size`` (RFC 6962, 2.1.2)."""
    if old in (0, size):
        return []
    found: list[Range] = []
    first, last = 0, size
    while last != old:
        middle = first + _half(last - first)
        if old <= middle:
            found.append((middle, last))
            last = middle
        else:
            found.append((first, middle))
            first = middle
    # what is left is a whole subtree of the old tree; the verifier has it already where it is the old tree itself
    return ([(first, last)] if first else []) + found[::-1]


def range_root(span: Range, subtree: Callable[[int, int], bytes]) -> bytes:
    """The root of a range that a proof names; ``subtree(height, index)`` gives complete subtrees."""
    first, last = span
    count = last - first
    if count == 0:
        return EMPTY
    if count & (count - 1) == 0:
        height = count.bit_length() - 1
        return subtree(height, first >> height)
    middle = first + _half(count)
    return node_hash(range_root((first, middle), subtree), range_root((middle, last), subtree))


def from_tiles(size: int, read: Callable[[TileName], bytes]) -> Callable[[int, int], bytes]:
    """``subtree`` for :func:`range_root` from the tiles of a tree of ``size``."""

    def subtree(height: int, index: int) -> bytes:
        level, inside = divmod(height, HEIGHT)
        tile, offset = divmod(index << inside, WIDTH)
        name = TileName(level, tile, tile_width(level, tile, size))
        part = read(name)[offset * HASH : (offset + (1 << inside)) * HASH]
        if len(part) != HASH << inside:
            raise ProofFailed(f"{name.path()} is too short")
        return root_of(split_hashes(part))

    return subtree


# -- proofs: verification, as RFC 9162 writes it out (sections 2.1.3.2 and 2.1.4.2; the trees are the same)


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raises ProofFailed unless ``proof`` leads from the leaf hash ``leaf``, leaf ``index``, to ``root``."""
    if not 0 <= index < size:
        raise ProofFailed(f"leaf {index} is not in a tree of {size}")
    at, last, found = index, size - 1, leaf
    for each in proof:
        if last == 0:
            raise ProofFailed("the proof is too long")
        if at & 1 or at == last:
            found = node_hash(each, found)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, each)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofFailed("the proof is too short")
    if found != root:
        raise ProofFailed("the proof does not lead to the root that was signed")


def check_growth(old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Raises ProofFailed unless ``proof`` shows that the log of ``size`` begins with that of ``old``."""
    if not 0 <= old <= size:
        raise ProofFailed(f"a log of {size} entries does not go on from {old}")
    if old in (0, size):
        if proof or (old == size and old_root != root) or (old == 0 and old_root != EMPTY):
            raise ProofFailed("two roots of one size differ" if not proof else "the proof is too long")
        return
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise ProofFailed("the proof is too short")
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    before = after = path[0]
    for each in path[1:]:
        if last == 0:
            raise ProofFailed("the proof is too long")
        if at & 1 or at == last:
            before, after = node_hash(each, before), node_hash(each, after)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            after = node_hash(after, each)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofFailed("the proof is too short")
    if before != old_root:
        raise ProofFailed("the older log is not a beginning of this one: it was rewritten or cut")
    if after != root:
        raise ProofFailed("the proof does not lead to the root that was signed")
