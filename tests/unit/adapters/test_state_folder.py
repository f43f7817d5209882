"""What a state folder remembers of the writers of its node's database."""

from __future__ import annotations

from pathlib import Path

from sanjin.adapters.state_folder import StateFolder


def test_a_writer_counts_as_the_last_only_once_its_start_is_over(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    assert folder.wrote_last(1)  # nobody wrote before
    folder.started(1)
    assert folder.wrote_last(2)
    assert not folder.wrote_last(3)  # number 2 wrote elsewhere
    # a start that did not come to its end has taken account of nothing: the next one has to
    assert not folder.wrote_last(4)
    folder.started(4)
    assert folder.wrote_last(5)
    folder.started()  # of a node whose store has one writer for good
    assert folder.wrote_last(5)
