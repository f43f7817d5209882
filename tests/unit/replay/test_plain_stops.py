"""The compiled loop against a plain one where work is divided over windows, while sites fail and data move."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from sanjin.flow.supply import PriceBook, Supply
from sanjin.kernels import pieces as kernel
from sanjin.kernels import place as pricing
from sanjin.kernels import tables
from sanjin.kernels.board import Need
from sanjin.model.money import MICRO_PER_FEN
from sanjin.model.policy import Policy, Rule
from sanjin.model.series import Quantity, Series
from sanjin.model.units import HOUR_S, SLOT_S
from sanjin.replay import online
from sanjin.replay.outages import Outage
from sanjin.replay.outcome import Outcome, account
from sanjin.replay.workload import Workload
from tests.unit.replay.test_loop import AHEAD, DOWN, SLOTS, Plain, outages, small


@dataclass
class Divided(Plain):
    """Second by second: which windows each job has, in which it is, and what runs."""

    spans: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # what is taken from its present window on
    on: set[int] = field(default_factory=set)
    over: set[int] = field(default_factory=set)
    done: dict[int, int] = field(default_factory=dict)
    halted: list[list[int]] = field(default_factory=list)
    worth: dict[int, int] = field(default_factory=dict)

    def run(self) -> Outcome:
        self.last = self.work.begin_s + (SLOTS - AHEAD) * SLOT_S
        found = super().run()
        for j, (p, begin, _) in self.windows.items():
            found.place[j], found.start_s[j], found.end_s[j] = p, begin, self.ends[j]
        return found

    def _fail(self, turns: list[tuple[int, str, object]], now: int) -> list[int]:
        """What ends now has ended before anything fails."""
        for j in [j for j in self.on if self.ends[j] == now]:
            self.on.remove(j)
            self.over.add(j)
            whole = now // SLOT_S * SLOT_S
            self.spans[j] = [(a, b if b <= now else whole) for a, b in self.spans[j] if b <= now or a < whole]
        for j in self.windows:
            if j not in self.on and j not in self.over and self.windows[j][1] < now:  # it waits for its next window
                p, _, until = self.windows[j]
                self.windows[j] = (p, now, until)
        again = super()._fail(turns, now)
        for j in again:
            self.on.discard(j)
            self.done.pop(j, None)
            self.spans.pop(j)
            for run in self.halted:
                run[4] *= run[0] != j
        return again

    def _free(self, now: int, but: int = -1) -> tuple[np.ndarray, np.ndarray]:
        windows, self.windows = self.windows, {}
        cores, mw = super()._free(now)
        self.windows = windows
        first = self.work.begin_s // SLOT_S
        for j, spans in self.spans.items():
            p = self.windows[j][0] if j in self.windows else -1
            for begin, end in spans if j != but and p >= 0 else ():
                part = slice(begin // SLOT_S - first, (end - 1) // SLOT_S + 1 - first)
                cores[p, part] -= self.work.trace.cores[j]
                power = self.work.trace.cores[j] * self.work.pool[p, tables.MW_CORE]
                mw[self.work.pool[p, tables.SITE], part] -= power
        return cores, mw

    def _place(self, jobs: list[int], now: int) -> None:
        for j in jobs:
            found = self._best(j, now)
            super()._place([j], now)
            self.spans.pop(j, None)
            if j in self.windows and found is not None:
                total, p, start, until, way = found
                self.spans[j], self.worth[j] = [(start, until)], total
                if self.work.stoppable[j] and self.work.trace.asked_s[j] <= AHEAD * SLOT_S:
                    self._divide(j, p, start, now, way.done_s if way is not None else now)
                self.windows[j] = (p, self.spans[j][0][0], self.spans[j][-1][1])
                self.ends[j] = max(self.ends[j], self.spans[j][-1][1])
                if self.windows[j][1] > now and j not in self.waiting:
                    self.waiting.append(j)
        self._act(now)

    def _divide(self, j: int, p: int, start: int, now: int, ready: int) -> None:
        work, board = self.work, self.board
        cores, mw = self._free(now, but=j)
        board.cores[:], board.mw[:] = cores, mw
        site = int(work.pool[p, tables.SITE])
        job = np.zeros((1, tables.JOB_COLUMNS), np.int64)
        job[0, tables.J_CORES] = job[0, tables.J_NODES] = work.trace.cores[j]
        job[0, tables.J_SECONDS] = work.trace.asked_s[j]
        job[0, tables.J_SINCE] = work.begin_s + work.trace.arrive_s[j]
        delay = online.delays(work, self.policy)[j]
        job[0, tables.J_DELAY], job[0, tables.J_RUN] = delay, delay * self.policy.rule.hurries
        job[0, tables.J_DEADLINE] = (now // SLOT_S + AHEAD) * SLOT_S
        fare = 0
        if site != work.origin[j] and work.data_bytes[j]:
            price = self.network.price_yuan_gb[work.origin[j], site]
            fare = int(work.data_bytes[j]) // 10**6 * round(price * 1e6) // 1000
        row, changed = np.zeros(tables.ROW, np.int64), np.zeros(tables.ROW, np.int64)
        weights = self.policy.in_force()
        both = tables.Weights(round(weights.transport * 1000), round(weights.use * 1000))
        args = (board.cells, board.rows, work.pool, p, job, work.begin_s)
        pricing.price_at(*args, start, ready, fare, 0, both, row)
        mine = int(work.trace.cores[j])
        need = Need(mine, 0, 0, mine * int(work.pool[p, tables.MW_CORE]))
        windows = np.zeros((kernel.PIECES, 2), np.int64)
        ask = tables.job_of(job, 0)
        count = kernel.divide(
            board.cells, board.rows, work.pool, work.begin_s, need, ask, int(work.stop_cost_s[j]), row, windows,
            changed, np.zeros(SLOTS, np.bool_),
        )  # fmt: skip
        if count:
            self.spans[j] = [(int(a), int(b)) for a, b in windows[:count]]
            pricing.price_at(*args, self.spans[j][0][0], 0, 0, 0, both, row)
            kernel.in_pieces(
                board.cells, board.rows, work.pool, work.begin_s, need, int(delay), row, windows, count, changed
            )
            self.worth[j] = int(changed[tables.ENERGY :].sum())

    def _look(self, now: int) -> list[int]:
        moved: list[int] = []
        self.waiting.sort()
        for j in list(self.waiting):
            if j not in self.windows or self.windows[j][1] <= now or j in self.on or j in self.done:
                continue
            if self.work.data_bytes[j] and self.work.pool[self.windows[j][0], tables.SITE] != self.work.origin[j]:
                continue
            best = self._best(j, now, but=j)
            gain = self.worth[j] - best[0] if best else 0
            if gain > 0 and gain >= self.policy.move_gain_fen * MICRO_PER_FEN:
                del self.windows[j], self.spans[j]
                moved.append(j)
        self.moves += len(moved)
        self.waiting = [j for j in self.waiting if j in moved or (j in self.windows and self.windows[j][1] > now)]
        return moved

    def _act(self, now: int) -> None:
        """Runs stop as their windows end, and begin as these do."""
        work = self.work
        for j in sorted(self.on):
            if len(self.spans[j]) > 1 and self.spans[j][0][1] == now:
                p, start, until = self.windows[j]
                self.halted.append([j, p, start, now, 1, int(j in self.done), 0])
                worked = -(-(now - start) * int(work.pool[p, tables.SPEED]) // 1000)
                if j in self.done:
                    worked = max(worked - int(work.stop_cost_s[j]), 0)
                self.done[j] = max(min(self.done.get(j, 0) + worked, int(work.trace.asked_s[j]) - 1), 1)
                self.on.remove(j)
                self.spans[j] = self.spans[j][1:]
                self.ends[j] = self.spans[j][-1][1]
        for j in self.windows:
            if j in self.on or j in self.over or self.spans[j][0][0] != now:
                continue
            p, _, until = self.windows[j]
            left = int(work.trace.run_s[j])
            if j in self.done:
                left = max(left - self.done[j], 1) + int(work.stop_cost_s[j])
            end = now + -(-left * 1000 // int(work.pool[p, tables.SPEED]))
            self.on.add(j)
            self.windows[j] = (p, now, until)
            if end <= self.spans[j][0][1] or len(self.spans[j]) == 1:
                self.ends[j] = end


def some_stop(work: Workload, seed: int) -> Workload:
    rng = np.random.default_rng([seed, 1])
    count, pool = len(work), work.pool.copy()
    pool[:, tables.MW_CORE] *= 50  # so that hours differ by more than a fen
    price = np.where(np.arange(48) % 2, 3.0, 0.1)  # every other hour is dear
    series = Series(
        name="steps", source="", synthetic=False, first_hour=work.begin_s // HOUR_S, hours=len(price),
        values={Quantity.PRICE: {"*": price}},
    )  # fmt: skip
    supply = Supply(work.region, work.region.root().id, PriceBook(work.region, SLOTS, series), SLOTS)
    supply.roll(work.begin_s)
    return replace(
        work, pool=pool, supply=supply, stoppable=rng.random(count) < 0.7,
        stop_cost_s=rng.choice([0, 1, 60, 1000], count),
        # patient, but not so that starts cost alike to less than a micro-yuan: the plain loop looks no closer
        delay_pico=np.where(rng.random(count) < 0.7, 20_000, work.delay_pico),
    )  # fmt: skip


RULES = st.sampled_from([Rule.LEAST_TOTAL, Rule.HOME_ONLY])


@settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.integers(0, 2**31), st.sampled_from([1.0, 4.0]), st.booleans(), RULES, st.sampled_from([-1, 0]), outages())
@example(1, 4.0, True, Rule.LEAST_TOTAL, 0, DOWN)
def test_the_compiled_loop_divides_as_the_plain_one_does(
    seed: int, over: float, data: bool, rule: Rule, gain: int, failing: tuple[Outage, ...]
) -> None:
    work = some_stop(small(seed, over, data, failing), seed)
    policy = Policy(rule=rule, move_gain_fen=gain, stop_gain_fen=-1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(online, "LOOK_AHEAD_S", AHEAD * SLOT_S)
        found = online.replay_online(work, policy)
    plain = Divided(work, policy)
    expected = plain.run()
    assert found.place.tolist() == expected.place.tolist()
    assert found.start_s.tolist() == expected.start_s.tolist()
    assert found.end_s.tolist() == expected.end_s.tolist()
    of = found.halted
    columns = (of.job, of.place, of.start_s, of.end_s, of.kept, of.resumed, of.for_room)
    halted = [[int(v) for v in row] for row in zip(*columns, strict=True)]
    assert sorted(halted) == sorted(plain.halted)
    lost = list(zip(found.lost.job, found.lost.place, found.lost.start_s, found.lost.end_s, strict=True))
    assert lost == plain.lost and found.moves == plain.moves
    account(work, found)
