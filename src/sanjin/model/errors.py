"""What can be wrong with what somebody gave us.

A :class:`Problem` says what is wrong, where, and what to do. Problems are collected and reported
together; :class:`ProblemsFound` carries all of them. Refusals that are part of normal work
("held because of quota") are not errors: see :mod:`sanjin.model.reason`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an input.

    ``code`` is a stable name (``unknown_parent``), ``path`` the place inside the document
    (``nodes.datong.parent``), ``file`` and ``line`` where it stands (line 0: not known), ``what``
    the fault and ``todo`` the remedy, both in plain English; ``what_zh`` and ``todo_zh`` likewise
    in Chinese.
    """

    code: str
    path: str
    what: str
    todo: str
    what_zh: str = ""
    todo_zh: str = ""
    file: str = ""
    line: int = 0

    def text(self) -> str:
        """One line for a terminal: ``file:line: path: what. todo``."""
        place = f"{self.file}:{self.line}: " if self.file else ""
        path = f"{self.path}: " if self.path else ""
        return f"{place}{path}{self.what}. {self.todo}."


class SanjinError(Exception):
    """Base of the errors that Sanjin raises on purpose.

    ``exit_code`` is what the command line ends with, ``status`` what HTTP answers, ``code`` the
    stable name in problem details.
    """

    exit_code = 1
    status = 500
    code = "error"


class ProblemsFound(SanjinError):
    """The input cannot be used; ``problems`` says everything that is wrong with it."""

    exit_code = 3
    status = 422
    code = "invalid_input"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(p.text() for p in self.problems))


class KeyReused(ProblemsFound):
    """Client keys came again with another job than before."""

    status = 409
    code = "key_reused"


class NotYourTenant(ProblemsFound):
    """Jobs were sent for another tenant than the caller's."""

    exit_code = 5
    status = 403
    code = "other_tenant"


class TooLarge(SanjinError):
    """A request carries more than one call may."""

    exit_code = 3
    status = 413
    code = "too_large"


class NoToken(SanjinError):
    """The request does not carry a valid token."""

    exit_code = 5
    status = 401
    code = "no_token"


class NotFound(SanjinError):
    """There is no such thing."""

    exit_code = 4
    status = 404
    code = "not_found"


class NotAllowed(SanjinError):
    """The caller may not do this."""

    exit_code = 5
    status = 403
    code = "not_allowed"


class NotReachable(SanjinError):
    """No node answers there."""

    exit_code = 6
    status = 503
    code = "not_reachable"


class RegionDiffers(SanjinError):
    """Two nodes do not work with the same region document."""

    exit_code = 5
    status = 409
    code = "region_differs"


class TooBusy(SanjinError):
    """As much of this as may wait is waiting already; ask again later."""

    exit_code = 6
    status = 429
    code = "too_busy"


class NotReady(SanjinError):
    """This node cannot take work now."""

    exit_code = 6
    status = 503
    code = "not_ready"


class StoreFailed(SanjinError):
    """The store cannot write (full disk, read-only file system); reads go on."""

    exit_code = 7
    status = 507
    code = "store_failed"


class NotActive(StoreFailed):
    """Another process writes this state: this one waits to take over, or has been taken over."""

    status = 503
    code = "not_active"


class AuditBroken(SanjinError):
    """The journal does not verify: an entry was changed, lost or moved."""

    exit_code = 8
    status = 500
    code = "audit_broken"


class LogForked(AuditBroken):
    """A log shows a history that is not the one it showed before: it was rewritten or cut."""

    status = 409
    code = "log_forked"


class StaleSize(SanjinError):
    """A witness has seen another size of this log than the caller thinks; ``size`` is what it has seen."""

    status = 409
    code = "stale_size"

    def __init__(self, what: str, size: int = 0) -> None:
        self.size = size
        super().__init__(what)


class DataDamaged(SanjinError):
    """Data are not what their checksum says, or are gone."""

    exit_code = 10
    status = 500
    code = "data_damaged"


class NoSuchRange(SanjinError):
    """A part of a file was asked for that begins behind its end."""

    exit_code = 3
    status = 416
    code = "no_such_range"


class TaskFailed(SanjinError):
    """A function that ran as a job gave no result, and raised nothing that can be raised here."""

    exit_code = 9
    status = 500
    code = "task_failed"
