"""Traces: recorded or generated work as arrays, one value a job, in order of arrival.

What a file holds that cannot be replayed is left out and counted, never guessed at silently.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from sanjin.model.units import DAY_S

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about a trace that a reader of figures has to know: ``assumed.<code>`` in the catalogue."""

    code: str
    count: int = 0


def _unknown() -> Ints:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """J jobs. Times in whole seconds; ``arrive_s`` from the trace's begin, not falling.

    ``run_s`` is how long each ran, ``asked_s`` how long it asked for (``run_s`` where that is not known);
    ``cores`` and ``cards`` what it took; ``user`` and ``queue`` numbers without further meaning (-1: not known);
    ``waited_s`` its recorded wait (-1: not known); ``stoppable`` 1 where it can be stopped and go on later, 0 where
    not, and ``stop_cost_s`` the work that each stop costs it (both -1: not known, as where they are not given).
    ``begin_s`` is the begin in seconds UTC, 0 where it is not known; ``machine_cores`` the cores of the machine that
    ran it, as the log states them (0: it does not).
    """

    name: str
    arrive_s: Ints
    run_s: Ints
    asked_s: Ints
    cores: Ints
    cards: Ints
    user: Ints
    queue: Ints
    waited_s: Ints
    stoppable: Ints = field(default_factory=_unknown)
    stop_cost_s: Ints = field(default_factory=_unknown)
    begin_s: int = 0
    machine_cores: int = 0
    remarks: tuple[Remark, ...] = ()

    def __post_init__(self) -> None:
        for name in ("stoppable", "stop_cost_s"):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.full(len(self.arrive_s), -1, np.int64))

    def __len__(self) -> int:
        return len(self.arrive_s)

    def part(self, which: NDArray[np.bool_] | slice | Ints) -> Trace:
        """Some of the jobs."""
        return replace(self, **{name: getattr(self, name)[which] for name in COLUMNS})

    def span_s(self) -> int:
        """From the begin to the last arrival, seconds (at least 1)."""
        return int(self.arrive_s[-1]) + 1 if len(self) else 1

    def core_seconds(self) -> int:
        """Sum of cores x run time."""
        return int((self.cores * self.run_s).sum())


COLUMNS = tuple(f.name for f in fields(Trace) if f.name not in ("name", "begin_s", "machine_cores", "remarks"))


def folded(trace: Trace, days: int) -> Trace:
    """The trace laid over itself every so many days: hours of the day stay, and weekdays where these are weeks."""
    length = days * DAY_S
    if days <= 0 or trace.span_s() <= length:
        return trace
    found = replace(trace, arrive_s=trace.arrive_s % length)
    found = found.part(np.argsort(found.arrive_s, kind="stable"))
    return replace(found, remarks=(*found.remarks, Remark("folded", days)))


def tidy(trace: Trace) -> Trace:
    """The jobs that can be replayed, in order of arrival from 0 on; what is left out or changed is remarked.

    Left out: jobs without cores or run time, or that came before the begin. What asked for less than it ran
    is taken to have asked for what it ran.
    """
    bad_size, bad_run, early = trace.cores < 1, trace.run_s < 1, trace.arrive_s < 0
    found = trace.part(~(bad_size | bad_run | early))
    order = np.argsort(found.arrive_s, kind="stable")
    disorder = int((order != np.arange(len(order))).sum())
    found = found.part(order)
    short = found.asked_s < found.run_s
    unknown = found.asked_s < 1
    found = replace(found, asked_s=np.maximum(found.asked_s, found.run_s))
    counts = {
        "no_cores": int(bad_size.sum()),
        "no_run_time": int((bad_run & ~bad_size).sum()),
        "before_begin": int((early & ~bad_run & ~bad_size).sum()),
        "out_of_order": disorder,
        "asked_unknown": int(unknown.sum()),
        "asked_too_little": int((short & ~unknown).sum()),
    }
    remarks = tuple(Remark(code, count) for code, count in counts.items() if count)
    return replace(found, remarks=(*trace.remarks, *remarks))
