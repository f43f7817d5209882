"""``sanjin backup``, ``sanjin restore``, ``sanjin upgrade``: the state of nodes over years."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sanjin import __version__
from sanjin.adapters import archive
from sanjin.adapters.archive import FORMAT, Manifest, NodeCopy
from sanjin.adapters.files import sync_folder
from sanjin.adapters.state_folder import NodeSettings, StateFolder, default_folder
from sanjin.adapters.store import sqlite
from sanjin.adapters.store.choose import store_of
from sanjin.adapters.store.sql import HEAD, SqlStore
from sanjin.adapters.store.sqlite import SqliteStore
from sanjin.cli.keys import open_log, published
from sanjin.cli.output import Format, State, data, note, sentence, table
from sanjin.model.catalogue import problem
from sanjin.model.errors import AuditBroken, NotAllowed, ProblemsFound, StoreFailed
from sanjin.model.region import Region
from sanjin.regions.load import load_region
from sanjin.tree.overview import audit_node
from sanjin.tree.set_back import SKIP, is_uncertain

SETTINGS = ("region.yaml", "policy.yaml", "scarcity.json", "clock.json", "node.json", "users.json")
STORE = "state.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackedUp:
    """What ``sanjin backup`` tells."""

    file: str
    bytes: int
    made_at: str
    secrets: bool
    files: int
    nodes: dict[str, NodeCopy]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a restored node has: live jobs that are given up at its start, and those that others have (job: node)."""

    seq: int
    hash: str
    given_up: tuple[str, ...]
    away: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """What ``sanjin restore`` tells. ``folder`` is empty where nothing was put in place."""

    folder: str
    made_at: str
    version: str
    secrets: bool
    nodes: dict[str, Held]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgraded:
    """What ``sanjin upgrade`` tells: revisions of each node's schema. ``backup`` is the state of before."""

    before: dict[str, str]
    after: dict[str, str]
    backup: str


def backup(
    *,
    to: Annotated[Path, Parameter(help="File to write, NAME.tar.gz; only you can read it. 备份文件。")],
    secrets: Annotated[bool, Parameter(negative=(), help="With tokens and private keys. 含密钥。")] = False,
    without_store: Annotated[bool, Parameter(negative=(), help="All but a PostgreSQL state. 不含数据库。")] = False,
    state: State = None,
    output: Format = "table",
) -> None:
    """Copy the state of a node, or of all nodes of `sanjin up`, as it is at one instant; also while it runs. 备份。

    Journals, jobs, bills, settings and users (hashes of their tokens) are in it. Secret, and only in it with --secrets:
    the operator's token, the node's identity and the keys of its log. Never in it: datasets, outputs and logs of runs.
    """
    folder = StateFolder(state or default_folder())
    made = make_backup(folder, to, secrets, without_store)
    if data(made, output):
        return
    _tell_nodes(made.nodes)
    print(sentence("cli.backed_up", file=made.file, bytes=made.bytes, files=made.files, at=made.made_at))
    note(sentence("cli.backup_with" if secrets else "cli.backup_without"))


def make_backup(folder: StateFolder, to: Path, secrets: bool, without_store: bool) -> BackedUp:
    """Write a backup. Raises ProblemsFound, NotAllowed, StoreFailed; then there is no file."""
    if not to.name.endswith(".tar.gz"):
        raise ProblemsFound([problem("backup_name", "--to", value=to)])
    model, settings = load_region(folder.region_document()), folder.node_settings()
    if settings and settings.store and not without_store:
        command = _dump_command(settings)
        raise NotAllowed(sentence("cli.backup_database", site=settings.site, command=command))
    with tempfile.TemporaryDirectory(dir=to.absolute().parent, prefix=".backup-") as made:
        at = Path(made)
        # what was signed of a journal before the journal itself: then the copy holds all that was signed
        for name in _plain_files(folder.path, model, secrets):
            _copy(folder.path / name, at / name)
        made_at = datetime.now(UTC)
        nodes = _copy_stores(folder.path, model, settings, at)
        names = sorted(p.relative_to(at).as_posix() for p in at.rglob("*") if p.is_file())
        manifest = Manifest(
            format=FORMAT, version=__version__, made_at=f"{made_at:%Y-%m-%d %H:%M:%S}", region=model.id,
            secrets=secrets, nodes=nodes, files={name: archive.copy_of(at / name) for name in names},
        )  # fmt: skip
        archive.write(to, manifest, {name: at / name for name in names})
    return BackedUp(
        file=str(to), bytes=to.stat().st_size, made_at=manifest.made_at, secrets=secrets, files=len(names), nodes=nodes
    )


def _plain_files(folder: Path, model: Region, secrets: bool) -> Iterator[str]:
    """Names of what is copied as it lies there, in the order of copying."""
    yield from SETTINGS
    yield from sorted(p.name for p in folder.glob("decisions.jsonl*"))
    if not secrets:
        return
    yield "token"
    yield from sorted(f"identity/{p.name}" for p in (folder / "identity").glob("[!.]*") if p.suffix != ".lock")
    for node in model.nodes:
        # a witness's memory first, then the checkpoint, then the tiles below it: each is covered by the next
        yield from (f"{node}/{n}" for n in ("log.key", "cosigner.key", "cosigner/seen.json", "log/checkpoint"))
        tiles = [p for p in (folder / node / "log").rglob("[!.]*") if p.is_file()]
        yield from sorted(p.relative_to(folder).as_posix() for p in tiles)


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        if not to.exists():
            shutil.copy2(path, to)
    except FileNotFoundError:
        pass  # there is none, or it was turned over or put together just now


def _copy_stores(folder: Path, model: Region, settings: NodeSettings | None, to: Path) -> dict[str, NodeCopy]:
    database = settings.site if settings and settings.store else ""
    there = [n for n in model.nodes if n != database and (folder / n / STORE).exists()]
    sqlite.snapshots({folder / n / STORE: to / n / STORE for n in there})
    nodes: dict[str, NodeCopy] = {database: NodeCopy(database="postgresql")} if database else {}
    for name in there:
        (to / name / STORE).chmod(0o600)
        seq, tip = sqlite.tip_of(to / name / STORE)
        nodes[name] = NodeCopy(seq=seq, hash=tip.hex(), revision=sqlite.revision(to / name / STORE))
    return nodes


def _dump_command(settings: NodeSettings) -> str:
    from sanjin.adapters.store.postgres import dump_command

    return dump_command(settings.store, settings.site)


def _tell_nodes(nodes: dict[str, NodeCopy]) -> None:
    rows = [[n, c.seq, c.hash[:16], c.revision or c.database] for n, c in nodes.items()]
    table(("head.node", "head.entry", "head.tip", "head.revision"), rows, left=(0, 2, 3))


def restore(
    file: Annotated[Path | None, Parameter(help="A backup. 备份文件。")] = None,
    /,
    *,
    state: State = None,
    moved: Annotated[bool, Parameter(negative=(), help="Nothing ran since that backup. 备份后无操作。")] = False,
    in_place: Annotated[bool, Parameter(negative=(), help="No file: it was set back by other means. 原地。")] = False,
    dry_run: Annotated[bool, Parameter(negative=(), help="Only verify. 仅校验。")] = False,
    output: Format = "table",
) -> None:
    """Verify a backup whole and put it into a new or empty state folder, all or nothing. 恢复。

    Every checksum and every journal is verified to its tip. What was done after the backup is lost, and the restored
    node knows that: numbers skip ahead, and at its next start live jobs with `effects: once` end as interrupted, since
    they may have run. With --moved (the node was stopped before the backup) only those end that were running.
    --in-place does the same to a state that was set back by pg_restore or an image of the disk.
    """
    if (file is None) != in_place:
        raise ProblemsFound([problem("restore_what", "FILE")])
    folder = StateFolder(state or default_folder())
    found = _put_back(file, folder.path, moved, dry_run) if file else _set_back(folder, dry_run)
    if data(found, output):
        return
    rows = [[n, h.seq, h.hash[:16], len(h.given_up), len(h.away)] for n, h in found.nodes.items()]
    table(("head.node", "head.entry", "head.tip", "head.given_up", "head.away"), rows, left=(0, 2))
    if in_place:
        note(sentence("cli.would_set_back" if dry_run else "cli.set_back", folder=folder.path, skip=SKIP))
        return
    key = "cli.restore_checked" if dry_run else "cli.restored"
    print(sentence(key, file=file, folder=found.folder, at=found.made_at))
    if not moved and not dry_run:
        note(sentence("cli.restore_set_back", skip=SKIP))
    if not found.secrets:
        note(sentence("cli.restore_no_secrets"))


def _put_back(file: Path, folder: Path, moved: bool, dry_run: bool) -> PutBack:
    folder = folder.absolute()
    if not dry_run and not archive.is_empty(folder):
        raise NotAllowed(sentence("cli.not_empty", folder=folder))
    if not dry_run:
        folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_existing(folder.parent), prefix=".restore-") as made:
        at = Path(made) / "state"
        at.mkdir(mode=0o700)
        manifest = archive.read(file, at)
        nodes = _verified(file, at, manifest, moved)
        if not dry_run:
            if not moved:
                model = load_region(at / "region.yaml")
                for name in nodes:
                    with _store(at, name) as store:
                        store.skip_ahead(_peers(model, name), SKIP)
            StateFolder(at).keep_restored(manifest.made_at, moved)
            for path in (at, *at.rglob("*")):
                if path.is_dir():
                    sync_folder(path)
            archive.put_in_place(at, folder)
    for name in (n for n, copy in manifest.nodes.items() if copy.database):
        note(sentence("cli.restore_database", site=name))
    return PutBack(
        folder="" if dry_run else str(folder), made_at=manifest.made_at, version=manifest.version,
        secrets=manifest.secrets, nodes=nodes,
    )  # fmt: skip


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _verified(file: Path, at: Path, manifest: Manifest, moved: bool) -> dict[str, Held]:
    """Every journal and ledger, verified up to the tip that the manifest names. Raises AuditBroken."""
    model = load_region(at / "region.yaml")
    found: dict[str, Held] = {}
    for name, copy in manifest.nodes.items():
        if copy.database:
            continue
        if name not in model.nodes or not (at / name / STORE).exists():
            raise AuditBroken(f"{file}: the store of {name} is missing")
        with _store(at, name) as store:
            result = audit_node(model, name, store)
            if published(at / name):
                result = open_log(model, name, at, store).audited(result)
            seq, tip = store.tip()
            if result.problems:
                raise AuditBroken("\n".join(f"{file}: {name}: {p.text()}" for p in result.problems))
            if (seq, tip.hex()) != (copy.seq, copy.hash):
                raise AuditBroken(f"{file}: {name}: the journal ends at {seq} {tip.hex()}, not as the manifest says")
            found[name] = _held(store, moved)
    return found


def _held(store: SqlStore, moved: bool) -> Held:
    stored = store.load()
    return Held(
        seq=stored.tip_seq,
        hash=stored.tip_hash.hex(),
        given_up=tuple(r.id for r in stored.live if is_uncertain(r, moved)),
        away={r.id: r.sent_to for r in stored.live if r.sent_to},
    )


@contextmanager
def _store(folder: Path, node: str) -> Generator[SqliteStore]:
    store = SqliteStore(folder / node / STORE)
    try:
        yield store
    finally:
        store.close()


def _peers(model: Region, node: str) -> list[str]:
    parent = model.nodes[node].parent
    return [*model.children(node), *([parent] if parent else [])]


def _set_back(folder: StateFolder, dry_run: bool) -> PutBack:
    """Let the numbers of every store of a folder skip ahead. Raises NotAllowed while a process has it."""
    model = load_region(folder.region_document())
    nodes: dict[str, Held] = {}
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    with _claimed(folder):
        for name, place in _places(folder, model).items():
            store = store_of(place, name)
            try:
                if not store.claim(0.0):
                    raise NotAllowed(sentence("cli.database_busy", site=name))
                nodes[name] = _held(store, False)
                if not dry_run:
                    store.skip_ahead(_peers(model, name), SKIP)
            finally:
                store.close()
        if not dry_run:
            folder.keep_restored(at, False)
    return PutBack(folder=str(folder.path), made_at=at, version=__version__, secrets=True, nodes=nodes)


def _places(folder: StateFolder, model: Region) -> dict[str, Path | str]:
    """Where the state of each node of a folder is: a file, or the address of a database."""
    settings = folder.node_settings()
    found: dict[str, Path | str] = {
        n: folder.path / n / STORE for n in model.nodes if (folder.path / n / STORE).exists()
    }
    if settings and settings.store:
        found = {settings.site: settings.store}
    return found


@contextmanager
def _claimed(folder: StateFolder) -> Generator[None]:
    try:
        folder.claim()
    except NotAllowed as fault:
        raise NotAllowed(sentence("cli.folder_busy", folder=folder.path)) from fault
    try:
        yield
    finally:
        folder.release()


def upgrade(
    *,
    state: State = None,
    dry_run: Annotated[bool, Parameter(negative=(), help="Only say what would be done. 试算。")] = False,
    dumped: Annotated[bool, Parameter(negative=(), help="You have made a pg_dump. 已备份数据库。")] = False,
    backup_to: Annotated[Path | None, Parameter(help="Folder for the backup (default: beside). 备份目录。")] = None,
    output: Format = "table",
) -> None:
    """Bring the stores of a stopped node, or of all nodes of a folder, to the schema of this version. 升级。

    A backup with secrets is made beside the folder first. A start of the new version does the same without a backup.
    """
    folder = StateFolder(state or default_folder())
    model = load_region(folder.region_document())
    with _claimed(folder):
        found = _upgrade(folder, model, dry_run, dumped, backup_to)
    if data(found, output):
        return
    rows = [[n, before or "-", found.after[n]] for n, before in found.before.items()]
    table(("head.node", "head.before", "head.after"), rows, left=(0, 1, 2))
    if found.backup:
        print(sentence("cli.upgraded", revision=HEAD, backup=found.backup))
    else:
        old = any(before != HEAD for before in found.before.values())
        note(sentence("cli.would_upgrade") if old else sentence("cli.upgrade_none", revision=HEAD))


def _upgrade(folder: StateFolder, model: Region, dry_run: bool, dumped: bool, to: Path | None) -> Upgraded:
    places = _places(folder, model)
    before = {name: _revision(name, place) for name, place in places.items()}
    for name, found in before.items():
        if found > HEAD:
            raise StoreFailed(f"{name}: the schema is at {found}, this version of Sanjin knows {HEAD}: use a later one")
    old = [name for name, found in before.items() if found != HEAD]
    if dry_run or not old:
        return Upgraded(before=before, after=before | dict.fromkeys(old, HEAD), backup="")
    settings = folder.node_settings()
    if settings and settings.store and not dumped:
        raise NotAllowed(sentence("cli.upgrade_dump", site=settings.site, command=_dump_command(settings)))
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    there = folder.path.absolute()
    kept = (to or there.parent) / f"{there.name}-{stamp}-before-{HEAD}.tar.gz"
    make_backup(folder, kept, secrets=True, without_store=bool(settings and settings.store))
    for name in old:
        store_of(places[name], name).close()  # opening brings it to the schema of this version
    return Upgraded(before=before, after={n: _revision(n, p) for n, p in places.items()}, backup=str(kept))


def _revision(name: str, place: Path | str) -> str:
    if isinstance(place, Path):
        return sqlite.revision(place)
    from sanjin.adapters.store.postgres import schema_revision

    found, free = schema_revision(place, name)
    if not free:
        raise NotAllowed(sentence("cli.database_busy", site=name))
    return found
