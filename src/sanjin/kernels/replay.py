"""The replay's loop: arrivals placed by the placement kernel, ends, looks at what waits, sites and links that fail.

At one instant ends come first, then what fails or comes back, then the look at work that has not started (at the
begin of a slot, as live nodes do), then arrivals in order. A run that has ended gives back its window from the
slot of its end on. Where data lie and what moving them costs is worked out on the way, so that a job takes little
more memory than its own figures.

A site that fails loses what runs there: those jobs, and those that were to start there, are placed again from
their begin. When it comes back is not known before. While a link is down, transfers go other ways or not at all;
what was under way arrives.

Where work can stop and go on (:mod:`sanjin.kernels.stops`), an instant is taken in turns like those of live nodes: what
comes and what moves is placed, then is looked who makes room for whom, then runs stop and begin; what stopped is
placed in the next turn. Without such work none of that is compiled in.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from sanjin.kernels.board import (
    BLOCK,
    OK,
    SLOT,
    Need,
    Rows,
    any_scarce,
    floor_of,
    over,
    reserve,
    room,
    scarcity_of,
    spans_of,
    times_power,
)
from sanjin.kernels.carry import BARRED, CUT, NEVER, Lines, arrival, book, reach
from sanjin.kernels.easy import pop, push
from sanjin.kernels.lists import larger, put_in_order, set_all, set_to, wider, with_one, without_first
from sanjin.kernels.place import ROUNDING, choose_one, floors_of, total_of
from sanjin.kernels.stops import (
    CLOSING,
    HALTED_KEPT,
    OVER,
    PLACED,
    RUNS,
    STOPPING,
    forget,
    go,
    has_room_now,
    keep,
    leave,
    next_start,
    pause,
    room_for,
)
from sanjin.kernels.tables import (
    FINISH,
    LOOKS_A_TURN,
    PICO,
    PLACE_A_TURN,
    POOL,
    ROW,
    SITE,
    SPEED,
    START,
    UNTIL,
    Job,
    Weights,
    need_code,
    need_of,
    plan_of,
)
from sanjin.kernels.tiers import Sender, remember, renew
from sanjin.kernels.windows import (
    UNBEGUN,
    Begin,
    Jobs,
    Rule,
    ask_of,
    asked_of,
    nothing_free,
    resume,
    shut,
    slowest_of,
    take_back,
    until_of,
    widen,
)

SITE_DOWN, SITE_UP, LINES, SITE_LEFT = range(4)
"""Kinds of turns: a site fails, comes back; other lines are in force; what runs at a site is lost, and its later
capacity is as it was."""

UNPLACED = -2

RETRIES = 500
"""Jobs without a place that are tried again at the begin of a slot, at most."""


class Turns(NamedTuple):
    """What happens at ``at`` (seconds UTC, not falling): ``kind`` to ``which`` site, or state of lines."""

    at: Any
    kind: Any
    which: Any


class Stopped(NamedTuple):
    """How far it came: ``lost`` int64[5, R], job, pool, start and end of the runs that were lost, and whether each went
    on with work done before; ``halted`` int64[7, R] of runs that stopped (:data:`sanjin.kernels.stops.HALTED_JOB`); how
    many jobs ``moves``; and with what it would begin again (:class:`sanjin.kernels.windows.Begin`)."""

    lost: Any
    halted: Any
    moves: int
    arrived: int
    given: Any
    later: Any
    parked: Any


@njit(cache=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
def _may_gain(
    cells: Any, low: Any, rows: Rows, pool: Any, ask: Job, home: int, first_s: int, now: int, weights: Weights,
    spans: Any, scarce: bool, freed: Any, below: int,
) -> bool:
    """Whether a window that was not free before costs less than ``below`` micro-yuan: one that meets a slot in
    which capacity came free, or the last of the look ahead, which is new. Never wrongly false: transfers count
    nothing, and at the site of pool ``home``, where the job's own window lies, all has room."""
    end_s = first_s + (cells.shape[1] - 1) * SLOT
    for p in range(pool.shape[0]):
        if need_code(pool, p, ask) != OK:
            continue
        plan = plan_of(pool, p, ask, end_s, now, 0, 0, 0, weights)
        need, s, most = need_of(pool, p, ask), pool[p, SITE], below * PICO - plan.fixed
        lead, k0, k1 = (plan.hold + SLOT - 1) // SLOT, (plan.begin - first_s) // SLOT, (plan.latest - first_s) // SLOT
        a, b = max(freed[0, p] - lead, k0), min(freed[1, p], k1)
        if a <= b:
            reach = (b + lead) // BLOCK - a // BLOCK
            least = floor_of(spans, rows, p, s, a // BLOCK, reach, need, plan.dur, scarce)
            if least + plan.delay * (max(plan.begin, first_s + a * SLOT) - plan.since) >= most:
                a = b + 1
        k = a if a <= b else k1
        while k0 <= k <= k1:
            start = max(plan.begin, first_s + k * SLOT)
            cost = times_power(over(cells, rows.watt + s, first_s, start, start + plan.dur), need.mw)
            last = (start + plan.hold - 1 - first_s) // SLOT
            if scarce:
                cost += scarcity_of(cells, rows, p, s, k, last, need)
            if cost + plan.delay * (start - plan.since) < most and (
                s == pool[home, SITE] or room(cells, low, rows, p, s, k, last, need) == OK
            ):
                return True
            if k == k1:
                break
            k = k + 1 if k < b else k1
    return False


@njit(cache=True, no_cfunc_wrapper=True, nogil=True, error_model="numpy")
def replay_jobs(
    cells: Any, low: Any, high: Any, rows: Rows, first_s: int, weights: Weights, pool: Any, near: Any, jobs: Jobs,
    lines: Lines, turns: Turns, rule: Rule, begin: Begin, place: Any, start: Any, end: Any, offers: Any = None,
    until_s: int = NEVER, stops: Any = None,
) -> Stopped:
    """Place J jobs; writes ``place`` (a pool, or -1), ``start`` and ``end`` int64[J] of the run that was finished.

    It stops before what happens at ``until_s``. ``begin``: from the first job on
    (:data:`sanjin.kernels.windows.FROM_THE_FIRST`), or from where another stopped, on a board of its own capacity and
    prices; ``place``, ``start``, ``end`` and the load of ``lines`` are then those of the other.
    ``near`` int64[S, S]: of equal places, the one with the greater value for the job's origin is taken.
    ``offers``: the search goes down the tree (:mod:`sanjin.kernels.tiers`), where no price is below nothing.
    ``stops`` where work can stop and go on (:class:`sanjin.kernels.stops.Stops`); then no ``offers``, and from
    the first job on.
    """
    looks = rule.move_gain >= 0
    waits_late = looks  # whether a list is kept of what has not started
    if stops is not None:
        waits_late = looks or stops.least >= 0
    sites, scarce, count = near.shape[0], any_scarce(cells, rows), jobs.arrive.shape[0]
    spans, floors = spans_of(low, rows), floors_of(low, rows, pool)
    queued = pool.shape[0]
    if offers is not None:
        queued += offers.first.shape[0]
    pools, scratch = np.empty((4, queued), np.int64), np.empty(low.shape[1], np.int64)
    known, turn = np.zeros(sites, np.int64), 0  # sites whose terms are those of the job in hand
    won, trial = np.zeros((1, ROW), np.int64), np.zeros(ROW, np.int64)
    barred, ready = np.zeros((1, sites), np.int64), np.zeros((1, sites), np.int64)
    transport, latency = np.zeros((1, sites), np.int64), np.zeros((1, sites), np.int64)
    amounts = np.empty(lines.load.shape[1], np.int64)
    heap_at, heap_job, running = np.empty(1024, np.int64), np.empty(1024, np.int64), 0
    later, late = np.empty(1024, np.int64), 0  # jobs that may still move
    again, again_at, todo = np.empty(1024, np.int64), 0, 0  # jobs to be placed again now
    parked, no_place = np.empty(1024, np.int64), 0
    lost, lost_runs, moves = np.empty((5, 16), np.int64), 0, 0
    halted, halts = np.empty((7, 16), np.int64), 0
    if stops is not None:
        wake_at, wake_job, waking = np.empty(1024, np.int64), np.empty(1024, np.int64), 0  # begins and ends of windows
        due, dues, blocked, blocks = np.empty(1024, np.int64), 0, np.empty(1024, np.int64), 0
        halting, stopping = np.empty(1024, np.int64), 0
        touched, touches, room_at = np.empty(1024, np.int64), 0, 0
        phase, in_turn, rolled, arriving, marks = 0, 0, False, False, np.zeros(count, np.bool_)
    down = np.zeros(sites, np.bool_)
    given = np.zeros(count, np.bool_)  # whether the rest of the window was given back
    worth = np.zeros(count if waits_late else 1, np.int64)  # what each costs where it is placed, micro-yuan
    settled = np.zeros(count, np.bool_)  # whether it can gain only where capacity came free
    listed = np.zeros(count, np.bool_)  # whether it is among those that may still move
    horizon_s = first_s + (cells.shape[1] - 1) * SLOT
    now, state, t, i, look = first_s, 0, 0, 0, 0
    freed, fresh = nothing_free(pool.shape[0]), nothing_free(pool.shape[0])
    spare = np.empty((2, pool.shape[0]), np.int64)
    next_look, stop_s = horizon_s, min(horizon_s, until_s)
    looking, turn_end, retry = 0, LOOKS_A_TURN, 0
    if begin.from_s > UNBEGUN:
        now = next_look = begin.from_s
        i = begin.arrived
        set_to(given, begin.given)
        set_all(freed[0], 0)
        set_all(freed[1], cells.shape[1] - 2)
        running, heap_at, heap_job, parked, no_place, later, late = resume(
            cells, low, high, rows, first_s, weights, pool, jobs, rule, begin, place, start, end, given, worth,
            listed, spare, offers,
        )
    slowest, below_nothing = slowest_of(pool), floors.min() < 0
    came_free = True
    while True:
        # -- which job is next
        held = False
        # the first of those moved have gone before
        if retry > 0 and look >= min(looking, LOOKS_A_TURN) and again_at == todo:
            for n in range(retry):
                again, todo = with_one(again, todo, parked[n])
            no_place, retry = without_first(parked, no_place, retry), 0
        placing = again_at < todo and look in (turn_end, looking)
        making_room = arrives = False
        if stops is not None:
            more = arriving and i < count and jobs.arrive[i] == now
            arrives = more and phase == 1 and in_turn < PLACE_A_TURN
            turn_over = phase > 0 and not arrives and again_at == todo and look in (turn_end, looking)
            if turn_over and phase == 1:  # all is placed: who makes room for whom
                phase, room_at = 2, 0
                if rolled and stops.least >= 0:
                    put_in_order(later, late)
                    seen = 0
                    for n in range(touches):
                        marks[touched[n]] = True
                    before_these = touches
                    for n in range(late):
                        m = later[n]
                        if seen == LOOKS_A_TURN:
                            break
                        if place[m] >= 0 and stops.state[m] == PLACED and start[m] > now:
                            seen += 1
                            if not marks[m]:
                                touched, touches = with_one(touched, touches, m)
                    for n in range(before_these):
                        marks[touched[n]] = False
            if turn_over:
                j = -1
                while room_at < touches and stops.least >= 0 and stops.count[0] > 0:
                    m = touched[room_at]
                    room_at += 1
                    p, n_stop = room_for(
                        cells, low, high, rows, first_s, weights, pool, jobs, rule, stops, m, now, place, start,
                        worth[m], spare,
                    )
                    if n_stop == 0:
                        continue
                    n = 0
                    while n_stop > 0:
                        if stops.runs.pool[n] == p:
                            r = stops.runs.job[n]
                            take_back(
                                cells, low, high, rows, first_s, pool, jobs, r, place, start, now, -1, freed, offers,
                                stops,
                            )
                            stops.state[r] = STOPPING
                            halting, stopping = with_one(halting, stopping, r)
                            n_stop -= 1
                        n += 1
                    take_back(
                        cells, low, high, rows, first_s, pool, jobs, m, place, start, now, -1, freed, offers, stops
                    )
                    for q in range(pool.shape[0]):
                        fresh[0, q], fresh[1, q] = min(fresh[0, q], freed[0, q]), max(fresh[1, q], freed[1, q])
                    came_free, stops.making[m], making_room, j = True, True, True, m
                    place[m] = UNPLACED
                    break
            if turn_over and not making_room:  # runs stop and begin
                for n in range(blocks):
                    due, dues = with_one(due, dues, blocked[n])
                blocks = 0
                while waking > 0 and wake_at[0] <= now:
                    j, at = wake_job[0], wake_at[0]
                    pop(wake_at, wake_job, waking)
                    waking -= 1
                    if j < count:
                        if place[j] >= 0 and next_start(stops, j, start) == at:
                            due, dues = with_one(due, dues, j)
                    elif place[j - count] >= 0 and stops.state[j - count] == RUNS:
                        w = stops.nth[j - count]
                        if stops.windows[w, stops.window[w], 1] == at and stops.window[w] + 1 < stops.pieces[w]:
                            stops.state[j - count] = CLOSING
                            halting, stopping = with_one(halting, stopping, j - count)
                for n in range(dues):
                    j = due[n]
                    if place[j] < 0 or not 0 <= next_start(stops, j, start) <= now:
                        continue
                    if not has_room_now(pool, jobs, stops, j, place[j]):
                        blocked, blocks = with_one(blocked, blocks, j)
                    elif go(pool, jobs, stops, j, place[j], now, start, end):
                        if running == heap_at.shape[0]:
                            heap_at, heap_job = larger(heap_at), larger(heap_job)
                        push(heap_at, heap_job, running, end[j], j)
                        running += 1
                    else:
                        if waking == wake_at.shape[0]:
                            wake_at, wake_job = larger(wake_at), larger(wake_job)
                        w = stops.nth[j]
                        push(wake_at, wake_job, waking, stops.windows[w, stops.window[w], 1], count + j)
                        waking += 1
                for n in range(stopping):
                    j = halting[n]
                    resumed, for_room = stops.done[j] > 0, stops.state[j] == STOPPING
                    if halts == halted.shape[1]:
                        halted = wider(halted)
                    halted[0, halts], halted[1, halts], halted[2, halts] = j, place[j], start[j]
                    halted[3, halts], halted[HALTED_KEPT, halts], halted[5, halts] = now, 1, resumed
                    halted[6, halts] = for_room
                    halts += 1
                    if pause(pool, jobs, stops, j, place[j], now, start, end):
                        if waking == wake_at.shape[0]:
                            wake_at, wake_job = larger(wake_at), larger(wake_job)
                        push(wake_at, wake_job, waking, next_start(stops, j, start), j)
                        waking += 1
                    else:
                        place[j] = UNPLACED
                        again, todo = with_one(again, todo, j)
                for n in range(touches):
                    stops.making[touched[n]] = False
                if look == turn_end and look < looking:
                    turn_end += LOOKS_A_TURN
                phase = 1 if again_at < todo or look < looking or more or (blocks > 0 and stopping > 0) else 0
                touches = room_at = in_turn = dues = stopping = 0
                rolled = False
                continue
        if making_room:
            pass
        elif arrives:
            j = i
            i += 1
        elif look < looking and not placing:
            if look == turn_end:
                turn_end += LOOKS_A_TURN
            j = later[look]
            look += 1
            if settled[j] and not came_free:
                continue
            if place[j] < 0 or start[j] <= now or (jobs.data[j] > 0 and pool[place[j], SITE] != jobs.origin[j]):
                continue
            below = worth[j] - max(rule.move_gain, 1) + ROUNDING
            # where nothing came free, only the slot that is new could be better: most would wait too long for it, now
            # and ever after
            hold, since = until_of(pool, slowest, 0, asked_of(jobs, j, stops)), jobs.arrive[j]
            if stops is not None:
                since = stops.since[j]
            waits = now // SLOT * SLOT + rule.ahead_s - hold - SLOT - since
            settled[j] = not below_nothing and jobs.delay[j] * waits >= below * PICO
            if settled[j] and not came_free:
                continue
            held = True
        elif again_at < todo:
            j = again[again_at]
            again_at += 1
        else:
            again_at = todo = 0
            looking = look = 0
            at = jobs.arrive[i] if i < count else NEVER
            if (waits_late and late > 0) or no_place > 0:
                at = min(at, next_look)
            if stops is not None:
                arriving = False
                if waking > 0:
                    at = min(at, wake_at[0])
            if t < turns.at.shape[0]:
                at = min(at, turns.at[t])
            if at >= stop_s:
                break
            if at > now:
                now = at
            while running > 0 and heap_at[0] <= now:
                ended = heap_job[0]
                over_now = not given[ended] and place[ended] >= 0 and end[ended] == heap_at[0]
                if stops is not None:
                    over_now = over_now and stops.state[ended] == RUNS
                if over_now:
                    given[ended] = True
                    take_back(
                        cells, low, high, rows, first_s, pool, jobs, ended, place, start, end[ended], -1, freed, offers,
                        stops,
                    )
                    if stops is not None:
                        leave(pool, jobs, stops, ended, place[ended])
                        stops.state[ended] = OVER
                pop(heap_at, heap_job, running)
                running -= 1
            if t < turns.at.shape[0] and turns.at[t] <= now:
                which = turns.which[t]
                if turns.kind[t] == LINES:
                    state = which
                elif turns.kind[t] == SITE_UP:
                    down[which] = False
                    shut(cells, low, high, rows, first_s, pool, which, now, -1, offers)
                    for p in range(pool.shape[0]):
                        if pool[p, SITE] == which:
                            freed[0, p], freed[1, p] = 0, cells.shape[1] - 2
                else:
                    down[which] = turns.kind[t] == SITE_DOWN
                    for n in range(i):
                        if stops is not None and place[n] < 0 and stops.held[n] == which:
                            forget(jobs, stops, n, halted, halts)
                        if place[n] < 0 or pool[place[n], SITE] != which or end[n] <= now:
                            continue
                        cut = start[n] < now
                        if stops is not None:
                            cut = cut and stops.state[n] == RUNS
                        if cut:
                            if lost_runs == lost.shape[1]:
                                lost = wider(lost)
                            lost[0, lost_runs], lost[1, lost_runs] = n, place[n]
                            lost[2, lost_runs], lost[3, lost_runs], lost[4, lost_runs] = start[n], now, 0
                            if stops is not None:
                                lost[4, lost_runs] = stops.done[n] > 0
                            lost_runs += 1
                        take_back(
                            cells, low, high, rows, first_s, pool, jobs, n, place, start, now, -1, freed, offers, stops
                        )
                        if stops is not None:
                            if stops.state[n] == RUNS:
                                leave(pool, jobs, stops, n, place[n])
                            forget(jobs, stops, n, halted, halts)
                        place[n] = UNPLACED
                        again, todo = with_one(again, todo, n)
                    if down[which]:
                        shut(cells, low, high, rows, first_s, pool, which, now, 1, offers)
                if turns.kind[t] != SITE_DOWN:  # something may have a place now
                    next_look = min(next_look, now)
                t += 1
                continue
            if now >= next_look and ((waits_late and late > 0) or no_place > 0):
                next_look = (now // SLOT + 1) * SLOT
                kept_late = 0  # who has started is not looked at again
                for n in range(late):
                    listed[later[n]] = place[later[n]] >= 0 and start[later[n]] > now
                    if listed[later[n]]:
                        later[kept_late] = later[n]
                        kept_late += 1
                late = kept_late
                looking = late if looks else 0
                if stops is not None:
                    put_in_order(later, late)
                    phase, rolled = 1, True
                fresh, freed = freed, nothing_free(pool.shape[0])
                came_free = fresh[1].max() >= 0
                retry, turn_end = min(no_place, RETRIES), LOOKS_A_TURN
                continue
            if stops is not None and waking > 0 and wake_at[0] <= now:
                phase = 1
                continue
            if i >= count:
                break
            j = i
            i += 1
            if stops is not None:
                arriving = True
        # -- where and when it may run
        origin = jobs.origin[j]
        if offers is None:
            for s in range(sites):
                barred[0, s] = BARRED if rule.home_only and s != origin else OK
                ready[0, s], transport[0, s] = now, 0
                if stops is not None and stops.held[j] >= 0:  # it goes on where its checkpoint is
                    barred[0, s] = OK if s == stops.held[j] else BARRED
                    continue
                if s == origin or barred[0, s] != OK:
                    continue
                if jobs.data[j] > 0:
                    barred[0, s], ready[0, s], transport[0, s] = reach(
                        lines, state, first_s, now, origin, s, jobs.data[j], down[origin], amounts
                    )
                elif lines.first[state, origin, s] == CUT:  # as reach says; most work has no data, and a call costs
                    barred[0, s] = BARRED
        ask = ask_of(jobs, j, now, rule, stops)
        before, before_start = place[j], start[j]
        if held:
            if not _may_gain(
                cells, low, rows, pool, ask, before, first_s, now, weights, spans, scarce, fresh, below
            ):
                continue
            take_back(cells, low, high, rows, first_s, pool, jobs, j, place, start, start[j], -1, spare, offers, stops)
        if offers is None:
            choose_one(
                cells, low, high, rows, first_s, now, weights, pool, near[origin], ask, 0, barred, ready, transport,
                latency, won, scarce, spans, floors, pools, scratch, trial,
            )
        else:
            turn += 1
            sender = Sender(
                origin, jobs.data[j], down[origin], rule.home_only, lines, state, known, turn, amounts
            )
            choose_one(
                cells, low, high, rows, first_s, now, weights, pool, near[origin], ask, 0, barred, ready, transport,
                latency, won, scarce, spans, floors, pools, scratch, trial, offers, sender,
            )
            if won[0, POOL] >= 0:
                k0, k1 = (won[0, START] - first_s) // SLOT, (won[0, UNTIL] - 1 - first_s) // SLOT
                renew(offers, cells, rows, won[0, POOL], k0, k1)
                remember(offers, won[0, POOL])
        if held:
            gain = -1
            if won[0, POOL] >= 0:
                gain = worth[j] - total_of(won[0])
                k0, k1 = (won[0, START] - first_s) // SLOT, (won[0, UNTIL] - 1 - first_s) // SLOT
                n_ = need_of(pool, won[0, POOL], ask)
                reserve(
                    cells, low, high, rows, won[0, POOL], pool[won[0, POOL], SITE], k0, k1,
                    Need(-n_.cores, -n_.mem, -n_.cards, -n_.mw),
                )
                if offers is not None:
                    renew(offers, cells, rows, won[0, POOL], k0, k1)
            if gain > 0 and gain >= rule.move_gain:  # its place is free; it gets another after all were looked at
                moves, came_free = moves + 1, True
                until = until_of(pool, before, before_start, asked_of(jobs, j, stops))
                if stops is not None and stops.nth[j] >= 0:
                    until = stops.windows[stops.nth[j], stops.pieces[stops.nth[j]] - 1, 1]
                k0, k1 = (before_start - first_s) // SLOT, (until - 1 - first_s) // SLOT
                widen(freed, pool, before, k0, k1)
                widen(fresh, pool, before, k0, k1)
                place[j] = UNPLACED
                again, todo = with_one(again, todo, j)
            else:
                take_back(
                    cells, low, high, rows, first_s, pool, jobs, j, place, start, start[j], 1, spare, offers, stops
                )
            continue
        p = won[0, POOL]
        place[j] = p
        if stops is not None and not making_room:
            touched, touches = with_one(touched, touches, j)
            phase, in_turn = 1, in_turn + 1
        if p < 0:
            for q in range(pool.shape[0]):
                if need_code(pool, q, ask) == OK:
                    parked, no_place = with_one(parked, no_place, j)
                    break
            if no_place == 1 and not (waits_late and late > 0):
                next_look = (now // SLOT + 1) * SLOT
            continue
        travels = jobs.data[j] > 0 and pool[p, SITE] != origin
        if stops is not None:
            travels = travels and stops.done[j] == 0
        if travels:
            way = lines.way[lines.first[state, origin, pool[p, SITE]] : lines.last[state, origin, pool[p, SITE]]]
            arrival(lines.load, lines.sizes, way, first_s, now, jobs.data[j], amounts)
            book(lines.load, way, first_s, now, jobs.data[j], amounts)
        total = total_of(won[0])
        if stops is not None:
            total = keep(cells, low, high, rows, first_s, weights, pool, stops, j, ask, won[0])
        start[j] = won[0, START]
        if waits_late:
            worth[j], settled[j] = total, False
        end[j] = won[0, START] + (jobs.run[j] * 1000 + pool[p, SPEED] - 1) // pool[p, SPEED]
        given[j] = False
        if stops is not None:
            if stops.nth[j] >= 0:
                end[j] = max(end[j], won[0, UNTIL])
            if waking == wake_at.shape[0]:
                wake_at, wake_job = larger(wake_at), larger(wake_job)
            push(wake_at, wake_job, waking, start[j], j)
            waking += 1
        elif end[j] // SLOT < (won[0, UNTIL] - 1) // SLOT or end[j] < won[0, FINISH]:
            if running == heap_at.shape[0]:
                heap_at, heap_job = larger(heap_at), larger(heap_job)
            push(heap_at, heap_job, running, end[j], j)
            running += 1
        if waits_late and start[j] > now and not listed[j]:
            listed[j] = True
            if late == 0:
                next_look = (now // SLOT + 1) * SLOT
            later, late = with_one(later, late, j)
    for j in range(count):
        place[j] = max(place[j], -1)
    return Stopped(
        lost[:, :lost_runs].copy(), halted[:, :halts].copy(), moves, i, given, later[:late].copy(),
        parked[:no_place].copy(),
    )
