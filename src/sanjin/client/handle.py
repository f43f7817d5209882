"""A call of a function that runs as a job, and what came of it."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import Generic, TypeVar, cast

from sanjin.client.client import Client
from sanjin.client.download import download
from sanjin.client.packing import RESULT, Outcome, Results, opened, shown
from sanjin.model.catalogue import say
from sanjin.model.errors import SanjinError, TaskFailed
from sanjin.model.job import Effects, JobState
from sanjin.model.placement import Explanation
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord
from sanjin.model.status import JobBill

REPEATS_MAX = 2
"""How often a repeatable call whose process was killed is made again, as a job of its own."""

_STDERR_TOLD = 2000
_LOST = (Reason.SIGNAL, Reason.INTERRUPTED)
_R = TypeVar("_R")


class Handle(Generic[_R]):
    """A call that was sent. Made anew from a job's id, in another session too: ``Handle("taiyuan-7")``.

    ``job`` is the id of the job that makes the call; ``jobs`` has also those before it whose process was killed.
    ``client``: by default the region that is up on this machine.
    """

    def __init__(self, job: str, client: Client | None = None, *, results: Results = "pickle") -> None:
        self.jobs = [job]
        self._client = client or Client.here()
        self._results: Results = results

    @property
    def job(self) -> str:
        """The id of the job."""
        return self.jobs[-1]

    def __repr__(self) -> str:
        """How it is shown in a notebook."""
        return f"<Handle {self.job}>"

    def state(self) -> JobState:
        """Where the job stands."""
        return self._client.job(self.job).state

    def cancel(self) -> bool:
        """Ask for its end; whether it was still live."""
        return self._client.cancel(self.job)

    def cost(self) -> JobBill:
        """How its run was billed: fen, energy and carbon."""
        return self._client.job_bill(self.job)

    def explain(self) -> list[Explanation]:
        """Why it runs where it runs: every decision about it."""
        return self._client.explain(self.job)

    def result(self, timeout_s: float | None = None) -> _R:
        """What the function returned, waited for. What it raised is raised here, caused by the traceback of there.

        Of a job that is a part of a map: the list of what it returned for the part's items.
        Raises TaskFailed where there is no result, DataDamaged where it is not what its checksum says, and
        TimeoutError after ``timeout_s`` wall seconds.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left = None if until is None else max(until - time.monotonic(), 0.001)
            (record,) = self._client.wait([self.job], left)
            if (outcome := self.outcome(record)) is not None:
                break
        if outcome.error is not None:
            outcome.error.add_note(say("task.where", "en", job=record.id, site=record.site or "-"))
            raise outcome.error from outcome.cause
        return cast(_R, outcome.values) if outcome.part else outcome.values[0]

    def outcome(self, record: JobRecord) -> Outcome | None:
        """What came of the job, which has ended; None where it is made again, as another job."""
        if record.state in (JobState.SUCCEEDED, JobState.FAILED):
            files = {file.name: file for file in self._client.outputs(record.id).files}
            if found := files.get(RESULT):
                with tempfile.TemporaryDirectory(prefix="sanjin-") as folder:
                    download((found,), Path(folder), lambda name, offset: self._client.output(record.id, name, offset))
                    return opened((Path(folder) / RESULT).read_bytes(), self._results, TaskFailed)
            if self._made_again(record):
                return None
        why = say(f"reason.{record.reason}", "en") if record.reason else record.state.value
        why = f"{why}; {record.detail}" if record.detail else why
        said = ""
        with contextlib.suppress(SanjinError):  # what it printed may be where we may not read
            error = b"".join(self._client.logs(record.id, "stderr"))
            said = shown(error[-_STDERR_TOLD:].decode(errors="replace").strip())
        failed = TaskFailed(say("task.no_word", "en", why=f"{why}\n{said}" if said else why))
        return Outcome(error=failed)

    def _made_again(self, record: JobRecord) -> bool:
        repeatable = record.spec.effects is Effects.REPEATABLE and record.reason in _LOST
        if not repeatable or record.cancel_asked or len(self.jobs) > REPEATS_MAX:
            return False
        node = record.id.rpartition("-")[0]
        self.jobs += self._client.submit([record.spec], node)
        return True


