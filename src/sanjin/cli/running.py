"""Commands about the region itself: up, sites, audit, doctor, region validate."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sanjin import __version__
from sanjin.cli.logging import Log, set_up
from sanjin.cli.output import Format, State, data, name_of, note, table, text
from sanjin.model.errors import AuditBroken, NotFound
from sanjin.model.region import Region
from sanjin.model.status import AuditResult
from sanjin.regions.load import available, bundled, load_region


def region_file(name: str) -> Path:
    """The file of a region document given by path, or by the name of one that ships."""
    return bundled(name) if name in available() else Path(name)


def validate(
    file: Annotated[str, Parameter(help="The document, or the name of one that ships. 区域文档。")],
    /,
    *,
    output: Format = "table",
) -> None:
    """Check a region document and say all that is wrong with it. 校验区域文档。"""
    path = region_file(file)
    region = load_region(path)
    pools = sum(len(n.site.pools) for n in region.nodes.values())
    if not data({"file": str(path), "valid": True, "nodes": len(region.nodes), "pools": pools}, output):
        print(text("cli.valid", file=path, nodes=len(region.nodes), pools=pools))


def show(
    file: Annotated[str, Parameter(help="The document, or the name of one that ships. 区域文档。")] = "shanxi",
    /,
    *,
    output: Format = "table",
) -> None:
    """Show a region document: nodes, pools, datasets, tenants. 区域概览。"""
    region = load_region(region_file(file))
    if data(region, output):
        return
    rows = [
        [
            n.id,
            name_of(n),
            text(f"tier.{n.tier}"),
            n.parent,
            ", ".join(
                f"{p.id} {p.cores}" + (f" +{p.accelerators} {p.accelerator_kind}" if p.accelerators else "")
                for p in n.site.pools
            ),
        ]
        for n in region.nodes.values()
    ]
    heads = ("head.node", "head.name", "head.tier", "head.parent", "head.cores")
    table(heads, rows, name_of(region), left=(0, 1, 2, 3, 4))
    print()
    sets = [
        [d.id, d.title_en, d.title_zh, text(f"grade.{d.grade}"), f"{d.size.value:g}", ", ".join(d.replicas)]
        for d in region.datasets.values()
    ]
    heads = ("head.dataset", "head.name", "head.name", "head.grade", "head.gb", "head.held_at")
    table(heads, sets, left=(0, 1, 2, 3, 5))
    print()
    tenants = [
        [t.id, name_of(t), ", ".join(f"{n}: {e.cores}/{e.yuan:g}" for n, e in t.envelopes.items())]
        for t in region.tenants.values()
    ]
    table(("head.tenant", "head.name", "head.envelopes"), tenants, left=(0, 1, 2))


def up(
    *,
    region: Annotated[
        str, Parameter(help="The document, or the name of one that ships; by default the last, or shanxi. 区域文档。")
    ] = "",
    state: State = None,
    port: Annotated[int, Parameter(help="Port on 127.0.0.1; 0 takes a free one. 端口。")] = 0,
    rate: Annotated[float | None, Parameter(help="Region seconds a wall second (default 1). 时间倍率。")] = None,
    start: Annotated[str, Parameter(help="Region time to begin at, with --rate. 起始时间。")] = "",
    public_view: Annotated[
        bool, Parameter(negative=(), help="Who has no token sees the region and its sites. 公开只读视图。")
    ] = False,
    sample_data: Annotated[bool, Parameter(negative=(), help="Make the example datasets. 生成示例数据。")] = False,
    log: Log = "",
    output: Format = "table",
) -> None:
    """Bring a region up on this machine and serve its API on loopback. 启动区域。

    Ctrl-C stops it; running jobs go on and are found again at the next start.
    """
    from sanjin.adapters.state_folder import StateFolder, default_folder
    from sanjin.api.app import make_app
    from sanjin.api.server import Server
    from sanjin.api.stream import EventHub
    from sanjin.cli.amounts import to_instant
    from sanjin.cli.assemble import assemble, restored_state, seed_data, settle_memory
    from sanjin.cli.policies import kept_policy
    from sanjin.cli.tracing import open_tracing
    from sanjin.model.policy import Rule
    from sanjin.regions.policy import applied

    set_up(log)
    folder = StateFolder(state or default_folder())
    kept = folder.path / "region.yaml"
    document = kept if not region and kept.exists() else region_file(region or "shanxi")
    model = load_region(document)
    folder.claim()
    try:
        start_s = to_instant(start, 0, model.utc_offset_h, "--start") if start else None
        clock = folder.clock(rate, start_s)
        folder.keep_region(document.read_text(encoding="utf-8"))
        if sample_data:
            seed_data(model, folder.path)
        hub, tracing = EventHub(), open_tracing(model.id, clock.rate)
        listener = tracing.also(hub.listen) if tracing else hub.listen
        scarcity, policy = folder.scarcity(), kept_policy(folder)
        live = assemble(
            applied(model, policy), folder.path, clock, __version__, listener, scarcity, policy,
            restored=restored_state(folder),
        )  # fmt: skip
        folder.started()
        live.asked = tracing.asked if tracing else None
        server = Server(make_app(live, hub, folder.token(), __version__, state=folder.path, public=public_view), port)
        live.start()
        settle_memory()
        try:
            folder.announce(server.url)
            _greet(model, server.url, folder.path, output)
            if policy.rule is not Rule.LEAST_TOTAL and output == "table":
                note(text("cli.rule_used", rule=policy.rule))
            if scarcity and output == "table":
                note(text("cli.prices_used", count=scarcity.jobs))
            # a polite end on SIGTERM too: uvicorn raises the signal again when it has stopped
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            server.run()
        except KeyboardInterrupt:
            pass
        finally:
            live.stop()
            if tracing:
                tracing.close()
    finally:
        folder.release()


def _greet(model: Region, url: str, folder: Path, output: Format) -> None:
    import json

    if output == "table":
        print(text("cli.up", region=name_of(model), nodes=len(model.nodes), url=url), flush=True)
        note(text("cli.state", folder=folder))
        note(text("cli.console", url=url))
        note(text("cli.stop_hint"))
    else:  # one line, so that a program can read it while the region runs
        print(json.dumps({"url": url, "state": str(folder), "token_file": str(folder / "token")}), flush=True)


def sites(*, state: State = None, output: Format = "table") -> None:
    """Show every site now: capacity, prices, work. 站点状态。"""
    from sanjin.client import Client

    with Client.here(state) as client:
        found = client.sites()
        if data(found, output):
            return
        rows = [
            [
                s.site,
                name_of(s),
                text(f"tier.{s.tier}"),
                ", ".join(f"{p.pool} {p.free_cores}/{p.cores}" for p in s.pools),
                s.running,
                s.queued,
                sum(s.jobs.values()),
                f"{s.energy_yuan_kwh:.3f} {text(f'period.{s.period}')}",
                f"{s.pue:.2f}",
                f"{s.carbon_kg_kwh:.3f}",
                s.fault or ("" if s.parent_reachable else text("cli.cut_off")),
            ]
            for s in found
        ]
        heads = ("site", "name", "tier", "free_of", "running", "waiting", "jobs", "tariff", "pue", "kg_kwh", "fault")
        table([f"head.{h}" for h in heads], rows, left=(0, 1, 2, 3, 10))
        note(text("cli.energy_modelled"))
        if any(s.cluster for s in found):
            from sanjin.cli.clusters import print_clusters

            print()
            print_clusters(found, client.region().utc_offset_h)
        figures = [each for s in found for each in s.performance]
        if figures:
            from sanjin.cli.measuring import print_figures

            print()
            print_figures(figures, client.region().utc_offset_h)


def verify(
    *,
    node: Annotated[str, Parameter(help="Only this node. 节点。")] = "",
    state: State = None,
    output: Format = "table",
) -> None:
    """Verify every journal in a state folder, up or not; exit 8 where one is broken. 校验日志。"""
    from sanjin.adapters.state_folder import StateFolder, default_folder
    from sanjin.adapters.store.sqlite import SqliteStore
    from sanjin.cli.keys import open_log, published
    from sanjin.tree.overview import audit_node

    folder = StateFolder(state or default_folder())
    model = load_region(folder.region_document())
    if node and node not in model.nodes:
        raise NotFound(f"there is no node {node}; known: {', '.join(model.nodes)}")
    found: list[AuditResult] = []
    for name in [node] if node else list(model.nodes):
        store = SqliteStore(folder.path / name / "state.db")
        result = audit_node(model, name, store)
        if published(folder.path / name):  # then also against the last checkpoint that was signed
            result = open_log(model, name, folder.path, store).audited(result)
        found.append(result)
        store.close()
    if not data(found, output):
        rows = [[r.node, r.entries, r.tip, text("cli.audit_broken" if r.problems else "cli.audit_ok")] for r in found]
        table(("head.node", "head.entries", "head.tip", "head.result"), rows, left=(0, 2, 3))
    broken = [f"{r.node}: {p.text()}" for r in found for p in r.problems]
    if broken:
        raise AuditBroken("\n".join(broken))


def journal(
    *,
    node: Annotated[str, Parameter(help="Whose journal. 节点。")] = "",
    after: Annotated[int, Parameter(help="After this entry. 起始条目。")] = 0,
    limit: Annotated[int, Parameter(help="How many entries. 条数。")] = 50,
    state: State = None,
    output: Format = "table",
) -> None:
    """List a node's journal. 日志条目。"""
    from sanjin.cli.output import at
    from sanjin.client import Client

    with Client.here(state) as client:
        found = client.journal(node, after, limit)
        if not data(found, output):
            offset = client.region().utc_offset_h
            rows = [[e.seq, at(e.at_s, offset), text(f"event.{e.kind}"), e.job] for e in found]
            table(("head.entries", "head.time", "head.what", "head.job"), rows, left=(1, 2, 3))


def doctor(*, state: State = None, output: Format = "table") -> int:
    """Look at this machine: what works here, what is missing, what to do. 环境检查。"""
    from sanjin.cli.doctor import checks

    found = checks(state)
    if not data(found, output):
        rows = [[text(f"doctor.{c.what}"), text("cli.ok" if c.ok else "cli.missing"), c.value, c.todo] for c in found]
        table(("head.what", "head.result", "head.value", "head.todo"), rows, left=(0, 1, 2, 3))
    return 0 if all(c.ok or not c.needed for c in found) else 1
