"""What others have of a Slurm cluster, out of its lists of machines, jobs and reservations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sanjin.ports import Amount, ClusterUse, Taken, TakenBy

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50}
_TAKES_WORK = {"allocated", "completing", "idle", "mixed", "planned", "powered_down", "powering_up", "powering_down"}
"""States of machines that take work, now or once there is room; a state ends in a sign where more is to be said, and
``*`` says that the machine does not answer."""
_IN_TURN = {"None", "Resources", "Priority"}
"""Why a job waits that begins as soon as there is room; others wait for something else."""
NAMES_MAX = 100_000
"""Machines that one list may name."""


@dataclass(frozen=True, slots=True)
class SlurmMachine:
    """A machine of the partition. ``state`` as ``sinfo`` has it, in small letters; memory in MiB."""

    name: str
    cores: int
    memory_mib: int
    cards: int
    state: str

    def all(self) -> Amount:
        """All of it."""
        return Amount(cores=self.cores, memory_bytes=self.memory_mib << 20, accelerators=self.cards)


@dataclass(frozen=True, slots=True)
class SlurmJob:
    """A job that runs or waits. Times are seconds since the epoch, 0 where unknown; ``limit_s`` 0 for none. ``tres``
    is what it has or asks for, as Slurm writes it, ``machines`` a list of hosts."""

    name: str
    waits: bool
    reason: str
    partitions: tuple[str, ...]
    start_s: float
    end_s: float
    limit_s: float
    tres: str
    machines: str


@dataclass(frozen=True, slots=True)
class SlurmReservation:
    """Machines that are kept for something, from when until when, seconds since the epoch."""

    machines: str
    start_s: float
    end_s: float


def cards_in(text: str, gres: str) -> int:
    """Cards that are ``gres`` (``name`` or ``name:type``) in a list of generic resources: ``gpu:h100:4(S:0),npu:2``, or
    ``cpu=4,gres/gpu=2,gres/gpu:h100=2``, where all of a name are one entry, and those of a type may be one more."""
    name, _, kind = gres.partition(":")
    found = re.findall(rf"(?:^|,|gres/){re.escape(name)}(?::([^:,(=]*[^\d:,(=][^:,(=]*))?[:=](\d+)", text)
    of_kind = [int(n) for each, n in found if each and each == kind]
    untyped = [int(n) for each, n in found if not each]
    if "=" in text:
        return sum(of_kind) or sum(untyped) or (0 if kind else sum(int(n) for _, n in found))
    return sum(of_kind) if kind else sum(int(n) for _, n in found)


def amount_of(tres: str, gres: str) -> tuple[Amount, int]:
    """What ``cpu=4,mem=8000M,node=2,gres/gpu=2`` says: the amount, and on how many machines it is."""
    said = dict(part.split("=", 1) for part in tres.split(",") if "=" in part)
    memory = said.get("mem", "0")
    unit = _UNITS.get(memory[-1:], 0)
    try:
        held = float(memory[:-1]) * unit if unit else float(memory) * 2**20
        cores, machines = float(said.get("cpu", "0")), int(said.get("node", "1"))
    except ValueError:
        return Amount(), 1
    return Amount(cores=cores, memory_bytes=held, accelerators=cards_in(tres, gres)), max(machines, 1)


def hosts(text: str) -> list[str]:
    """The names in a list of hosts as Slurm writes it: ``n[01-03,7],login1``; of what is cut short, nothing."""
    found: list[str] = []
    for word in _words(text):
        found += _expanded(word)
        if len(found) > NAMES_MAX:
            return found[:NAMES_MAX]
    return found


def _words(text: str) -> Iterator[str]:
    """The parts between the commas that are in no bracket."""
    depth = begin = 0
    for i, sign in enumerate(text):
        depth += (sign == "[") - (sign == "]")
        if sign == "," and depth == 0:
            yield text[begin:i]
            begin = i + 1
    if depth == 0 and text[begin:]:
        yield text[begin:]


def _expanded(word: str) -> list[str]:
    head, bracket, rest = word.partition("[")
    if not bracket:
        return [word]
    inside, _, tail = rest.partition("]")
    tails = _expanded(tail)
    found: list[str] = []
    for part in inside.split(","):
        low, _, high = part.partition("-")
        if not low.isdecimal() or not (high or low).isdecimal():
            return []
        last = min(int(high or low), int(low) + NAMES_MAX)
        found += [f"{head}{n:0{len(low)}}{end}" for n in range(int(low), last + 1) for end in tails]
    return found


def seconds_of(text: str) -> float:
    """A time limit, ``1-02:03:04`` or ``30:00``, in seconds; 0 where there is none."""
    days, dash, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(map(str.isdecimal, [*parts, *([days] if dash else [])])):
        return 0.0
    total = 0
    for part in parts + ["0"] * (3 - len(parts) if dash else 0):
        total = total * 60 + int(part)
    return float(total + int(days or 0) * 86400)


class _Sums:
    """What is taken, those alike together: of one kind of machines, by the same, from and until the same time."""

    def __init__(self) -> None:
        self._found: dict[tuple[TakenBy, bool, float, float], list[float]] = {}

    def add(self, by: TakenBy, carded: bool, since: float, lasts_s: float, amount: Amount, part: float = 1.0) -> None:
        """Add ``part`` of an amount; it counts as that part of a job, or as one machine."""
        sums = self._found.setdefault((by, carded, since, lasts_s), [0.0] * 4)
        for i, value in enumerate((amount.cores, amount.memory_bytes, amount.accelerators, 1.0)):
            sums[i] += part * value

    def taken(self) -> tuple[Taken, ...]:
        """All of it."""
        return tuple(
            Taken(
                by=by, carded=carded, since=since, lasts_s=lasts_s, count=round(n),
                amount=Amount(cores=cores, memory_bytes=memory, accelerators=cards),
            )
            for (by, carded, since, lasts_s), (cores, memory, cards, n) in self._found.items()
        )  # fmt: skip


def use_of(
    now_s: float,
    partition: str,
    machines: Sequence[SlurmMachine],
    jobs: Iterable[SlurmJob],
    reservations: Sequence[SlurmReservation],
    ours: Callable[[str], bool],
    gres: str = "gpu",
) -> ClusterUse:
    """What others have of these machines: jobs that run on any of them, whatever partition they came by, and jobs that
    wait for the partition and would begin if there were room. A machine that is down or kept is taken whole, but for
    what our own work still has of it."""
    by_name, sums = {m.name: m for m in machines}, _Sums()
    kept = {n: r for r in reservations if r.start_s <= now_s < r.end_s for n in hosts(r.machines) if n in by_name}
    closed = {m.name for m in machines if m.name in kept or not _usable(m)}
    has_both = [any(bool(m.cards) is carded for m in machines) for carded in (False, True)]
    left = {name: by_name[name].all() for name in closed}
    for job in jobs:
        amount, count = amount_of(job.tres, gres)
        is_ours = ours(job.name)
        if job.waits:
            if not is_ours and partition in job.partitions and job.reason in _IN_TURN:
                carded = has_both[1] and (amount.accelerators > 0 or not has_both[0])
                sums.add(TakenBy.QUEUE, carded, max(job.start_s, now_s) if job.start_s else 0.0, job.limit_s, amount)
            continue
        lasts_s = max(job.end_s - now_s, 1.0) if job.limit_s and job.end_s else 0.0
        for name in hosts(job.machines):
            if name in closed and is_ours:
                left[name] = _less(left[name], amount, count)
            elif name in by_name and name not in closed:
                by = TakenBy.OURS if is_ours else TakenBy.OTHERS
                sums.add(by, bool(by_name[name].cards), now_s, lasts_s, amount, 1 / count)
    for name, amount in left.items():
        by, lasts_s = (TakenBy.RESERVED, kept[name].end_s - now_s) if name in kept else (TakenBy.DOWN, 0.0)
        sums.add(by, bool(by_name[name].cards), now_s, lasts_s, amount)
    for later in (r for r in reservations if r.start_s > now_s):
        for machine in (by_name[n] for n in hosts(later.machines) if n in by_name):
            lasts_s = later.end_s - later.start_s
            sums.add(TakenBy.RESERVED, bool(machine.cards), later.start_s, lasts_s, machine.all())
    plain, carded = (_sum(m.all() for m in machines if bool(m.cards) is kind) for kind in (False, True))
    return ClusterUse(at=now_s, plain=plain, carded=carded, taken=sums.taken())


def _usable(machine: SlurmMachine) -> bool:
    """Whether a machine takes work, now or once there is room."""
    state = machine.state.rstrip("~#$@^!%-+")
    return state in _TAKES_WORK


def _less(amount: Amount, other: Amount, count: int) -> Amount:
    """An amount less a share of another, one of ``count``; not below nothing."""
    return Amount(
        cores=max(amount.cores - other.cores / count, 0),
        memory_bytes=max(amount.memory_bytes - other.memory_bytes / count, 0),
        accelerators=max(amount.accelerators - other.accelerators / count, 0),
    )


def _sum(amounts: Iterable[Amount]) -> Amount:
    cores = memory = cards = 0.0
    for amount in amounts:
        cores, memory, cards = cores + amount.cores, memory + amount.memory_bytes, cards + amount.accelerators
    return Amount(cores=cores, memory_bytes=memory, accelerators=cards)
