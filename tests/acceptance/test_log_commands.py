"""``sanjin audit key, export, prove, check`` as somebody types them, with the region up and without."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import pytest

from sanjin.cli.main import run
from sanjin.flow.audit import chain
from tests.live import Region


@dataclass
class Here:
    """Commands in this process, on a state folder where nothing is up."""

    capture: pytest.CaptureFixture[str]

    def fails(self, *words: object) -> tuple[int, str]:
        code = run([str(w) for w in words])
        return code, self.capture.readouterr().err

    def says(self, *words: object) -> str:
        code = run([str(w) for w in words])
        out, err = self.capture.readouterr()
        assert code == 0, err
        return out + err


def test_a_log_is_exported_proved_checked_and_defended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    region = Region(tmp_path / "state")
    monkeypatch.setenv("SANJIN_STATE", str(region.state))
    monkeypatch.setenv("SANJIN_LANG", "en")
    here = Here(capsys)
    assert here.fails("audit", "key")[0] == 4  # no region was ever here
    region.up("--rate", "60", "--start", "2026-07-15T06:00")
    out, old, key = tmp_path / "out", tmp_path / "old-checkpoint", tmp_path / "key"
    first = region.json("audit", "export", "--node", "datong", "--to", str(out))
    assert isinstance(first, dict)
    assert first["cosigned_by"] == ["sanjin/shanxi/taiyuan/witness"]
    assert (region.state / "datong" / "log.key").stat().st_mode & 0o777 == 0o600
    old.write_bytes((out / "checkpoint").read_bytes())
    assert region.run("submit", "--node", "datong", "--earliest", "+3h", "--", "true").returncode == 0
    region.down()

    keys = json.loads(here.says("audit", "key", "--node", "datong", "--output", "json"))
    key.write_text(keys["log"] + "\n")
    monkeypatch.setenv("SANJIN_LANG", "both")
    said = here.says("audit", "export", "--node", "datong", "--to", out)
    assert "entries in" in said and "条目块" in said and keys["log"] in said
    monkeypatch.setenv("SANJIN_LANG", "en")
    check = ("audit", "check", "--key", key)
    said = here.says(*check, "--folder", out, "--checkpoint", old, "--witness", keys["witnesses"][0])
    assert f"goes on from the {first['size']} entries" in said
    assert "cosigned by sanjin/shanxi/taiyuan/witness, 2026-07-14 22:" in said
    _proofs_hold(here, tmp_path, first["size"], check)
    for words, code in (
        ([*check], 3),
        ([*check, "--proof", tmp_path / "none"], 4),
        ([*check, "--proof", old], 3),
        ([*check, "--proof", tmp_path / "growth"], 8),  # nothing to hold it against
        (["audit", "check", "--key", "a+b+c", "--folder", out], 3),
        (["audit", "prove", "--node", "datong"], 3),
        (["audit", "prove", "--node", "datong", "--entry", 99999], 4),
        (["audit", "export", "--node", "atlantis", "--to", out], 4),
    ):
        assert here.fails(*words)[0] == code, words
    _forged_is_refused(here, region.state / "datong", out)
    assert "older checkpoint" in here.says(*check, "--folder", out, "--checkpoint", old)


def _proofs_hold(here: Here, folder: Path, size: int, check: tuple[object, ...]) -> None:
    prove = ("audit", "prove", "--node", "datong")
    said = here.says(*prove, "--entry", 2, "--to", folder / "text")
    assert "entry 2 of datong is leaf 1" in said and "c2sp.org/tlog-proof@v1" in said
    (folder / "json").write_text(here.says(*prove, "--entry", 2, "--output", "json"), encoding="utf-8")
    assert "goes on from its first" in here.says(*prove, "--since", size, "--to", folder / "growth")
    for name in ("text", "json"):
        assert json.loads(here.says(*check, "--proof", folder / name, "--output", "json"))["entry"] == 2
    said = here.says(*check, "--proof", folder / "growth", "--checkpoint", folder / "old-checkpoint")
    assert f"goes on from the {size} entries" in said
    (folder / "bad").write_text((folder / "text").read_text().replace("index 1\n", "index 0\n"))
    assert here.fails(*check, "--proof", folder / "bad")[0] == 8


def _forged_is_refused(here: Here, own: Path, out: Path) -> None:
    """Entry 1 is another and the chain is made again: the journal verifies by itself, and by nothing else."""
    store = sqlite3.connect(own / "state.db")
    before = b""
    for seq, at_s, kind, job, body in store.execute("select seq, at_s, kind, job, body from journal").fetchall():
        at_s -= seq == 1
        before = chain(before, seq, at_s, kind, job, bytes(body))
        store.execute("update journal set at_s = ?, hash = ? where seq = ?", (at_s, before, seq))
    store.execute("update tip set hash = ?", (before,))
    store.commit()
    store.close()
    code, said = here.fails("audit", "verify", "--node", "datong")
    assert code == 8 and "signed checkpoint" in said
    for words in (("export", "--to", out), ("prove", "--entry", 2)):
        assert here.fails("audit", *words, "--node", "datong")[0] == 8
    # with all away that the node had signed, its parent still knows
    (own / "log" / "checkpoint").unlink()
    assert here.fails("audit", "verify", "--node", "datong")[0] == 0
    code, said = here.fails("audit", "export", "--node", "datong", "--to", out.parent / "new")
    assert code == 8 and "not signed" in said
