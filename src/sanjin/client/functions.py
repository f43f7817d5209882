"""Python functions as jobs: ``@task``, ``map`` and ``as_completed``.

A function travels by value (cloudpickle) with its arguments, in the job; its values come back as a file of the job's
outputs, verified by its checksum. A function is taken to be repeatable, unless it is said to be ``Effects.ONCE``.
"""

from __future__ import annotations

import contextlib
import functools
import operator
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import ModuleType
from typing import Any, Generic, Literal, NoReturn, ParamSpec, TypedDict, TypeVar, Unpack, cast, overload

from sanjin.client.client import Client
from sanjin.client.handle import Handle
from sanjin.client.packing import COMMAND, PACKED_MAX, Call, Outcome, Results, name_of, pack, too_large, variables
from sanjin.model.catalogue import problem, say
from sanjin.model.errors import ProblemsFound, TaskFailed
from sanjin.model.job import Effects, JobSpec
from sanjin.model.record import JobRecord
from sanjin.model.region import DataGrade, PoolKind

PARTS = 32
"""Parts of a map at most, where neither ``parts`` nor ``chunk`` says otherwise."""

Progress = Callable[[int, int], None] | Literal["bar"] | None
"""Called with how many items are done, and of how many; ``bar``: a bar in the terminal."""

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Point(dict[str, Any]):
    """An item whose values are arguments by name: ``f(**point)``; see :func:`~sanjin.client.sweeps.grid`."""


class Conditions(TypedDict, total=False):
    """Under which conditions a function runs; units and defaults as in :class:`~sanjin.model.job.JobSpec`.

    Of a map they are of each part. ``node`` is where the job is submitted (empty: the highest here). ``name`` is by
    default the function's, ``effects`` repeatable.
    """

    node: str
    name: str
    environment: dict[str, str]
    tenant: str
    queue: str
    kind: str
    cores: int
    memory_bytes: int
    accelerators: int
    accelerator_kind: str
    pool_kind: PoolKind
    duration_s: int
    duration_spread_s: int
    priority: int
    time_limit_s: int
    inputs: tuple[str, ...]
    earliest_start_s: int
    deadline_s: int
    deadline_firm: bool
    delay_price_fen_per_hour: int
    grade: DataGrade
    latency_class_ms: int
    latency_origin: str
    effects: Effects
    replace_after_s: int
    budget_fen: int
    site: str
    reservation: str
    image: str


class How(Conditions, total=False):
    """Conditions, and how the function travels.

    ``results``: ``pickle`` (anything; what a site sends is then run here) or ``json`` (what JSON can hold; nothing is
    unpickled here). ``carry``: modules of one's own, not installed at the sites, that travel with the function.
    ``client``: by default the region that is up on this machine.
    """

    results: Results
    carry: Sequence[ModuleType]
    client: Client | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    conditions: Conditions
    results: Results = "pickle"
    carry: tuple[ModuleType, ...] = ()
    client: Client | None = None

    def using(self, how: How) -> _Settings:
        """These with others in place of some. Raises ProblemsFound for a name that is none."""
        given: dict[str, Any] = {**how}
        kept = {name: given.pop(name) for name in ("results", "client") if name in given}
        if "carry" in given:
            kept["carry"] = tuple(given.pop("carry"))
        known = Conditions.__annotations__
        faults = [problem("unknown_condition", n, known=", ".join(known)) for n in given if n not in known]
        if kept.get("results", "pickle") not in ("pickle", "json"):
            faults.append(problem("form_of_results", "results", value=kept["results"]))
        if faults:
            raise ProblemsFound(faults)
        return replace(self, conditions=cast(Conditions, {**self.conditions, **given}), **kept)

    def spec(self, function: Any, packed: str, site: str = "", label: str = "") -> JobSpec:
        """The job that makes the calls in ``packed``; without any, a job that costs the same."""
        told: dict[str, Any] = {"effects": Effects.REPEATABLE, **self.conditions}
        told.pop("node", None)
        name = f"{told.pop('name', name_of(function))[:150]}{label}"
        environment = told.pop("environment", {})
        if packed:
            environment = {**environment, **variables(packed, self.results, part=bool(label))}
        if site:
            told["site"] = site
        return JobSpec(name=name, command=COMMAND, environment=environment, **told)

    @property
    def node(self) -> str:
        return self.conditions.get("node", "")


class Task(Generic[P, R]):
    """A function that can run as a job. Called as before it runs here."""

    def __init__(self, function: Callable[P, R], settings: _Settings) -> None:
        self.function = function
        self.settings = settings
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function here."""
        return self.function(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        """At a site it is the plain function."""
        return operator.itemgetter(0), ((self.function,),)

    def using(self, **how: Unpack[How]) -> Task[P, R]:
        """The same function under other conditions: ``f.using(site="datong").submit(3)``."""
        return Task(self.function, self.settings.using(how))

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Send this call as a job; it is durable when this returns.

        Raises ProblemsFound where the function or its arguments cannot be sent, and what :class:`Client` raises.
        """
        packed = pack(self.function, [(args, kwargs)], self.settings.carry)
        if len(packed) > PACKED_MAX:
            raise too_large(self.function, packed)
        client = self.settings.client or Client.here()
        (job,) = client.submit([self.settings.spec(self.function, packed)], self.settings.node)
        return Handle(job, client, results=self.settings.results)

    def map(self, items: Iterable[Any], **how: Unpack[MapHow]) -> list[R]:
        """See :func:`map`."""
        return map(cast(Callable[[Any], R], self), items, **how)

    def as_completed(self, items: Iterable[Any], **how: Unpack[MapHow]) -> Iterator[tuple[int, R]]:
        """See :func:`as_completed`."""
        return as_completed(cast(Callable[[Any], R], self), items, **how)


class MapHow(How, total=False):
    """How a map is done besides: see :func:`map`."""

    parts: int
    chunk: int
    sites: Sequence[str] | int
    progress: Progress
    timeout_s: float | None


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(**how: Unpack[How]) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(function: Any = None, /, **how: Unpack[How]) -> Any:
    """Make a function one that can run as a job: ``@task`` or ``@task(cores=4, duration_s=600)``.

    Raises ProblemsFound for a condition that is none.
    """
    settings = _Settings(conditions={}).using(how)
    if function is not None:
        return Task(function, settings)

    def made(each: Callable[..., Any]) -> Task[..., Any]:
        return Task(each, settings)

    return made


def map(f: Callable[[T], R], items: Iterable[T], **how: Unpack[MapHow]) -> list[R]:
    """``[f(x) for x in items]``, made by jobs.

    The items are cut into ``parts`` parts of like size (by default 32), or into parts of at most ``chunk`` items, and
    each part is a job; a part that is too large for a job is halved. The region places each where it costs least, so
    often all at one site; ``sites`` shares them out in turn, over sites that are named or over so many of the
    cheapest. f must depend on its argument alone. A region that stops meanwhile and is started again within two
    minutes is waited for; the parts are its jobs, and go on.

    Where f raises, the first such exception in the order of the items is raised, with the traceback of the site as
    its cause and a note of where it was; parts after it are cancelled first, parts before it waited for. The same
    when this is interrupted, or after ``timeout_s`` wall seconds (TimeoutError): all parts that have not ended are
    cancelled. Raises as :meth:`Handle.result` and :meth:`Task.submit` do.
    """
    with _Map(f, items, how) as work:
        found: list[Any] = [None] * work.count
        failed: tuple[int, _Part, Outcome] | None = None
        for part, outcome in work.outcomes():
            if outcome.error is None:
                found[part.first : part.first + len(part.calls)] = outcome.values
            elif failed is None or part.first < failed[1].first:
                failed = (part.first + outcome.at, part, outcome)
                work.cancel(after=part.first)
            if failed and not any(other.first < failed[1].first for other in work.live.values()):
                work.blame(*failed)
        return found


def as_completed(f: Callable[[T], R], items: Iterable[T], **how: Unpack[MapHow]) -> Iterator[tuple[int, R]]:
    """The number of each item (from 0) with ``f(item)``, as the parts of :func:`map` end.

    They are sent when the first is asked for.
    What f raises is raised when it is met. Then, and when this is not read to its end, the other parts are cancelled.
    """
    with _Map(f, items, how) as work:
        for part, outcome in work.outcomes():
            if outcome.error is not None:
                work.cancel()
                work.blame(part.first + outcome.at, part, outcome)
            yield from enumerate(outcome.values, part.first)


@dataclass(slots=True)
class _Part:
    """Items from ``first`` on, and the job that calls the function with them."""

    first: int
    calls: list[Call]
    packed: str
    handle: Handle[Any] | None = None
    record: JobRecord | None = None


class _Map:
    """A map under way: its parts were sent when it is entered, and are cancelled where it is left before their end."""

    def __init__(self, f: Any, items: Iterable[Any], how: MapHow) -> None:
        told: dict[str, Any] = {**how}
        parts, chunk = told.pop("parts", None), told.pop("chunk", None)
        sites = told.pop("sites", ())
        self._sites: Sequence[str] | int = (sites,) if isinstance(sites, str) else sites
        self._timeout_s: float | None = told.pop("timeout_s", None)
        self._progress: Progress = told.pop("progress", None)
        called = cast(Task[..., Any], f) if isinstance(f, Task) else Task(f, _Settings(conditions={}))
        self._settings = called.settings.using(cast(How, told))
        self._function: Any = called.function
        for name, value in (("parts", parts), ("chunk", chunk), ("sites", self._sites)):
            if isinstance(value, int) and value < 1:
                raise ProblemsFound([problem("too_small", name, value=value, least=1)])
        calls: list[Call] = [((), dict(item)) if isinstance(item, Point) else ((item,), {}) for item in items]
        self.count = len(calls)
        number = min(-(-self.count // chunk) if chunk else parts or PARTS, self.count)
        bounds = [self.count * at // number for at in range(number + 1)] if number else []
        self._parts = [p for a, b in pairwise(bounds) for p in self._packed(a, calls[a:b])]
        self.live: dict[str, _Part] = {}
        self._cancelled = 0

    def _packed(self, first: int, calls: list[Call]) -> Iterator[_Part]:
        packed = pack(self._function, calls, self._settings.carry)
        if len(packed) <= PACKED_MAX:
            yield _Part(first, calls, packed)
        elif len(calls) == 1:
            raise too_large(self._function, packed)
        else:
            half = len(calls) // 2
            yield from self._packed(first, calls[:half])
            yield from self._packed(first + half, calls[half:])

    def __enter__(self) -> _Map:
        self._close = contextlib.ExitStack()
        given = self._settings.client
        with contextlib.ExitStack() as opening:
            self._client = given or opening.enter_context(Client.here())
            self._tell = opening.enter_context(_telling(self._progress, self.count))
            if self._parts:
                self._send()
            self._client = self._client.patient()  # the region may be started again meanwhile
            self._close = opening.pop_all()
        return self

    def _send(self) -> None:
        sites = self._sites if not isinstance(self._sites, int) else self._cheapest(self._sites)
        specs: list[JobSpec] = []
        for number, part in enumerate(self._parts):
            label = f"[{part.first}:{part.first + len(part.calls)}]"
            site = sites[number % len(sites)] if sites else ""
            specs.append(self._settings.spec(self._function, part.packed, site, label))
        for job, part in zip(self._client.submit(specs, self._settings.node), self._parts, strict=True):
            part.handle = Handle(job, self._client.patient(), results=self._settings.results)
            part.packed = ""
            self.live[job] = part

    def _cheapest(self, most: int) -> list[str]:
        """The sites where a part would cost least now."""
        (told,) = self._client.dry_run([self._settings.spec(self._function, "")], self._settings.node)
        options = sorted((o for o in told.options if o.terms is not None), key=lambda o: (o.total_micro, o.site))
        return [option.site for option in options[:most]]

    def outcomes(self) -> Iterator[tuple[_Part, Outcome]]:
        """Parts as they end, with what came of them. A part whose process was killed goes on as another job."""
        until = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        done = 0
        self._tell(0, self.count)
        while self.live:
            left = None if until is None else max(until - time.monotonic(), 0.001)
            for record in self._client.ended(list(self.live), left):
                part = self.live.get(record.id)
                if part is None or part.handle is None:  # it was cancelled
                    continue
                outcome = part.handle.outcome(record)
                del self.live[record.id]
                if outcome is None:
                    self.live[part.handle.job] = part
                    continue
                part.record = record
                if outcome.error is None and len(outcome.values) != len(part.calls):
                    value = f"{len(outcome.values)} values for {len(part.calls)} items"
                    outcome = Outcome(error=TaskFailed(say("task.unreadable", "en", value=value)))
                done += len(outcome.values)
                self._tell(done, self.count)
                yield part, outcome

    def cancel(self, after: int = -1) -> None:
        """Ask for the end of the parts that begin after this item, and wait for them no longer."""
        for job, part in list(self.live.items()):
            if part.first > after:
                del self.live[job]
                self._cancelled += self._client.cancel(job)

    def blame(self, item: int, part: _Part, outcome: Outcome) -> NoReturn:
        """Raise what was raised for this item."""
        assert outcome.error is not None and part.record is not None
        others = len(self._parts) - 1
        named = part.calls[item - part.first][1]
        shown = f"{item} ({', '.join(f'{name}={value!r:.60}' for name, value in named.items())})" if named else item
        told = {"item": shown, "job": part.record.id, "site": part.record.site or "-", "others": others}
        note = say("task.item", "en", **told, ended=others - self._cancelled, cancelled=self._cancelled)
        outcome.error.add_note(note)
        raise outcome.error from outcome.cause

    def __exit__(self, *_: object) -> None:
        with self._close:
            self.cancel()


@contextlib.contextmanager
def _telling(progress: Progress, count: int) -> Generator[Callable[[int, int], None]]:
    """Whom to tell how many items are done."""
    if progress != "bar":
        yield progress or (lambda _done, _all: None)
        return
    from rich.progress import Progress as Bar

    with Bar() as bar:
        row = bar.add_task("", total=count)
        yield lambda done, _all: bar.update(row, completed=done)
