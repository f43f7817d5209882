"""A client of the HTTP API. Errors come back as the exceptions that the node raised."""

from __future__ import annotations

import contextlib
import math
import os
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from copy import copy
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from sanjin.adapters.state_folder import StateFolder, default_folder
from sanjin.client.download import Downloaded, download
from sanjin.client.events import Notice, notices
from sanjin.model import errors
from sanjin.model.briefing import Briefing
from sanjin.model.data import JobOutputs
from sanjin.model.errors import NotFound, NotReachable, Problem, ProblemsFound, SanjinError
from sanjin.model.event import Ended, Reported
from sanjin.model.forecast import Forecast, ForecastKind
from sanjin.model.job import JobOrder, JobSpec, JobState, Submission
from sanjin.model.placement import Explanation
from sanjin.model.plan import Plan
from sanjin.model.record import JobRecord
from sanjin.model.resources import Resource
from sanjin.model.runtimes import RunTimes
from sanjin.model.status import (
    Accepted,
    AuditResult,
    Bill,
    Cancelled,
    Drill,
    EnvelopeStatus,
    Happening,
    JobBill,
    JobPage,
    LinkStatus,
    Me,
    ProblemDetails,
    RegionStatus,
    SiteStatus,
)
from sanjin.model.what_if import Timeline, WhatIf, WhatIfRun

BATCH = 1000
"""Jobs sent in one call at most."""
BATCH_BYTES = 15 << 20
"""Bytes sent in one call at most; the API takes 16 MiB."""

RECONNECT_WALL_S = 0.5
RETURN_WALL_S = 120.0
"""How long a region that was there and does not answer any more is waited for, by who waits for the end of jobs."""
REGISTER_WALL_S = 3700.0
"""How long the outputs of an ended job are waited for; a site gives up reading them after an hour."""
REGISTER_LOOK_WALL_S = 0.02
"""How often it is looked whether the outputs of an ended job are summed."""
QUIET_WALL_S = 5.0
"""How long a stream that says nothing is read before one looks at the clock."""

_ENDS = (Ended.kind, Reported.kind)
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_USUAL_TENANT = JobSpec(name="", command=()).tenant
_NDJSON = {"Content-Type": "application/x-ndjson"}
_T = TypeVar("_T")
_FAULTS: dict[str, type[SanjinError]] = {
    each.code: each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, SanjinError)
}


class Client:
    """Talks to the region at ``url`` with ``token``. Use as a context manager, or call :meth:`close`.

    Every method raises NotReachable where no region answers, and otherwise the error that the node
    gave: ProblemsFound with all problems, NotFound, StoreFailed and so on.
    """

    def __init__(self, url: str, token: str, folder: StateFolder | None = None) -> None:
        self.url = url
        self._patience_s = 0.0
        self._folder = folder
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=_TIMEOUT)

    @classmethod
    def here(cls, state: Path | None = None) -> Client:
        """The region that is up on this machine with this state folder (default: the usual one).

        ``$SANJIN_TOKEN`` is used in place of the folder's token, and ``$SANJIN_URL`` in place of the address in it.
        """
        url, token = os.environ.get("SANJIN_URL", ""), os.environ.get("SANJIN_TOKEN", "")
        folder = StateFolder(state or default_folder())
        if not token:
            found, token = folder.found()
            url = url or found
        return cls(url or folder.address(), token, None if "SANJIN_URL" in os.environ else folder)

    def patient(self, wall_s: float = RETURN_WALL_S) -> Client:
        """This client, over the same connections; where no region answers, each of its calls is made again for so many
        wall seconds, at the address that a region which was started again has. None does harm when made twice."""
        found = copy(self)
        found._patience_s = wall_s
        return found

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        """The client itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        """Close the connections."""
        self.close()

    # -- jobs

    def submit(self, jobs: Sequence[Submission | JobSpec], node: str = "") -> list[str]:
        """Submit jobs and return their ids once they are durable; a thousand, or 15 MiB of them, go in one call.

        A plain JobSpec gets a key of its own. Sending a Submission again is harmless: the same key
        and job give the same id. A job of tenant ``public``, which is what a JobSpec says that says nothing, is for
        the tenant of the token where that has one.
        """
        listed = [s if isinstance(s, Submission) else Submission(key=str(uuid.uuid4()), spec=s) for s in jobs]
        return self.submit_lines([as_line(s) for s in listed], node)

    def submit_lines(self, lines: Sequence[bytes], node: str = "") -> list[str]:
        """Submit jobs that are JSON already, one Submission each; the node says all that is wrong with them."""
        found: list[str] = []
        for some in _batches(lines):
            found.extend(self._ask(Accepted, "POST", "/jobs", {"node": node}, b"\n".join(some)).jobs)
        return found

    def dry_run(self, specs: Sequence[JobSpec], node: str = "") -> list[Explanation]:
        """Where up to 100 jobs would go if they were submitted now. Nothing changes."""
        return self.dry_run_lines([as_line(Submission(key="-", spec=s)) for s in specs], node)

    def dry_run_lines(self, lines: Sequence[bytes], node: str = "") -> list[Explanation]:
        """The same for jobs that are JSON already, one Submission each."""
        return self._ask(list[Explanation], "POST", "/dry-run", {"node": node}, b"\n".join(lines))

    def cancel(self, job: str) -> bool:
        """Ask for a job's end; whether it was still live."""
        return self._ask(Cancelled, "POST", f"/jobs/{job}/cancel").asked

    def replace(self, job: str) -> bool:
        """Say that the silent node that has a job does not run it: it is placed again. Whether it was so."""
        return self._ask(Cancelled, "POST", f"/jobs/{job}/replace").asked

    def jobs(
        self,
        *,
        node: str = "",
        state: JobState | None = None,
        tenant: str = "",
        limit: int = 100,
        after: str = "",
        site: str = "",
        search: str = "",
        order: JobOrder = JobOrder.SUBMITTED,
        descending: bool = True,
        offset: int = 0,
        count: bool = False,
    ) -> JobPage:
        """Jobs, newest first or in another order; ``after`` is the page before's ``next``. ``search`` is text within
        id, name, kind, tenant or site; with ``count`` the page says how many match in all."""
        query: dict[str, Any] = {
            "node": node, "tenant": tenant, "limit": limit, "after": after, "site": site, "search": search,
            "order": order.value, "descending": descending, "offset": offset, "count": count,
        }  # fmt: skip
        if state:
            query["state"] = state.value
        return self._ask(JobPage, "GET", "/jobs", query)

    def job(self, job: str) -> JobRecord:
        """One job."""
        return self._ask(JobRecord, "GET", f"/jobs/{job}")

    def explain(self, job: str) -> list[Explanation]:
        """Every decision about a job, in order of time."""
        return self._ask(list[Explanation], "GET", f"/jobs/{job}/explain")

    def happenings(self, job: str) -> list[Happening]:
        """Everything that any node wrote about a job, in order of time."""
        return self._ask(list[Happening], "GET", f"/jobs/{job}/events")

    def job_bill(self, job: str) -> JobBill:
        """How a job's run was billed."""
        return self._ask(JobBill, "GET", f"/jobs/{job}/bill")

    def logs(self, job: str, stream: str = "stdout", offset: int = 0, follow: bool = False) -> Iterator[bytes]:
        """What a job printed, in pieces; with ``follow`` until it has ended."""
        query: dict[str, Any] = {"stream": stream, "offset": offset, "follow": follow}
        with self._stream(f"/jobs/{job}/logs", query) as answer:
            yield from answer.iter_bytes()

    def outputs(self, job: str, timeout_s: float = REGISTER_WALL_S) -> JobOutputs:
        """What a job's ended runs left in ``$SANJIN_OUTPUTS``.

        Where the job has ended, this waits until all is summed, for ``timeout_s`` wall seconds at most; what is not
        ``complete`` then is told as it is.
        """
        until = time.monotonic() + timeout_s
        while True:
            found = self._ask(JobOutputs, "GET", f"/jobs/{job}/outputs")
            if found.complete or not self.job(job).state.ended or time.monotonic() >= until:
                return found
            time.sleep(REGISTER_LOOK_WALL_S)

    def output(self, job: str, name: str, offset: int = 0) -> Iterator[bytes]:
        """A file that a job left, from byte ``offset``, in pieces; not verified."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        with self._stream(f"/jobs/{job}/outputs/{quote(name, safe='')}", {}, headers, _TIMEOUT.read) as answer:
            yield from answer.iter_bytes()

    def download(self, job: str, folder: Path, names: Collection[str] = ()) -> list[Downloaded]:
        """Bring what a job left (empty ``names``: all of it) into ``folder``, each file verified by its checksum.

        Files that are there already are not fetched again, and what was cut goes on. Raises NotFound for a name that
        the job did not leave, DataDamaged where a file is not what its checksum says, and OSError.
        """
        left = self.outputs(job)
        files = left.files
        if left.removed_at_s and not files:
            at = datetime.fromtimestamp(left.removed_at_s, UTC).strftime("%Y-%m-%d %H:%M")
            raise NotFound(f"what job {job} left was removed at {at} UTC: its site keeps it no longer")
        if missing := sorted(set(names) - {file.name for file in files}):
            raise NotFound(f"job {job} has no output {missing[0]}")
        wanted = tuple(file for file in files if not names or file.name in names)
        return download(wanted, folder, lambda name, offset: self.output(job, name, offset))

    def wait(self, jobs: Sequence[str], timeout_s: float | None = None) -> list[JobRecord]:
        """Wait until all these jobs have ended. Raises TimeoutError after ``timeout_s`` wall seconds."""
        ended = {record.id: record for record in self.ended(jobs, timeout_s)}
        return [ended[j] for j in jobs]

    def ended(self, jobs: Sequence[str], timeout_s: float | None = None) -> Iterator[JobRecord]:
        """These jobs as they end, each once, following the stream of events.

        Raises TimeoutError after ``timeout_s`` wall seconds. A region that stops meanwhile is waited for, two minutes
        and more where this client is :meth:`patient`; then NotReachable is raised.
        """
        here, patience_s = self.patient(0.0), self._patience_s or RETURN_WALL_S
        lost_at = time.monotonic() if self._patience_s else -math.inf  # at first one that does not answer is none
        until = None if timeout_s is None else time.monotonic() + timeout_s
        wanted = dict.fromkeys(jobs)
        ended = set[str]()
        last = ""
        while len(ended) < len(wanted):
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError(f"{len(wanted) - len(ended)} of {len(wanted)} jobs have not ended")
            try:
                for notice in here.events(last_id=last, timeout_s=min(left or QUIET_WALL_S, QUIET_WALL_S)):
                    last, lost_at = notice.id, math.inf
                    for job in _to_ask(notice, wanted, ended):
                        record = here.job(job)
                        if record.state.ended:
                            ended.add(job)
                            yield record
                    if len(ended) == len(wanted) or (until is not None and time.monotonic() >= until):
                        break
            except httpx.TimeoutException:
                continue
            except (httpx.TransportError, NotReachable) as fault:
                lost_at = min(lost_at, time.monotonic())
                if time.monotonic() > lost_at + patience_s:
                    raise self._nobody(fault) from fault
                time.sleep(RECONNECT_WALL_S)
                self._find_again()

    # -- the region

    def region(self) -> RegionStatus:
        """Which region this is, its nodes and its time."""
        return self._ask(RegionStatus, "GET", "/region")

    def sites(self) -> list[SiteStatus]:
        """Every site now."""
        return self._ask(list[SiteStatus], "GET", "/sites")

    def links(self) -> list[LinkStatus]:
        """Every link now, modelled."""
        return self._ask(list[LinkStatus], "GET", "/links")

    def resources(self) -> list[Resource]:
        """Everything that is registered in the region, with every figure and where it comes from."""
        return self._ask(list[Resource], "GET", "/resources")

    def plan(self, hours: int = 24, back: int = 6) -> Plan:
        """What each site is to do in the hours to come, and did in those before, as far as that is known."""
        return self._ask(Plan, "GET", "/plan", {"hours": hours, "back": back})

    def forecast(self, kind: ForecastKind, site: str = "", hours: int = 48) -> Forecast:
        """Demand, or a site's own generation, by the hour. Raises NotFound where nothing is known yet."""
        return self._ask(Forecast, "GET", "/forecast", {"kind": kind.value, "site": site, "hours": hours})

    def me(self) -> Me:
        """Whose token this is, and what its holder may do at all."""
        return self._ask(Me, "GET", "/me")

    def drill(self, site: str, cut: bool, for_s: int = 600) -> Drill:
        """Cut the line between a site and its parent for so many seconds of the wall, or join it again."""
        what, query = ("cut", {"for_s": for_s}) if cut else ("heal", None)
        return self._ask(Drill, "POST", f"/drills/{quote(site, safe='')}/{what}", query)

    def run_times(self, tenant: str = "", jobs: int = 5_000) -> list[RunTimes]:
        """Expected and found run times of the last ``jobs`` that succeeded, by kind and site."""
        return self._ask(list[RunTimes], "GET", "/run-times", {"tenant": tenant, "jobs": jobs})

    def envelopes(self, tenant: str = "") -> list[EnvelopeStatus]:
        """What tenants may use at the nodes that run there."""
        return self._ask(list[EnvelopeStatus], "GET", "/envelopes", {"tenant": tenant})

    def bills(self, tenant: str = "") -> list[Bill]:
        """What each tenant's jobs came to."""
        return self._ask(list[Bill], "GET", "/bills", {"tenant": tenant})

    def what_if(self, change: WhatIf) -> WhatIfRun:
        """Ask what would become of the work that is not over in a changed world; :meth:`what_if_run` has the answer."""
        return self._ask(WhatIfRun, "POST", "/what-if", body=msgspec.json.encode(change))

    def what_ifs(self) -> list[WhatIfRun]:
        """What-ifs that were asked, newest first, without timelines."""
        return self._ask(list[WhatIfRun], "GET", "/what-if")

    def what_if_run(self, run: str) -> WhatIfRun:
        """A what-if, with timelines once it is done."""
        return self._ask(WhatIfRun, "GET", f"/what-if/{quote(run, safe='')}")

    def timeline(self, from_s: int, until_s: int = 0, limit: int = 5000) -> Timeline:
        """The region's jobs between two instants, seconds UTC (0: now), as they went."""
        return self._ask(Timeline, "GET", "/timeline", {"from_s": from_s, "until_s": until_s, "limit": limit})

    def briefing(self, hours: float = 24, ahead: float = 24) -> Briefing:
        """The morning report of the last hours and the next ones."""
        return self._ask(Briefing, "GET", "/briefing", {"hours": hours, "ahead": ahead})

    def audit(self, node: str = "") -> list[AuditResult]:
        """Have every node's journal verified."""
        return self._ask(list[AuditResult], "GET", "/audit", {"node": node})

    def journal(self, node: str, after: int = 0, limit: int = 1000) -> list[Happening]:
        """A node's journal after entry ``after``."""
        return self._ask(list[Happening], "GET", "/journal", {"node": node, "after": after, "limit": limit})

    def events(
        self, job: str = "", node: str = "", last_id: str = "", timeout_s: float | None = None
    ) -> Iterator[Notice]:
        """The stream of events from now on (or after ``last_id``).

        The first notice comes at once and has no happening: what is asked after it cannot be missed.
        """
        headers = {"Last-Event-ID": last_id} if last_id else {}
        with self._stream("/events", {"job": job, "node": node}, headers, timeout_s) as answer:
            yield from notices(answer.iter_lines())

    # -- carrying

    def _stream(
        self, path: str, query: dict[str, Any], headers: dict[str, str] | None = None, timeout_s: float | None = None
    ) -> _Stream:
        return _Stream(self, path, query, headers or {}, timeout_s)

    def _ask(
        self, kind: type[_T], method: str, path: str, query: dict[str, Any] | None = None, body: bytes | None = None
    ) -> _T:
        params = {k: v for k, v in (query or {}).items() if v != ""}
        headers = _NDJSON if body is not None else None
        answer = self.persistently(
            lambda http: http.request(method, f"/v1{path}", params=params, content=body, headers=headers)
        )
        if not answer.is_success:
            raise fault_of(answer.content, answer.status_code)
        return msgspec.json.decode(answer.content, type=kind)

    def persistently(
        self, call: Callable[[httpx.Client], httpx.Response], faults: type[httpx.TransportError] = httpx.TransportError
    ) -> httpx.Response:
        """What a call answers, made again at such ``faults`` for as long as this client is patient.

        Raises NotReachable.
        """
        until = time.monotonic() + self._patience_s
        while True:
            try:
                return call(self._http)
            except faults as fault:
                if time.monotonic() >= until:
                    raise self._nobody(fault) from fault
            time.sleep(RECONNECT_WALL_S)
            self._find_again()

    def _nobody(self, fault: Exception) -> NotReachable:
        url = str(self._http.base_url).rstrip("/")
        return NotReachable(f"no region answers at {url}: {fault}; start one with: sanjin up")

    def _find_again(self) -> None:
        """A region that was started again may listen at another address."""
        with contextlib.suppress(NotReachable):
            if self._folder is not None:
                self._http.base_url = self._folder.address()


def as_line(submission: Submission) -> bytes:
    """A submission as JSON. The tenant that a job has by default is left out: the API knows the caller's."""
    spec = msgspec.to_builtins(submission.spec)
    if spec["tenant"] == _USUAL_TENANT:
        del spec["tenant"]
    return msgspec.json.encode({"key": submission.key, "spec": spec})


def _batches(lines: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """The lines in order, so many at a time as one call may carry."""
    first = size = 0
    for at, line in enumerate(lines):
        if at > first and (at - first == BATCH or size + len(line) + 1 > BATCH_BYTES):
            yield lines[first:at]
            first, size = at, 0
        size += len(line) + 1
    if first < len(lines):
        yield lines[first:]


def _to_ask(notice: Notice, jobs: dict[str, None], ended: set[str]) -> list[str]:
    """Jobs that may have ended by this notice: all at the first word, then those whose owner says so."""
    happening = notice.happening
    if happening is None:
        return [j for j in jobs if j not in ended]
    mine = happening.job in jobs and happening.node == happening.job.rpartition("-")[0]
    return [happening.job] if mine and happening.kind in _ENDS and happening.job not in ended else []


class _Stream:
    """An answer that is read piece by piece."""

    def __init__(
        self, client: Client, path: str, query: dict[str, Any], headers: dict[str, str], timeout_s: float | None
    ) -> None:
        self._client, self._path, self._headers = client, f"/v1{path}", headers
        self._params = {k: v for k, v in query.items() if v != ""}
        self._timeout = httpx.Timeout(5.0, read=timeout_s)

    def _sent(self, http: httpx.Client) -> httpx.Response:
        request = http.build_request(
            "GET", self._path, params=self._params, headers=self._headers, timeout=self._timeout
        )
        return http.send(request, stream=True)

    def __enter__(self) -> httpx.Response:
        self._answer = self._client.persistently(self._sent, httpx.ConnectError)
        if not self._answer.is_success:
            raise fault_of(self._answer.read(), self._answer.status_code)
        return self._answer

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._answer.close()


def fault_of(body: bytes, status: int) -> SanjinError:
    """The error that an answer carries."""
    try:
        details = msgspec.json.decode(body, type=ProblemDetails)
    except msgspec.DecodeError:
        return SanjinError(f"HTTP {status}: {body[:200].decode(errors='replace')}")
    kind = _FAULTS.get(details.code, SanjinError)
    if issubclass(kind, ProblemsFound):
        return kind(details.errors or [Problem(details.code, "", details.detail, "")])
    return kind(details.detail)
