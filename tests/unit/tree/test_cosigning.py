"""A parent's desk and its children's rounds: who signs whom, what is refused, and that nothing of it is fatal."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import pytest

from sanjin.flow import notes
from sanjin.flow.notes import COSIGNATURE, ED25519, SigningKey
from sanjin.model.errors import AuditBroken, LogForked, NotAllowed, NotFound, NotReachable, SanjinError, StaleSize
from sanjin.tree.cosigner import Cosigner
from sanjin.tree.cosigning import KNOWN, Desk, Keys, Own, Reply, Ring, Rounds, Word, encode, read_reply, read_word
from sanjin.tree.log import CHECKPOINT, NodeLog, cosigned_file, origin_of, witness_name
from sanjin.tree.log_check import Checker
from tests.log_world import MemoryFiles, append, journal, rewritten, store_of

CHILDREN = ("datong", "yangquan", "lvliang", "jinzhong", "linfen")


def seed(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


class Machine:
    """A node on a machine of its own: its store, its files, what it cosigns with."""

    def __init__(self, node: str) -> None:
        self.node, self.wall = node, 0.0
        self.store, self.files, self.kept = store_of(journal(300)), MemoryFiles(), MemoryFiles()
        self.again()

    def again(self) -> None:
        key = SigningKey(origin_of("shanxi", self.node), ED25519, seed(f"{self.node} log"))
        self.log = NodeLog(self.node, self.store, self.files, key)
        ring = Ring("shanxi", self.kept)
        witness = SigningKey(witness_name("shanxi", self.node), COSIGNATURE, seed(f"{self.node} witness"))
        cosigner = Cosigner(witness, ring.logs, self.kept, lambda: 1_784_100_000 + round(self.wall))
        self.own = Own(
            region="shanxi", node=self.node, log=self.log, cosigner=cosigner, ring=ring, every_s=60.0,
            wall=lambda: self.wall,
        )  # fmt: skip


class WireLine:
    """A child's line, through the bytes that would be sent."""

    def __init__(self, desk: Desk, child: str) -> None:
        self.desk, self.child, self.cut = desk, child, False

    def word(self, word: Word) -> Reply:
        if self.cut:
            raise NotReachable("cut")
        return read_reply(encode(self.desk.hear(self.child, read_word(encode(word)))))

    def add_checkpoint(self, old: int, proof: Sequence[bytes], note: bytes) -> str:
        if self.cut:
            raise NotReachable("cut")
        return self.desk.add_checkpoint(*notes.parse_witness_request(notes.witness_request(old, proof, note)))


class Family:
    """A parent and its children, and minutes that pass."""

    def __init__(self, children: Sequence[str] = CHILDREN) -> None:
        self.parent = Machine("taiyuan")
        self.desk = Desk(self.parent.own, children)
        self.children = {n: Machine(n) for n in children}
        self.lines = {n: WireLine(self.desk, n) for n in children}
        self.rounds = {n: self._rounds(n) for n in children}

    def _rounds(self, node: str) -> Rounds:
        siblings = [n for n in self.children if n != node]
        return Rounds(self.children[node].own, "taiyuan", siblings, self.lines[node])

    def minute(self, grow: int = 7) -> None:
        for machine in (self.parent, *self.children.values()):
            machine.wall += 60.0
            append(machine.store, grow)
        for node in self.children:
            self.rounds[node].round()

    def restart(self, node: str) -> None:
        self.children[node].again()
        self.rounds[node] = self._rounds(node)


def who(machine: Machine) -> dict[str, int]:
    return {c.name.split("/")[2]: c.size for c in machine.log.cosigned()}


def test_a_parent_cosigns_at_once_and_siblings_and_children_within_minutes() -> None:
    family = Family()
    family.minute()
    assert [r.fault for r in family.rounds.values()] == [""] * 5
    assert who(family.children["datong"])["taiyuan"] == 307
    for _ in range(4):
        family.minute()
    for node, machine in family.children.items():
        found = who(machine)
        assert next(iter(found)) == "taiyuan" and len(found) == 4 and node not in found
        assert all(size >= 300 for size in found.values()), found
        assert found["taiyuan"] == 335
    assert list(who(family.parent)) == ["datong", "yangquan", "lvliang"]
    assert set(who(family.parent).values()) == {335}
    # who holds the keys can check all of it from an export, what witnesses signed before too
    there = MemoryFiles()
    child = family.children["linfen"]
    wrote = child.log.export(there)
    assert "sanjin/shanxi/taiyuan/witness" in wrote.cosigned_by
    keys = [family.parent.own.cosigner.key.verifier(), family.children["datong"].own.cosigner.key.verifier()]
    found = Checker(child.log.verifier, None, keys).folder(there)
    assert found.cosigned_size[keys[0].name] == 335 and 300 <= found.cosigned_size[keys[1].name] < 335
    assert len(found.cosigned) == 4 and found.not_cosigned == ()
    assert found.cosigned[keys[0].name] == 1_784_100_300


def test_a_log_is_cosigned_once_a_minute_at_most() -> None:
    family = Family(["datong"])
    family.minute()
    own = family.children["datong"].own
    append(family.children["datong"].store, 5)
    family.rounds["datong"].round()
    assert own.log.last() is not None and own.log.last()[0].size == 307  # type: ignore[index]
    family.minute()
    assert own.log.last()[0].size == 319  # type: ignore[index]


def test_who_does_not_answer_is_missing_and_nothing_else() -> None:
    family = Family(["datong", "yangquan"])
    for _ in range(4):
        family.minute()
    family.lines["yangquan"].cut = True
    for _ in range(4):
        family.minute()
    assert family.rounds["yangquan"].fault == "cut"
    assert who(family.children["datong"])["taiyuan"] == 356  # it goes on
    assert who(family.children["datong"])["yangquan"] < 356
    assert who(family.children["yangquan"])["taiyuan"] == 328
    alone = family.children["yangquan"].log
    there = MemoryFiles()
    assert alone.export(there).cosigned_by == ()
    found = Checker(alone.verifier).folder(there)
    assert found.size == 356 and found.cosigned_size["sanjin/shanxi/taiyuan/witness"] == 328
    del there[cosigned_file(family.parent.own.cosigner.key.verifier())]
    assert "sanjin/shanxi/taiyuan/witness" in Checker(alone.verifier).folder(there).not_cosigned
    with pytest.raises(AuditBroken, match="not cosigned by"):
        Checker(alone.verifier, None, [family.parent.own.cosigner.key.verifier()]).folder(there)
    family.lines["yangquan"].cut = False
    family.restart("yangquan")
    family.minute()
    assert who(family.children["yangquan"])["taiyuan"] == 363


def test_a_child_whose_log_was_rewritten_or_cut_is_refused_by_all() -> None:
    for forge in (lambda s: rewritten(s, 5), lambda s: store_of(journal(200))):
        family = Family(["datong", "yangquan"])
        for _ in range(4):
            family.minute()
        child = family.children["datong"]
        child.store = forge(child.store)
        child.files.clear()  # and with that all it had signed
        family.restart("datong")
        before = family.parent.own.seen("datong")
        family.minute()
        assert "signed" in family.rounds["datong"].fault, family.rounds["datong"].fault
        assert who(child)["taiyuan"] == 0
        for _ in range(3):
            family.minute()
        assert who(child)["taiyuan"] == 0
        assert who(child)["yangquan"] == 328  # it had signed the true log, and that came late: now it convicts
        there = MemoryFiles()
        child.log.export(there)
        with pytest.raises(LogForked):
            Checker(child.log.verifier).folder(there)
        assert family.parent.own.seen("datong") == before


def test_a_parent_whose_log_was_rewritten_is_refused_by_its_children() -> None:
    family = Family(["datong", "yangquan"])
    family.minute()
    assert set(who(family.parent).values()) == {307}
    family.parent.store = rewritten(family.parent.store, 5)
    family.parent.files.clear()
    family.parent.again()
    family.desk = Desk(family.parent.own, ["datong", "yangquan"])
    for line in family.lines.values():
        line.desk = family.desk
    for _ in range(3):
        family.minute()
    assert set(who(family.parent).values()) == {307}  # what came late, of the true log
    assert [r.fault for r in family.rounds.values()] == ["", ""]  # theirs go on


def test_keys_are_those_that_were_shown_first() -> None:
    family = Family(["datong", "yangquan"])
    family.minute()
    desk, own = family.desk, family.children["datong"].own
    other = family.children["yangquan"].own.keys()
    mine = own.keys()
    forged = SigningKey(mine.log.split("+")[0], ED25519, seed("thief")).verifier().text()
    for keys in (replace(mine, log=forged), other, Keys(log="a", witness="b")):
        with pytest.raises(NotAllowed):
            desk.hear("datong", Word(keys=keys))
    with pytest.raises(NotAllowed, match="cannot be used"):
        desk.hear("lvliang", Word(keys=Keys(log="a", witness="b")))
    with pytest.raises(NotAllowed, match="not named"):
        desk.hear("lvliang", Word(keys=mine))
    family.parent.again()  # kept over a restart
    with pytest.raises(NotAllowed, match="other keys"):
        Desk(family.parent.own, ["datong"]).hear("datong", Word(keys=replace(mine, log=forged)))
    family.parent.kept[KNOWN] = b"x"
    with pytest.raises(SanjinError, match="restore"):
        family.parent.again()


def test_a_peer_that_shows_other_keys_spoils_nothing_for_the_others() -> None:
    family = Family(["datong", "yangquan", "lvliang"])
    for _ in range(4):
        family.minute()
    before = who(family.children["datong"])
    thief = SigningKey(witness_name("shanxi", "yangquan"), COSIGNATURE, seed("thief"))
    true = family.children["yangquan"].own.cosigner.key
    family.children["yangquan"].own.cosigner.key = thief
    family.parent.kept.pop(KNOWN)  # the parent is made to forget, its children are not
    family.parent.again()
    family.desk = family.lines["datong"].desk = Desk(family.parent.own, list(family.children))
    for line in family.lines.values():
        line.desk = family.desk
    for _ in range(4):
        family.minute()
    found = who(family.children["datong"])
    assert found["yangquan"] == before["yangquan"] and found["lvliang"] > before["lvliang"]
    assert found["taiyuan"] > before["taiyuan"]
    assert true.verifier() == family.children["datong"].own.ring.witness("yangquan")


def test_what_is_no_cosignature_of_this_log_is_not_kept() -> None:
    family = Family(["datong", "yangquan"])
    for _ in range(4):
        family.minute()
    child, other = family.children["datong"], family.children["yangquan"]
    key = family.parent.own.cosigner.key.verifier()
    kept = child.files[cosigned_file(key)]
    for note in (b"x", other.files[CHECKPOINT], child.files[CHECKPOINT].split("— ".encode())[0]):
        with pytest.raises(AuditBroken):
            child.log.keep(key, note)
    plain = child.log.last()[1].split("— ".encode())  # type: ignore[index]
    with pytest.raises(AuditBroken, match="has not signed"):
        child.log.keep(key, plain[0] + "— ".encode() + plain[1])
    old = kept
    family.minute()
    now = child.files[cosigned_file(key)]
    child.log.keep(key, old)  # what is older does not take the place of what is newer
    assert child.files[cosigned_file(key)] == now
    with pytest.raises(NotFound):
        child.log.request(10_000)
    with pytest.raises(StaleSize):
        family.desk.add_checkpoint(3, [], now)
    with pytest.raises(LogForked):
        family.desk.add_checkpoint(335, [seed("x")], now)


def test_a_desk_passes_on_only_within_the_family_and_only_little() -> None:
    family = Family(["datong", "yangquan"])
    family.minute()
    mine = family.children["datong"].own.keys()
    asks = {"yangquan": b"x" * (64 << 10), "taiyuan": b"x", "beijing": b"x", "datong": b"x"}
    desk = family.desk
    desk.hear("datong", Word(keys=mine, asks=asks, signed={"beijing": b"x", "datong": b"x", "taiyuan": b"x"}))
    reply = desk.hear("yangquan", Word(keys=family.children["yangquan"].own.keys()))
    assert reply.asks["datong"] == asks["yangquan"] and set(reply.asks) == {"datong", "taiyuan"}
    assert family.children["yangquan"].own.sign({"datong": b"x"}) == {}
    desk.hear("datong", Word(keys=mine, asks={"yangquan": b"x" * (64 << 10) + b"x"}))
    assert "datong" not in desk.hear("yangquan", Word(keys=family.children["yangquan"].own.keys())).asks
    assert desk.hear("datong", Word(keys=mine)).signed == {}
