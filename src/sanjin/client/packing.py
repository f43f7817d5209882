"""How calls of a function travel to a site in a job, and how what came of them is read.

The function and its arguments are pickled by value (cloudpickle), compressed, and travel as a variable of the job; no
node unpickles them. A job stays in the journal of each node that had it, so this must be small: ``PACKED_MAX``.
"""

from __future__ import annotations

import base64
import contextlib
import inspect
import json
import pickle
import sys
import zlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Literal

import msgspec

from sanjin.client import function_runner
from sanjin.client.function_runner import RESULT
from sanjin.model.catalogue import problem, say
from sanjin.model.errors import ProblemsFound

PACKED_MAX = 64 << 10
"""Characters that the calls of one job may have, packed. A kernel passes no variable on that is twice as long."""

COMMAND = ("python3", "-c", "import os; exec(os.environ['TASK_RUNNER'], {'__name__': '__main__'})")

Results = Literal["pickle", "json"]
Call = tuple[tuple[Any, ...], Mapping[str, Any]]
"""The arguments of a call, and those that have names."""


class RemoteTraceback(Exception):
    """Where an exception was raised at a site: the cause of the one that is raised here."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(text)

    def __str__(self) -> str:
        return "\n" + self.text


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of some calls: their values, or what the first one that ended otherwise raised (``at``: which).

    ``part``: they are a part of a map, not one call.
    """

    values: Sequence[Any] = ()
    part: bool = False
    error: BaseException | None = None
    cause: RemoteTraceback | None = None
    at: int = 0


class _Head(msgspec.Struct):
    count: int = 0
    part: bool = False
    at: int = 0
    error: str = ""
    text: str = ""
    traceback: str = ""
    unsent: bool = False
    fault: list[str] = []


@cache
def _cloudpickle() -> Any:
    return import_module("cloudpickle")  # it has no types


def pack(function: Any, calls: Sequence[Call], carry: Sequence[ModuleType]) -> str:
    """The function and its calls as text; ``carry`` are modules that travel with it. Raises ProblemsFound."""
    name = name_of(function)
    with _by_value(carry):
        try:
            dumped = _cloudpickle().dumps((function, [(arguments, dict(named)) for arguments, named in calls]))
        except (pickle.PicklingError, TypeError, AttributeError, ValueError, RecursionError) as fault:
            raise ProblemsFound([problem("task_not_packed", name, value=fault)]) from fault
    return base64.b85encode(zlib.compress(dumped, 9)).decode()


def too_large(function: Any, packed: str) -> ProblemsFound:
    """What is raised where calls are too large to travel in a job."""
    kib = -(-len(packed) // 1024)
    return ProblemsFound([problem("task_too_large", name_of(function), value=kib, most=PACKED_MAX >> 10)])


def shown(text: str) -> str:
    """A text from a site as a terminal may show it: what moves the cursor or the like is written as an escape."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def name_of(function: Any) -> str:
    """What a job is called that calls a function."""
    return str(getattr(function, "__qualname__", type(function).__qualname__))


@contextlib.contextmanager
def _by_value(modules: Sequence[ModuleType]) -> Generator[None]:
    cloudpickle = _cloudpickle()
    fresh = [m for m in modules if m.__name__ not in cloudpickle.list_registry_pickle_by_value()]
    for module in fresh:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in fresh:
            cloudpickle.unregister_pickle_by_value(module)


def variables(packed: str, results: Results, part: bool) -> dict[str, str]:
    """The variables of a job with :data:`COMMAND` that makes these calls, a ``part`` of a map or one call."""
    about = {
        "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "cloudpickle": _cloudpickle().__version__.partition(".")[0],
        "results": results,
        "part": part,
    }
    return {"TASK_RUNNER": _runner(), "TASK_ABOUT": msgspec.json.encode(about).decode(), "TASK_CALLS": packed}


@cache
def _runner() -> str:
    return inspect.getsource(function_runner)


def opened(raw: bytes, results: Results, failed: type[Exception]) -> Outcome:
    """What a job left in its file of results; where that is no exception of the function's, a ``failed``.

    With ``json`` nothing is unpickled, whatever the file holds.
    """
    line, _, body = raw.partition(b"\n")
    try:
        head = msgspec.json.decode(line, type=_Head)
        if head.fault:
            code, here, wanted = head.fault
            text = "task.other_python" if code == "python" else "task.other_cloudpickle"
            return Outcome(error=failed(say(text, "en", here=here, wanted=wanted)))
        if not head.error:
            values = json.loads(body) if results == "json" else _cloudpickle().loads(body)
            if not isinstance(values, list) or len(values) != max(head.count, 1):  # pyright: ignore
                raise ValueError(f"{RESULT} does not hold {head.count} values")
            return Outcome(values, head.part)  # pyright: ignore
        said = shown(f"{head.error}: {head.text}")
        cause = RemoteTraceback(shown(head.traceback))
        if head.unsent:
            text = say("task.unsent", "en", form=results, value=said)
            return Outcome(error=failed(text), cause=cause, at=head.at)
        if results == "json" or not body:
            return Outcome(error=failed(said), cause=cause, at=head.at)
        error = _cloudpickle().loads(body)
        if not isinstance(error, BaseException):
            raise TypeError(f"{error!r} is no exception")
        return Outcome(error=error, cause=cause, at=head.at)
    except Exception as fault:  # whatever unpickling raises
        return Outcome(error=failed(say("task.unreadable", "en", value=f"{type(fault).__name__}: {fault}")))
