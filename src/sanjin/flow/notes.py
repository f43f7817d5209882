"""Signed notes, checkpoints and cosignatures: the texts that a log and its witnesses sign.

A note (https://c2sp.org/signed-note) is a text that ends in a newline, an empty line, and a line for each
signature: ``— <key name> base64(key id | signature)``. A checkpoint (https://c2sp.org/tlog-checkpoint) is a
note whose text says a log's origin, size and root. A cosignature (https://c2sp.org/tlog-cosignature, v1) is a
witness's signature with a time, on a checkpoint. All are Ed25519 (RFC 8032). Keys are written as Go's
``sumdb/note`` writes them: ``<name>+<key id>+<base64>``, private ones after ``PRIVATE+KEY+``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = 1
"""Kind of the key that a log signs with."""

COSIGNATURE = 4
"""Kind of the key that a witness signs with: its signatures carry a time."""

NOTE_MAX = 1_000_000
SIGNATURES_MAX = 100
"""What is larger is refused before any of it is verified; the format asks for 16 at least."""

_SIGNATURE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_NUMBER = re.compile(r"0|[1-9]\d{0,18}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class BadNote(ValueError):
    """A note, checkpoint or key that is not well formed, or that no known key has signed."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key by name. ``kind`` is ED25519 or COSIGNATURE, ``public`` 32 bytes."""

    name: str
    kind: int
    public: bytes

    def id(self) -> bytes:
        """The four bytes that name the key in a signature (signed-note, Signatures)."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    def text(self) -> str:
        """The key as it is handed on: ``name+id+base64``."""
        return f"{self.name}+{self.id().hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"

    def time_of(self, text: str, signature: bytes) -> int:
        """When ``text`` was signed, seconds UTC (0: the kind tells no time). Raises BadNote where it was not."""
        try:
            key = Ed25519PublicKey.from_public_bytes(self.public)
            if self.kind == ED25519:
                key.verify(signature, text.encode())
                return 0
            at_s = int.from_bytes(signature[:8], "big")
            key.verify(signature[8:], _cosigned(text, at_s))
            return at_s
        except (InvalidSignature, ValueError) as fault:
            raise BadNote(f"the signature of {self.name} does not verify") from fault


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key by name; ``seed`` is 32 bytes from a good source of chance. Never printed."""

    name: str
    kind: int
    seed: bytes

    def __repr__(self) -> str:
        """Without the secret."""
        return f"SigningKey({self.name!r})"

    def verifier(self) -> VerifierKey:
        """The public half."""
        private = Ed25519PrivateKey.from_private_bytes(self.seed)
        return VerifierKey(self.name, self.kind, private.public_key().public_bytes_raw())

    def text(self) -> str:
        """The key as its file keeps it, as Go's ``note.GenerateKey`` writes it."""
        packed = base64.b64encode(bytes([self.kind]) + self.seed).decode()
        return f"PRIVATE+KEY+{self.name}+{self.verifier().id().hex()}+{packed}"

    def sign(self, text: str, at_s: int = 0) -> str:
        """A signature line on a note's text, with its newline; a witness's says the time ``at_s``."""
        private = Ed25519PrivateKey.from_private_bytes(self.seed)
        if self.kind == ED25519:
            signature = private.sign(text.encode())
        else:
            signature = at_s.to_bytes(8, "big") + private.sign(_cosigned(text, at_s))
        return Signature(self.name, self.verifier().id(), signature).line()


def _cosigned(text: str, at_s: int) -> bytes:
    return f"cosignature/v1\ntime {at_s}\n{text}".encode()


def parse_verifier(text: str) -> VerifierKey:
    """A public key from ``name+id+base64``. Raises BadNote."""
    name, number, packed = _three(text)
    data = _unpacked(packed)
    if len(data) != 33 or data[0] not in (ED25519, COSIGNATURE):
        raise BadNote("a key of a kind that is not known here")
    key = VerifierKey(name, data[0], data[1:])
    if key.id().hex() != number:
        raise BadNote("the key's id does not belong to it: it was not copied whole")
    return key


def parse_signing(text: str) -> SigningKey:
    """A private key from its file. Raises BadNote, which says nothing of the secret."""
    name, number, packed = _three(text.removeprefix("PRIVATE+KEY+"))
    data = _unpacked(packed)
    if not text.startswith("PRIVATE+KEY+") or len(data) != 33 or data[0] not in (ED25519, COSIGNATURE):
        raise BadNote("not a private key of a note")
    key = SigningKey(name, data[0], data[1:])
    if key.verifier().id().hex() != number:
        raise BadNote("the private key's id does not belong to it")
    return key


def _three(text: str) -> tuple[str, str, str]:
    parts = text.split("+", 2)
    if len(parts) != 3 or not parts[0] or re.search(r"\s", text):
        raise BadNote("not a key of the form name+id+base64")
    return parts[0], parts[1], parts[2]


def _unpacked(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as fault:
        raise BadNote("not base64") from fault


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature line: who signed, by name and key id, and the signature's bytes."""

    name: str
    key_id: bytes
    data: bytes

    def line(self) -> str:
        """As it stands in a note, with its newline."""
        return f"— {self.name} {base64.b64encode(self.key_id + self.data).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text, ending in a newline, and its signatures, none of which is verified yet."""

    text: str
    signatures: tuple[Signature, ...]

    def times(self, keys: Iterable[VerifierKey]) -> dict[str, int]:
        """Which of these keys signed, and when (0: the kind tells no time), by the key's text.

        Unknown signatures are passed over. Raises BadNote where one of a known key does not verify.
        """
        found: dict[str, int] = {}
        for key in keys:
            for each in self.signatures:
                if (each.name, each.key_id) == (key.name, key.id()):
                    found[key.text()] = key.time_of(self.text, each.data)
        return found


def parse_note(data: bytes) -> Note:
    """Read a note, strictly: one reading for every byte string. Raises BadNote; verifies nothing."""
    if len(data) > NOTE_MAX:
        raise BadNote("the note is too large")
    try:
        whole = data.decode()
    except UnicodeDecodeError as fault:
        raise BadNote("the note is not UTF-8") from fault
    if _CONTROL.search(whole):
        raise BadNote("the note holds control characters")
    text, gap, tail = whole.rpartition("\n\n")
    lines = tail.split("\n")
    if not gap or lines.pop() or not lines or len(lines) > SIGNATURES_MAX:
        raise BadNote("not a note: a text, an empty line, signatures")
    signatures: list[Signature] = []
    for line in lines:
        found = _SIGNATURE.fullmatch(line)
        packed = _unpacked(found[2]) if found else b""
        if found is None or len(packed) < 5:
            raise BadNote("a line after the text is not a signature")
        signatures.append(Signature(found[1], packed[:4], packed[4:]))
    return Note(text + "\n", tuple(signatures))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself: its origin, how many entries it has, and the root over them."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note's text (tlog-checkpoint, Note text), without extension lines."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Read a checkpoint's text; extension lines are allowed and not kept. Raises BadNote."""
    lines = text.split("\n")
    if len(lines) < 4 or not all(lines[:-1]) or lines[-1]:
        raise BadNote("not a checkpoint: origin, size, root")
    origin, size, packed = lines[:3]
    root = _unpacked(packed)
    if not _NUMBER.fullmatch(size) or len(root) != 32 or base64.b64encode(root).decode() != packed:
        raise BadNote("not a checkpoint: its size or root cannot be read")
    return Checkpoint(origin, int(size), root)


def open_checkpoint(data: bytes, key: VerifierKey) -> tuple[Checkpoint, Note]:
    """A checkpoint that ``key`` has signed, whose origin is the key's name. Raises BadNote."""
    note = parse_note(data)
    if not note.times([key]):
        raise BadNote(f"the checkpoint is not signed by {key.name}")
    found = parse_checkpoint(note.text)
    if found.origin != key.name:
        raise BadNote(f"the checkpoint is of {found.origin}, the key of {key.name}")
    return found, note


# -- the texts of tlog-witness (add-checkpoint) and tlog-proof


def witness_request(old: int, proof: Sequence[bytes], checkpoint: bytes) -> bytes:
    """The body of ``add-checkpoint`` (https://c2sp.org/tlog-witness): what a log asks a witness to sign."""
    lines = [f"old {old}", *(base64.b64encode(h).decode() for h in proof), "", ""]
    return "\n".join(lines).encode() + checkpoint


def parse_witness_request(data: bytes) -> tuple[int, list[bytes], bytes]:
    """(old size, proof, checkpoint) of such a body. Raises BadNote."""
    head, gap, checkpoint = data.partition(b"\n\n")
    first, *rest = head.split(b"\n")
    number = first.removeprefix(b"old ").decode("latin-1")
    if not gap or not first.startswith(b"old ") or not _NUMBER.fullmatch(number) or len(rest) > 63:
        raise BadNote("not a request to a witness: old size, proof, empty line, checkpoint")
    return int(number), [_hash(each) for each in rest], checkpoint


PROOF_HEAD = "c2sp.org/tlog-proof@v1"


def proof_text(leaf: bytes, index: int, proof: Sequence[bytes], checkpoint: bytes) -> bytes:
    """An inclusion proof that needs nothing else (https://c2sp.org/tlog-proof); ``extra`` is the leaf."""
    lines = [PROOF_HEAD, f"extra {base64.b64encode(leaf).decode()}", f"index {index}"]
    lines += [*(base64.b64encode(h).decode() for h in proof), "", ""]
    return "\n".join(lines).encode() + checkpoint


def parse_proof_text(data: bytes) -> tuple[bytes, int, list[bytes], bytes]:
    """(leaf, index, proof, checkpoint) of such a text. Raises BadNote; verifies nothing."""
    head, gap, checkpoint = data.partition(b"\n\n")
    lines = head.split(b"\n")
    if not gap or len(lines) < 3 or lines[0].decode("latin-1") != PROOF_HEAD:
        raise BadNote(f"not a proof: its first line is not {PROOF_HEAD}")
    extra, index = lines[1], lines[2].removeprefix(b"index ").decode("latin-1")
    if not extra.startswith(b"extra ") or not lines[2].startswith(b"index ") or not _NUMBER.fullmatch(index):
        raise BadNote("not a proof of an entry of a journal: it lacks its leaf or its index")
    leaf = _unpacked(extra.removeprefix(b"extra ").decode("latin-1"))
    return leaf, int(index), [_hash(each) for each in lines[3:]], checkpoint


def _hash(packed: bytes) -> bytes:
    found = _unpacked(packed.decode("latin-1"))
    if len(found) != 32:
        raise BadNote("a line of the proof is not a hash")
    return found
