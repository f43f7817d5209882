"""Pricing: what scarce capacity is worth, kept up to date. Word of demand goes up the tree, prices come down.

The root learns prices from the jobs of the last week, wherever they were submitted, at the interval that the
policy sets; every node adds them when it places work, and hands them to its children. Neither is mail: after
a restart both are told anew.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice

import msgspec

from sanjin.flow.learn import WEEK_S, learn
from sanjin.model.job import JobSpec, JobState
from sanjin.model.policy import Policy
from sanjin.model.record import JobRecord
from sanjin.model.region import Region
from sanjin.model.scarcity import Scarcity
from sanjin.model.units import HOUR_S
from sanjin.ports import JobQuery, Store

SEEN_MAX = 50_000
"""Jobs that prices are learnt from, at most: the latest."""

SEEN_A_CALL = 2000
LEAST_JOBS = 50
"""With fewer jobs in a week prices stay as they are."""

log = logging.getLogger("sanjin.node")


@dataclass(frozen=True, slots=True)
class Seen:
    """A job that came in somewhere: what prices are learnt from."""

    id: str
    submitted_s: int
    spec: JobSpec


_seen = msgspec.msgpack.Decoder(tuple[Seen, ...])
_prices = msgspec.msgpack.Decoder(Scarcity)
_encode = msgspec.msgpack.Encoder().encode


class Pricing:
    """The prices of one node, and what it has seen of demand. One thread uses it, but for the learning."""

    def __init__(self, region: Region, policy: Policy, root: bool, prices: Scarcity | None, now_s: int) -> None:
        self.region = region
        self.policy = policy
        self.root = root
        self.prices = prices
        self.seen: dict[str, Seen] = {}
        self._news: dict[str, Seen] = {}  # not yet told to the parent
        self._told: tuple[str, ...] = ()
        self._next_s = (prices.until_s if prices else now_s) + policy.price_refresh_hours * HOUR_S
        self._learning: threading.Thread | None = None

    @property
    def version(self) -> int:
        """Changes with the prices; 0 where there are none."""
        return self.prices.until_s if self.prices else 0

    def encoded(self) -> bytes:
        """The prices as a child reads them; empty where there are none."""
        return _encode(self.prices) if self.prices else b""

    def remember(self, store: Store, now_s: int) -> None:
        """Begin with the jobs of the last week that were submitted here, as the store has them."""
        if not self.policy.price_refresh_hours:
            return  # nobody learns from them
        before, found = "", list[JobRecord]()
        while len(found) < SEEN_MAX:
            page = store.jobs(JobQuery(owned=True, limit=2000, before=before))
            found += [r for r in page if r.submitted_s > now_s - WEEK_S]
            if not page or page[-1].submitted_s <= now_s - WEEK_S:
                break
            before = page[-1].id
        self.note(Seen(r.id, r.submitted_s, r.spec) for r in reversed(found))

    def note(self, jobs: Iterable[Seen]) -> None:
        """Jobs that came in here or below."""
        if not self.policy.price_refresh_hours:
            return
        book = self.seen if self.root else self._news
        for job in jobs:
            book[job.id] = job
        for old in list(islice(book, max(len(book) - SEEN_MAX, 0))):
            del book[old]

    def for_parent(self) -> bytes:
        """What the parent was not yet told of demand; again until :meth:`heard`."""
        self._told = tuple(islice(self._news, SEEN_A_CALL))
        if not self._told:
            return b""
        # the command and its environment say nothing of demand, and are not the parent's business
        told = (self._news[j] for j in self._told)
        return _encode([replace(s, spec=replace(s.spec, command=(), environment={})) for s in told])

    def heard(self) -> None:
        """The parent has what it was told last."""
        for job in self._told:
            self._news.pop(job, None)
        self._told = ()

    def from_child(self, body: bytes) -> None:
        """Word of demand from a child. What cannot be read is left aside."""
        try:
            self.note(_seen.decode(body))
        except (msgspec.DecodeError, ValueError) as fault:
            log.warning("word of demand cannot be read: %s", fault)

    def from_parent(self, body: bytes) -> Scarcity | None:
        """The parent's prices where they are new and can be read."""
        try:
            found = _prices.decode(body)
        except (msgspec.DecodeError, ValueError) as fault:
            log.warning("prices of scarcity cannot be read: %s", fault)
            return None
        return found if found.until_s != self.version else None

    def learn(self, now_s: int, done: Callable[[Scarcity], None]) -> None:
        """Where it is time, learn in a thread of its own, which calls ``done`` with what it found."""
        hours = self.policy.price_refresh_hours
        busy = self._learning is not None and self._learning.is_alive()
        if not self.root or not hours or now_s < self._next_s or busy:
            return
        self._next_s = now_s + hours * HOUR_S
        for old in [j for j, s in self.seen.items() if s.submitted_s <= now_s - 2 * WEEK_S]:
            del self.seen[old]
        recent = sum(s.submitted_s > now_s - WEEK_S for s in self.seen.values())
        if recent < LEAST_JOBS:
            return
        records = [
            JobRecord(id=s.id, key="", spec=s.spec, state=JobState.QUEUED, submitted_s=s.submitted_s)
            for s in self.seen.values()
        ]

        def work() -> None:
            try:
                done(learn(self.region, records, now_s))
            except Exception:  # prices stay as they are, and the node goes on
                log.exception("prices of scarcity were not learnt")

        self._learning = threading.Thread(target=work, name="prices", daemon=True)
        self._learning.start()

    def settle(self) -> None:
        """Wait for a learning under way."""
        if self._learning:
            self._learning.join()
