"""``sanjin submit``: a job file, or a command after ``--``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from sanjin.cli.amounts import to_bytes, to_instant, to_seconds
from sanjin.cli.explaining import print_circumstances, print_explanation
from sanjin.cli.job_file import JobFile, read_job_file
from sanjin.cli.output import Format, State, data, note, text
from sanjin.cli.watching import exit_of, print_records
from sanjin.client import Client
from sanjin.client.client import as_line
from sanjin.model.catalogue import problem
from sanjin.model.errors import ProblemsFound
from sanjin.model.job import Effects, JobSpec, Submission
from sanjin.model.region import DataGrade, PoolKind

_Grade = Literal["general", "important", "core"]
_Pool = Literal["general", "ai", "hpc", "edge"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CommandOptions:
    """How to run a command given after ``--``; a job file says these things itself."""

    name: Annotated[str, Parameter(help="Name of the job. 作业名。")] = ""
    key: Annotated[str, Parameter(help="Client key: the same key is the same job. 客户端键。")] = ""
    tenant: Annotated[str, Parameter(help="Who pays; by default the token's. 租户。")] = "public"
    cores: Annotated[int, Parameter(help="CPU cores. 核数。")] = 1
    nodes: Annotated[int, Parameter(help="Machines at once, each with these cores. 节点数。")] = 1
    members: Annotated[int, Parameter(help="Members of an array; each has $SANJIN_INDEX. 数组成员数。")] = 0
    memory: Annotated[str, Parameter(help="Memory: 512MiB, 2GB. 内存。")] = "512MiB"
    duration: Annotated[str, Parameter(help="Expected run time: 90, 15m, 2h. 预计时长。")] = "15m"
    spread: Annotated[str, Parameter(help="How much longer it may well take. 时长余量。")] = "0"
    time_limit: Annotated[str, Parameter(help="Ends the job; default four times the duration. 时间上限。")] = ""
    accelerators: Annotated[int, Parameter(help="Accelerator cards. 加速卡数。")] = 0
    accelerator_kind: Annotated[str, Parameter(help="Kind of card. 加速卡型号。")] = ""
    pool: Annotated[_Pool | None, Parameter(help="Only pools of this kind. 资源池类型。")] = None
    reservation: Annotated[str, Parameter(help="Run inside this reservation. 所用预留。")] = ""
    site: Annotated[str, Parameter(help="Only at this site. 指定站点。")] = ""
    input: Annotated[tuple[str, ...], Parameter(help="A dataset it reads; repeat for more. 输入数据集。")] = ()
    image: Annotated[str, Parameter(help="Container image: docker://..., oci:..., sif:... 容器镜像。")] = ""
    env: Annotated[tuple[str, ...], Parameter(help="NAME=VALUE; repeat for more. 环境变量。")] = ()
    queue: Annotated[str, Parameter(help="Queue. 队列。")] = "batch"
    priority: Annotated[int, Parameter(help="Before others of its queue. 优先级。")] = 0
    stoppable: Annotated[bool, Parameter(negative=(), help="Can stop and go on from $SANJIN_CHECKPOINT. 可中断。")] = (
        False
    )
    checkpoint: Annotated[str, Parameter(help="It may move with a checkpoint up to this size. 检查点上限。")] = "0B"
    after: Annotated[tuple[str, ...], Parameter(help="Key or id of a job before it; repeat for more. 前置作业。")] = ()
    publish: Annotated[bool, Parameter(negative=(), help="Keep its outputs for jobs after it. 公布产出。")] = False
    grade: Annotated[_Grade, Parameter(help="Grade of its data. 数据等级。")] = "general"
    earliest: Annotated[str, Parameter(help="Not before: 2026-07-15T18:00, +2h. 最早开始。")] = ""
    deadline: Annotated[str, Parameter(help="To end by: 2026-07-15T18:00, +6h. 截止时间。")] = ""
    firm: Annotated[bool, Parameter(negative=(), help="Rather refuse than miss the deadline. 硬性截止。")] = False
    delay_price: Annotated[float, Parameter(help="Yuan an hour of waiting costs you. 每小时等待代价(元)。")] = 0.1
    budget: Annotated[float, Parameter(help="Yuan it may cost at most; 0 is no bound. 预算(元)。")] = 0.0
    latency: Annotated[int, Parameter(help="Latency class 1, 5 or 20 ms; 0 is none. 时延圈。")] = 0
    repeatable: Annotated[bool, Parameter(negative=(), help="Running it twice does no harm. 可重复。")] = False
    replace_after: Annotated[str, Parameter(help="With --repeatable: its node may be silent so long. 失联时限。")] = "0"


def submit(
    file: Annotated[Path | None, Parameter(help="A job file (YAML, JSON). 作业文件。")] = None,
    /,
    *,
    command: Annotated[tuple[str, ...], Parameter(parse=False)] = (),
    node: Annotated[str, Parameter(help="Submit at this node (default: the root). 提交节点。")] = "",
    dry_run: Annotated[bool, Parameter(negative=(), help="Show where it would go; submit nothing. 试算。")] = False,
    wait: Annotated[bool, Parameter(negative=(), help="Wait for the end; exit 9 where one fails. 等待结束。")] = False,
    options: CommandOptions = CommandOptions(),
    state: State = None,
    output: Format = "table",
) -> int:
    """Submit jobs: a job file, or a command after --. 提交作业。

    Example: sanjin submit --cores 2 --duration 10m -- python3 -c 'print(6 * 7)'
    """
    if (file is None) == (not command):
        raise ProblemsFound([problem("file_or_command", "submit")])
    with Client.here(state) as client:
        found = read_job_file(file) if file else None
        if found is None:
            region = client.region()
            submission = Submission(
                key=options.key or _fresh_key(), spec=_spec(options, command, region.now_s, region.utc_offset_h)
            )
            lines = [as_line(submission)]
        else:
            lines, node = found.lines, node or found.node
        try:
            if dry_run:
                return _dry_run(client, lines, node, output)
            ids = client.submit_lines(lines, node)
        except ProblemsFound as fault:
            raise (found.located(fault) if isinstance(found, JobFile) else fault) from None
        if wait:
            return _wait(client, ids, output)
    if not data({"jobs": ids}, output):
        print("\n".join(ids))
        note(text("cli.submitted", count=len(ids)))
    return 0


def _fresh_key() -> str:
    import uuid

    return str(uuid.uuid4())


def _dry_run(client: Client, lines: Sequence[bytes], node: str, output: Format) -> int:
    found = client.dry_run_lines(lines, node)
    if not data(found, output):
        region = client.region()
        for each, line in zip(found, lines, strict=True):
            print_explanation(each, region.utc_offset_h)
            print_circumstances(each.at_s, msgspec.json.decode(line, type=Submission).spec, region)
        note(text("cli.dry_run"))
    return 0


def _wait(client: Client, ids: Sequence[str], output: Format) -> int:
    if output == "table":
        note(text("cli.waiting", count=len(ids)))
    records = client.wait(ids)
    if not data(records, output):
        print_records(records, client.region().utc_offset_h)
    return exit_of(records)


def _spec(options: CommandOptions, command: Sequence[str], now_s: int, offset_h: int) -> JobSpec:
    faults = [problem("bad_amount", "--env", value=e, example="NAME=VALUE") for e in options.env if "=" not in e[1:]]
    if faults:
        raise ProblemsFound(faults)

    def instant(value: str, option: str) -> int:
        return to_instant(value, now_s, offset_h, option) if value else 0

    return JobSpec(
        name=options.name or Path(command[0]).name,
        command=tuple(command),
        environment=dict(e.split("=", 1) for e in options.env),
        tenant=options.tenant,
        queue=options.queue,
        priority=options.priority,
        cores=options.cores,
        nodes=options.nodes,
        members=options.members,
        stoppable=options.stoppable,
        checkpoint_bytes=to_bytes(options.checkpoint, "--checkpoint"),
        after=options.after,
        publish=options.publish,
        memory_bytes=to_bytes(options.memory, "--memory"),
        accelerators=options.accelerators,
        accelerator_kind=options.accelerator_kind,
        pool_kind=PoolKind(options.pool) if options.pool else None,
        duration_s=to_seconds(options.duration, "--duration"),
        duration_spread_s=to_seconds(options.spread, "--spread"),
        time_limit_s=to_seconds(options.time_limit, "--time-limit") if options.time_limit else 0,
        inputs=options.input,
        earliest_start_s=instant(options.earliest, "--earliest"),
        deadline_s=instant(options.deadline, "--deadline"),
        deadline_firm=options.firm,
        delay_price_fen_per_hour=round(options.delay_price * 100),
        grade=DataGrade(options.grade),
        latency_class_ms=options.latency,
        effects=Effects.REPEATABLE if options.repeatable else Effects.ONCE,
        replace_after_s=to_seconds(options.replace_after, "--replace-after"),
        budget_fen=round(options.budget * 100),
        site=options.site,
        image=options.image,
        reservation=options.reservation,
    )
