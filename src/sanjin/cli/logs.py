"""``sanjin audit key, export, prove, check``: a node's journal as a transparent log that others can verify."""

from __future__ import annotations

import base64
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from sanjin.adapters.files import FolderFiles
from sanjin.adapters.state_folder import StateFolder, default_folder
from sanjin.adapters.store.choose import store_of
from sanjin.adapters.store.sql import SqlStore
from sanjin.adapters.store.sqlite import SqliteStore
from sanjin.cli.keys import open_logs
from sanjin.cli.output import Format, State, at, data, note, sentence, table, text
from sanjin.flow import notes
from sanjin.flow.notes import BadNote, VerifierKey, parse_verifier
from sanjin.model.errors import NotFound, Problem, ProblemsFound
from sanjin.model.log import Checked, GrowthProof, InclusionProof
from sanjin.regions.load import load_region
from sanjin.tree.log import NodeLog
from sanjin.tree.log_check import Checker

NodeOf = Annotated[str, Parameter(help="Whose log (default: the root of the tree). 节点。")]


@contextmanager
def _logs(state: Path | None) -> Generator[tuple[str, dict[str, NodeLog]]]:
    """The name of the root, or of the one node that runs here, and the logs of a state folder, up or not."""
    folder = StateFolder(state or default_folder())
    region, one = load_region(folder.region_document()), folder.node_settings()
    stores: dict[str, SqlStore]
    if one:  # the other nodes have their logs and keys on machines of their own
        stores = {one.site: store_of(one.store or folder.path / one.site / "state.db", one.site)}
    else:
        stores = {name: SqliteStore(folder.path / name / "state.db") for name in region.nodes}
    try:
        yield one.site if one else region.root().id, open_logs(region, folder.path, stores, folder.clock(None, None))
    finally:
        for store in stores.values():
            store.close()


def _one(logs: dict[str, NodeLog], node: str) -> NodeLog:
    if node not in logs:
        raise NotFound(f"there is no node {node}; known: {', '.join(logs)}")
    return logs[node]


def key(*, node: NodeOf = "", state: State = None, output: Format = "table") -> None:
    """Print public keys: with the first a log signs, with the others its witnesses. Hand them on safely. 公钥。"""
    with _logs(state) as (root, logs):
        log = _one(logs, node or root)
        found = {"node": log.node, "log": log.verifier.text(), "witnesses": [k.text() for k in log.cosigners()]}
        if not data(found, output):
            rows = [[log.node, text("cli.log_key"), log.verifier.text()]]
            rows += [[log.node, text("cli.witness_key"), k.text()] for k in log.cosigners()]
            table(("head.node", "head.what", "head.value"), rows, left=(0, 1, 2))


def export(
    *,
    to: Annotated[Path, Parameter(help="Folder to write to; what is there already stays. 目标目录。")],
    node: NodeOf = "",
    state: State = None,
    output: Format = "table",
) -> None:
    """Write a node's log as static files (c2sp.org/tlog-tiles), its checkpoint last; exit 8 if it cannot be. 导出。"""
    with _logs(state) as (root, logs):
        log = _one(logs, node or root)
        wrote = log.export(FolderFiles(to))
        found = replace(wrote, folder=str(to))
        if not data(found, output):
            print(sentence("cli.log_exported", node=found.node, size=found.size, folder=to, tiles=found.tiles,
                           bundles=found.bundles))  # fmt: skip
            if found.cosigned_by:
                print(text("cli.log_cosigned", names=", ".join(found.cosigned_by)))
            note(sentence("cli.log_key_hint", public=found.key))


def prove(
    *,
    node: NodeOf = "",
    entry: Annotated[int, Parameter(help="Number of the journal entry. 条目编号。")] = 0,
    since: Annotated[int, Parameter(help="Instead: that it grew from so many entries. 起始规模。")] = -1,
    to: Annotated[Path | None, Parameter(help="Also write the proof to this file. 输出文件。")] = None,
    state: State = None,
    output: Format = "table",
) -> None:
    """Prove that an entry is in a node's log, or that the log only grew; exit 8 if it is not so. 生成证明。

    A proof of an entry is written as c2sp.org/tlog-proof has it, one of growth as JSON.
    """
    if (entry > 0) == (since >= 0):
        raise _wrong("--entry", "give either --entry, from 1 on, or --since")
    with _logs(state) as (root, logs):
        log = _one(logs, node or root)
        found: InclusionProof | GrowthProof
        if entry:
            found = log.inclusion(entry)
            hashes = [base64.b64decode(h) for h in found.hashes]
            written = notes.proof_text(found.leaf.encode(), found.index, hashes, found.checkpoint.encode())
            said = sentence("cli.log_proved", node=log.node, seq=entry, index=found.index, size=found.size,
                            count=len(found.hashes))  # fmt: skip
        else:
            found = log.growth(since)
            written = msgspec.json.format(msgspec.json.encode(found), indent=2)
            said = sentence("cli.log_grows", node=log.node, old=since, size=found.size, count=len(found.hashes))
    if to:
        to.write_bytes(written)
    if not data(found, output):
        print(said)
        print(written.decode(), end="" if entry else "\n")
        note(sentence("cli.log_key_hint", public=found.key))


def check(
    *,
    key: Annotated[str, Parameter(help="The log's public key, or a file that holds it. 日志公钥。")],
    folder: Annotated[Path | None, Parameter(help="An exported log: all of it is read. 导出目录。")] = None,
    proof: Annotated[Path | None, Parameter(help="A proof as prove writes it. 证明文件。")] = None,
    checkpoint: Annotated[Path | None, Parameter(help="An older checkpoint that you kept. 旧检查点。")] = None,
    witness: Annotated[tuple[str, ...], Parameter(help="Key of who must have cosigned. 见证公钥。")] = (),
    output: Format = "table",
) -> None:
    """Check an exported log or a proof with nothing but the log's key; exit 8 where it does not verify. 核验。

    With an older checkpoint: that the log only grew since then. Of a folder it says who has cosigned it, and when;
    whether a witness must have is for --witness to say. Needs no region and no state.
    """
    if (folder is None) == (proof is None):
        raise _wrong("--folder", "give either --folder or --proof")
    older = _bytes(checkpoint) if checkpoint else None
    checker = Checker(_key(key, "--key"), older, [_key(w, "--witness") for w in witness])
    if folder:
        found = checker.folder(FolderFiles(folder))
    else:
        assert proof is not None
        found = _check_proof(checker, _bytes(proof), proof)
    if not data(found, output):
        _print(found)


def _check_proof(checker: Checker, written: bytes, path: Path) -> Checked:
    try:
        if written.startswith(notes.PROOF_HEAD.encode()):
            return checker.inclusion(*notes.parse_proof_text(written))
        kind = GrowthProof if b'"old_size"' in written else InclusionProof
        read = msgspec.json.decode(written, type=kind)
    except (BadNote, msgspec.MsgspecError) as fault:
        raise _wrong(str(path), f"not a proof: {fault}") from fault
    return checker.growth(read) if isinstance(read, GrowthProof) else checker.shown(read)


def _print(found: Checked) -> None:
    print(sentence("cli.log_checked", origin=found.origin, size=found.size, root=found.root))
    if found.entries_read:
        print(sentence("cli.log_read", count=found.entries_read))
    if found.grown_from >= 0:
        print(sentence("cli.log_grown", old=found.grown_from))
    if found.entry:
        print(sentence("cli.log_has", seq=found.entry))
    for name, at_s in found.cosigned.items():
        size, when = found.cosigned_size[name], f"{at(at_s, 0, year=True)} UTC"
        if size == found.size:
            print(sentence("cli.log_cosigned_at", name=name, at=when))
        else:
            print(sentence("cli.log_cosigned_until", name=name, at=when, size=size))
    for name in found.not_cosigned:
        print(sentence("cli.log_not_cosigned", name=name))


def _key(given: str, option: str) -> VerifierKey:
    try:
        return parse_verifier(given if "+" in given else _bytes(Path(given)).decode().strip())
    except ValueError as fault:  # BadNote, or a file that is no text
        raise _wrong(option, str(fault)) from fault


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise NotFound(f"{path}: {fault.strerror}") from fault


def _wrong(path: str, what: str) -> ProblemsFound:
    return ProblemsFound([Problem("wrong_value", path, what, "see sanjin audit --help")])
