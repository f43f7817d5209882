"""``sanjin reserve``: keep capacity of a site for a tenant from one time to another."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from sanjin.cli.amounts import to_bytes, to_instant, to_seconds
from sanjin.cli.explaining import print_explanation
from sanjin.cli.output import Format, State, data, note, text
from sanjin.client import Client
from sanjin.model.job import JobSpec, Submission
from sanjin.model.region import PoolKind

_Pool = Literal["general", "ai", "hpc", "edge"]


def reserve(
    *,
    site: Annotated[str, Parameter(help="The site. 站点。")],
    length: Annotated[str, Parameter(name="--for", help="How long: 90m, 4h. 时长。")],
    start: Annotated[str, Parameter(name="--from", help="From: 2026-07-15T18:00, +2h; now. 起始。")] = "",
    cores: Annotated[int, Parameter(help="CPU cores. 核数。")] = 1,
    memory: Annotated[str, Parameter(help="Memory: 512MiB, 2GB. 内存。")] = "512MiB",
    accelerators: Annotated[int, Parameter(help="Accelerator cards. 加速卡数。")] = 0,
    pool: Annotated[_Pool | None, Parameter(help="Only pools of this kind. 资源池类型。")] = None,
    tenant: Annotated[str, Parameter(help="For whom; by default the token's. 租户。")] = "public",
    name: Annotated[str, Parameter(help="A name for it. 名称。")] = "reservation",
    key: Annotated[str, Parameter(help="Client key: the same key is the same reservation. 客户端键。")] = "",
    dry_run: Annotated[bool, Parameter(negative=(), help="Show where it would be; reserve nothing. 试算。")] = False,
    state: State = None,
    output: Format = "table",
) -> int:
    """Reserve capacity of a site. 预留容量。

    Jobs use it with --reservation ID, submitted at the same node. Cancel it with: sanjin cancel ID.
    """
    import uuid

    with Client.here(state) as client:
        region = client.region()
        spec = JobSpec(
            name=name,
            command=(),
            reserves=True,
            site=site,
            tenant=tenant,
            cores=cores,
            memory_bytes=to_bytes(memory, "--memory"),
            accelerators=accelerators,
            pool_kind=PoolKind(pool) if pool else None,
            duration_s=to_seconds(length, "--for"),
            earliest_start_s=to_instant(start, region.now_s, region.utc_offset_h, "--from") if start else 0,
        )
        if dry_run:
            found = client.dry_run([spec], site)
            if not data(found, output):
                print_explanation(found[0], region.utc_offset_h)
                note(text("cli.dry_run"))
            return 0
        ids = client.submit([Submission(key=key or str(uuid.uuid4()), spec=spec)], site)
        if not data({"reservation": ids[0]}, output):
            print(ids[0])
            note(text("cli.reserved", site=site))
    return 0
