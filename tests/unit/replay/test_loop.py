"""The compiled loop against a plain one: arrivals, early ends, moves, transfers, sites and links that fail."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sanjin.flow.links import Links
from sanjin.kernels import place as kernel
from sanjin.kernels import tables
from sanjin.model.money import MICRO_PER_FEN
from sanjin.model.network import Network, network_of
from sanjin.model.policy import Policy, Rule
from sanjin.model.region import Region
from sanjin.model.units import SLOT_S
from sanjin.regions.load import bundled, load_region
from sanjin.replay import online, tiers
from sanjin.replay.outages import Outage
from sanjin.replay.outcome import Outcome, account
from sanjin.replay.rules import queue_at_home
from sanjin.replay.trace import Trace
from sanjin.replay.workload import Rule as MapRule
from sanjin.replay.workload import Workload, workload

AHEAD = 16
SLOTS = 96
REGION = load_region(bundled("shanxi"))


@dataclass
class Plain:
    """The loop as one would write it on paper: windows in a list, every start of every pool tried, one by one."""

    work: Workload
    policy: Policy
    windows: dict[int, tuple[int, int, int]] = field(default_factory=dict)  # job: pool, start, until (what is kept)
    ends: dict[int, int] = field(default_factory=dict)
    lost: list[tuple[int, int, int, int]] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    parked: list[int] = field(default_factory=list)
    down: set[int] = field(default_factory=set)
    moves: int = 0

    def run(self) -> Outcome:
        work = self.work
        self.board = online.board_of(replace(work, outages=()), self.policy)
        self.near = tiers.nearness(work.region)
        self.network = work.network
        self.links = Links(work.network, work.supply.slots)
        self.links.roll(work.begin_s // SLOT_S)
        arrive = (work.begin_s + work.trace.arrive_s).tolist()
        turns = self._turns()
        nxt = 0
        for now in range(work.begin_s, work.begin_s + (SLOTS - AHEAD) * SLOT_S):
            slot = now % SLOT_S == 0
            mine = [j for j in range(nxt, len(arrive)) if arrive[j] == now]
            again = self._fail([t for t in turns if t[0] == now], now)
            back = any(t[0] == now and t[1] != "down" for t in turns)
            self._place(again, now)
            if slot or back:
                moved = self._look(now) if self.policy.move_gain_fen >= 0 else []
                retry, self.parked = self.parked, []
                self._place(moved + retry, now)
            for j in mine:
                self._place([j], now)
                nxt = j + 1
        count = len(arrive)
        place, start, end = np.full(count, -1), np.zeros(count, int), np.zeros(count, int)
        for j, (p, begin, _) in self.windows.items():
            place[j], start[j], end[j] = p, begin, self.ends[j]
        return Outcome(rule="plain", place=place, start_s=start, end_s=end)

    def _turns(self) -> list[tuple[int, str, object]]:
        found: list[tuple[int, str, object]] = []
        for o in self.work.outages:
            kinds = ("cut", "mended") if o.link else ("down", "up")
            what = frozenset(o.link) if o.link else self.work.supply.site_index[o.site]
            if not o.announced:
                found += [(self.work.begin_s + t, k, what) for t, k in zip((o.from_s, o.until_s), kinds, strict=True)]
        return found

    def _fail(self, turns: list[tuple[int, str, object]], now: int) -> list[int]:
        again: list[int] = []
        for _, kind, what in sorted(turns, key=lambda t: (t[1] != "up", t[1] != "down")):
            if kind == "up":
                self.down.discard(what)
            elif kind == "down":
                self.down.add(what)
                for j, (p, start, _) in sorted(self.windows.items()):
                    if self.work.pool[p, tables.SITE] == what and self.ends[j] > now:
                        if start < now:
                            self.lost.append((j, p, start, now))
                        del self.windows[j]
                        again.append(j)
            else:
                cut = {
                    frozenset(o.link) for o in self.work.outages
                    if o.link and o.from_s <= now - self.work.begin_s < o.until_s
                }  # fmt: skip
                self.network = _without(self.work.region, self.work.network, cut)
                self.links.network = self.network
        return again

    def _kept(self, j: int, now: int) -> tuple[int, int, int]:
        """Pool, first and last slot of what the job keeps."""
        p, start, until = self.windows[j]
        if self.ends[j] <= now and self.ends[j] < until:  # it gave back its window from the slot of its end on
            until = min(until, self.ends[j] // SLOT_S * SLOT_S)
        return p, start // SLOT_S, (until - 1) // SLOT_S

    def _free(self, now: int, but: int = -1) -> tuple[np.ndarray, np.ndarray]:
        """Free cores of each pool and power of each site, by slot from the begin; ``but`` one job's window."""
        work, first = self.work, self.work.begin_s // SLOT_S
        cores = np.repeat(work.pool[:, [tables.CORES]], SLOTS, axis=1)
        mw = np.repeat(work.cap_mw[:, None], SLOTS, axis=1)
        for o in work.outages:
            if o.announced:
                at = work.pool[:, tables.SITE] == work.supply.site_index[o.site]
                cores[at, o.from_s // SLOT_S : -(-o.until_s // SLOT_S)] = 0
        for j in self.windows:
            p, k0, k1 = self._kept(j, now)
            if j != but:
                cores[p, k0 - first : k1 + 1 - first] -= work.trace.cores[j]
                power = work.trace.cores[j] * work.pool[p, tables.MW_CORE]
                mw[work.pool[p, tables.SITE], k0 - first : k1 + 1 - first] -= power
        for s in self.down:
            cores[work.pool[:, tables.SITE] == s] = 0
        return cores, mw

    def _best(self, j: int, now: int, but: int = -1) -> tuple[int, int, int, int, object] | None:
        """(total, pool, start, until, way) of the best place."""
        work, trace, first = self.work, self.work.trace, self.work.begin_s // SLOT_S
        cores, mw = self._free(now, but)
        origin, data = int(work.origin[j]), int(work.data_bytes[j])
        best, found = None, None
        for p in range(len(work.pool)):
            s = int(work.pool[p, tables.SITE])
            ready, fare, way = now, 0, None
            if s != origin:
                if self.policy.rule.at_home or (origin, s) not in self.network.paths:
                    continue
                if data:
                    if origin in self.down:
                        continue
                    way = self.links.plan(self.links.free(), origin, s, data, now)
                    if way is None:
                        continue
                    ready = way.done_s
                    fare = data // 10**6 * round(self.network.price_yuan_gb[origin, s] * 1e6) // 1000
            hold = -(-int(trace.asked_s[j]) * 1000 // int(work.pool[p, tables.SPEED]))
            power = int(trace.cores[j] * work.pool[p, tables.MW_CORE])
            begin = max(now, ready)
            limit = (now // SLOT_S + AHEAD) * SLOT_S
            longer = trace.asked_s[j] > AHEAD * SLOT_S  # then it need only start within the look ahead
            for k in range(begin // SLOT_S, now // SLOT_S + AHEAD + 1):
                start = max(begin, k * SLOT_S)
                if start > limit or (start + hold > limit and not longer):
                    break
                part = slice(k - first, (start + hold - 1) // SLOT_S + 1 - first)
                if (cores[p, part] < trace.cores[j]).any() or (mw[s, part] < power).any():
                    continue
                key = (self._total(j, p, start, ready, fare), start, -self.near[origin, s], s, p)
                if best is None or key < best:
                    best, found = key, (key[0], p, start, start + hold, way)
        return found

    def _total(self, j: int, p: int, start: int, ready: int, fare: int) -> int:
        work, row, weights = self.work, np.zeros(tables.ROW, np.int64), self.policy.in_force()
        job = np.zeros((1, tables.JOB_COLUMNS), np.int64)
        job[0, tables.J_CORES] = job[0, tables.J_NODES] = work.trace.cores[j]
        job[0, tables.J_SECONDS] = work.trace.asked_s[j]
        job[0, tables.J_SINCE] = work.begin_s + work.trace.arrive_s[j]
        delay = online.delays(work, self.policy)[j]
        job[0, tables.J_DELAY], job[0, tables.J_RUN] = delay, delay * self.policy.rule.hurries
        both = tables.Weights(round(weights.transport * 1000), round(weights.use * 1000))
        kernel.price_at(
            self.board.cells, self.board.rows, work.pool, p, job, work.begin_s, start, ready, fare, 0, both, row
        )
        return int(row[tables.ENERGY :].sum())

    def _place(self, jobs: list[int], now: int) -> None:
        for j in jobs:
            found = self._best(j, now)
            if found is None:
                self.parked.append(j)
                continue
            _, p, start, until, way = found
            if way is not None:
                self.links.book(way)
            took = -(-int(self.work.trace.run_s[j]) * 1000 // int(self.work.pool[p, tables.SPEED]))
            self.windows[j], self.ends[j] = (p, start, until), start + took
            if start > now and j not in self.waiting:
                self.waiting.append(j)

    def _look(self, now: int) -> list[int]:
        moved: list[int] = []
        for j in list(self.waiting):
            if j not in self.windows or self.windows[j][1] <= now:
                continue
            p, start, _ = self.windows[j]
            if self.work.data_bytes[j] and self.work.pool[p, tables.SITE] != self.work.origin[j]:
                continue
            best = self._best(j, now, but=j)
            gain = self._total(j, p, start, 0, 0) - best[0] if best else 0
            if gain > 0 and gain >= self.policy.move_gain_fen * MICRO_PER_FEN:
                del self.windows[j]
                moved.append(j)
        self.moves += len(moved)
        self.waiting = [j for j in self.waiting if j in moved or (j in self.windows and self.windows[j][1] > now)]
        return moved


def _without(region: Region, network: Network, cut: set[frozenset[str]]) -> Network:
    """The network without some links, its links numbered as before."""
    kept = [i for i, link in enumerate(region.links) if frozenset((link.a, link.b)) not in cut]
    left = network_of(replace(region, links=tuple(region.links[i] for i in kept)))
    paths = {pair: tuple(kept[n] for n in way) for pair, way in left.paths.items()}
    return replace(network, paths=paths, price_yuan_gb=left.price_yuan_gb, latency_ms=left.latency_ms)


SITES = list(REGION.nodes)
LINKS = [(link.a, link.b) for link in REGION.links]


@st.composite
def outages(draw: st.DrawFn) -> tuple[Outage, ...]:
    """Some outages; those of one site never overlap."""
    found: list[Outage] = []
    for site in draw(st.lists(st.sampled_from(SITES[:4]), max_size=3, unique=True)):
        begin = draw(st.integers(1, 20 * SLOT_S))
        length = draw(st.integers(1, 12 * SLOT_S))
        found.append(Outage(site=site, from_s=begin, until_s=begin + length, announced=draw(st.booleans())))
    for link in draw(st.lists(st.sampled_from(LINKS), max_size=3, unique=True)):
        begin = draw(st.integers(1, 20 * SLOT_S))
        found.append(Outage(link=link, from_s=begin, until_s=begin + draw(st.integers(1, 12 * SLOT_S))))
    return tuple(found)


def small(seed: int, over: float, data: bool, failing: tuple[Outage, ...]) -> Workload:
    """A dozen jobs that fight for four small sites."""
    rng = np.random.default_rng(seed)
    count = 12
    run = rng.integers(60, 5 * SLOT_S, count)
    trace = Trace(
        name="small", arrive_s=np.sort(rng.integers(0, 12 * SLOT_S, count)), run_s=run,
        asked_s=np.ceil(run * rng.uniform(1, over, count)).astype(np.int64), cores=rng.integers(1, 9, count),
        cards=np.zeros(count, np.int64), user=np.full(count, -1), queue=np.full(count, -1), waited_s=np.full(count, -1),
    )  # fmt: skip
    rule = MapRule(seed=seed % 1000, load=0, fold_days=0, data_share=0.5 * data, data_median_gb=2000.0)
    work = workload(REGION, trace, rule, SLOTS)
    pool = work.pool.copy()
    pool[:, tables.CORES] = np.where(pool[:, tables.SITE] < 4, 8, 1)
    return replace(work, pool=pool, origin=rng.integers(0, 4, count), outages=failing)


RULES = st.sampled_from([Rule.LEAST_TOTAL, Rule.EARLIEST_FINISH, Rule.HOME_ONLY])
DOWN = (Outage(site="taiyuan", from_s=5 * SLOT_S, until_s=9 * SLOT_S), Outage(link=LINKS[0], from_s=1, until_s=9000))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**31), st.sampled_from([1.0, 4.0]), st.booleans(), RULES, st.sampled_from([-1, 0, 1]), outages(),
    st.booleans(),
)  # fmt: skip
@example(1, 4.0, True, Rule.LEAST_TOTAL, 0, DOWN, False)
@example(1, 4.0, True, Rule.LEAST_TOTAL, 0, DOWN, True)
def test_the_compiled_loop_does_what_the_plain_one_does(
    seed: int, over: float, data: bool, rule: Rule, gain: int, failing: tuple[Outage, ...], tree: bool
) -> None:
    """Whether it looks at every pool or asks down the tree of nodes."""
    work, policy = small(seed, over, data, failing), Policy(rule=rule, move_gain_fen=gain)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(online, "LOOK_AHEAD_S", AHEAD * SLOT_S)
        patch.setattr(tiers, "FEW", 2)
        patch.setattr(tiers, "STEPS", 1)
        found = online.replay_online(work, policy, many_pools=0 if tree else 10**6)
    assert (found.asked is not None) == tree
    plain = Plain(work, policy)
    expected = plain.run()
    assert found.place.tolist() == expected.place.tolist()
    assert found.start_s.tolist() == expected.start_s.tolist()
    assert found.end_s.tolist() == expected.end_s.tolist()
    lost = list(zip(found.lost.job, found.lost.place, found.lost.start_s, found.lost.end_s, strict=True))
    assert lost == plain.lost and found.moves == plain.moves
    account(work, found)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.booleans(), outages())
def test_queues_at_home_lose_what_runs_and_go_on(seed: int, backfill: bool, failing: tuple[Outage, ...]) -> None:
    """Every law holds, and every job that could be held is done in the end, whatever failed."""
    work = small(seed, 4.0, False, failing)
    found = queue_at_home(work, backfill)
    assert (found.place >= 0).all()
    sums = account(work, found)
    announced = all(o.announced for o in failing if o.site)
    assert (sums.lost_core_s == 0) or not announced
