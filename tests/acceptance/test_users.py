"""``sanjin user``, with and without a region that is up."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from sanjin.cli.main import run
from tests.live import SANJIN, Region


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SANJIN_STATE", str(tmp_path / "s"))
    monkeypatch.setenv("SANJIN_LANG", "en")
    return tmp_path / "s"


def call(capsys: pytest.CaptureFixture[str], *words: str, wanted: int = 0) -> str:
    assert run(["user", *words]) == wanted
    found = capsys.readouterr()
    return found.out if wanted == 0 else found.err


def test_users_are_made_changed_and_revoked(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dry = json.loads(call(capsys, "add", "li", "--role", "auditor", "--dry-run", "--output", "json"))
    assert dry["token"] == "" and not state.exists()
    made = json.loads(call(capsys, "add", "li", "--role", "owner", "--tenant", "t", "--output", "json"))
    token, hashed = made["token"], (state / "users.json").read_text()
    assert token.startswith(f"sj_{made['user']['id']}_") and token.split("_", 2)[2] not in hashed
    assert (state / "users.json").stat().st_mode & 0o777 == 0o600
    assert token not in (state / "decisions.jsonl").read_text()
    assert call(capsys, "list").count("good") == 1
    assert "needs a site" in call(capsys, "grant", "li", "--role", "site_operator", wanted=3)
    call(capsys, "grant", "li", "--role", "site_operator", "--site", "datong", "--site", "linfen")
    before = (state / "users.json").read_text()
    assert "datong" in call(capsys, "ungrant", "li", "--site", "linfen", "--dry-run")
    assert (state / "users.json").read_text() == before
    changed = json.loads(call(capsys, "ungrant", "li", "--site", "linfen", "--role", "owner", "--output", "json"))
    assert (changed["user"]["roles"], changed["user"]["sites"]) == (["site_operator"], ["datong"])
    assert "no role left" in call(capsys, "ungrant", "li", "--role", "site_operator", wanted=3)
    call(capsys, "revoke", "li")
    assert [u["standing"] for u in json.loads(call(capsys, "list", "--output", "json"))] == ["revoked"]
    assert "no user li" in call(capsys, "revoke", "li", wanted=4)
    whom = [json.loads(line)["what"] for line in (state / "decisions.jsonl").read_text().splitlines()]
    assert whom == ["add", "grant", "ungrant", "revoke"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a b", "--role", "auditor"), "no name"),
        (("li", "--role", "owner"), "needs a tenant"),
        (("li", "--role", "data_provider"), "needs a dataset"),
        (("li", "--role", "auditor", "--expires", "2001-01-01T00:00"), "is over"),
        (("li", "--role", "auditor", "--expires", "soon"), "cannot be understood"),
        (("wang", "--role", "auditor"), "already"),
    ],
)
def test_what_is_wrong_with_a_user_is_said(
    state: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    call(capsys, "add", "wang", "--role", "auditor", "--expires", "never")
    assert said in call(capsys, "add", *words, wanted=3)
    assert len(json.loads(call(capsys, "list", "--output", "json"))) == 1


def test_a_region_that_is_up_takes_users_up_and_drops_them(tmp_path: Path) -> None:
    region = Region(tmp_path / "r")
    region.up()
    try:
        assert "no tenant nobody" in region.run("user", "add", "x", "--role", "owner", "--tenant", "nobody").stderr
        made = region.json("user", "add", "li", "--role", "owner", "--tenant", "shanxi-univ")
        assert isinstance(made, dict)
        environment = {
            "SANJIN_TOKEN": made["token"], "SANJIN_URL": (tmp_path / "r" / "address").read_text().strip(),
            "SANJIN_LANG": "en", "SANJIN_STATE": str(tmp_path / "none"),
        }  # fmt: skip

        def li(*words: str) -> subprocess.CompletedProcess[str]:
            every = {**os.environ, **environment}
            return subprocess.run([SANJIN, *words], capture_output=True, text=True, timeout=60, env=every)

        time.sleep(1.1)
        sent = li("submit", "--wait", "--site", "xinzhou", "--output", "json", "--", "echo", "hello")
        assert sent.returncode == 0, sent.stderr
        assert json.loads(sent.stdout)[0]["spec"]["tenant"] == "shanxi-univ"
        refused = li("submit", "--tenant", "health-bureau", "--", "true")
        assert refused.returncode == 5 and "you submit for shanxi-univ" in refused.stderr
        region.json("user", "revoke", "li")
        time.sleep(1.1)
        assert (li("jobs").returncode, region.run("jobs").returncode) == (5, 0)
    finally:
        region.down()
