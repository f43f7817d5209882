"""Audit: the journal is a hash chain; verifying it finds any entry changed, missing or moved.

``hash(n) = SHA-256(hash(n-1) | n | time | kind | job | body)`` with lengths before the texts, so
that no two different entries give the same bytes. The chain's tip is recorded beside the journal in
the same transaction, so a cut tail shows too. Whoever can rewrite the whole file and its tip can
still forge it: keep a copy of a tip elsewhere (``sanjin audit verify`` prints it).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable

import msgspec

from sanjin.model import event as ev
from sanjin.model.errors import Problem
from sanjin.model.status import AuditResult, Happening
from sanjin.ports import Entry, LedgerLine

_HEAD = struct.Struct(">qqHHI")


def chain(before: bytes, seq: int, at_s: int, kind: str, job: str, body: bytes) -> bytes:
    """The hash of an entry, given that of the one before (empty for the first)."""
    k, j = kind.encode(), job.encode()
    return hashlib.sha256(before + _HEAD.pack(seq, at_s, len(k), len(j), len(body)) + k + j + body).digest()


def happening(node: str, entry: Entry) -> Happening:
    """A journal entry as people read it."""
    body = msgspec.json.decode(entry.body, type=dict[str, object])
    return Happening(node=node, seq=entry.seq, at_s=entry.at_s, kind=entry.kind, job=entry.job, body=body)


def verify(
    node: str,
    entries: Iterable[Entry],
    tip: tuple[int, bytes],
    ledger: Iterable[LedgerLine],
    resettle: Callable[[ev.Metered], ev.Settled] | None = None,
) -> AuditResult:
    """Check the chain, its tip, and that the ledger is what the journal's settlements say.

    ``resettle``, where given, recomputes each settlement from its meter record.
    """
    problems: list[Problem] = []
    before, expected = b"", 1
    from_journal: dict[int, list[tuple[str, int]]] = {}
    metered: dict[str, ev.Metered] = {}
    for entry in entries:
        if entry.seq != expected:
            problems.append(_problem("missing_entry", entry.seq, f"entry {expected} is missing"))
            expected = entry.seq
        if chain(before, entry.seq, entry.at_s, entry.kind, entry.job, entry.body) != entry.hash:
            problems.append(_problem("changed_entry", entry.seq, "the hash does not match: changed or moved"))
        before, expected = entry.hash, expected + 1
        _collect(entry, from_journal, metered, resettle, problems)
    if (expected - 1, before) != tip:
        problems.append(_problem("wrong_tip", expected - 1, f"the journal ends here; the recorded tip is {tip[0]}"))
    problems.extend(_ledger_problems(from_journal, ledger))
    return AuditResult(node=node, entries=expected - 1, tip=before.hex(), problems=tuple(problems))


def _collect(
    entry: Entry,
    from_journal: dict[int, list[tuple[str, int]]],
    metered: dict[str, ev.Metered],
    resettle: Callable[[ev.Metered], ev.Settled] | None,
    problems: list[Problem],
) -> None:
    if entry.kind not in (ev.Metered.kind, ev.Settled.kind):
        return
    try:
        event = ev.decode(entry.kind, entry.body)
    except ValueError as fault:
        problems.append(_problem("unreadable_entry", entry.seq, f"cannot be read: {fault}"))
        return
    if isinstance(event, ev.Metered):
        metered[event.job] = event
    elif isinstance(event, ev.Settled):
        from_journal[entry.seq] = [(p.account, p.fen) for p in event.postings]
        reading = metered.get(event.job)
        if resettle and reading and resettle(reading).postings != event.postings:
            problems.append(_problem("wrong_bill", entry.seq, f"{event.job}: the bill does not follow from the meter"))


def _ledger_problems(from_journal: dict[int, list[tuple[str, int]]], ledger: Iterable[LedgerLine]) -> list[Problem]:
    found: dict[int, list[tuple[str, int]]] = {}
    for line in ledger:
        found.setdefault(line.entry, []).append((line.account, line.fen))
    problems = [
        _problem("wrong_ledger", seq, "the ledger's postings differ from the journal's")
        for seq in sorted(found.keys() | from_journal.keys())
        if found.get(seq, []) != from_journal.get(seq, [])
    ]
    problems.extend(
        _problem("unbalanced_entry", seq, "debits and credits differ")
        for seq, lines in found.items()
        if sum(fen for _, fen in lines)
    )
    return problems


def _problem(code: str, seq: int, what: str) -> Problem:
    return Problem(
        code=code,
        path=f"journal[{seq}]",
        what=what,
        todo="compare with a backup or with what the parent node recorded, and find who wrote to the file",
    )
