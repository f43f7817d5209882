"""The kernel against brute force: every start of every pool priced in plain Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sanjin.kernels import place as kernel

SLOTS = 12
SLOT = kernel.SLOT


def world(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    sites, pools, jobs = 3, 5, 4
    e = rng.integers(1000, 200_000, (sites, SLOTS))
    c = rng.integers(0, 50_000, (sites, SLOTS))
    cum = lambda p: np.hstack([np.zeros((sites, 1), np.int64), np.cumsum(p * SLOT, axis=1)])  # noqa: E731
    pool = np.zeros((pools, 12), np.int64)
    pool[:, 0] = np.sort(rng.integers(0, sites, pools))
    pool[:, 1] = rng.integers(0, 2, pools)
    pool[:, 2] = -2
    pool[:, 3], pool[:, 4] = rng.integers(4, 20, pools), rng.integers(4000, 9000, pools)
    pool[:, 6] = rng.integers(500, 2000, pools)
    pool[:, 7], pool[:, 9] = rng.integers(2000, 20_000, pools), 300
    pool[:, 10] = rng.integers(0, 40_000_000, pools)
    job = np.zeros((jobs, 11), np.int64)
    job[:, 0], job[:, 1] = rng.integers(1, 16, jobs), rng.integers(1, 6000, jobs)
    job[:, 3], job[:, 4] = -1, rng.integers(-1, 2, jobs)
    job[:, 5] = rng.integers(1, 6 * SLOT, jobs)
    job[:, 7] = rng.integers(0, 4 * SLOT, jobs)
    job[:, 6] = job[:, 7]
    job[:, 8] = np.where(rng.random(jobs) < 0.3, rng.integers(SLOT, SLOTS * SLOT, jobs), 0)
    job[:, 9] = rng.integers(0, 3_000_000, jobs)
    job[:, 10] = np.where(rng.random(jobs) < 0.3, rng.integers(1, 500_000, jobs), 0)
    return {
        "e_cum": cum(e),
        "e_price": e,
        "c_cum": cum(c),
        "c_price": c,
        "pool": pool,
        "cores": rng.integers(0, 20, (pools, SLOTS)),
        "mem": rng.integers(3000, 9000, (pools, SLOTS)),
        "acc": np.zeros((pools, SLOTS), np.int64),
        "mw": rng.integers(50_000, 400_000, (sites, SLOTS)),
        "own": np.array([1, 0, 1]),
        "job": job,
        "barred": np.where(rng.random((jobs, sites)) < 0.2, 1, 0),
        "ready": rng.integers(0, 3 * SLOT, (jobs, sites)),
        "transport": rng.integers(0, 100_000, (jobs, sites)),
    }


def run(w: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    jobs, sites = w["barred"].shape
    out, choice = np.zeros((jobs, sites, kernel.ROW), np.int64), np.full(jobs, -1, np.int64)
    kernel.place_batch(
        w["e_cum"], w["e_price"], w["c_cum"], w["c_price"], 0, 0,
        w["pool"], w["cores"], w["mem"], w["acc"], w["mw"],
        w["own"], w["job"], w["barred"], w["ready"], w["transport"], out, choice,
    )  # fmt: skip
    return out, choice


def brute(w: dict[str, np.ndarray], j: int) -> list[tuple[float, int, int, int]]:
    """Every feasible (pico-yuan total, start, pool, finish) of job j on the state in ``w``."""
    found = []
    job = [int(v) for v in w["job"][j]]
    for p, row in enumerate(w["pool"]):
        row = [int(v) for v in row]
        s = row[0]
        if w["barred"][j, s] or (job[4] >= 0 and job[4] != row[1]) or job[0] > row[3] or job[1] > row[4]:
            continue
        dur = -(-job[5] * 1000 // row[6])
        power = job[0] * row[7] + job[1] * row[9] // 1024
        begin = max(job[7], int(w["ready"][j, s]))
        for start in sorted({begin, *(k * SLOT for k in range(SLOTS) if k * SLOT >= begin)}):
            end = start + dur
            if end > SLOTS * SLOT or (job[8] and end > job[8]):
                continue
            slots = range(start // SLOT, (end - 1) // SLOT + 1)
            if any(
                w["cores"][p, k] < job[0] or w["mem"][p, k] < job[1] or w["mw"][s, k] < power for k in slots
            ):
                continue
            joule = sum(
                (min(end, (k + 1) * SLOT) - max(start, k * SLOT)) * int(w["e_price"][s, k] + w["c_price"][s, k])
                for k in slots
            )
            paid = joule * power // 1000 + dur * job[0] * row[10] + int(w["transport"][j, s]) * 10**6
            if job[10] and paid > job[10] * 10**6:
                continue
            found.append((paid + job[9] * (start - min(job[6], begin)), start, p, end))
    return found


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_choice_is_the_least_of_all_and_no_bound_is_exceeded(seed: int) -> None:
    w = world(seed)
    out, choice = run({k: v.copy() for k, v in w.items()})
    for j in range(len(choice)):
        found = brute(w, j)
        if not found:
            assert choice[j] == -1
            assert all(row[kernel.POOL] < 0 and row[kernel.CODE] > 0 for row in out[j])
            continue
        row = [int(v) for v in out[j, choice[j]]]
        total = sum(row[kernel.ENERGY :])
        # terms are rounded down to a micro-yuan each, so equal to the exact total within 4 of them
        assert 0 <= min(found)[0] // 10**6 - total <= 4
        assert any(f[1:] == (row[kernel.START], row[kernel.POOL], row[kernel.FINISH]) for f in found)
        p, s = row[kernel.POOL], int(choice[j])
        k0, k1 = row[kernel.START] // SLOT, (row[kernel.FINISH] - 1) // SLOT + 1
        w["cores"][p, k0:k1] -= w["job"][j, 0]
        w["mem"][p, k0:k1] -= w["job"][j, 1]
        w["mw"][s, k0:k1] -= w["job"][j, 0] * w["pool"][p, 7] + w["job"][j, 1] * w["pool"][p, 9] // 1024
        assert w["cores"][p].min() >= 0 and w["mw"][s].min() >= 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_compiled_and_uncompiled_agree(seed: int) -> None:
    first, second = world(seed), world(seed)
    out, choice = run(first)
    jobs, sites = second["barred"].shape
    plain, chosen = np.zeros((jobs, sites, kernel.ROW), np.int64), np.full(jobs, -1, np.int64)
    kernel.place_batch.py_func(
        second["e_cum"], second["e_price"], second["c_cum"], second["c_price"], 0, 0,
        second["pool"], second["cores"], second["mem"], second["acc"], second["mw"],
        second["own"], second["job"], second["barred"], second["ready"], second["transport"], plain, chosen,
    )  # fmt: skip
    assert (choice == chosen).all()
    assert (out == plain).all()
