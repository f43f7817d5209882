"""A node's log over its journal: what it publishes holds, and what was rewritten is refused."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from sanjin.adapters.files import FolderFiles, secret
from sanjin.flow import audit, notes, transparency
from sanjin.flow.transparency import TileName
from sanjin.model.errors import (
    AuditBroken,
    LogForked,
    NotAllowed,
    NotFound,
    NotReachable,
    SanjinError,
    StaleSize,
    StoreFailed,
)
from sanjin.model.log import InclusionProof
from sanjin.tree.cosigner import SEEN, Cosigner
from sanjin.tree.log import NodeLog
from sanjin.tree.log_check import Checker
from tests.log_world import (
    LOG_KEY,
    WITNESS_KEY,
    MemoryFiles,
    append,
    cosigner_of,
    journal,
    log_of,
    rewritten,
    store_of,
)
from tests.tree_world import World

KEY, WITNESS = LOG_KEY.verifier(), WITNESS_KEY.verifier()


def state(note: bytes) -> notes.Checkpoint:
    return notes.open_checkpoint(note, KEY)[0]


def growth(log: NodeLog, old: int) -> list[bytes]:
    return [base64.b64decode(h) for h in log.growth(old).hashes]


# -- publishing


@pytest.mark.parametrize("sizes", [[0], [1, 2, 255, 256, 257], [600, 600, 1100]])
def test_what_is_exported_again_and_again_is_checked_by_a_stranger(sizes: list[int]) -> None:
    store, there = store_of([]), MemoryFiles()
    log = log_of(store)
    kept: list[bytes] = []
    for size in sizes:
        append(store, size - store.tip()[0])
        wrote = log.export(there)
        assert wrote.size == size
        again = log.export(there)
        assert (again.tiles, again.bundles) == (0, 0)
        for older in kept:
            found = Checker(KEY, older).folder(there)
            assert (found.size, found.entries_read, found.grown_from) == (size, size, state(older).size)
        kept.append(there["checkpoint"])
        leaf_tiles = {n for n in there if n.startswith(("tile/entries/000.p/", "tile/0/000.p/"))}
        assert not leaf_tiles if size >= 256 else len(leaf_tiles) == 2 * len({s for s in sizes if s <= size and s})


def test_a_log_opened_again_goes_on_without_computing_old_tiles_again() -> None:
    store, files = store_of(journal(1000)), MemoryFiles()
    before = state(log_of(store, files).checkpoint())
    assert sorted(n for n in files if n.startswith("tile")) == ["tile/0/000", "tile/0/001", "tile/0/002"]
    append(store, 300)
    read: list[int] = []
    real = store.journal

    def counting(after: int = 0, limit: int = 1000, job: str = ""):
        read.append(after)
        return real(after, limit, job)

    store.journal = counting  # type: ignore[method-assign]
    now = state(log_of(store, files).checkpoint())
    assert min(read) == 768
    leaves = [transparency.leaf_hash(transparency.leaf_of(e)) for e in real(limit=10**6)]
    assert now.root == transparency.root_of(leaves)
    assert before.root == transparency.root_of(leaves[:1000])


def test_the_same_journal_is_signed_once() -> None:
    log = log_of(store_of(journal(3)))
    assert log.checkpoint() == log.checkpoint()
    assert log.last() is not None


@pytest.mark.parametrize("seq", [1, 2, 256, 257, 600])
def test_every_proof_holds_from_what_the_journal_shows(seq: int) -> None:
    log = log_of(store_of(journal(600)))
    proof = log.inclusion(seq)
    sent = msgspec.json.decode(msgspec.json.format(msgspec.json.encode(proof), indent=2), type=InclusionProof)
    assert Checker(KEY).shown(sent).entry == seq
    hashes = [base64.b64decode(h) for h in proof.hashes]
    assert Checker(KEY).inclusion(proof.leaf.encode(), proof.index, hashes, proof.checkpoint.encode()).size == 600
    for bad in (
        replace(sent, entry=replace(sent.entry, body={**sent.entry.body, "cores": 0})),
        replace(sent, entry=replace(sent.entry, at_s=1)),
        replace(sent, index=sent.index + 1),
        replace(sent, hashes=sent.hashes[1:]),
        replace(sent, hashes=("!", *sent.hashes)),
        replace(sent, checkpoint=sent.checkpoint.replace("600", "601")),
    ):
        with pytest.raises(AuditBroken):
            Checker(KEY).shown(bad)


def test_growth_needs_the_older_checkpoint_and_holds_for_it_alone() -> None:
    store = store_of(journal(300))
    log = log_of(store)
    old = log.checkpoint()
    append(store, 400)
    proof = log.growth(300)
    assert Checker(KEY, old).growth(proof).grown_from == 300
    with pytest.raises(AuditBroken, match="older checkpoint"):
        Checker(KEY).growth(proof)
    for bad in (replace(proof, hashes=proof.hashes[1:]), replace(proof, old_size=299), log.growth(299)):
        with pytest.raises(LogForked):
            Checker(KEY, old).growth(bad)
    longer = log.checkpoint()
    with pytest.raises(LogForked, match="were signed before"):
        Checker(KEY, longer).growth(log_of(store_of(journal(300))).growth(300))


def test_tiles_are_served_up_to_the_checkpoint_and_no_further() -> None:
    log = log_of(store_of(journal(600)))
    log.checkpoint()
    full = log.tile(TileName(0, 1))
    assert log.tile(TileName(0, 1, 7)) == full[: 7 * 32]
    assert len(log.tile(TileName(0, 2, 88))) == 88 * 32
    assert log.tile(TileName(1, 0, 2))[:32] == transparency.root_of(
        transparency.split_hashes(log.tile(TileName(0, 0)))
    )
    leaves = transparency.unbundle(log.tile(TileName(-1, 2, 88)))
    assert b"".join(map(transparency.leaf_hash, leaves)) == log.tile(TileName(0, 2, 88))
    for name in (TileName(0, 2, 89), TileName(0, 2), TileName(0, 3, 1), TileName(1, 0, 3), TileName(2, 0, 1)):
        with pytest.raises(NotFound):
            log.tile(name)
    with pytest.raises(NotFound):
        log.inclusion(601)
    with pytest.raises(NotFound):
        log.inclusion(0)
    with pytest.raises(NotFound):
        log.growth(601)


def test_a_lost_tile_is_made_again() -> None:
    store, files = store_of(journal(600)), MemoryFiles()
    log = log_of(store, files)
    log.checkpoint()
    lost = files.pop("tile/0/000")
    assert log.tile(TileName(0, 0)) == lost
    files.pop("tile/0/001")
    assert log_of(store, files).growth(100).size == 600


def test_entries_of_a_real_region_can_be_recomputed_from_what_is_shown(tmp_path: Path) -> None:
    world = World(tmp_path)
    for _ in range(5):
        world.clock.advance(world.clock.now() + 1)
        world.turn(3)
    world.run(600)
    store = world.nodes["taiyuan"].parts.store
    found = log_of(store).entries(0, 1000)
    assert len(found) == store.tip()[0] > 0
    for each in found:
        assert transparency.leaf_shown(each.entry) == each.leaf.encode()
    world.close()


# -- tampering


def test_a_rewritten_journal_passes_the_chain_but_not_the_log() -> None:
    store, files, there = store_of(journal(600)), MemoryFiles(), MemoryFiles()
    log = log_of(store, files)
    note = log.checkpoint()
    forged = rewritten(store, 100)
    result = audit.verify("datong", forged.journal(limit=10**6), forged.tip(), [])
    assert result.problems == ()  # the chain was made again: it sees nothing
    other = log_of(forged, files)
    assert [p.code for p in other.audited(result).problems] == ["rewritten_log"]
    assert log.audited(result).problems == ()
    with pytest.raises(AuditBroken, match=r"journal\[100\]"):
        other.inclusion(100)
    with pytest.raises(AuditBroken, match=r"journal\[100\]"):
        other.tile(TileName(-1, 0))
    with pytest.raises(AuditBroken, match=r"journal\[100\]"):
        other.export(there)
    assert "checkpoint" not in there
    # with the tiles away all is computed again, and does not lead to what was signed
    bare = MemoryFiles(checkpoint=note)
    with pytest.raises(AuditBroken, match="not those that were signed"):
        log_of(forged, bare).checkpoint()
    # near the end no tile is full yet: the tail is computed again every time
    with pytest.raises(AuditBroken, match="not those that were signed"):
        log_of(rewritten(store, 599), files).checkpoint()
    # with everything away the forger signs; who holds an older checkpoint sees it
    log_of(forged).export(there)
    assert Checker(KEY).folder(there).size == 600
    with pytest.raises(LogForked, match="older checkpoint"):
        Checker(KEY, note).folder(there)


def test_a_cut_journal_is_not_signed() -> None:
    files = MemoryFiles()
    log_of(store_of(journal(600)), files).checkpoint()
    for size in (599, 300, 0):
        with pytest.raises(AuditBroken, match=f"ends at {size}"):
            log_of(store_of(journal(size)), files).checkpoint()
    hole = [e for e in journal(601) if e.seq != 50]
    with pytest.raises(AuditBroken, match=r"journal\[50\] is missing"):
        log_of(store_of(hole)).checkpoint()


def test_an_export_of_another_history_is_not_overwritten() -> None:
    there = MemoryFiles()
    log_of(store_of(journal(300))).export(there)
    for other in (journal(400, changed=5), journal(299)):
        with pytest.raises(AuditBroken, match="not a beginning"):
            log_of(store_of(other)).export(there)
    assert state(there["checkpoint"]).size == 300


@pytest.mark.parametrize("name", ["tile/entries/000", "tile/0/001", "checkpoint", "tile/entries/002.p/88"])
def test_every_file_that_counts_is_checked(name: str) -> None:
    there = MemoryFiles()
    log_of(store_of(journal(600))).export(there)
    assert Checker(KEY).folder(there).size == 600
    data = there[name]
    there[name] = data[:20] + bytes([data[20] ^ 1]) + data[21:]
    with pytest.raises(AuditBroken):
        Checker(KEY).folder(there)
    del there[name]
    with pytest.raises(AuditBroken):
        Checker(KEY).folder(there)


# -- cosigners


def test_a_cosigner_signs_what_grows_and_remembers_it() -> None:
    files, store = MemoryFiles(), store_of(journal(5))
    log = log_of(store)
    first = log.checkpoint()
    line = cosigner_of(files).cosign(0, [], first)
    assert notes.parse_note(first + line.encode()).times([WITNESS]) == {WITNESS.text(): 1_784_100_000}
    append(store, 500)
    now = log.checkpoint()
    with pytest.raises(StaleSize) as caught:
        cosigner_of(files).cosign(0, [], now)
    assert caught.value.size == 5
    assert cosigner_of(files).cosign(5, growth(log, 5), now)
    assert cosigner_of(files).seen(LOG_KEY.name) == (505, state(now).root)
    assert cosigner_of(files).cosign(505, [], now)  # again, of the same: it has a later time


def test_a_cosigner_refuses_what_was_rewritten_or_cut() -> None:
    files, store = MemoryFiles(), store_of(journal(500))
    log = log_of(store)
    cosigner_of(files).cosign(0, [], log.checkpoint())
    kept = dict(files)
    append(store, 100)
    for seq in (1, 250, 500):
        forged = log_of(rewritten(store, seq))  # a good chain, a good signature, good proofs, another history
        with pytest.raises(LogForked, match="rewritten or cut"):
            cosigner_of(files).cosign(500, growth(forged, 500), forged.checkpoint())
    other = log_of(store_of(journal(500, changed=9)))
    with pytest.raises(LogForked, match="one size"):
        cosigner_of(files).cosign(500, [], other.checkpoint())
    shorter = log_of(store_of(journal(400)))
    with pytest.raises(LogForked, match="signed before"):
        cosigner_of(files).cosign(500, [], shorter.checkpoint())
    with pytest.raises(StaleSize):
        cosigner_of(files).cosign(400, [], shorter.checkpoint())
    with pytest.raises(LogForked):
        cosigner_of(files).cosign(500, growth(log, 500)[1:], log.checkpoint())
    with pytest.raises(LogForked, match="63"):
        cosigner_of(files).cosign(500, [bytes(32)] * 64, log.checkpoint())
    assert files == kept  # a refusal leaves no trace
    assert cosigner_of(files).cosign(500, growth(log, 500), log.checkpoint())


def test_a_cosigner_signs_for_logs_that_it_knows_alone() -> None:
    note = log_of(store_of(journal(5))).checkpoint()
    with pytest.raises(NotFound):
        Cosigner(WITNESS_KEY, {}, MemoryFiles(), lambda: 1).cosign(0, [], note)
    other = notes.SigningKey(LOG_KEY.name, notes.ED25519, bytes(32))
    stranger = NodeLog("datong", store_of(journal(5)), MemoryFiles(), other).checkpoint()
    for bad in (stranger, b"", note[:-1], note.replace(b"\n5\n", b"\n6\n")):
        with pytest.raises(NotAllowed):
            cosigner_of().cosign(0, [], bad)


def test_a_cosigner_that_lost_its_memory_signs_nothing(tmp_path: Path) -> None:
    note = log_of(store_of(journal(5))).checkpoint()
    files = FolderFiles(tmp_path)
    Cosigner(WITNESS_KEY, {KEY.name: KEY}, files, lambda: 1).cosign(0, [], note)
    again = Cosigner(WITNESS_KEY, {KEY.name: KEY}, FolderFiles(tmp_path), lambda: 1)
    assert again.seen(KEY.name)[0] == 5
    (tmp_path / SEEN).write_text("{")
    with pytest.raises(SanjinError, match="restore it"):
        again.cosign(5, [], note)


def test_what_cannot_be_kept_is_not_signed() -> None:
    class Full(MemoryFiles):
        def write(self, name: str, data: bytes, *, durable: bool = False) -> None:
            assert durable
            raise StoreFailed("full")

    with pytest.raises(StoreFailed):
        cosigner_of(Full()).cosign(0, [], log_of(store_of(journal(5))).checkpoint())


def test_a_log_asks_its_witnesses_and_stops_where_one_says_that_it_forked() -> None:
    store, seen = store_of(journal(5)), MemoryFiles()
    log = log_of(store)
    log.witnesses = {WITNESS: cosigner_of(seen).cosign}
    assert log.export(MemoryFiles()).cosigned_by == (WITNESS_KEY.name,)
    assert log.checkpoint() == log.checkpoint()
    append(store, 5)
    there = MemoryFiles()
    log.export(there)
    assert Checker(KEY, None, [WITNESS]).folder(there).cosigned == {WITNESS_KEY.name: 1_784_100_000}
    forged = log_of(rewritten(store, 2))  # its whole log folder is gone: it would sign
    forged.witnesses = log.witnesses
    with pytest.raises(LogForked):
        forged.checkpoint()
    assert forged.last() is None
    cut = log_of(store_of(journal(9)))
    cut.witnesses = log.witnesses
    with pytest.raises(LogForked, match="has signed 10"):
        cut.checkpoint()


def test_a_witness_that_does_not_answer_is_asked_again_later() -> None:
    store = store_of(journal(5))
    log = log_of(store)

    def away(old: int, proof: object, note: bytes) -> str:
        raise NotReachable("away")

    log.witnesses = {WITNESS: away}
    there = MemoryFiles()
    assert log.export(there).cosigned_by == ()
    with pytest.raises(AuditBroken, match="not cosigned"):
        Checker(KEY, None, [WITNESS]).folder(there)
    log.witnesses = {WITNESS: cosigner_of().cosign}
    assert log.export(there).cosigned_by == (WITNESS_KEY.name,)


# -- files


def test_a_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "log.key"
    made = secret(path, bytes.hex)
    assert len(made) == 64 and secret(path, bytes.hex) == made
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["log.key"]
    path.chmod(0o640)
    with pytest.raises(NotAllowed, match="chmod 600"):
        secret(path, bytes.hex)


def test_files_are_put_in_place_whole(tmp_path: Path) -> None:
    files = FolderFiles(tmp_path / "log")
    assert files.read("tile/0/000") is None
    with files.alone(), files.alone():
        files.write("tile/0/000.p/5", b"a", durable=True)
        files.write("tile/0/000", b"b")
    assert (files.read("tile/0/000"), files.has("tile/0/000.p/5"), files.read("tile/0")) == (b"b", True, None)
    files.remove_folder("tile/0/000.p")
    files.remove_folder("nothing")
    assert not files.has("tile/0/000.p/5")
    with pytest.raises(StoreFailed):
        files.write("tile/0/000/x", b"")
