"""What a holder of a log's key can check without trusting the node: exported folders and proofs."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import msgspec

from sanjin.flow import notes, transparency
from sanjin.flow.notes import BadNote, Checkpoint, Note, VerifierKey
from sanjin.flow.transparency import WIDTH, ProofFailed, TileName, Tree
from sanjin.model.errors import AuditBroken, LogForked
from sanjin.model.log import Checked, GrowthProof, InclusionProof
from sanjin.ports import Files
from sanjin.tree.log import CHECKPOINT


class Checker:
    """Checks what the log with ``key`` shows. ``older`` is a checkpoint that was kept from before, where there
    is one; ``witnesses`` are keys that must have cosigned what is checked, all of them.

    Every method raises AuditBroken where something does not verify, LogForked where the log did not go on
    from ``older``.
    """

    def __init__(self, key: VerifierKey, older: bytes | None = None, witnesses: Sequence[VerifierKey] = ()) -> None:
        self.key = key
        self.witnesses = witnesses
        self.older = self._open(older)[0] if older is not None else None

    def folder(self, files: Files) -> Checked:
        """An exported folder: every entry is read and hashed again, up to the root that was signed.

        So an older checkpoint needs no proof: its root must come out on the way.
        """
        note = files.read(CHECKPOINT)
        if note is None:
            raise AuditBroken("there is no checkpoint in that folder")
        now, signed = self._open(note)
        tree, old = Tree(), self.older
        self._not_shorter(now)
        if old is not None and old.size == 0:
            self._same(tree, old, "the older checkpoint")
        for index in range((now.size + WIDTH - 1) // WIDTH):
            width = transparency.tile_width(0, index, now.size)
            for leaf in _leaves(files, index, width):
                for name, data in tree.extend([transparency.leaf_hash(leaf)]):
                    if files.read(name.path()) != data:
                        raise AuditBroken(f"{name.path()} does not follow from the entries")
                if old is not None and tree.size == old.size:
                    self._same(tree, old, "the older checkpoint")
        self._same(tree, now, "the checkpoint")
        return self._checked(now, signed, entries=now.size)

    def growth(self, proof: GrowthProof) -> Checked:
        """A proof that the log goes on from the older checkpoint, which must be given."""
        now, signed = self._open(proof.checkpoint.encode())
        old = self.older
        if old is None:
            raise AuditBroken("a proof of growth proves nothing without the older checkpoint")
        self._not_shorter(now)
        try:
            if proof.old_size != old.size or proof.size != now.size:
                raise ProofFailed(f"it is from {proof.old_size} to {proof.size} entries, not {old.size} to {now.size}")
            transparency.check_growth(old.size, old.root, now.size, now.root, _hashes(proof.hashes))
        except ProofFailed as fault:
            raise LogForked(f"{now.origin}: {fault}") from fault
        return self._checked(now, signed)

    def inclusion(self, leaf: bytes, index: int, hashes: Sequence[bytes], checkpoint: bytes) -> Checked:
        """A proof that a leaf is in the log, and that it is the leaf of the entry with its own number."""
        now, signed = self._open(checkpoint)
        try:
            transparency.check_inclusion(transparency.leaf_hash(leaf), index, now.size, hashes, now.root)
            seq = msgspec.json.decode(leaf, type=transparency.Leaf).seq
            if seq != index + 1:
                raise ProofFailed(f"the leaf of entry {seq} stands at {index}")
        except (ProofFailed, msgspec.MsgspecError) as fault:
            raise AuditBroken(f"{now.origin}: entry {index + 1}: {fault}") from fault
        return self._checked(now, signed, entry=seq, grown=False)

    def shown(self, proof: InclusionProof) -> Checked:
        """The same for a proof that shows the entry whole: the leaf is computed from what is shown."""
        try:
            leaf = transparency.leaf_shown(proof.entry)
        except ValueError as fault:
            raise AuditBroken(str(fault)) from fault
        return self.inclusion(leaf, proof.index, _hashes(proof.hashes), proof.checkpoint.encode())

    def _open(self, data: bytes) -> tuple[Checkpoint, Note]:
        try:
            return notes.open_checkpoint(data, self.key)
        except BadNote as fault:
            raise AuditBroken(str(fault)) from fault

    def _not_shorter(self, now: Checkpoint) -> None:
        if self.older is not None and now.size < self.older.size:
            raise LogForked(f"{now.origin}: {self.older.size} entries were signed before, here are {now.size}")

    def _same(self, tree: Tree, signed: Checkpoint, what: str) -> None:
        if tree.root() != signed.root:
            raise LogForked(f"{signed.origin}: the first {signed.size} entries are not those of {what}")

    def _checked(
        self, now: Checkpoint, note: Note, *, entries: int = 0, entry: int = 0, grown: bool = True
    ) -> Checked:
        cosigned: dict[str, int] = {}
        for witness in self.witnesses:
            try:
                times = note.times([witness])
            except BadNote as fault:
                raise AuditBroken(str(fault)) from fault
            if not times:
                raise AuditBroken(f"{now.origin}: the checkpoint is not cosigned by {witness.name}")
            cosigned[witness.name] = times[witness.text()]
        return Checked(
            origin=now.origin,
            size=now.size,
            root=base64.b64encode(now.root).decode(),
            grown_from=self.older.size if self.older is not None and grown else -1,
            entry=entry,
            entries_read=entries,
            cosigned=cosigned,
        )


def _leaves(files: Files, index: int, width: int) -> list[bytes]:
    name = TileName(-1, index, width)
    # a partial bundle may have become full since the checkpoint (tlog-tiles, Partial Tiles)
    data = files.read(name.path()) or files.read(TileName(-1, index).path())
    if data is None:
        raise AuditBroken(f"{name.path()} is missing")
    try:
        found = transparency.unbundle(data)[:width]
    except ProofFailed as fault:
        raise AuditBroken(f"{name.path()}: {fault}") from fault
    if len(found) != width:
        raise AuditBroken(f"{name.path()} has {len(found)} entries")
    return found


def _hashes(texts: Sequence[str]) -> list[bytes]:
    try:
        return [base64.b64decode(each, validate=True) for each in texts]
    except ValueError as fault:
        raise AuditBroken("a hash of the proof is not base64") from fault
