"""``sanjin audit key, export, prove, check`` as somebody types them, with the region up and without."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

from tests.live import Region


def test_a_log_is_exported_proved_checked_and_defended(tmp_path: Path) -> None:
    region = Region(tmp_path / "state")
    assert region.run("audit", "key").returncode == 4  # no region was ever here
    region.up("--rate", "60", "--start", "2026-07-15T06:00")
    assert region.run("submit", "--node", "datong", "--earliest", "+3h", "--", "true").returncode == 0
    out, old = tmp_path / "out", tmp_path / "old-checkpoint"
    keys = region.json("audit", "key", "--node", "datong")
    assert isinstance(keys, dict)
    (tmp_path / "key").write_text(keys["log"] + "\n")
    first = region.json("audit", "export", "--node", "datong", "--to", str(out))
    assert isinstance(first, dict)
    assert first["cosigned_by"] == ["sanjin/shanxi/taiyuan/witness"]
    assert (region.state / "datong" / "log.key").stat().st_mode & 0o777 == 0o600
    old.write_bytes((out / "checkpoint").read_bytes())
    assert region.run("submit", "--node", "datong", "--earliest", "+3h", "--", "true").returncode == 0
    region.down()

    # offline
    done = region.run("audit", "export", "--node", "datong", "--to", str(out), lang="both")
    assert done.returncode == 0, done.stderr
    assert "entries in" in done.stdout and "条目块" in done.stdout and keys["log"] in done.stderr
    check = ["audit", "check", "--key", str(tmp_path / "key")]
    done = region.run(*check, "--folder", str(out), "--checkpoint", str(old), "--witness", keys["witnesses"][0])
    assert done.returncode == 0, done.stderr
    assert f"goes on from the {first['size']} entries" in done.stdout
    assert "cosigned by sanjin/shanxi/taiyuan/witness, 2026-07-15" in done.stdout
    proof, growth = tmp_path / "2.tlog-proof", tmp_path / "growth.json"
    done = region.run("audit", "prove", "--node", "datong", "--entry", "2", "--to", str(proof))
    assert "entry 2 of datong is leaf 1" in done.stdout, done.stderr
    assert "c2sp.org/tlog-proof@v1" in done.stdout
    as_json = region.json("audit", "prove", "--node", "datong", "--entry", "2")
    (tmp_path / "2.json").write_text(json.dumps(as_json, ensure_ascii=False))
    done = region.run("audit", "prove", "--node", "datong", "--since", str(first["size"]), "--to", str(growth))
    assert "goes on from its first" in done.stdout, done.stderr
    for file, words in ((proof, []), (tmp_path / "2.json", []), (growth, ["--checkpoint", str(old)])):
        found = region.json(*check, "--proof", str(file), *words)
        assert isinstance(found, dict)
        assert (found["entry"], found["grown_from"]) == ((0, first["size"]) if words else (2, -1))
    other = re.sub(r"index 1\n", "index 0\n", proof.read_text())
    (tmp_path / "bad").write_text(other)
    assert region.run(*check, "--proof", str(tmp_path / "bad")).returncode == 8
    for words, code in (
        ([*check], 3),
        ([*check, "--proof", str(tmp_path / "none")], 4),
        ([*check, "--proof", str(old)], 3),
        ([*check, "--proof", str(growth)], 8),  # nothing to hold it against
        (["audit", "check", "--key", "a+b+c", "--folder", str(out)], 3),
        (["audit", "prove", "--node", "datong"], 3),
        (["audit", "prove", "--node", "datong", "--entry", "99999"], 4),
        (["audit", "export", "--node", "atlantis", "--to", str(out)], 4),
    ):
        assert region.run(*words).returncode == code, words
    _forged_is_refused(region, out, old, check)


def _forged_is_refused(region: Region, out: Path, old: Path, check: list[str]) -> None:
    """Entry 1 is another, the chain is made again: it verifies by itself, and by nothing else."""
    from sanjin.flow.audit import chain

    store = sqlite3.connect(region.state / "datong" / "state.db")
    before = b""
    for seq, at_s, kind, job, body in store.execute("select seq, at_s, kind, job, body from journal").fetchall():
        at_s -= seq == 1
        before = chain(before, seq, at_s, kind, job, bytes(body))
        store.execute("update journal set at_s = ?, hash = ? where seq = ?", (at_s, before, seq))
    store.execute("update tip set hash = ?", (before,))
    store.commit()
    store.close()
    done = region.run("audit", "verify", "--node", "datong")
    assert done.returncode == 8
    assert "signed" in done.stderr
    for words in (["export", "--to", str(out)], ["prove", "--entry", "2"]):
        assert region.run("audit", *words, "--node", "datong").returncode == 8
    # with all that the node signed away, its parent still knows
    for file in sorted((region.state / "datong" / "log").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    assert region.run("audit", "verify", "--node", "datong").returncode == 0
    done = region.run("audit", "export", "--node", "datong", "--to", str(out.parent / "new"))
    assert done.returncode == 8
    assert "not signed" in done.stderr
    assert region.run(*check, "--folder", str(out), "--checkpoint", str(old)).returncode == 0
