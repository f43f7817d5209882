"""Policy documents: what they say is what is read, and everything wrong is said at once."""

from __future__ import annotations

import pytest

from sanjin.model.errors import ProblemsFound
from sanjin.model.policy import Policy, Queue, Rule, Weights
from sanjin.regions.load import bundled, load_region
from sanjin.regions.policy import applied, read_policy


def test_everything_may_be_left_out() -> None:
    assert read_policy("{}", "p.yaml") == Policy()


def test_what_is_said_is_read() -> None:
    text = """
rule: greenest
weights: {carbon: 2.5}
carbon_yuan_tonne: 120
latency_yuan_ms_hour: 0.5
queues:
  urgent: {priority: 10}
  batch: {}
move_gain_fen: -1
stop_gain_fen: 3
"""
    found = read_policy(text, "p.yaml")
    assert found == Policy(
        rule=Rule.GREENEST,
        weights=Weights(carbon=2.5),
        carbon_yuan_tonne=120,
        latency_yuan_ms_hour=0.5,
        queues={"urgent": Queue(priority=10), "batch": Queue()},
        move_gain_fen=-1,
        stop_gain_fen=3,
    )
    assert found.in_force() == Weights(0, 2.5, 0, 0, 0, 0, 0)
    region = load_region(bundled("shanxi"))
    assert applied(region, found).carbon_price.value == 120
    assert applied(region, Policy()) is region


def test_all_that_is_wrong_is_said_with_its_line() -> None:
    text = "rule: fastest\nweights: {carbon: -1, speed: 1}\nqueues: {a: {priority: x}}\nmove_gain_fen: 1.5\nmore: 1\n"
    with pytest.raises(ProblemsFound) as fault:
        read_policy(text, "p.yaml")
    assert [(p.line, p.path) for p in fault.value.problems] == [
        (1, "rule"),
        (2, "weights.carbon"),
        (2, "weights.speed"),
        (3, "queues.a.priority"),
        (4, "move_gain_fen"),
        (5, "more"),
    ]
    assert all(p.what and p.todo and p.what_zh and p.todo_zh for p in fault.value.problems)
