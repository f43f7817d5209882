"""Cosigning between nodes on machines of their own: a parent's desk and a child's rounds.

A child calls its parent, never the reverse. So a child has its checkpoints cosigned by the parent at once
(``add-checkpoint`` of https://c2sp.org/tlog-witness), and the parent's desk passes on what other witnesses are to
sign: it hands its own checkpoints and those of siblings to a child with an answer, and takes what the child signed
with that child's next call. The desk can drop what it passes on, but not sign it: each witness has a key of its own.

All of this is beside the work: the node's turns know nothing of it, and a checkpoint without cosignatures is as good
as before.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from sanjin.flow import notes
from sanjin.flow.notes import COSIGNATURE, ED25519, BadNote, VerifierKey
from sanjin.model.errors import NotAllowed, NotFound, SanjinError, StaleSize
from sanjin.ports import Files
from sanjin.tree.cosigner import Cosigner
from sanjin.tree.log import NodeLog, origin_of, witness_name

WITNESSES = 3
"""Of its children a parent asks so many to cosign its log; a child asks its parent and so many siblings."""

KNOWN = "known.json"
"""The file of the keys that each peer showed first."""

PASSED_MAX = 64 << 10
"""Bytes of a checkpoint with its proof, at most, that is passed on between siblings."""

log = logging.getLogger("sanjin.cosigning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A node's public keys as texts: of its log, and with which it cosigns others."""

    log: str
    witness: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """From a child. ``seen``: how many entries it has signed last, by the name of the log's node; ``asks``: what a
    sibling is to sign (an ``add-checkpoint`` body); ``signed``: checkpoints of other nodes that it has cosigned."""

    keys: Keys
    seen: dict[str, int] = field(default_factory=dict[str, int])
    asks: dict[str, bytes] = field(default_factory=dict[str, bytes])
    signed: dict[str, bytes] = field(default_factory=dict[str, bytes])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """From the parent. ``keys`` of itself and of the child's siblings; ``asks``: what the child is to sign, by the
    name of the log's node; ``signed``: the child's checkpoints by the witness that cosigned them; ``seen``: what
    each sibling has signed last of the child's log."""

    keys: dict[str, Keys]
    asks: dict[str, bytes]
    signed: dict[str, bytes]
    seen: dict[str, int]


encode = msgspec.msgpack.Encoder().encode
"""A word or a reply as it is sent."""

_word, _reply = msgspec.msgpack.Decoder(Word), msgspec.msgpack.Decoder(Reply)


def read_word(body: bytes) -> Word:
    """The word that :func:`encode` wrote. Raises ValueError where it is none."""
    return _word.decode(body)


def read_reply(body: bytes) -> Reply:
    """The reply that :func:`encode` wrote. Raises ValueError where it is none."""
    return _reply.decode(body)


class Line(Protocol):
    """How a child reaches its parent's desk."""

    def word(self, word: Word) -> Reply:
        """One call. Raises NotReachable, NotAllowed."""
        ...

    def add_checkpoint(self, old: int, proof: Sequence[bytes], note: bytes) -> str:
        """The parent's cosignature, as :meth:`sanjin.tree.cosigner.Cosigner.cosign` gives it."""
        ...


class Ring:
    """The keys of a node's peers. Those that a peer shows first are kept: another is refused until an operator
    removes the peer's line from the file, since who may change his key may change his history."""

    def __init__(self, region: str, files: Files) -> None:
        self._region = region
        self._files = files
        self._lock = threading.Lock()
        self.logs: dict[str, VerifierKey] = {}
        """Origin of a log to its key, as a :class:`Cosigner` takes it."""
        self._witnesses: dict[str, VerifierKey] = {}
        self._known: dict[str, Keys] = {}
        for node, keys in self._kept().items():
            self._take(node, keys)

    def learn(self, node: str, keys: Keys) -> None:
        """Take a peer's keys over, where it has shown none before. Raises NotAllowed where they are others."""
        with self._lock:
            known = self._known.get(node)
            if known is not None and known != keys:
                what = f"{node} shows other keys than before; if that is meant, remove its line from {KNOWN}"
                raise NotAllowed(what)
            if known is None:
                self._take(node, keys)
                data = msgspec.json.encode(self._known)
                self._files.write(KNOWN, msgspec.json.format(data, indent=1), durable=True)

    def _take(self, node: str, keys: Keys) -> None:
        origin, name = origin_of(self._region, node), witness_name(self._region, node)
        try:
            key, witness = notes.parse_verifier(keys.log), notes.parse_verifier(keys.witness)
        except BadNote as fault:
            raise NotAllowed(f"the keys of {node} cannot be used: {fault}") from fault
        if (key.name, key.kind, witness.name, witness.kind) != (origin, ED25519, name, COSIGNATURE):
            raise NotAllowed(f"the keys of {node} are not named {origin} and {name}")
        self._known[node] = keys
        self.logs[origin], self._witnesses[node] = key, witness

    def witness(self, node: str) -> VerifierKey | None:
        """With what a peer cosigns; None where it has shown nothing yet."""
        return self._witnesses.get(node)

    def known(self, nodes: Sequence[str]) -> dict[str, Keys]:
        """The keys of those of these nodes that have shown some."""
        return {node: self._known[node] for node in nodes if node in self._known}

    def _kept(self) -> dict[str, Keys]:
        kept = self._files.read(KNOWN)
        try:
            return msgspec.json.decode(kept, type=dict[str, Keys]) if kept else {}
        except msgspec.DecodeError as fault:
            raise SanjinError(f"{KNOWN}, the keys of peers, cannot be read ({fault}); restore it") from fault


@dataclass(slots=True, kw_only=True)
class Own:
    """What a node cosigns with: its log, its cosigner, the keys of its peers. A checkpoint is made every
    ``every_s`` wall seconds at most."""

    region: str
    node: str
    log: NodeLog
    cosigner: Cosigner
    ring: Ring
    every_s: float
    wall: Callable[[], float]
    _made_at: float = -1e9
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keys(self) -> Keys:
        """Its public keys."""
        return Keys(log=self.log.verifier.text(), witness=self.cosigner.key.verifier().text())

    def fresh(self) -> None:
        """Make a checkpoint, unless the last is not old enough. Raises AuditBroken."""
        with self._lock:
            now = self.wall()
            if now - self._made_at >= self.every_s:
                self._made_at = now
                self.log.checkpoint()

    def seen(self, node: str) -> int:
        """How many entries of a peer's log it has signed last."""
        return self.cosigner.seen(origin_of(self.region, node))[0]

    def sign(self, asks: Mapping[str, bytes]) -> dict[str, bytes]:
        """What it has cosigned of what it was asked to. What it does not sign it says in the program's log."""
        found: dict[str, bytes] = {}
        for node, body in asks.items():
            try:
                old, proof, note = notes.parse_witness_request(body)
                found[node] = note + self.cosigner.cosign(old, proof, note).encode()
            except StaleSize as fault:
                # it tells what it has seen, and is asked again from there
                log.debug("%s: %s: %s", self.node, node, fault)
            except (SanjinError, BadNote) as fault:
                log.warning("%s does not cosign the log of %s: %s", self.node, node, fault)
        return found


class Desk:
    """A parent's side, for its ``children``. Safe to call from several threads; may compute for some time where many
    entries were written since the last checkpoint."""

    def __init__(self, own: Own, children: Sequence[str]) -> None:
        self.own = own
        self._family = list(children)
        self._lock = threading.Lock()
        self._seen: dict[str, dict[str, int]] = {}
        self._asks: dict[str, dict[str, bytes]] = {}
        self._signed: dict[str, dict[str, bytes]] = {}

    def add_checkpoint(self, old: int, proof: Sequence[bytes], note: bytes) -> str:
        """Cosign a child's checkpoint; as :meth:`sanjin.tree.cosigner.Cosigner.cosign`."""
        return self.own.cosigner.cosign(old, proof, note)

    def hear(self, child: str, word: Word) -> Reply:
        """A child's call. Raises NotAllowed where it shows other keys than before."""
        own = self.own
        own.ring.learn(child, word.keys)
        siblings = [n for n in self._family if n != child]
        witnesses = [n for n in self._family if own.ring.witness(n)][:WITNESSES]
        for node, note in word.signed.items():
            self._take_signed(child, node, note)
        mine = self._ask_of(child, word) if child in witnesses else {}
        with self._lock:
            self._seen[child] = word.seen
            for witness, body in word.asks.items():
                if witness in siblings and len(body) <= PASSED_MAX:
                    self._asks.setdefault(witness, {})[child] = body
            seen = {n: self._seen[n].get(child, 0) for n in siblings if n in self._seen}
            asks = {**self._asks.pop(child, {}), **mine}
            signed = self._signed.pop(child, {})
        keys = {own.node: own.keys(), **own.ring.known(siblings)}
        own.log.look_to([key for n in witnesses if (key := own.ring.witness(n))])
        return Reply(keys=keys, asks=asks, signed=signed, seen=seen)

    def _take_signed(self, witness: str, node: str, note: bytes) -> None:
        key = self.own.ring.witness(witness)
        if node == self.own.node and key:
            try:
                self.own.log.keep(key, note)
            except SanjinError as fault:
                log.warning("%s: %s", self.own.node, fault)
        elif node in self._family and node != witness and len(note) <= PASSED_MAX:
            with self._lock:
                self._signed.setdefault(node, {})[witness] = note

    def _ask_of(self, child: str, word: Word) -> dict[str, bytes]:
        """This node's own checkpoint for a child that is its witness."""
        own = self.own
        try:
            own.fresh()
            return {own.node: own.log.request(word.seen.get(own.node, 0))}
        except SanjinError as fault:
            log.error("%s has nothing for %s to cosign: %s", own.node, child, fault)
            return {}


class Rounds:
    """A child's side: every so often a checkpoint, and a call for cosignatures, in a thread of its own.

    ``fault`` says what went wrong with the last round (empty: nothing).
    """

    def __init__(self, own: Own, parent: str, siblings: Sequence[str], line: Line) -> None:
        self.own = own
        self.fault = ""
        self._parent, self._siblings, self._line = parent, list(siblings), line
        self._heard: Reply | None = None
        self._todo: dict[str, bytes] = {}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Go round until :meth:`stop`."""
        self._thread = threading.Thread(target=self._run, name=f"{self.own.node}-cosigning", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, after the call on the way."""
        self._ended.set()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        while True:
            self.round()
            if self._ended.wait(self.own.every_s):
                return

    def round(self) -> None:
        """One round; what goes wrong is told, and tried again in the next."""
        try:
            self._round()
            fault = ""
        except SanjinError as found:
            fault = str(found)
        except Exception as found:  # cosigning is no reason for a node to end
            log.exception("%s: cosigning", self.own.node)
            fault = str(found)
        if fault and fault != self.fault:
            log.error("%s is not cosigned: %s", self.own.node, fault)
        self.fault = fault

    def _round(self) -> None:
        own = self.own
        own.fresh()
        self._call(own.sign(self._todo), {})
        # what it was asked just now goes back at once, and what it asks goes from what siblings have just seen
        self._call(own.sign(self._todo), self._asks_of_siblings())
        key = own.ring.witness(self._parent)
        if key:
            own.log.ask(key, self._line.add_checkpoint)

    def _call(self, signed: dict[str, bytes], asks: dict[str, bytes]) -> None:
        own = self.own
        seen = {n: size for n in (self._parent, *self._siblings) if (size := own.seen(n))}
        reply = self._line.word(Word(keys=own.keys(), seen=seen, asks=asks, signed=signed))
        peers = [n for n in reply.keys if n == self._parent or n in self._siblings]
        for node in peers:
            self._attempt(node, lambda node=node: own.ring.learn(node, reply.keys[node]))
        witnesses = [self._parent, *self._siblings_asked()]
        own.log.look_to([key for n in witnesses if (key := own.ring.witness(n))])
        for node, note in reply.signed.items():
            if key := own.ring.witness(node):
                self._attempt(node, lambda key=key, note=note: own.log.keep(key, note))
        self._heard, self._todo = reply, {n: body for n, body in reply.asks.items() if n in peers}

    def _attempt(self, node: str, what: Callable[[], None]) -> None:
        """What one peer spoils is not to spoil the round with the others."""
        try:
            what()
        except SanjinError as fault:
            log.error("%s, of %s: %s", self.own.node, node, fault)

    def _siblings_asked(self) -> list[str]:
        return [n for n in self._siblings if self.own.ring.witness(n)][:WITNESSES]

    def _asks_of_siblings(self) -> dict[str, bytes]:
        """For each sibling that is a witness and has told what it has seen, what it is to sign."""
        found: dict[str, bytes] = {}
        for node in self._siblings_asked():
            if self._heard and node in self._heard.seen:
                try:
                    found[node] = self.own.log.request(self._heard.seen[node])
                except NotFound as fault:  # it saw more than there is: the log was cut
                    log.error("%s: %s", self.own.node, fault)
        return found
