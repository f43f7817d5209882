"""Commands about jobs that were submitted: jobs, job, explain, logs, cancel, bill."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Literal

from cyclopts import Parameter

from sanjin.cli.explaining import (
    changes,
    in_pieces,
    print_changes,
    print_circumstances,
    print_explanation,
    standing,
    why_not,
    widest,
)
from sanjin.cli.output import Format, State, at, data, note, span, table, text, yuan
from sanjin.cli.shapes import PARTS_SHOWN, in_short, parts_of, print_shape
from sanjin.client import Client
from sanjin.model.errors import NotFound
from sanjin.model.event import from_fields
from sanjin.model.job import JobOrder, JobState
from sanjin.model.money import yuan_text
from sanjin.model.placement import Explanation
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord
from sanjin.model.status import Happening, JobBill, RegionStatus

Follow = Annotated[bool, Parameter(name=("--follow", "-f"), negative=(), help="Until it has ended. 持续输出。")]
Job = Annotated[str, Parameter(help="Id of the job. 作业编号。")]

_NOT_WELL = 9
"""Exit code where a job that was waited for did not succeed."""


def exit_of(records: Sequence[JobRecord]) -> int:
    """0 where all succeeded, else 9."""
    return 0 if all(r.state is JobState.SUCCEEDED for r in records) else _NOT_WELL


def print_records(records: Sequence[JobRecord], offset_h: int) -> None:
    """Jobs as a table."""
    rows = [
        [
            r.id,
            r.spec.name,
            text(f"state.{r.state}") + (f" {r.members_done}/{r.spec.members}" if r.spec.members else ""),
            r.site,
            at(r.start_s or (r.placement.start_s if r.placement else 0), offset_h),
            at(r.end_s, offset_h),
            yuan_text(r.fen) if r.fen else "",
            text(f"reason.{r.reason}") if r.reason else "",
        ]
        for r in records
    ]
    heads = ("job", "name", "state", "site", "start", "end", "cost", "why")
    table([f"head.{h}" for h in heads], rows, left=(0, 1, 2, 3, 7))


def jobs(
    *,
    node: Annotated[str, Parameter(help="Submitted at this node. 提交节点。")] = "",
    in_state: Annotated[JobState | None, Parameter(help="In this state. 作业状态。")] = None,
    tenant: Annotated[str, Parameter(help="Of this tenant. 租户。")] = "",
    site: Annotated[str, Parameter(help="At this site. 所在站点。")] = "",
    search: Annotated[str, Parameter(help="Text in id, name, kind, tenant or site. 搜索文字。")] = "",
    order: Annotated[JobOrder, Parameter(help="Sorted by this. 排序。")] = JobOrder.SUBMITTED,
    ascending: Annotated[bool, Parameter(negative=(), help="The earliest, cheapest, first. 升序。")] = False,
    limit: Annotated[int, Parameter(help="How many. 条数。")] = 50,
    offset: Annotated[int, Parameter(help="Leave out so many. 跳过条数。")] = 0,
    after: Annotated[str, Parameter(help="Go on from `next` of the list before. 下一页。")] = "",
    count: Annotated[bool, Parameter(negative=(), help="Say too how many there are in all. 总数。")] = False,
    state: State = None,
    output: Format = "table",
) -> None:
    """List jobs, newest first or in another order. 作业列表。"""
    with Client.here(state) as client:
        page = client.jobs(
            node=node, state=in_state, tenant=tenant, limit=limit, after=after, site=site, search=search, order=order,
            descending=not ascending, offset=offset, count=count,
        )  # fmt: skip
        if not data(page, output):
            print_records(page.jobs, client.region().utc_offset_h)
            if count:
                note(text("cli.jobs_in_all", count=page.count))
            if page.next:
                note(text("cli.more", next=page.next))


def job(
    job: Job,
    /,
    *,
    wait: Annotated[bool, Parameter(negative=(), help="Wait for its end; exit 9 where it fails. 等待结束。")] = False,
    state: State = None,
    output: Format = "table",
) -> int:
    """Show a job and all that happened to it. 作业详情。"""
    with Client.here(state) as client:
        record = client.wait([job])[0] if wait else client.job(job)
        events = client.happenings(job)
        parts = [client.job(part.job) for part in parts_of(events)[:PARTS_SHOWN]]
        if not data({"job": record, "parts": parts, "events": events}, output):
            _print_job(client, record, parts, events)
    return exit_of([record]) if wait else 0


def _print_job(client: Client, record: JobRecord, parts: Sequence[JobRecord], events: Sequence[Happening]) -> None:
    offset = client.region().utc_offset_h
    print_records([record], offset)
    if record.detail:
        print(record.detail)
    print_shape(record, events, parts, offset)
    print()
    rows = [[at(e.at_s, offset), e.node, text(f"event.{e.kind}"), _told(e)] for e in events]
    table(("head.time", "head.node", "head.what", "head.value"), rows, left=(0, 1, 2, 3))


def _told(event: Happening) -> str:
    """The part of an event that one wants to read first."""
    body = event.body
    place = body.get("placement")
    short = in_short(from_fields(event.kind, body))
    if isinstance(place, dict):
        where = f"{place['site']}/{place['pool']}"  # pyright: ignore[reportUnknownVariableType]
        return f"{where} {short}".rstrip()
    found = [str(body[k]) for k in ("parent", "child", "peer", "dataset", "state", "site") if body.get(k)]
    if body.get("reason"):
        found.append(text(f"reason.{body['reason']}"))
    if event.kind == "job.settled":
        found.append(f"{yuan_text(int(str(body['fen'])))} yuan")
    return " ".join(filter(None, [*found, short]))


def explain(
    job: Job,
    /,
    *,
    every: Annotated[bool, Parameter(negative=(), help="Every decision, not only the widest. 全部决策。")] = False,
    site: Annotated[str, Parameter(help="Why not at this site? 为何不在该站点。")] = "",
    cheaper: Annotated[bool, Parameter(negative=(), help="What would change the price now? 怎样更省。")] = False,
    state: State = None,
    output: Format = "table",
) -> None:
    """Say why a job went where it went, why then, why it waits, and what would be cheaper. 说明安排原因。"""
    with Client.here(state) as client:
        found, region = client.explain(job), client.region()
        record = client.job(job)
        asked = changes(record.spec, region.now_s) if cheaper else []
        answers = client.dry_run([spec for _, spec in asked], job.rpartition("-")[0]) if asked else []
        if cheaper:
            whole = {"decisions": found, "changes": {key: a for (key, _), a in zip(asked, answers, strict=True)}}
            if not data(whole, output):
                print_changes(asked, answers, region.utc_offset_h)
            return
        if data(found, output):
            return
        if site and found:
            print(why_not(widest(found), site, region.utc_offset_h))
            return
        for each in (found if every else [widest(found)]) if found else []:
            print_explanation(each, region.utc_offset_h)
            print_circumstances(each.at_s, record.spec, region)
        if found and found[-1].pieces and not every and found[-1] != widest(found):
            print(in_pieces(found[-1], region.utc_offset_h))  # the site that runs it divided it
        _print_standing(client, record, found, region)


def _print_standing(client: Client, record: JobRecord, found: list[Explanation], region: RegionStatus) -> None:
    first = None
    if record.reason is Reason.QUEUE_ORDER:  # the first in the queue is the one that has a start
        placed = client.jobs(node=record.id.rpartition("-")[0], state=JobState.PLACED, limit=1000).jobs
        first = min((r for r in placed if r.placement), key=lambda r: (r.next_start_s(), r.id), default=None)
    decided = widest(found).choice() if found else None
    print(standing(record, decided, client.happenings(record.id), region.utc_offset_h, first))


def logs(
    job: Job,
    /,
    *,
    follow: Follow = False,
    stream: Annotated[Literal["stdout", "stderr"], Parameter(help="Which stream. 输出流。")] = "stdout",
    state: State = None,
    output: Format = "table",
) -> None:
    """Print what a job printed. 作业输出。"""
    with Client.here(state) as client:
        parts = client.logs(job, stream, follow=follow)
        if output != "table":
            text_ = b"".join(parts).decode(errors="replace")
            data({"job": job, "stream": stream, "text": text_}, output)
            return
        for part in parts:
            sys.stdout.buffer.write(part)
            sys.stdout.buffer.flush()


def cancel(
    *jobs: Annotated[str, Parameter(help="Ids of the jobs. 作业编号。")],
    dry_run: Annotated[bool, Parameter(negative=(), help="Only say which are live. 试算。")] = False,
    state: State = None,
    output: Format = "table",
) -> None:
    """Ask for the end of jobs, wherever they are. 取消作业。"""
    with Client.here(state) as client:
        asked = {j: not client.job(j).state.ended if dry_run else client.cancel(j) for j in jobs}
        if not data({"asked": asked, "dry_run": dry_run}, output):
            for name, live in asked.items():
                print(text("cli.cancel_asked" if live else "cli.already_ended", job=name))
            if dry_run:
                note(text("cli.dry_run"))


def bill(
    *,
    tenant: Annotated[str, Parameter(help="Of this tenant. 租户。")] = "",
    job: Annotated[str, Parameter(help="One job: its energy by quarter hour, its postings. 单个作业。")] = "",
    state: State = None,
    output: Format = "table",
) -> None:
    """What was used and what it cost. 账单。"""
    with Client.here(state) as client:
        if job:
            one = client.job_bill(job)
            if not data(one, output):
                _print_bill(one, client.region().utc_offset_h)
            return
        bills = client.bills(tenant)
        if tenant and not bills:
            raise NotFound(f"tenant {tenant} has no jobs yet")
        if not data(bills, output):
            rows = [
                [b.tenant, b.jobs, yuan_text(b.fen), f"{b.facility_mwh / 1e6:.3f}", f"{b.carbon_mg / 1e6:.3f}",
                 ", ".join(f"{a} {yuan_text(f)}" for a, f in sorted(b.accounts.items()))]
                for b in bills
            ]
            heads = ("head.tenant", "head.jobs", "head.cost", "head.kwh", "head.kg", "head.paid_to")
            table(heads, rows, left=(0, 5))


def run_times(
    *,
    tenant: Annotated[str, Parameter(help="Of this tenant. 租户。")] = "",
    jobs: Annotated[int, Parameter(help="Of the last so many that succeeded. 最近作业数。")] = 5_000,
    state: State = None,
    output: Format = "table",
) -> None:
    """How long jobs were expected to run, and how long they did, by kind and site. 运行时长:预计与实际。"""
    with Client.here(state) as client:
        found = client.run_times(tenant, jobs)
        if not data(found, output):
            rows = [
                [t.kind or "-", t.site or "*", t.jobs, f"{t.expected_s:.0f}", f"{t.found_s:.0f}", f"{t.bias:+.0%}",
                 f"{t.error:.0%}", f"{t.ratio_p90:.2f}"]
                for t in found
            ]
            heads = ("kind", "node", "jobs", "expected_s", "found_s", "bias", "error", "ratio_p90")
            table([f"head.{h}" for h in heads], rows, left=(0, 1))


def envelopes(
    *,
    tenant: Annotated[str, Parameter(help="Of this tenant. 租户。")] = "",
    state: State = None,
    output: Format = "table",
) -> None:
    """What tenants may use at each node: stated, borrowed from the parent, lent to children, used. 各节点额度。"""
    with Client.here(state) as client:
        found = client.envelopes(tenant)
        if data(found, output):
            return
        for heading, part in (("cli.envelope_cores", "cores"), ("cli.envelope_yuan", "fen")):
            show = yuan_text if part == "fen" else str
            print(text(heading))
            rows = [
                [e.tenant, e.node, *(show(getattr(e, f"{part}_{column}")) for column in _ENVELOPE)] for e in found
            ]
            table(("head.tenant", "head.node", *(f"head.{column}" for column in _ENVELOPE)), rows, left=(0, 1))


_ENVELOPE = ("stated", "borrowed", "lent", "used", "free")


def _print_bill(one: JobBill, offset_h: int) -> None:
    print(f"{one.job}: {one.site}/{one.pool}, {one.core_seconds / 3600:.2f} core-h {text('label.measured')}")
    rows = [
        [at(s.start_s, offset_h), span(s.seconds), f"{s.it_mwh / 1e6:.4f}", f"{s.facility_mwh / 1e6:.4f}",
         yuan(s.price_micro_kwh), f"{s.carbon_mg_kwh / 1e6:.4f}"]
        for s in one.segments
    ]
    table(("head.start", "head.time", "head.it_kwh", "head.kwh", "head.tariff_then", "head.kg_kwh"), rows)
    print()
    table(("head.account", "head.yuan"), [[p.account, yuan_text(p.fen)] for p in one.postings])
    note(text("cli.energy_modelled"))
