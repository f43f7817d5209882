"""Signed notes, checkpoints and cosignatures: the formats' own examples, and what must not pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanjin.flow import notes
from sanjin.flow.notes import COSIGNATURE, ED25519, BadNote, Checkpoint, SigningKey

# from the examples of golang.org/x/mod/sumdb/note
SKEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
# the example of c2sp.org/tlog-cosignature
COSIGNED = """\
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
""".encode()  # noqa: E501

LOG = SigningKey("sanjin/shanxi/datong", ED25519, bytes(32))
WITNESS = SigningKey("sanjin/shanxi/taiyuan/witness", COSIGNATURE, b"\x07" * 32)
STATE = Checkpoint(LOG.name, 7, bytes(range(32)))


def test_keys_and_signatures_are_those_of_go() -> None:
    signing, key = notes.parse_signing(SKEY), notes.parse_verifier(VKEY)
    assert signing.verifier() == key
    assert (signing.text(), key.text()) == (SKEY, VKEY)
    assert signing.sign(TEXT) == LINE
    note = notes.parse_note(f"{TEXT}\n{LINE}".encode())
    assert note.text == TEXT
    assert note.times([key]) == {VKEY: 0}
    assert "81" not in repr(signing) and SKEY[-20:] not in repr(signing)


def test_the_example_of_the_specification_is_read() -> None:
    note = notes.parse_note(COSIGNED)
    found = notes.parse_checkpoint(note.text)
    assert (found.origin, found.size) == ("example.com/behind-the-sofa", 20852163)
    assert found.text() == note.text
    assert [s.line() for s in note.signatures] == COSIGNED.decode().split("\n\n")[1].splitlines(keepends=True)
    assert int.from_bytes(note.signatures[1].data[:8], "big") == 1679315147
    assert len(note.signatures[1].data) == 8 + 64


def test_a_cosignature_says_its_time_and_holds_for_its_text_alone() -> None:
    line = WITNESS.sign(STATE.text(), 1_784_073_600)
    note = notes.parse_note(f"{STATE.text()}\n{LOG.sign(STATE.text())}{line}".encode())
    keys = [LOG.verifier(), WITNESS.verifier()]
    assert note.times(keys) == {LOG.verifier().text(): 0, WITNESS.verifier().text(): 1_784_073_600}
    other = Checkpoint(LOG.name, 8, STATE.root).text()
    moved = notes.parse_note(f"{other}\n{line}".encode())
    with pytest.raises(BadNote, match="does not verify"):
        moved.times([WITNESS.verifier()])
    # a witness's key is not a log's, though the bytes be the same
    as_log = notes.VerifierKey(WITNESS.name, ED25519, WITNESS.verifier().public)
    assert note.times([as_log]) == {}


@given(st.data())
def test_a_changed_checkpoint_never_passes(data: st.DataObject) -> None:
    note = bytearray(f"{STATE.text()}\n{LOG.sign(STATE.text())}".encode())
    at = data.draw(st.integers(0, len(note) - 1))
    note[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found, _ = notes.open_checkpoint(bytes(note), LOG.verifier())
    except BadNote:
        return
    assert found == STATE  # the last bits of base64 may be anything


@pytest.mark.parametrize(
    "note",
    [b"", b"text\n", b"text\n\n", b"text\n\n\xe2\x80\x94 a b\n", b"t\n\n- PeterNeumann x08go/ZJkuBS9UG/\n", b"\xff\n\n",
     f"a\tb\n\n{LINE}".encode(), f"{TEXT}\n{LINE}".encode()[:-1], f"{TEXT}\n{LINE}x\n".encode(),
     f"{TEXT}\n{LINE * 101}".encode()],
)  # fmt: skip
def test_what_is_no_note_is_refused(note: bytes) -> None:
    with pytest.raises(BadNote):
        notes.parse_note(note)


@pytest.mark.parametrize(
    "text",
    ["", "o\n1\n", "o\n01\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n", "o\n-1\nCsUY\n", "o\n1\nCsUY\n",
     "\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n", "o\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=\n",
     "o\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\nx\n"],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(BadNote):
        notes.parse_checkpoint(text)


@pytest.mark.parametrize("key", ["", "a", "a+b", VKEY[:-1], VKEY.replace("c7", "c8"), VKEY.replace("P", "Q"), SKEY])
def test_a_key_that_was_not_copied_whole_is_refused(key: str) -> None:
    with pytest.raises(BadNote):
        notes.parse_verifier(key)
    with pytest.raises(BadNote):
        notes.parse_signing(key.replace("AYEK", "AYEL"))


def test_requests_and_proofs_are_read_as_written() -> None:
    hashes = [bytes([i]) * 32 for i in range(3)]
    note = f"{STATE.text()}\n{LOG.sign(STATE.text())}".encode()
    request = notes.witness_request(4, hashes, note)
    assert request.startswith(b"old 4\nAAAA")
    assert notes.parse_witness_request(request) == (4, hashes, note)
    assert notes.parse_witness_request(notes.witness_request(0, [], note)) == (0, [], note)
    written = notes.proof_text(b"{}", 3, hashes, note)
    assert written.startswith(b"c2sp.org/tlog-proof@v1\nextra e30=\nindex 3\nAAAA")
    assert notes.parse_proof_text(written) == (b"{}", 3, hashes, note)
    for bad in (b"", b"old 4", request.replace(b"old 4", b"old 04"), request.replace(b"AAAA", b"", 1)):
        with pytest.raises(BadNote):
            notes.parse_witness_request(bad)
    for bad in (b"", written.replace(b"@v1", b"@v2"), written.replace(b"index 3", b"index x"), written[:40]):
        with pytest.raises(BadNote):
            notes.parse_proof_text(bad)
