"""The benchmark's arithmetic, on a clock that a test moves; and what is made of what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sanjin.adapters.engines import machine_benchmark, measuring
from sanjin.model.errors import SanjinError
from sanjin.model.region import Quantity


class Clock:
    """Wall seconds that only work moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def taking(self, *seconds: float, amount: float):
        """Work of ``amount`` that takes these seconds in turn, the last of them for ever."""
        left = list(seconds)

        def work() -> float:
            self.now += left.pop(0) if len(left) > 1 else left[0]
            return amount

        return work


def test_rates_are_of_each_repetition_after_one_that_does_not_count() -> None:
    clock = Clock()
    rates = machine_benchmark.repeated(clock.taking(100.0, 1.0, 2.0, 4.0, 5.0, amount=20.0), 7.0, clock)
    assert rates == [20.0, 10.0, 5.0]


def test_slow_work_is_done_three_times_and_quick_work_not_for_ever() -> None:
    clock = Clock()
    assert len(machine_benchmark.repeated(clock.taking(50.0, amount=1.0), 1.0, clock)) == machine_benchmark.LEAST_RUNS
    assert len(machine_benchmark.repeated(clock.taking(1e-6, amount=1.0), 1.0, clock)) == machine_benchmark.MOST_RUNS


def test_a_product_counts_two_operations_a_cell_and_is_shared_by_the_cores() -> None:
    clock = Clock()
    clock_reads = iter(range(10**6))  # every look at this clock is a second later
    rates = machine_benchmark.products("float32", 4, 3.0, lambda: float(next(clock_reads)))
    assert clock.now == 0.0 and rates[0] == pytest.approx(2 * machine_benchmark.SIDES[0] ** 3 / 1e9 / 4)


def test_the_triad_counts_five_arrays() -> None:
    ticks = iter(range(10**6))
    rates = machine_benchmark.triad(3, 8 << 20, 3.0, lambda: float(next(ticks)))
    assert rates[0] == pytest.approx(5 * (8 << 20) / 1e9)


def test_what_is_still_in_memory_is_no_figure_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_benchmark, "FILE_BYTES", 8 << 20)
    path, ticks = str(tmp_path / "file"), iter(range(10**6))
    assert machine_benchmark.writes(path, 1.0, lambda: float(next(ticks)))[0] == pytest.approx((8 << 20) / 1e6)
    monkeypatch.setattr(machine_benchmark, "_cached", lambda _: 0.0)
    assert len(machine_benchmark.reads(path, 1.0, lambda: float(next(ticks)))) == 3
    monkeypatch.setattr(machine_benchmark, "_cached", lambda _: 0.9)
    assert machine_benchmark.reads(path, 1.0, lambda: float(next(ticks))) == []


PRINTED = {
    "values": {"fp64_core": [3.0, 1.0, 2.0], "disk_read": []},
    "blas": "a library",
    "threads": 2,
    "others_share": 0.25,
    "remarks": ["cached_file"],
}


def test_what_it_printed_is_the_measurement() -> None:
    found = measuring.measurement_of(json.loads(json.dumps(PRINTED)), 2, "bwrap", 5)
    assert [(s.quantity, s.median, s.runs) for s in found.samples] == [(Quantity.FP64_CORE, 2.0, 3)]
    assert (found.at_s, found.sandbox, found.others_share, len(found.remarks)) == (5, "bwrap", 0.25, 1)
    for wrong in ({"values": {"fp128": [1.0]}}, {"threads": None}, {"remarks": ["?"]}, {"values": 3}):
        broken = {**PRINTED, **wrong}
        with pytest.raises(ValueError):
            measuring.measurement_of(broken, 2, "bwrap", 5)


def test_a_run_that_fails_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring.machine_benchmark, "__file__", str(tmp_path / "not-there.py"))
    with pytest.raises(SanjinError, match="was not measured"):
        measuring.measure(tmp_path, 0.1, sandbox="none")
    assert list(tmp_path.iterdir()) == []


def test_it_runs_through_the_engine_as_jobs_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "benchmark.py"
    program.write_text(f"print({json.dumps(PRINTED)!r})")
    monkeypatch.setattr(measuring.machine_benchmark, "__file__", str(program))
    found = measuring.measure(tmp_path, 0.1, sandbox="none")
    assert found.sandbox == "none" and found.samples[0].median == 2.0
    assert list(tmp_path.iterdir()) == [program]
