"""``sanjin node``: one node of a region in a process of its own, and who may be its children."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from sanjin import __version__
from sanjin.adapters.state_folder import NodeSettings, StateFolder, default_folder
from sanjin.cli.amounts import to_seconds
from sanjin.cli.logging import Log, set_up
from sanjin.cli.measuring import Keeper, measure, on_joining
from sanjin.cli.output import Format, State, at, data, note, table, text
from sanjin.cli.policies import kept_policy
from sanjin.cli.running import region_file
from sanjin.model.catalogue import problem
from sanjin.model.errors import NotAllowed, NotReachable, ProblemsFound
from sanjin.model.units import HOUR_S
from sanjin.regions.load import load_region
from sanjin.regions.policy import applied

if TYPE_CHECKING:
    from sanjin.adapters.identity.issuer import Issuer
    from sanjin.adapters.store.sql import SqlStore
    from sanjin.api.exchange import Shared
    from sanjin.client.uplink import HttpUplink
    from sanjin.model.event import Event
    from sanjin.model.region import Region
    from sanjin.ports import Entry
    from sanjin.tree.cosigning import Own, Rounds
    from sanjin.tree.region import LiveRegion
    from sanjin.tree.set_back import Restored

app = App(name="node", help="One node of a region in a process of its own. 单个节点。", help_format="plaintext")

INVITE_HOURS, INVITE_HOURS_MAX = 24, 720
COSIGN_EVERY, COSIGN_OFF = "60s", "off"


@app.default
def node(
    *,
    site: Annotated[str, Parameter(help="Which node of the region this is. 站点。")] = "",
    region: Annotated[str, Parameter(help="The document, for a node without a parent. 区域文档。")] = "",
    parent: Annotated[str, Parameter(help="Where the parent listens: https://HOST:PORT. 上级地址。")] = "",
    token: Annotated[str, Parameter(help="The parent's invitation; or a file that has it. 邀请。")] = "",
    listen: Annotated[str, Parameter(help="HOST:PORT for children, over TLS. 监听地址。")] = "",
    name: Annotated[tuple[str, ...], Parameter(help="Further names that children reach it under. 别名。")] = (),
    data_folder: Annotated[Path | None, Parameter(help="Datasets of all sites, shared by them. 数据目录。")] = None,
    store: Annotated[str, Parameter(help="postgresql://USER@HOST/DB; else SQLite in the folder. 状态库。")] = "",
    identity: Annotated[Path | None, Parameter(help="Keys that replicas share; else in the folder. 密钥目录。")] = None,
    declare: Annotated[Path | None, Parameter(help="What a machine here is said to do: a document. 性能声明。")] = None,
    benchmark: Annotated[bool, Parameter(help="Measure this machine on first joining. 首次加入时实测。")] = True,
    cosign_every: Annotated[
        str, Parameter(help="A checkpoint of the log for others to cosign: 60s (default), 5m; off. 联署间隔。")
    ] = "",
    state: State = None,
    port: Annotated[int, Parameter(help="Of the API on 127.0.0.1; 0 takes a free one. 端口。")] = 0,
    rate: Annotated[float | None, Parameter(help="Region seconds a wall second, of the root. 时间倍率。")] = None,
    public_view: Annotated[
        bool, Parameter(negative=(), help="Who has no token sees the region and its sites. 公开只读视图。")
    ] = False,
    log: Log = "",
    output: Format = "table",
) -> None:
    """Run one node of a region, until Ctrl-C. 运行单个节点。

    At the first start it says which site it is, who its parent is and shows the invitation that the parent made; later
    starts need the state folder only. It goes on without its parent for as long as the line is cut.
    """
    folder = StateFolder(state or default_folder())
    kept = folder.node_settings()
    set_up(log, site or (kept.site if kept else ""))
    folder.claim()
    try:
        given = NodeSettings(
            site=site, parent=parent, listen=listen, names=name, store=store, data=_full(data_folder),
            identity=_full(identity), cosign_every=cosign_every,
        )  # fmt: skip
        settings = _settled(folder, given)
        _documents(folder, settings, region, token)
        folder.keep_node(settings)
        on_joining(folder, settings.site, declare, bool(token), benchmark)
        _run(folder, settings, port, rate, output, public_view)
    finally:
        folder.release()


def _full(path: Path | None) -> str:
    return str(path.resolve()) if path else ""


def _parents(settings: NodeSettings) -> list[str]:
    return [each for each in settings.parent.split(",") if each]


def _settled(folder: StateFolder, given: NodeSettings) -> NodeSettings:
    """What was said now, and where nothing was, what was said at an earlier start. Raises ProblemsFound."""
    kept = folder.node_settings() or NodeSettings(site="")
    if given.site and kept.site and given.site != kept.site:
        raise ProblemsFound([problem("another_node", "--site", value=given.site, known=kept.site)])
    found = NodeSettings(**{f.name: getattr(given, f.name) or getattr(kept, f.name) for f in fields(NodeSettings)})
    faults = [] if found.site else [problem("no_site", "--site")]
    faults += [problem("not_https", "--parent", value=p) for p in _parents(found) if not p.startswith("https://")]
    if found.listen and not found.listen.rpartition(":")[2].isdecimal():
        faults.append(problem("not_an_address", "--listen", value=found.listen))
    if faults:
        raise ProblemsFound(faults)
    _cosign_every(found)
    return found


def _documents(folder: StateFolder, settings: NodeSettings, region: str, token: str) -> None:
    """Get the documents that all nodes share: from the parent, or from here. Raises NotAllowed, NotReachable."""
    if not settings.parent:
        if region or not (folder.path / "region.yaml").exists():
            folder.keep_region(region_file(region or "shanxi").read_text(encoding="utf-8"))
        return
    from sanjin.adapters.identity.device import Device
    from sanjin.adapters.identity.issuer import read_token
    from sanjin.client.uplink import enrol

    known = load_region(folder.region_document()).id if (folder.path / "region.yaml").exists() else ""
    said = read_token(_spoken(token)) if token else None
    if said and said.node != settings.site:
        raise NotAllowed(f"the invitation is for {said.node}, not for {settings.site}")
    region_id = said.region if said else known
    device = Device(_identity(folder, settings), region_id, settings.site) if region_id else None
    if device is None or not (said or device.enrolled()):
        raise NotAllowed(f"{settings.site} is not enrolled: give --token, made at the parent by: sanjin node invite")
    try:
        found = enrol(device, _parents(settings), said)
    except NotReachable as fault:
        if not known:
            raise
        note(text("cli.parent_away", fault=fault))
        return
    folder.keep_region(found.region)
    folder.keep_clock(found.clock)
    if found.policy:
        folder.keep_policy(found.policy)


def _spoken(token: str) -> str:
    path = Path(token)
    return path.read_text().strip() if not token.startswith("sjn1.") and path.exists() else token


def _run(
    folder: StateFolder, settings: NodeSettings, port: int, rate: float | None, output: Format, public_view: bool
) -> None:
    from sanjin.adapters.store.sqlite import SqliteStore
    from sanjin.api.app import make_app
    from sanjin.api.exchange import PATHS, children_routes
    from sanjin.api.server import Server
    from sanjin.api.stream import EventHub
    from sanjin.cli.assemble import assemble, restored_state, settle_memory
    from sanjin.cli.tracing import open_tracing
    from sanjin.tree.cosigning import Desk

    policy, model = kept_policy(folder), load_region(folder.region_document())
    if settings.site not in model.nodes:
        raise ProblemsFound([problem("no_node", "--site", value=settings.site, known=", ".join(model.nodes))])
    clock = folder.clock(rate, None)
    held = _claimed(settings)
    hub, uplink, tracing = EventHub(), _uplink(folder, settings, model), open_tracing(model.id, clock.rate)
    keeper = Keeper(folder, model, settings.site)
    tell = tracing.also(hub.listen) if tracing else hub.listen

    def listen(name: str, events: Sequence[tuple[Entry, Event]]) -> None:
        keeper.listen(name, events)
        tell(name, events)

    live = assemble(
        applied(model, policy), folder.path, clock, __version__, listen, folder.scarcity(), policy,
        only=(settings.site,), uplink=uplink, data_folder=Path(settings.data) if settings.data else None,
        store=(lambda _: held) if held else SqliteStore,
        restored=restored_state(folder) or _from_another(folder, held),
    )  # fmt: skip
    folder.started(held.epoch() if held else 0)
    issuer, public = issuer_of(folder, settings, model), None
    live.asked = tracing.asked if tracing else None
    own = _own(folder, settings, live)
    rounds = _rounds(own, model, uplink)
    children = None
    if settings.listen:
        desk = Desk(own, model.children(settings.site)) if own else None
        children = children_routes(live.nodes[settings.site], issuer, shared(folder), desk)
    app = make_app(live, hub, folder.token(), __version__, children, state=folder.path, public=public_view)
    local = Server(app, port)
    if settings.listen:
        host, _, number = settings.listen.rpartition(":")
        names = (host.strip("[]"), *settings.names)
        public = Server(app.over_tls(PATHS), int(number), host.strip("[]"), issuer.serving_context(names))
    live.start()
    keeper.start(live.nodes[settings.site])
    settle_memory()
    try:
        folder.announce(local.url)
        _greet(model, settings, local.url, public.url if public else "", output)
        if public:
            public.start()
        if rounds:
            rounds.start()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        local.run()
    except KeyboardInterrupt:
        pass
    finally:
        if rounds:
            rounds.stop()
        if public:
            public.stop()
        keeper.stop()
        if uplink:
            uplink.close()
        live.stop()
        if tracing:
            tracing.close()


def _cosign_every(settings: NodeSettings) -> int | None:
    """How often a checkpoint is made for others to cosign, seconds; None: never. Raises ProblemsFound."""
    given = settings.cosign_every or COSIGN_EVERY
    if given == COSIGN_OFF:
        return None
    found = to_seconds(given, "--cosign-every")
    if found < 1:
        raise ProblemsFound([problem("too_small", "--cosign-every", value=given, least=1)])
    return found


def _own(folder: StateFolder, settings: NodeSettings, live: LiveRegion) -> Own | None:
    """What this node cosigns with; None where it is not to."""
    from sanjin.cli.keys import open_own

    every_s, site = _cosign_every(settings), settings.site
    return None if every_s is None else open_own(live.region, site, folder.path, live.logs[site], live.clock, every_s)


def _rounds(own: Own | None, model: Region, uplink: HttpUplink | None) -> Rounds | None:
    """The calls for cosignatures, of a node that has a parent."""
    if own is None or uplink is None:
        return None
    from sanjin.client.witness_line import WitnessLine
    from sanjin.tree.cosigning import Rounds

    parent = model.nodes[own.node].parent
    siblings = [n for n in model.children(parent) if n != own.node]
    return Rounds(own, parent, siblings, WitnessLine(uplink))


def _claimed(settings: NodeSettings) -> SqlStore | None:
    """The database of this node, once no other process writes it: who waits is the one that takes over."""
    if not settings.store:
        return None
    from sanjin.adapters.store.choose import store_of

    found = store_of(settings.store, settings.site)
    if not found.claim(0.0, _taken_over):
        note(text("cli.stands_by", site=settings.site))
        found.claim(None, _taken_over)
    return found


def _from_another(folder: StateFolder, held: SqlStore | None) -> Restored | None:
    """That a replica elsewhere wrote this state last: what it was running, the engine here cannot know."""
    if held is None or folder.wrote_last(held.epoch()):
        return None
    from sanjin.tree.set_back import Restored

    return Restored(of="a replica that this one took over from", moved=True)


def _taken_over() -> None:
    """Another process has the state: this one must end, as if asked to."""
    os.kill(os.getpid(), signal.SIGTERM)


def _identity(folder: StateFolder, settings: NodeSettings) -> Path:
    return Path(settings.identity) if settings.identity else folder.path / "identity"


def issuer_of(folder: StateFolder, settings: NodeSettings, model: Region) -> Issuer:
    """What the node of this folder knows of its children."""
    from sanjin.adapters.identity.issuer import Issuer

    return Issuer(_identity(folder, settings), model.id, settings.site)


def shared(folder: StateFolder) -> Shared:
    """The documents that children get."""
    from sanjin.api.exchange import Shared
    from sanjin.client.uplink import region_digest

    region = folder.region_document().read_text(encoding="utf-8")
    policy = folder.policy_document()
    return Shared(
        region=region, policy=policy.read_text(encoding="utf-8") if policy else "", clock=folder.clock_document(),
        digest=region_digest(region),
    )  # fmt: skip


def _uplink(folder: StateFolder, settings: NodeSettings, model: Region) -> HttpUplink | None:
    if not settings.parent:
        return None
    from sanjin.adapters.identity.device import Device
    from sanjin.client.uplink import HttpUplink, region_digest

    device = Device(_identity(folder, settings), model.id, settings.site)
    digest = region_digest(folder.region_document().read_text(encoding="utf-8"))
    return HttpUplink(device, _parents(settings), digest)


def _greet(model: Region, settings: NodeSettings, url: str, public: str, output: Format) -> None:
    import json

    if output == "table":
        print(text("cli.node_up", site=settings.site, region=model.id, url=url), flush=True)
        if settings.parent:
            note(text("cli.node_parent", url=settings.parent))
        if public:
            note(text("cli.node_listens", url=public))
        note(text("cli.stop_hint"))
    else:
        told = {"site": settings.site, "url": url, "listens": public, "parent": settings.parent}
        print(json.dumps(told), flush=True)


app.command(measure)


@app.command
def invite(
    site: Annotated[str, Parameter(help="A child of this node. 下级站点。")],
    /,
    *,
    hours: Annotated[float, Parameter(help="For how long it is good. 有效小时。")] = INVITE_HOURS,
    state: State = None,
    output: Format = "table",
) -> None:
    """Make an invitation for a child: good once, shown once. 邀请下级节点。"""
    folder, settings, model = _known(state)
    children = model.children(settings.site)
    if site not in children:
        known = ", ".join(children) or "-"
        raise ProblemsFound([problem("not_a_child", "SITE", value=site, node=settings.site, known=known)])
    if hours > INVITE_HOURS_MAX:
        raise ProblemsFound([problem("too_big", "--hours", value=hours, most=INVITE_HOURS_MAX)])
    if hours <= 0:
        raise ProblemsFound([problem("too_small", "--hours", value=hours, least=0.01)])
    made = issuer_of(folder, settings, model).invite(site, round(hours * HOUR_S))
    if not data({"site": site, "token": made.text(), "hours": hours}, output):
        print(made.text())
        note(text("cli.invited", site=site, hours=f"{hours:g}"))


@app.command
def children(*, state: State = None, output: Format = "table") -> None:
    """List the children that were enrolled at this node. 已加入的下级节点。"""
    folder, settings, model = _known(state)
    found = list(issuer_of(folder, settings, model).children().values())
    if not data(found, output):
        offset = model.utc_offset_h
        rows = [
            [c.node, at(c.since_s, offset, year=True), text("cli.revoked" if c.revoked else "cli.enrolled"), c.key[:16]]
            for c in found
        ]
        table(("head.node", "head.since", "head.state", "head.key"), rows, left=(0, 1, 2, 3))


@app.command
def revoke(
    site: Annotated[str, Parameter(help="A child of this node. 下级站点。")],
    /,
    *,
    dry_run: Annotated[bool, Parameter(negative=(), help="Only say what would be done. 试算。")] = False,
    state: State = None,
    output: Format = "table",
) -> None:
    """Believe a child no more, from its next call on; it needs a new invitation. 吊销下级节点。"""
    folder, settings, model = _known(state)
    issuer = issuer_of(folder, settings, model)
    if dry_run:
        issuer.known(site)
    else:
        issuer.revoke(site)
    if not data({"site": site, "revoked": not dry_run}, output):
        note(text("cli.would_revoke" if dry_run else "cli.has_revoked", site=site))


app.command("sanjin.cli.unit:unit", name="unit", help="Print a systemd unit. 打印 systemd 单元。")


@app.command
def replace(
    job: Annotated[str, Parameter(help="A job that a silent child of this node has. 作业。")],
    /,
    *,
    state: State = None,
    output: Format = "table",
) -> int:
    """Say that a silent child does not run this job: it is placed again. Look there first. 重新安置失联节点的作业。"""
    from sanjin.client import Client

    with Client.here(state) as client:
        done = client.replace(job)
    if not data({"job": job, "replaced": done}, output):
        note(text("cli.replaced" if done else "cli.not_replaced", job=job))
    return 0 if done else 1


def _known(state: Path | None) -> tuple[StateFolder, NodeSettings, Region]:
    """The folder of a node that ran before. Raises NotAllowed."""
    folder = StateFolder(state or default_folder())
    settings = folder.node_settings()
    if settings is None:
        raise NotAllowed(f"{folder.path}: no node was started here; start one with: sanjin node --site")
    return folder, settings, load_region(folder.region_document())
