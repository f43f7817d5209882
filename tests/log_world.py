"""A journal and its log without a region: entries that are made up, files in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from sanjin.adapters.store.memory import MemoryStore
from sanjin.flow.audit import chain
from sanjin.flow.notes import COSIGNATURE, ED25519, SigningKey
from sanjin.ports import Batch, Entry
from sanjin.tree.cosigner import Cosigner
from sanjin.tree.log import NodeLog

LOG_KEY = SigningKey("sanjin/shanxi/datong", ED25519, bytes(range(32)))
WITNESS_KEY = SigningKey("sanjin/shanxi/taiyuan/witness", COSIGNATURE, bytes(range(1, 33)))


class MemoryFiles(dict[str, bytes]):
    """Files in memory."""

    def read(self, name: str) -> bytes | None:
        return self.get(name)

    def has(self, name: str) -> bool:
        return name in self

    def write(self, name: str, data: bytes, *, durable: bool = False) -> None:
        self[name] = data

    def remove_folder(self, name: str) -> None:
        for each in [n for n in self if n.startswith(f"{name}/")]:
            del self[each]

    @contextmanager
    def alone(self) -> Iterator[None]:
        yield


def journal(count: int, after: int = 0, before: bytes = b"", changed: int = 0) -> list[Entry]:
    """Entries ``after + 1`` to ``count`` with a good chain; entry ``changed`` says something else."""
    made: list[Entry] = []
    for seq in range(after + 1, count + 1):
        body = b'{"cores":%d,"note":"%s"}' % (seq, "改".encode() if seq == changed else b"")
        row = (seq, 1_784_073_600 + seq, "job.placed", f"datong-{seq // 3}", body)
        before = chain(before, *row)
        made.append(Entry(seq=seq, at_s=row[1], kind=row[2], job=row[3], body=body, hash=before))
    return made


def store_of(entries: list[Entry]) -> MemoryStore:
    store = MemoryStore()
    if entries:
        store.commit(Batch(journal=entries))
    return store


def append(store: MemoryStore, count: int) -> None:
    seq, tip = store.tip()
    store.commit(Batch(journal=journal(seq + count, seq, tip)))


def rewritten(store: MemoryStore, seq: int) -> MemoryStore:
    """The journal as a forger leaves it: one entry is another, and the chain from there on is made again."""
    found: list[Entry] = []
    before = b""
    for entry in store.journal(limit=10**9):
        body = b'{"cores":0,"note":"forged"}' if entry.seq == seq else entry.body
        before = chain(before, entry.seq, entry.at_s, entry.kind, entry.job, body)
        found.append(replace(entry, body=body, hash=before))
    return store_of(found)


def log_of(store: MemoryStore, files: MemoryFiles | None = None) -> NodeLog:
    return NodeLog("datong", store, MemoryFiles() if files is None else files, LOG_KEY)


def cosigner_of(files: MemoryFiles | None = None, now_s: Callable[[], int] = lambda: 1_784_100_000) -> Cosigner:
    files = MemoryFiles() if files is None else files
    return Cosigner(WITNESS_KEY, {LOG_KEY.name: LOG_KEY.verifier()}, files, now_s)
