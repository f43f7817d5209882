"""What a run leaves is listed once, within bounds, whatever it is."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanjin.adapters.engines import run_outputs
from sanjin.adapters.engines.run_folder import RunFolder
from sanjin.model.errors import StoreFailed
from tests.support import until


@pytest.fixture
def files(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path)
    (made.runs / "r" / "outputs").mkdir(parents=True)
    (made.ended / "r.json").write_text("{}")  # it ended
    return made


def listed(files: RunFolder) -> dict[str, str]:
    """What is listed and left out, once it is."""
    until(lambda: files.outputs("r").registered, "list")
    found = files.outputs("r")
    return {f.name: str(f.bytes) for f in found.files} | {each.name: str(each.why) for each in found.left_out}


def test_files_beyond_the_bounds_are_left_out_and_counted(files: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_outputs, "FILES_MAX", 3)
    monkeypatch.setattr(run_outputs, "TOLD_MAX", 2)
    for name in ("a/1", "a/2", "b/1", "b/2", "b/3", "c/1"):
        (files.runs / "r/outputs" / name).parent.mkdir(exist_ok=True)
        (files.runs / "r/outputs" / name).write_text("x")
    assert listed(files) == {"a/1": "1", "a/2": "1", "b/1": "1", "b/2": "many", "b/3": "many"}
    assert files.outputs("r").left_out_count == 3


def test_of_a_folder_no_more_is_looked_at_than_may_be_listed(
    files: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_outputs, "FILES_MAX", 3)
    for name in "abcde":
        (files.runs / "r/outputs" / name).write_text("x")
    assert sorted(listed(files).values()) == ["1", "1", "1", "many"]
    assert [each.name for each in files.outputs("r").left_out] == ["./"]


def test_what_takes_too_long_to_read_is_left_out(files: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with (files.runs / "r/outputs/huge").open("wb") as file:
        file.truncate(1 << 42)  # a hole: it takes no room, and weeks to read
    (files.runs / "r/outputs/small").write_text("x")
    monkeypatch.setattr(run_outputs, "REGISTER_S", 0.05)
    assert listed(files) == {"huge": "late", "small": "late"}


def test_names_that_are_too_deep_or_too_long_are_left_out(files: RunFolder) -> None:
    outputs = files.runs / "r/outputs"
    deepest = outputs.joinpath(*("d" for _ in range(run_outputs.DEPTH_MAX)))
    deepest.mkdir(parents=True)
    (deepest.parent / "f").write_text("x")
    (deepest / "g").write_text("x")
    long = outputs / ("l" * 200) / ("l" * 200) / ("l" * 200)
    long.mkdir(parents=True)
    (long / ("m" * 200)).write_text("x")
    before = "d/" * (run_outputs.DEPTH_MAX - 1)
    found = listed(files)
    assert found[f"{before}f"] == "1"
    assert found[f"{before}d"] == "name"
    assert [why for name, why in found.items() if name.startswith("l")] == ["name"]


def test_one_lists_at_a_time_and_it_is_done_once(files: RunFolder) -> None:
    run = files.runs / "r"
    (run / "outputs/a").write_text("x")
    with (run / "outputs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not run_outputs.register(str(run))
        assert not files.outputs("r").registered
    assert listed(files) == {"a": "1"}
    (run / "outputs/b").write_text("x")
    assert run_outputs.register(str(run))
    assert [f.name for f in RunFolder(files.root).outputs("r").files] == ["a"]


def test_a_list_that_cannot_be_written_is_said(files: RunFolder) -> None:
    (files.runs / "r/outputs/a").write_text("x")
    (files.runs / "r/outputs.json.new").mkdir()
    assert not files.outputs("r").registered
    until(lambda: not files._listing.is_alive(), "failure")
    with pytest.raises(StoreFailed, match="Is a directory"):
        files.outputs("r")
    (files.runs / "r/outputs.json.new").rmdir()
    assert listed(files) == {"a": "1"}


@pytest.mark.parametrize(
    "text", ['{"files": [["\\u001b[2J", 1, "00"]], "left_out": [], "left_out_count": 0}', "[]", "{", '{"files": 3}']
)
def test_a_forged_list_is_no_list(files: RunFolder, text: str) -> None:
    (files.runs / "r/outputs/a").write_text("x")
    (files.runs / "r/outputs.json").write_text(text)
    assert files.outputs("r").files == ()


@given(st.lists(st.sampled_from(["..", ".", "", "in", "file", "link", "up", "outputs", "\0"]), min_size=1, max_size=6))
def test_no_name_leaves_the_outputs(parts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as made:
        run = Path(made) / "run"
        (run / "outputs/in").mkdir(parents=True)
        (run / "outputs/in/file").write_text("mine")
        (run / "file").write_text("not mine")
        (run / "outputs/in/link").symlink_to(run / "file")
        (run / "outputs/up").symlink_to(run)
        try:
            fd = run_outputs.open_output(str(run), "/".join(parts))
        except OSError:
            assert parts != ["in", "file"]
            return
        with os.fdopen(fd) as file:
            assert (file.read(), parts) == ("mine", ["in", "file"])
