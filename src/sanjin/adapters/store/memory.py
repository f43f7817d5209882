"""A store in memory: for replays, tests and dry runs, where nothing needs to outlive the process.

It keeps the store's contract but for durability: all of a batch or nothing, numbers and keys once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import cast

from sanjin.model.errors import StoreFailed
from sanjin.model.listing import JobQuery, folded, key_of, words_of
from sanjin.model.record import JobRecord
from sanjin.ports import Batch, Entry, LedgerLine, Mail, PeerMark, Share, Stored, Totals


class MemoryStore:
    """A node's state for as long as the process lives. One thread writes; others may read."""

    def __init__(self) -> None:
        self._jobs: dict[str, JobRecord] = {}
        self._keys: dict[tuple[str, str], str] = {}
        self._journal: list[Entry] = []
        self._outbox: dict[str, dict[int, Mail]] = {}
        self._marks: dict[str, PeerMark] = {}
        self._ledger: list[LedgerLine] = []
        self._shares: dict[tuple[str, str], Share] = {}

    def load(self) -> Stored:
        """Everything that a starting node needs."""
        spent = Counter[str]()
        for record in self._owned():
            if not record.state.live:
                spent[record.spec.tenant] += record.fen
        seq, tip_hash = self.tip()
        return Stored(
            live=[r for r in list(self._jobs.values()) if r.state.live],
            outbox=[m for peer in sorted(self._outbox) for m in self._outbox[peer].values()],
            marks=dict(self._marks),
            tip_seq=seq,
            tip_hash=tip_hash,
            next_number=len(self._jobs) + 1,
            spent_fen=dict(spent),
            shares=[self._shares[key] for key in sorted(self._shares)],
        )

    def commit(self, batch: Batch) -> None:
        """Take all of ``batch`` over. Raises StoreFailed; then nothing was taken."""
        keys = self._check(batch)
        self._jobs.update(batch.jobs)
        self._keys.update(keys)
        self._journal.extend(batch.journal)
        for mail in batch.outbox:
            self._outbox.setdefault(mail.peer, {})[mail.seq] = mail
        for peer, upto in batch.acked.items():
            box = self._outbox.get(peer, {})
            for seq in [seq for seq in box if seq <= upto]:
                del box[seq]
        self._marks.update(batch.marks)
        self._shares.update(batch.shares)
        self._ledger.extend(batch.ledger)

    def _check(self, batch: Batch) -> dict[tuple[str, str], str]:
        """The keys that are new in ``batch``; a number or a key that is taken already is a fault of the caller."""
        after = self._journal[-1].seq if self._journal else 0
        for entry in batch.journal:
            if entry.seq <= after:
                raise StoreFailed(f"journal entry {entry.seq} is there already")
            after = entry.seq
        if any(m.seq in self._outbox.get(m.peer, {}) for m in batch.outbox):
            raise StoreFailed("mail of that number is there already")
        keys: dict[tuple[str, str], str] = {}
        for record in batch.jobs.values():
            if record.id not in self._jobs and record.owned:
                key = (record.spec.tenant, record.key)
                if key in self._keys or key in keys:
                    raise StoreFailed(f"another job has the key {record.key}")
                keys[key] = record.id
        return keys

    def active(self) -> bool:
        """Nobody else can write it."""
        return True

    def _owned(self) -> Iterator[JobRecord]:
        return (r for r in list(self._jobs.values()) if r.owned)

    def find_keys(self, tenant: str, keys: Sequence[str]) -> dict[str, JobRecord]:
        """Jobs that were submitted here under these client keys."""
        return {key: self._jobs[job] for key in keys if (job := self._keys.get((tenant, key)))}

    def job(self, job: str) -> JobRecord | None:
        """One job, live or ended."""
        return self._jobs.get(job)

    def find(self, jobs: Sequence[str]) -> dict[str, JobRecord]:
        """Those of these jobs that are known here, live or ended."""
        return {job: self._jobs[job] for job in jobs if job in self._jobs}

    def jobs(self, query: JobQuery) -> list[JobRecord]:
        """Jobs that match, newest first."""
        newest = reversed(list(self._jobs.values()))
        if query.before:
            if query.before not in self._jobs:
                return []
            for record in newest:
                if record.id == query.before:
                    break
        return list(islice((r for r in newest if _matches(r, query)), query.limit))

    def keys(self, query: JobQuery) -> tuple[list[int] | list[str], list[str]]:
        """Sort keys and ids of the jobs that match, in the order in which they came."""
        found = [r for r in list(self._jobs.values()) if _matches(r, query)]
        keys = [key_of(r, query) for r in found]
        return cast(list[int] | list[str], keys), [r.id for r in found]

    def count(self, query: JobQuery) -> int:
        """How many jobs match in all."""
        return sum(_matches(r, query) for r in list(self._jobs.values()))

    def counts(self) -> dict[str, int]:
        """Number of jobs owned here, by state."""
        return dict(Counter(r.state.value for r in self._owned()))

    def totals(self) -> dict[str, Totals]:
        """What the jobs owned here came to, by tenant."""
        found: dict[str, list[JobRecord]] = {}
        for record in self._owned():
            if not record.state.live:
                found.setdefault(record.spec.tenant, []).append(record)
        return {
            tenant: Totals(
                jobs=len(ended),
                fen=sum(r.fen for r in ended),
                facility_mwh=sum(r.facility_mwh for r in ended),
                carbon_mg=sum(r.carbon_mg for r in ended),
            )
            for tenant, ended in found.items()
        }

    def accounts(self) -> dict[tuple[str, str], int]:
        """Balance of each (tenant, account) of the ledger here, fen: debits positive."""
        found: dict[tuple[str, str], int] = {}
        for line in list(self._ledger):
            found[(line.tenant, line.account)] = found.get((line.tenant, line.account), 0) + line.fen
        return found

    def journal(self, after: int = 0, limit: int = 1000, job: str = "", tenant: str = "") -> list[Entry]:
        """Journal lines with a number above ``after``, in order, of one job or one tenant's jobs where given."""
        lines = self._journal[bisect_right(self._journal, after, key=lambda e: e.seq) :]
        found = (e for e in lines if (not job or e.job == job) and (not tenant or self._is_of(e.job, tenant)))
        return list(islice(found, limit))

    def _is_of(self, job: str, tenant: str) -> bool:
        record = self._jobs.get(job)
        return record is not None and record.spec.tenant == tenant

    def tip(self) -> tuple[int, bytes]:
        """Number and hash of the last journal line."""
        return (self._journal[-1].seq, self._journal[-1].hash) if self._journal else (0, b"")

    def ledger(self, tenant: str = "") -> list[LedgerLine]:
        """Postings, in order."""
        return [line for line in list(self._ledger) if not tenant or line.tenant == tenant]

    def close(self) -> None:
        """Nothing to let go of."""


def _matches(record: JobRecord, query: JobQuery) -> bool:
    tenant = record.spec.tenant
    return (
        (not query.state or record.state == query.state)
        and (not query.tenant or tenant == query.tenant)
        and (not query.other_than or tenant != query.other_than)
        and (not query.owned or record.owned)
        and (not query.node or record.id.rpartition("-")[0] == query.node)
        and (not query.site or record.site == query.site)
        and (not query.ended_from_s or record.end_s >= query.ended_from_s)
        and (not query.search or folded(query.search) in words_of(record))
    )
