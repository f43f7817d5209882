"""What Slurm's lists of machines, jobs and reservations say that others have."""

from __future__ import annotations

import pytest

from sanjin.adapters.engines.slurm_use import (
    SlurmJob,
    SlurmMachine,
    SlurmReservation,
    amount_of,
    cards_in,
    hosts,
    seconds_of,
    use_of,
)
from sanjin.ports import Amount, TakenBy

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("n1", ["n1"]),
        ("n[08-10,12]", ["n08", "n09", "n10", "n12"]),
        ("r[1-2]c[0-1],login", ["r1c0", "r1c1", "r2c0", "r2c1", "login"]),
        ("n[1-2]-ib", ["n1-ib", "n2-ib"]),
        ("n1,n[2-", ["n1"]),  # cut short
        ("n[a-b]", []),
    ],
)
def test_lists_of_hosts(text: str, names: list[str]) -> None:
    assert hosts(text) == names


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30:00", 1800), ("2:00:00", 7200), ("1-02:03:04", 93784), ("2-0", 172800), ("UNLIMITED", 0), ("", 0)],
)
def test_time_limits(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


def test_amounts() -> None:
    assert amount_of("cpu=4,mem=1.50G,node=2,billing=4,gres/gpu=3,gres/gpu:h100=3", "gpu") == (
        Amount(cores=4, memory_bytes=1.5 * 2**30, accelerators=3), 2,
    )  # fmt: skip
    assert amount_of("cpu=1,mem=200M", "gpu")[0].memory_bytes == 200 << 20
    assert amount_of("nonsense,cpu=x", "gpu") == (Amount(), 1)
    machine = "gpu:h100:4(S:0-1),gpu:2,npu:910b:8"
    assert [cards_in(machine, gres) for gres in ("gpu", "gpu:h100", "npu", "npu:910b", "npu:x")] == [6, 4, 8, 8, 0]
    job = "cpu=4,gres/gpu=3,gres/gpu:h100=2,gres/npu=1"
    assert [cards_in(job, gres) for gres in ("gpu", "gpu:h100", "npu:910b", "mps")] == [3, 2, 1, 0]
    assert [cards_in("(null)", "gpu"), cards_in("gres/gpu:h100=2", "gpu")] == [0, 2]


def job(name: str = "other", machines: str = "", tres: str = "cpu=4,mem=4G,node=1", **more: object) -> SlurmJob:
    said = {"waits": not machines, "reason": "Priority", "partitions": ("batch",), "start_s": 0.0,
            "end_s": NOW + 600 if machines else 0.0, "limit_s": 1200.0}  # fmt: skip
    return SlurmJob(name=name, machines=machines, tres=tres, **{**said, **more})


def test_who_has_what() -> None:
    machines = [SlurmMachine(f"n{i}", 16, 32_000, 0, "mixed") for i in range(3)]
    machines += [SlurmMachine("g0", 8, 64_000, 4, "idle~"), SlurmMachine("n3", 16, 32_000, 0, "drained*")]
    jobs = [
        job(machines="n[0-1]", tres="cpu=8,mem=8G,node=2"),
        job(machines="n0", limit_s=0.0),
        job(machines="x7", partitions=("other",)),  # not on these machines
        job(machines="g0", tres="cpu=2,mem=1G,node=1,gres/gpu=2", partitions=("other",)),
        job("sanjin-1", machines="n2,n3", tres="cpu=4,mem=2G,node=2"),
        job(),
        job(reason="Dependency"),
        job(partitions=("other", "rest")),
        job("sanjin-1"),
        job(tres="cpu=1,mem=1G,node=1,gres/gpu=1", start_s=NOW + 60),
    ]
    kept = [SlurmReservation("n1,x7", NOW + 3600, NOW + 7200), SlurmReservation("n2", NOW - 60, NOW + 60)]
    use = use_of(NOW, "batch", machines, jobs, kept, lambda name: name == "sanjin-1")
    assert (use.plain.cores, use.carded) == (64, Amount(cores=8, memory_bytes=64_000 << 20, accelerators=4))
    found = {(t.by, t.carded, t.since - NOW if t.since else None, t.lasts_s): t for t in use.taken}
    assert {at: (t.amount.cores, t.amount.accelerators, t.count) for at, t in found.items()} == {
        (TakenBy.OTHERS, False, 0, 600): (8, 0, 1),
        (TakenBy.OTHERS, False, 0, 0): (4, 0, 1),
        (TakenBy.OTHERS, True, 0, 600): (2, 2, 1),
        (TakenBy.QUEUE, False, None, 1200): (4, 0, 1),
        (TakenBy.QUEUE, True, 60, 1200): (1, 1, 1),
        (TakenBy.DOWN, False, 0, 0): (14, 0, 1),  # but for what we still have there
        (TakenBy.RESERVED, False, 0, 60): (14, 0, 1),
        (TakenBy.RESERVED, False, 3600, 3600): (16, 0, 1),
    }
