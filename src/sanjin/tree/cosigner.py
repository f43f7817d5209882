"""A cosigner: a node that signs the checkpoints of other nodes' logs, and never two that do not agree.

It keeps the last size and root that it signed of each log, durably and before it signs, and follows
tlog-witness (https://c2sp.org/tlog-witness, add-checkpoint). What it must not lose is that file: who sets it
back to an older one can make the cosigner sign two histories that part after that point.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from sanjin.flow import notes, transparency
from sanjin.flow.notes import BadNote, SigningKey, VerifierKey
from sanjin.flow.transparency import EMPTY, ProofFailed
from sanjin.model.errors import LogForked, NotAllowed, NotFound, SanjinError, StaleSize
from sanjin.ports import Files

SEEN = "seen.json"
"""The file of what was seen: for each origin its size and root."""

PROOF_MAX = 63
"""Hashes of a proof at most (tlog-witness)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The last checkpoint of a log that was signed. ``root`` is base64."""

    size: int
    root: str


class Cosigner:
    """Signs with ``key`` (of kind COSIGNATURE) what is consistent with all it signed before.

    ``logs`` are the logs it looks after: origin to the key that signs its checkpoints. ``files`` hold what it
    saw; ``now_s`` gives the time that a signature says, seconds UTC. Safe to call from several threads and,
    on one folder, from several processes.
    """

    def __init__(
        self, key: SigningKey, logs: Mapping[str, VerifierKey], files: Files, now_s: Callable[[], int]
    ) -> None:
        self.key = key
        self.logs = logs
        self._files = files
        self._now_s = now_s

    def seen(self, origin: str) -> tuple[int, bytes]:
        """Size and root of the last checkpoint that was signed; those of the empty log where none was.

        Raises SanjinError where the file of what was seen cannot be read: it then signs nothing.
        """
        found = self._all().get(origin)
        return (found.size, base64.b64decode(found.root)) if found else (0, EMPTY)

    def cosign(self, old_size: int, proof: Sequence[bytes], checkpoint: bytes) -> str:
        """Sign a checkpoint (a signed note), given the proof (RFC 6962, 2.1.2) that it goes on from ``old_size``.

        Returns the signature line, to be appended to the note. Raises NotFound for a log that it does not look
        after, NotAllowed where the log did not sign, StaleSize where ``old_size`` is not what it saw last (ask
        again from its ``size``), and LogForked where the log was rewritten or cut.
        """
        origin, note = self._opened(checkpoint)
        found = notes.parse_checkpoint(note.text)
        with self._files.alone():
            size, root = self.seen(origin)
            if found.size < size and old_size == size:
                raise LogForked(f"{origin}: shows {found.size} entries; {size} were signed before")
            if old_size != size:
                raise StaleSize(f"{origin}: the last size signed here is {size}, not {old_size}", size)
            if len(proof) > PROOF_MAX:
                raise LogForked(f"{origin}: a proof has {PROOF_MAX} hashes at most")
            try:
                transparency.check_growth(size, root, found.size, found.root, proof)
            except ProofFailed as fault:
                raise LogForked(f"{origin}: not signed: {fault}") from fault
            # first kept, then signed: a signature that nobody remembers would allow a second history
            if (found.size, found.root) != (size, root):
                self._keep(origin, Seen(found.size, base64.b64encode(found.root).decode()))
            return self.key.sign(note.text, self._now_s())

    def _opened(self, checkpoint: bytes) -> tuple[str, notes.Note]:
        try:
            note = notes.parse_note(checkpoint)
            origin = notes.parse_checkpoint(note.text).origin
        except BadNote as fault:
            raise NotAllowed(f"cannot sign: {fault}") from fault
        trusted = self.logs.get(origin)
        if trusted is None:
            raise NotFound(f"no log {origin} is looked after here")
        try:
            notes.open_checkpoint(checkpoint, trusted)
        except BadNote as fault:
            raise NotAllowed(f"cannot sign: {fault}") from fault
        return origin, note

    def _all(self) -> dict[str, Seen]:
        kept = self._files.read(SEEN)
        try:
            return {} if kept is None else msgspec.json.decode(kept, type=dict[str, Seen])
        except msgspec.DecodeError as fault:
            raise SanjinError(f"{SEEN}, what this cosigner saw, cannot be read ({fault}); restore it") from fault

    def _keep(self, origin: str, seen: Seen) -> None:
        data = msgspec.json.encode(self._all() | {origin: seen})
        self._files.write(SEEN, msgspec.json.format(data, indent=1), durable=True)
