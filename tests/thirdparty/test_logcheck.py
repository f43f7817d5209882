"""Go's own transparency-log packages read what we export: a verifier that shares no line with us.

Skips where Go or its packages are missing (Debian: golang-go, golang-golang-x-mod-dev; 465 MB once installed,
which is why ``make test`` does not install them).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sanjin.adapters.files import FolderFiles
from tests.log_world import LOG_KEY, WITNESS_KEY, append, cosigner_of, journal, log_of, store_of

PACKAGES = Path("/usr/share/gocode/src/golang.org/x/mod/sumdb")


@pytest.fixture(scope="module")
def logcheck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    go = shutil.which("go")
    if go is None or not PACKAGES.exists():
        pytest.skip("no Go here: apt-get install golang-go golang-golang-x-mod-dev")
    folder = tmp_path_factory.mktemp("go")
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "", "GOPROXY": "off"}
    environment["GOCACHE"] = str(folder / "cache")
    source = Path(__file__).with_name("logcheck.go")
    command = [go, "build", "-o", str(folder / "logcheck"), str(source)]
    subprocess.run(command, check=True, env=environment, timeout=300)
    return folder / "logcheck"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """An export of each size with the same journal, the larger going on from the smaller."""
    store, found = store_of(journal(0)), {}
    log = log_of(store)
    log.witnesses = {WITNESS_KEY.verifier(): cosigner_of().cosign}
    for size in (1, 256, 300, 700):
        append(store, size - store.tip()[0])
        found[size] = tmp_path_factory.mktemp(f"log-{size}")
        log.export(FolderFiles(found[size]))
    return found


def run(logcheck: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(logcheck), *map(str, words)], capture_output=True, text=True, timeout=60)


def test_go_verifies_signature_tiles_entries_and_growth(logcheck: Path, exported: dict[int, Path]) -> None:
    key = LOG_KEY.verifier().text()
    older: list[tuple[int, Path]] = []
    for size, folder in exported.items():
        done = run(logcheck, key, folder)
        assert (done.returncode, done.stdout) == (0, f"{size} entries\n"), done.stderr
        for old, checkpoint in older:
            done = run(logcheck, key, folder, checkpoint)
            assert done.stdout == f"goes on from {old}; {size} entries\n", done.stderr
        older.append((size, folder / "checkpoint"))


def test_go_reads_the_large_log_with_tiles_of_three_levels(logcheck: Path, tmp_path: Path) -> None:
    store = store_of(journal(66_000))
    log = log_of(store)
    log.export(FolderFiles(tmp_path))
    assert (tmp_path / "tile" / "2" / "000.p" / "1").exists()
    done = run(logcheck, LOG_KEY.verifier().text(), tmp_path)
    assert done.stdout == "66000 entries\n", done.stderr


def test_go_refuses_what_was_tampered_with(logcheck: Path, exported: dict[int, Path], tmp_path: Path) -> None:
    key = LOG_KEY.verifier().text()
    for name in ("checkpoint", "tile/0/001", "tile/entries/001", "tile/1/000.p/2"):
        folder = tmp_path / name.replace("/", "-")
        shutil.copytree(exported[700], folder)
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:30] + bytes([data[30] ^ 1]) + data[31:])
        assert run(logcheck, key, folder).returncode == 1, name
    forged = tmp_path / "forged"
    log_of(store_of(journal(700, changed=7))).export(FolderFiles(forged))
    assert run(logcheck, key, forged).returncode == 0
    assert run(logcheck, key, forged, exported[300] / "checkpoint").returncode == 1
    assert run(logcheck, WITNESS_KEY.verifier().text(), exported[300]).returncode == 1
