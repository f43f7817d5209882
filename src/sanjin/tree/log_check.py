"""What a holder of a log's key can check without trusting the node: exported folders and proofs."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from sanjin.flow import notes, transparency
from sanjin.flow.notes import BadNote, Checkpoint, Note, VerifierKey
from sanjin.flow.transparency import WIDTH, ProofFailed, TileName, Tree
from sanjin.model.errors import AuditBroken, LogForked
from sanjin.model.log import Checked, GrowthProof, InclusionProof
from sanjin.ports import Files
from sanjin.tree.log import CHECKPOINT, WITNESSES, cosigned_file


@dataclass(frozen=True, slots=True)
class _Shown:
    """That a witness signed this state of a log, and when."""

    key: VerifierKey
    state: Checkpoint
    at_s: int


class Checker:
    """Checks what the log with ``key`` shows. ``older`` is a checkpoint that was kept from before, where there
    is one; ``witnesses`` are keys that must have cosigned what is checked, or in a folder a beginning of it, all of
    them.

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
        shown = [each for key in self._named(files) if (each := self._before(files, key, now, signed))]
        for index in range((now.size + WIDTH - 1) // WIDTH):
            width = transparency.tile_width(0, index, now.size)
            for leaf in _leaves(files, index, width):
                for name, data in tree.extend([transparency.leaf_hash(leaf)]):
                    if files.read(name.path()) != data:
                        raise AuditBroken(f"{name.path()} does not follow from the entries")
                if old is not None and tree.size == old.size:
                    self._same(tree, old, "the older checkpoint")
                for each in shown:
                    if tree.size == each.state.size:
                        self._same(tree, each.state, f"the checkpoint that {each.key.name} cosigned")
        self._same(tree, now, "the checkpoint")
        found = self._checked(now, signed, entries=now.size, shown={each.key: each for each in shown})
        silent = tuple(k.name for k in self._named(files) if k.name not in found.cosigned)
        return replace(found, not_cosigned=silent)

    def _named(self, files: Files) -> list[VerifierKey]:
        """The witnesses that must have signed, then those that the log itself names."""
        try:
            named = [notes.parse_verifier(line) for line in (files.read(WITNESSES) or b"").decode().splitlines()]
        except ValueError as fault:  # BadNote, or no text
            raise AuditBroken(f"{WITNESSES}: {fault}") from fault
        return list(dict.fromkeys([*self.witnesses, *named]))

    def _before(self, files: Files, key: VerifierKey, now: Checkpoint, last: Note) -> _Shown | None:
        """What a witness has signed of this log: the checkpoint, or an earlier one that is kept beside it."""
        try:
            if times := last.times([key]):
                return _Shown(key, now, times[key.text()])
            note = files.read(cosigned_file(key))
            if note is None:
                return None
            state, signed = notes.open_checkpoint(note, self.key)
            times = signed.times([key])
        except BadNote as fault:
            raise AuditBroken(f"{cosigned_file(key)}: {fault}") from fault
        if state.size > now.size:
            raise LogForked(f"{now.origin}: {key.name} cosigned {state.size} entries, here are {now.size}")
        return _Shown(key, state, times[key.text()]) if times and state.size else None

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
        self,
        now: Checkpoint,
        note: Note,
        *,
        entries: int = 0,
        entry: int = 0,
        grown: bool = True,
        shown: Mapping[VerifierKey, _Shown] | None = None,
    ) -> Checked:
        found = dict(shown or {})
        for witness in self.witnesses:
            try:
                times = note.times([witness])
            except BadNote as fault:
                raise AuditBroken(str(fault)) from fault
            if times:
                found[witness] = _Shown(witness, now, times[witness.text()])
            elif witness not in found:
                raise AuditBroken(f"{now.origin}: the checkpoint is not cosigned by {witness.name}")
        return Checked(
            origin=now.origin,
            size=now.size,
            root=base64.b64encode(now.root).decode(),
            grown_from=self.older.size if self.older is not None and grown else -1,
            entry=entry,
            entries_read=entries,
            cosigned={key.name: each.at_s for key, each in found.items()},
            cosigned_size={key.name: each.state.size for key, each in found.items()},
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
