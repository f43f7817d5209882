"""What a node logs: lines for programs, and never a secret."""

from __future__ import annotations

import json
import logging

import pytest

from sanjin.cli.logging import JsonLines, TextLines, set_up
from sanjin.model.errors import ProblemsFound

SECRETS = (
    "sj_3f9c0a71be24_" + "Vb0-" * 10,
    "sjn1.eyJyZWdpb24iOiJzaGFueGkifQ",
    "Authorization: Bearer 0p3rat0r-token",
    "postgresql://sanjin:hunter2@db/sanjin",
    "postgresql://db/sanjin?password=hunter2&x=1",
    "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----",
)
HIDDEN = ("Vb0-", "eyJ", "0p3rat0r", "hunter2", "MIGH")


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    found = logging.LogRecord("sanjin.node", logging.WARNING, "f", 1, message, args, None)
    vars(found).update(extra)
    return found


def test_a_line_is_one_json_object_with_its_fields() -> None:
    line = JsonLines("datong").format(record('two\nlines "%s"', "x", peer="taiyuan", count=3))
    assert "\n" not in line
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "warning", "logger": "sanjin.node", "message": 'two\nlines "x"', "node": "datong",
        "fields": {"peer": "taiyuan", "count": 3},
    }  # fmt: skip


def test_an_exception_is_one_line_too() -> None:
    try:
        raise ValueError("bad sjn1.abc")
    except ValueError as fault:
        found = record("turn failed")
        found.exc_info = (ValueError, fault, fault.__traceback__)
    told = json.loads(JsonLines("").format(found))
    assert "ValueError: bad ***" in told["exception"]


@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_is_ever_in_a_line(secret: str) -> None:
    for formatter in (JsonLines("n"), TextLines()):
        line = formatter.format(record("it was %s.", secret, given=secret, deep={"a": secret}))
        assert not any(h in line for h in HIDDEN), line
        assert "***" in line


def test_the_way_is_said_or_stands_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        monkeypatch.setenv("SANJIN_LOG", "json")
        set_up("", "datong")
        assert isinstance(root.handlers[0].formatter, JsonLines)
        set_up("text")
        assert isinstance(root.handlers[0].formatter, TextLines)
        for how, said in (("xml", "--log"), ("", "SANJIN_LOG")):
            monkeypatch.setenv("SANJIN_LOG", "xml")
            with pytest.raises(ProblemsFound, match=said):
                set_up(how)
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = before
        root.setLevel(level)
