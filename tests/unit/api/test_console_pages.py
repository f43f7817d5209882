"""The console's files as the node serves them: to everybody, under a strict policy, whole or as they are kept."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from sanjin.api.console import POLICY, Pages


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    (tmp_path / "assets").mkdir()
    for name, text in (("index.html", "<p>here"), ("assets/a-1.js", "let a = 1\n" * 50), ("secret.pem", "no")):
        (tmp_path / name).write_text(text)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    pages = Pages(tmp_path)
    assert "/secret.pem" not in pages and "/index.html" not in pages and "/assets/../index.html" not in pages
    return TestClient(pages)


def test_pages_come_packed_under_a_policy_that_allows_this_node_alone(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.text == "<p>here" and answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-security-policy"] == POLICY and "unsafe" not in POLICY
    assert answer.headers["cache-control"] == "no-cache"
    whole = client.get("/assets/a-1.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in whole.headers and whole.text == "let a = 1\n" * 50
    assert "immutable" in whole.headers["cache-control"] and whole.headers["content-type"].startswith("text/javascript")


def test_what_a_browser_has_already_is_not_sent_again(client: TestClient) -> None:
    tag = client.get("/").headers["etag"]
    again = client.get("/", headers={"If-None-Match": tag})
    assert again.status_code == 304 and again.content == b""
    assert client.get("/", headers={"If-None-Match": '"other"'}).status_code == 200


def test_pages_are_only_read(client: TestClient) -> None:
    assert client.post("/").status_code == 405 and client.head("/").content == b""


def test_a_console_that_is_not_built_says_so(tmp_path: Path) -> None:
    assert "make setup" in TestClient(Pages(tmp_path)).get("/").text
