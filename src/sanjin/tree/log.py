"""A node's transparent log: its journal as tiles, checkpoints and proofs; and who has cosigned them.

The node keeps in its ``log`` folder each full tile of hashes, computed once, and the last checkpoint that it
signed. What was signed stays: a journal that was rewritten afterwards no longer fits its tiles, and the log
then refuses to sign, to prove or to hand out what does not fit (AuditBroken).
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import msgspec

from sanjin.flow import notes, transparency
from sanjin.flow.audit import happening
from sanjin.flow.notes import BadNote, Checkpoint, SigningKey, VerifierKey
from sanjin.flow.transparency import WIDTH, ProofFailed, TileName, Tree
from sanjin.model.errors import AuditBroken, LogForked, NotFound, Problem, SanjinError, StaleSize
from sanjin.model.log import Cosigned, Exported, GrowthProof, InclusionProof, LogEntry
from sanjin.model.status import AuditResult, Happening
from sanjin.ports import Entry, Files, Store

CHECKPOINT = "checkpoint"
WITNESSES = "witnesses"
"""The file of the public keys of those who are asked to cosign, one a line."""

ENTRIES_A_READ = 20 * WIDTH

Witness = Callable[[int, Sequence[bytes], bytes], str]
"""``cosign`` of a :class:`sanjin.tree.cosigner.Cosigner`, here or through a call to another node."""


def origin_of(region: str, node: str) -> str:
    """The name of a node's log, first line of its checkpoints and name of its key."""
    return f"sanjin/{region}/{node}"


def witness_name(region: str, node: str) -> str:
    """The name of the key that a node cosigns other logs with."""
    return f"{origin_of(region, node)}/witness"


def cosigned_file(key: VerifierKey) -> str:
    """Where the last checkpoint that this witness cosigned is kept, and stands in an export."""
    return f"cosigned/{key.id().hex()}"


class NodeLog:
    """The log of ``node``, whose journal is in ``store``; ``key`` (of kind ED25519) signs as the log's origin.

    ``files`` is the node's ``log`` folder. ``witnesses`` are asked for a cosignature on each new checkpoint, by
    name; one that does not answer is left out, one that says that the log forked stops it. Witnesses on other
    machines (:meth:`elsewhere`) are not asked by :meth:`checkpoint`, so that it never waits for a line: they sign
    when :meth:`ask` is called, or send what they signed (:meth:`keep`). Safe to use from several threads, and from
    several processes on one folder.
    """

    def __init__(self, node: str, store: Store, files: Files, key: SigningKey) -> None:
        self.node = node
        self.key = key
        self.verifier = key.verifier()
        self.witnesses: dict[VerifierKey, Witness] = {}
        self._store = store
        self._files = files
        self._tree: Tree | None = None
        self._mine = threading.RLock()

    # -- signing

    def checkpoint(self) -> bytes:
        """The checkpoint over the whole journal, signed, with what cosignatures could be had.

        Raises AuditBroken where the journal does not go on from what was signed before.
        """
        with self._mine, self._files.alone():
            kept = self._files.read(CHECKPOINT)
            before = self._open(kept) if kept else Checkpoint(self.key.name, 0, transparency.EMPTY)
            tree = self._grown(before.size)
            self._check_goes_on(tree, before)
            had = self._signed(kept) if kept and tree.size == before.size else {}
            if kept and tree.size == before.size and len(had) == len(self.witnesses):
                return kept
            now = Checkpoint(self.key.name, tree.size, tree.root())
            note = f"{now.text()}\n{self.key.sign(now.text())}".encode()
            note += self._cosignatures(note, now, before, had).encode()
            self._files.write(CHECKPOINT, note, durable=True)
            return note

    def last(self) -> tuple[Checkpoint, bytes] | None:
        """The last checkpoint that was signed, as kept; None where none was."""
        kept = self._files.read(CHECKPOINT)
        return (self._open(kept), kept) if kept else None

    def _open(self, note: bytes) -> Checkpoint:
        try:
            return notes.open_checkpoint(note, self.verifier)[0]
        except BadNote as fault:
            raise AuditBroken(f"{self.node}: the checkpoint that was kept is not this log's: {fault}") from fault

    def _signed(self, data: bytes) -> dict[str, str]:
        """The lines of the witnesses that signed a note, by the text of their keys."""
        note = notes.parse_note(data)
        return {
            key.text(): each.line()
            for key in self.witnesses
            for each in note.signatures
            if (each.name, each.key_id) == (key.name, key.id())
        }

    def _grown(self, signed: int, *, afresh: bool = False) -> Tree:
        """The tree over the journal as it is, its new full tiles written; ``afresh``: all of them once more."""
        tip, _ = self._store.tip()
        tree = Tree() if afresh else self._tree
        if tree is None or (not afresh and tree.size < signed // WIDTH * WIDTH):
            full = signed // WIDTH * WIDTH
            # where a tile is missing all are made again from the journal: the signed root tells whether they fit
            tree = transparency.restored(full, lambda name: self._files.read(name.path())) or Tree()
        if tip < max(tree.size, signed):
            raise AuditBroken(f"{self.node}: the journal ends at {tip}; {max(tree.size, signed)} entries were signed")
        self._tree = None  # half of an extension is no tree
        for tile, data in tree.extend(transparency.leaf_hash(leaf) for leaf in self._leaves(tree.size, tip)):
            self._files.write(tile.path(), data)
        self._tree = tree
        return tree

    def _leaves(self, after: int, upto: int) -> Iterator[bytes]:
        return (self._leaf(entry) for entry in self._entries(after, upto))

    def _leaf(self, entry: Entry) -> bytes:
        try:
            return transparency.leaf_of(entry)
        except ValueError as fault:
            raise AuditBroken(f"{self.node}: {fault}") from fault

    def _shown(self, entry: Entry) -> Happening:
        try:
            return happening(self.node, entry)
        except msgspec.MsgspecError as fault:
            raise AuditBroken(f"{self.node}: journal[{entry.seq}] cannot be read: {fault}") from fault

    def _entries(self, after: int, upto: int) -> Iterator[Entry]:
        while after < upto:
            part = self._store.journal(after=after, limit=min(ENTRIES_A_READ, upto - after))
            if not part:
                raise AuditBroken(f"{self.node}: journal[{after + 1}] is missing")
            for entry in part:
                after += 1
                if entry.seq != after:
                    raise AuditBroken(f"{self.node}: journal[{after}] is missing")
                yield entry

    def _check_goes_on(self, tree: Tree, before: Checkpoint) -> None:
        # by the tiles that are now, the root of then must come out
        root = transparency.range_root((0, before.size), self._subtrees(tree)) if before.size else transparency.EMPTY
        if root != before.root:
            raise AuditBroken(
                f"{self.node}: the first {before.size} entries are not those that were signed: the journal, or tiles"
                " of its log, were changed"
            )

    def _cosignatures(self, note: bytes, now: Checkpoint, before: Checkpoint, had: dict[str, str]) -> str:
        """A line of each witness that signs; ``had`` are those there are already, by the text of the key."""
        lines = ""
        for key, cosign in self.witnesses.items():
            if key.text() in had:
                lines += had[key.text()]
                continue
            try:
                line = self._ask(cosign, note, now, before.size)
                if notes.parse_note(note + line.encode()).times([key]):
                    lines += line
            except AuditBroken:
                raise
            except (SanjinError, BadNote):
                continue  # it does not answer, or not as it should: the checkpoint stands without it
        return lines

    def _ask(self, cosign: Witness, note: bytes, now: Checkpoint, old: int) -> str:
        try:
            return cosign(old, self._growth(old, now.size), note)
        except StaleSize as fault:
            if fault.size > now.size:
                what = f"{self.node}: a witness has signed {fault.size} entries; here are {now.size}"
                raise LogForked(what) from fault
            return cosign(fault.size, self._growth(fault.size, now.size), note)

    # -- witnesses on other machines

    def elsewhere(self) -> list[VerifierKey]:
        """The keys of the witnesses on other machines, as the node has kept them."""
        kept = self._files.read(WITNESSES)
        return [notes.parse_verifier(line) for line in kept.decode().splitlines()] if kept else []

    def look_to(self, keys: Sequence[VerifierKey]) -> None:
        """Keep the keys of the witnesses on other machines; what others signed before is no longer told of."""
        if list(keys) != self.elsewhere():
            self._files.write(WITNESSES, "".join(f"{key.text()}\n" for key in keys).encode())

    def cosigners(self) -> list[VerifierKey]:
        """The keys of all its witnesses, here and elsewhere."""
        return [*self.witnesses, *self.elsewhere()]

    def request(self, old: int) -> bytes:
        """What asks a witness that has seen ``old`` entries to sign the last checkpoint (tlog-witness). Raises
        NotFound where the last checkpoint has fewer."""
        now, note = self._asked(old)
        return notes.witness_request(old, self._growth(old, now.size), note)

    def ask(self, key: VerifierKey, cosign: Witness) -> None:
        """Have a witness elsewhere sign the last checkpoint, and keep that.

        Raises LogForked where it has seen another history, or whatever else ``cosign`` raises.
        """
        before = self._cosigned(key)
        old = before[0].size if before else 0
        now, note = self._asked(old)
        self.keep(key, note + self._ask(cosign, note, now, old).encode())

    def _asked(self, old: int) -> tuple[Checkpoint, bytes]:
        last = self.last()
        now, note = last if last else (Checkpoint(self.key.name, 0, transparency.EMPTY), b"")
        if not note or old > now.size:
            raise NotFound(f"{self.node}: a witness has signed {old} entries, the last checkpoint has {now.size}")
        return now, note

    def keep(self, key: VerifierKey, note: bytes) -> None:
        """Keep a checkpoint of this log that the witness with ``key`` has cosigned. Raises AuditBroken."""
        try:
            now, signed = notes.open_checkpoint(note, self.verifier)
            times = signed.times([key])
        except BadNote as fault:
            raise AuditBroken(f"{self.node}: what {key.name} signed does not verify: {fault}") from fault
        if not times:
            raise AuditBroken(f"{self.node}: {key.name} has not signed what it sends")
        with self._mine, self._files.alone():
            before = self._cosigned(key)
            if before and before[0].size > now.size:
                return
            line = next(s.line() for s in signed.signatures if (s.name, s.key_id) == (key.name, key.id()))
            own = f"{signed.text}\n{self.key.sign(signed.text)}{line}".encode()
            self._files.write(cosigned_file(key), own)
            last = self._files.read(CHECKPOINT)
            if last and (there := notes.parse_note(last)).text == signed.text and not there.times([key]):
                self._files.write(CHECKPOINT, last + line.encode(), durable=True)

    def _cosigned(self, key: VerifierKey) -> tuple[Checkpoint, bytes, int] | None:
        """(checkpoint, note, time) of what a witness signed last."""
        note = self._files.read(CHECKPOINT if key in self.witnesses else cosigned_file(key))
        try:
            found = notes.open_checkpoint(note, self.verifier) if note else None
            times = found[1].times([key]) if found else {}
        except BadNote:
            return None
        return (found[0], note, times[key.text()]) if note and found and times else None

    def cosigned(self) -> list[Cosigned]:
        """What each witness has signed last, and when; those that never signed too."""
        found: list[Cosigned] = []
        for key in self.cosigners():
            now, note, at_s = self._cosigned(key) or (None, b"", 0)
            size = now.size if now else 0
            found.append(Cosigned(name=key.name, key=key.text(), size=size, at_s=at_s, checkpoint=note.decode()))
        return found

    # -- what is published

    def tile(self, name: TileName) -> bytes:
        """A tile of hashes, or a bundle of entries where its level is -1, within the last checkpoint.

        Raises NotFound where the log has none such, AuditBroken where the journal no longer fits.
        """
        size = self.size()
        if not 0 < name.width <= transparency.tile_width(max(name.level, 0), name.index, size):
            raise NotFound(f"the log of {self.node} has {size} entries and no {name.path()}")
        return self._bundle(name) if name.level < 0 else self._tile(name)

    def size(self) -> int:
        """How many entries the last checkpoint is over; a checkpoint is made where there is none."""
        last = self.last()
        return last[0].size if last else self._open(self.checkpoint()).size

    def _tile(self, name: TileName) -> bytes:
        found = self._known(name)
        if found is None:
            with self._mine, self._files.alone():
                last = self.last()
                signed = last[0] if last else Checkpoint(self.key.name, 0, transparency.EMPTY)
                # another process may have signed more than this one knows; or a tile was removed
                lost = transparency.tile_width(name.level, name.index, signed.size) == WIDTH
                self._check_goes_on(self._grown(signed.size, afresh=lost), signed)
            found = self._known(name)
        if found is None:
            raise AuditBroken(f"{self.node}: {name.path()} of the signed log cannot be made from the journal")
        return found

    def _known(self, name: TileName) -> bytes | None:
        length = name.width * transparency.HASH
        data = self._files.read(TileName(name.level, name.index).path())
        if data is not None:
            return data[:length] if len(data) >= length else None
        with self._mine:  # it is not full: its hashes are at the tree's edge
            tree = self._tree
            if tree is None or name.level >= len(tree.edges) or tree.size >> 8 * (name.level + 1) != name.index:
                return None
            edge = tree.edges[name.level]
            return b"".join(edge[: name.width]) if len(edge) >= name.width else None

    def _bundle(self, name: TileName) -> bytes:
        first = name.index * WIDTH
        leaves = list(self._leaves(first, first + name.width))
        self._check_fits(leaves, name)
        return transparency.bundle(leaves)

    def _check_fits(self, leaves: Sequence[bytes], name: TileName) -> None:
        signed = transparency.split_hashes(self._tile(TileName(0, name.index, name.width)))
        for offset, (leaf, known) in enumerate(zip(leaves, signed, strict=True)):
            if transparency.leaf_hash(leaf) != known:
                seq = name.index * WIDTH + offset + 1
                raise AuditBroken(f"{self.node}: journal[{seq}] is not the entry that was signed")

    def export(self, to: Files) -> Exported:
        """Write the log to ``to`` as static files, the checkpoint last; what is there already stays.

        Raises AuditBroken where ``to`` holds a checkpoint that this log does not go on from.
        """
        note = self.checkpoint()
        now = self._open(note)
        there = to.read(CHECKPOINT)
        if there is not None:
            old = self._open(there)
            if old.size > now.size or self._root(old.size) != old.root:
                raise AuditBroken(f"{self.node}: what was exported there is not a beginning of this log")
        # files without a checkpoint are what an export left that did not end: nothing vouches for them
        anew = there is None
        names = list(transparency.tiles_of(now.size))
        bundles = sum(self._put(to, TileName(-1, n.index, n.width), anew) for n in names if n.level == 0)
        tiles = sum(self._put(to, name, anew) for name in names)
        to.write("key", f"{self.verifier.text()}\n".encode())
        to.write(WITNESSES, "".join(f"{key.text()}\n" for key in self.cosigners()).encode())
        for key in self.elsewhere():  # these may have signed an earlier one
            if kept := self._cosigned(key):
                to.write(cosigned_file(key), kept[1])
        to.write(CHECKPOINT, note)
        signed = notes.parse_note(note).times(self.cosigners())
        cosigners = tuple(key.name for key in self.cosigners() if key.text() in signed)
        return Exported(
            node=self.node, folder="", size=now.size, tiles=tiles, bundles=bundles, cosigned_by=cosigners,
            key=self.verifier.text(),
        )

    def _put(self, to: Files, name: TileName, anew: bool) -> bool:
        if to.has(name.path()) and not anew:
            return False
        to.write(name.path(), self.tile(name))
        if name.width == WIDTH:  # the partial ones that it was before are no longer wanted
            to.remove_folder(f"{name.path()}.p")
        return True

    # -- proofs

    def inclusion(self, seq: int) -> InclusionProof:
        """The proof that journal entry ``seq`` is in the log. Raises NotFound; AuditBroken where it does not fit."""
        note = self.checkpoint()
        now = self._open(note)
        if not 1 <= seq <= now.size:
            raise NotFound(f"the journal of {self.node} has {now.size} entries and no entry {seq}")
        index = seq - 1
        entry = next(self._entries(index, seq))
        leaf = self._leaf(entry)
        subtree = self._subtrees_of(now.size)
        proof = [transparency.range_root(r, subtree) for r in transparency.inclusion_ranges(index, now.size)]
        try:
            transparency.check_inclusion(transparency.leaf_hash(leaf), index, now.size, proof, now.root)
        except ProofFailed as fault:
            raise AuditBroken(f"{self.node}: journal[{seq}] is not the entry that was signed: {fault}") from fault
        return InclusionProof(
            entry=self._shown(entry), leaf=leaf.decode(), index=index, size=now.size,
            hashes=tuple(map(_text, proof)), checkpoint=note.decode(), key=self.verifier.text(),
        )

    def growth(self, old: int) -> GrowthProof:
        """The proof that the log goes on from its first ``old`` entries. Raises NotFound."""
        note = self.checkpoint()
        now = self._open(note)
        if not 0 <= old <= now.size:
            raise NotFound(f"the log of {self.node} has {now.size} entries, not {old}")
        return GrowthProof(
            node=self.node, old_size=old, size=now.size, hashes=tuple(map(_text, self._growth(old, now.size))),
            checkpoint=note.decode(), key=self.verifier.text(),
        )

    def entries(self, after: int, limit: int) -> list[LogEntry]:
        """Entries after ``after`` within the last checkpoint, each with its leaf. Raises AuditBroken."""
        upto = min(after + limit, self.size())
        found: list[LogEntry] = []
        for entry in self._entries(after, upto):
            leaf = self._leaf(entry)
            digest = _text(transparency.leaf_hash(leaf))
            found.append(LogEntry(entry=self._shown(entry), leaf=leaf.decode(), leaf_hash=digest))
        return found

    def _growth(self, old: int, size: int) -> list[bytes]:
        subtree = self._subtrees_of(size)
        return [transparency.range_root(r, subtree) for r in transparency.growth_ranges(old, size)]

    def _root(self, size: int) -> bytes:
        return transparency.range_root((0, size), self._subtrees_of(size)) if size else transparency.EMPTY

    def _subtrees(self, tree: Tree) -> Callable[[int, int], bytes]:
        return self._subtrees_of(tree.size)

    def _subtrees_of(self, size: int) -> Callable[[int, int], bytes]:
        read: dict[TileName, bytes] = {}

        def tile(name: TileName) -> bytes:
            if name not in read:
                read[name] = self._tile(name)
            return read[name]

        return transparency.from_tiles(size, tile)

    def audited(self, result: AuditResult) -> AuditResult:
        """An audit's result with what of the journal is not as it was signed; all that was signed is read."""
        try:
            last = self.last()
            if last is None:
                return result
            signed, tree = last[0], Tree()
            for _ in tree.extend(transparency.leaf_hash(leaf) for leaf in self._leaves(0, signed.size)):
                pass
            if tree.root() == signed.root:
                return result
            what = f"the first {signed.size} entries are not those of the signed checkpoint"
        except AuditBroken as fault:
            what = str(fault)
        found = Problem("rewritten_log", "log", what, "compare with an exported log and with what witnesses signed")
        return replace(result, problems=(*result.problems, found))


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()

