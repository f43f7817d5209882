"""The API over a real region with real processes, as any HTTP client sees it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from sanjin.adapters.clock import RealClock
from sanjin.api.app import make_app
from sanjin.api.bodies import BODY_MAX, JOBS_MAX, NDJSON
from sanjin.api.server import Server
from sanjin.api.stream import EventHub
from sanjin.cli.assemble import assemble
from sanjin.client import Client
from sanjin.model.errors import DataDamaged, KeyReused, NotFound, NoToken, NotReachable, ProblemsFound, StoreFailed
from sanjin.model.job import JobSpec, JobState, Submission
from sanjin.regions.load import bundled, load_region
from sanjin.tree.region import LiveRegion
from tests.support import until

TOKEN = "let-me-in"


@dataclass
class World:
    live: LiveRegion
    hub: EventHub
    http: httpx.Client
    client: Client


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    hub = EventHub()
    folder = tmp_path_factory.mktemp("region")
    live = assemble(load_region(bundled("shanxi")), folder, RealClock(), "test", hub.listen)
    server = Server(make_app(live, hub, TOKEN, "test"), 0)
    live.start()
    server.start()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    http = httpx.Client(base_url=server.url, headers=headers, timeout=20)
    with Client(server.url, TOKEN) as client:
        until(lambda: all(s.parent_reachable for s in client.sites()), "reachable tree")
        yield World(live, hub, http, client)
    http.close()
    server.stop()
    live.stop()


def job(name: str = "x", **fields: object) -> dict[str, object]:
    return {"name": name, "command": ["true"], **fields}


def body(key: str, **fields: object) -> bytes:
    return json.dumps({"key": key, "spec": job(**fields)}).encode()


def test_without_the_token_nothing_but_health_answers(world: World) -> None:
    url = world.client.url
    for path in ("/v1/jobs", "/v1/sites", "/openapi.json", "/nowhere"):
        answer = httpx.get(url + path)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "no_token"
    assert httpx.get(url + "/v1/jobs", headers={"Authorization": f"Bearer {TOKEN}x"}).status_code == 401
    assert httpx.get(url + "/v1/health").json() == {"ok": True, "faults": {}}
    with Client(url, "wrong") as other, pytest.raises(NoToken):
        other.sites()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::2]", ""])
def test_a_foreign_host_name_is_refused(world: World, host: str) -> None:
    answer = world.http.get("/v1/sites", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


def test_all_that_is_wrong_with_a_job_is_said_at_once(world: World) -> None:
    answer = world.http.post("/v1/jobs", content=body("k", cors=4, duration_s="long", grade="secret"))
    assert answer.status_code == 422
    errors = {e["path"]: e["code"] for e in answer.json()["errors"]}
    assert errors == {
        "spec.cors": "unknown_field",
        "spec.duration_s": "wrong_value",
        "spec.grade": "wrong_value",
    }
    assert all(e["what_zh"] and e["todo_zh"] for e in answer.json()["errors"])
    answer = world.http.post("/v1/jobs", content=body("k", cores=0, tenant="nobody", inputs=["nothing"]))
    assert {e["path"] for e in answer.json()["errors"]} == {"spec.cores", "spec.tenant", "spec.inputs[0]"}


def test_a_batch_is_accepted_whole_or_not_at_all(world: World) -> None:
    before = sum(sum(s.jobs.values()) for s in world.client.sites())
    lines = [body("b-0"), b'{"key": "b-1"}', body("b-2", cores=0), b"not json", body("b-4", memory_bytes=2**60 + 1)]
    answer = world.http.post("/v1/jobs", content=b"\n".join(lines), headers={"Content-Type": NDJSON})
    assert answer.status_code == 422
    assert {(e["line"], e["code"]) for e in answer.json()["errors"]} == {
        (2, "missing_field"),
        (3, "too_small"),
        (4, "not_json"),
        (5, "too_big"),
    }
    assert sum(sum(s.jobs.values()) for s in world.client.sites()) == before
    two_in_one = body("c-0") + b"," + body("c-1")
    answer = world.http.post("/v1/jobs", content=two_in_one, headers={"Content-Type": NDJSON})
    assert answer.status_code == 422
    empty = world.http.post("/v1/jobs", content=b"\n\n", headers={"Content-Type": NDJSON})
    assert empty.json()["errors"][0]["code"] == "empty_batch"
    many = b"\n".join(body(f"m-{i}") for i in range(JOBS_MAX + 1))
    answer = world.http.post("/v1/jobs", content=many, headers={"Content-Type": NDJSON})
    assert answer.json()["errors"][0]["code"] == "batch_size"


def test_a_body_that_is_too_large_is_refused(world: World) -> None:
    answer = world.http.post("/v1/jobs", content=b"x" * (BODY_MAX + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_the_same_key_is_the_same_job_and_another_job_is_refused(world: World) -> None:
    spec = JobSpec(name="once", command=("true",))
    first = world.client.submit([Submission(key="same", spec=spec)])
    assert world.client.submit([Submission(key="same", spec=spec)]) == first
    with pytest.raises(KeyReused) as caught:
        world.client.submit([Submission(key="same", spec=JobSpec(name="other", command=("true",)))])
    assert "same" in str(caught.value)


def test_a_job_runs_is_explained_billed_and_audited(world: World) -> None:
    command = ("sh", "-c", "echo out; echo err >&2; sleep 2")
    spec = JobSpec(
        name="busy",
        command=command,
        cores=2048,
        sample_cores=1,
        memory_bytes=2**37,
        tenant="shanxi-univ",
        delay_price_fen_per_hour=10**6,
    )
    name = world.client.submit([spec], node="datong")[0]
    record = world.client.wait([name], timeout_s=60)[0]
    assert record.state is JobState.SUCCEEDED, record
    assert b"".join(world.client.logs(name)) == b"out\n"
    assert b"".join(world.client.logs(name, "stderr", follow=True)) == b"err\n"
    assert b"".join(world.client.logs(name, offset=2)) == b"t\n"
    decisions = world.client.explain(name)
    assert decisions
    for decision in decisions:
        assert {o.site for o in decision.options} == set(world.live.nodes)
        for option in decision.options:
            if option.terms is not None:
                assert option.total_micro == option.terms.total
    kinds = [h.kind for h in world.client.happenings(name)]
    assert kinds[0] == "job.submitted"
    assert kinds.index("job.started") < kinds.index("job.ended") < kinds.index("job.settled")
    bill = world.client.job_bill(name)
    assert sum(p.fen for p in bill.postings) == 0
    assert sum(s.facility_mwh for s in bill.segments) == bill.facility_mwh == record.facility_mwh > 0
    mine = world.client.bills("shanxi-univ")[0]
    assert mine.fen == mine.posted_fen == sum(mine.accounts.values()) == record.fen
    assert [r.problems for r in world.client.audit()] == [()] * 11
    journal = world.client.journal(record.site)
    assert [h.seq for h in journal] == list(range(1, len(journal) + 1))


def test_lists_come_in_pages_newest_first_without_gaps(world: World) -> None:
    names = [
        world.client.submit([JobSpec(name=f"p{i}", command=("true",), site="linfen")], node)[0]
        for i, node in enumerate(["taiyuan", "datong", "linfen", "datong", "taiyuan"] * 2)
    ]
    seen: list[str] = []
    after = ""
    while True:
        page = world.client.jobs(limit=3, after=after)
        seen += [r.id for r in page.jobs]
        after = page.next
        if not after:
            break
    assert len(seen) == len(set(seen))
    assert set(names) <= set(seen)
    times = [world.client.job(n).submitted_s for n in seen]
    assert times == sorted(times, reverse=True)
    assert all(r.id.startswith("datong-") for r in world.client.jobs(node="datong").jobs)
    world.client.wait(names, timeout_s=60)
    assert set(names) <= {r.id for r in world.client.jobs(state=JobState.SUCCEEDED, limit=1000).jobs}


def test_a_dry_run_changes_nothing(world: World) -> None:
    spec = JobSpec(name="dry", command=("true",), cores=1000, grade="core")  # type: ignore[arg-type]
    before = world.client.jobs(limit=1000).jobs
    found = world.client.dry_run([spec, spec], "datong")
    assert len(found) == 2
    assert found[0].options == found[1].options
    assert found[0].chosen == "datong"
    assert world.client.jobs(limit=1000).jobs == before
    with pytest.raises(ProblemsFound):
        world.client.dry_run([JobSpec(name="", command=())])


def test_a_running_job_is_cancelled(world: World) -> None:
    name = world.client.submit([JobSpec(name="long", command=("sleep", "600"))])[0]
    until(lambda: world.client.job(name).state is JobState.RUNNING, "running job")
    assert world.client.cancel(name)
    assert world.client.wait([name], timeout_s=30)[0].state is JobState.CANCELLED
    assert not world.client.cancel(name)


def test_what_is_not_there_is_said(world: World) -> None:
    for call in (world.client.job, world.client.explain, world.client.cancel, world.client.job_bill):
        for name in ("taiyuan-999999", "nowhere-1", "x"):
            with pytest.raises(NotFound):
                call(name)
    with pytest.raises(NotFound):
        list(world.client.logs("taiyuan-999999"))
    with pytest.raises(ProblemsFound):
        world.client.submit([JobSpec(name="x", command=("true",))], node="atlantis")
    assert world.http.get("/v1/nothing").json()["code"] == "not_found"
    answer = world.http.delete("/v1/jobs")
    assert (answer.status_code, answer.json()["code"]) == (405, "no_method")
    assert "POST" in answer.headers["allow"] or "GET" in answer.headers["allow"]
    answer = world.http.get("/v1/jobs", params={"limit": 0, "state": "asleep"})
    assert {e["path"] for e in answer.json()["errors"]} == {"limit", "state"}


def test_where_no_region_answers_the_client_says_so() -> None:
    with Client("http://127.0.0.1:9", TOKEN) as nobody:
        with pytest.raises(NotReachable):
            nobody.sites()
        with pytest.raises(NotReachable):
            next(nobody.events())


def test_the_stream_goes_on_where_it_was_cut(world: World) -> None:
    events = world.client.events(node="linfen")
    hello = next(events)
    assert hello.happening is None
    name = world.client.submit([JobSpec(name="seen", command=("true",), site="linfen")], "linfen")[0]
    first = next(events)
    assert first.happening is not None
    assert (first.happening.kind, first.happening.job) == ("job.submitted", name)
    events.close()  # type: ignore[attr-defined]
    world.client.wait([name], timeout_s=30)
    kinds: list[str] = []
    for notice in world.client.events(job=name, node="linfen", last_id=first.id):
        if notice.happening:
            kinds.append(notice.happening.kind)
            if notice.happening.kind == "job.settled":
                break
    assert kinds[0] == "job.admitted"
    assert "job.submitted" not in kinds


@pytest.mark.parametrize("last", ["nonsense", "abcd-12", "0-999999999999999999999"])
def test_a_stream_that_cannot_go_on_says_reset(world: World, last: str) -> None:
    with world.http.stream("GET", "/v1/events", headers={"Last-Event-ID": last}) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("id: ")
        assert next(lines) == "event: reset"


def test_metrics_are_what_prometheus_reads_and_agree_with_the_region(world: World) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    answer = world.http.get("/v1/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    found = {f.name: f for f in parser.text_string_to_metric_families(answer.text)}
    free = {s.labels["pool"]: s.value for s in found["sanjin_free_cores"].samples}
    sites = world.http.get("/v1/sites").json()
    assert free == {f"{s['site']}/{p['pool']}": p["free_cores"] for s in sites for p in s["pools"]}
    entries = {s.labels["node"]: s.value for s in found["sanjin_journal_entries"].samples}
    assert entries.keys() == {s["site"] for s in sites} and min(entries.values()) >= 1


def test_every_route_is_described(world: World) -> None:
    found = world.http.get("/openapi.json").json()
    assert found["openapi"].startswith("3.1")
    assert set(found["paths"]) == {
        "/v1/audit",
        "/v1/bills",
        "/v1/briefing",
        "/v1/drills/{site}/cut",
        "/v1/drills/{site}/heal",
        "/v1/forecast",
        "/v1/links",
        "/v1/me",
        "/v1/plan",
        "/v1/resources",
        "/v1/timeline",
        "/v1/what-if",
        "/v1/what-if/{id}",
        "/v1/dry-run",
        "/v1/envelopes",
        "/v1/events",
        "/v1/health",
        "/v1/jobs",
        "/v1/jobs/{job}",
        "/v1/jobs/{job}/bill",
        "/v1/jobs/{job}/cancel",
        "/v1/jobs/{job}/events",
        "/v1/jobs/{job}/explain",
        "/v1/jobs/{job}/logs",
        "/v1/jobs/{job}/outputs",
        "/v1/jobs/{job}/outputs/{name}",
        "/v1/jobs/{job}/replace",
        "/v1/journal",
        "/v1/ready",
        "/v1/run-times",
        "/v1/log/{node}/checkpoint",
        "/v1/log/{node}/cosigned",
        "/v1/log/{node}/entries",
        "/v1/log/{node}/key",
        "/v1/log/{node}/proof",
        "/v1/log/{node}/tile/{path}",
        "/v1/metrics",
        "/v1/region",
        "/v1/sites",
    }
    for path in found["paths"].values():
        for operation in path.values():
            assert operation["description"].endswith(".")


@pytest.fixture(scope="module")
def left(world: World) -> str:
    """A job that left three files."""
    code = "cd $SANJIN_OUTPUTS; printf 0123456789 > ten; : > none; mkdir d; printf x > 'd/a %2e#零 b'"
    name = world.client.submit([JobSpec(name="leaves", command=("sh", "-c", code))], node="datong")[0]
    assert world.client.wait([name], timeout_s=60)[0].state is JobState.SUCCEEDED
    return name


def test_what_a_job_left_is_listed_and_brought_here_verified(world: World, left: str, tmp_path: Path) -> None:
    found = world.client.outputs(left)
    assert found.complete
    assert {f.name: f.bytes for f in found.files} == {"ten": 10, "none": 0, "d/a %2e#零 b": 1}
    brought = world.client.download(left, tmp_path)
    assert {f.name: Path(f.path).read_bytes() for f in brought} == {
        "ten": b"0123456789", "none": b"", "d/a %2e#零 b": b"x",
    }  # fmt: skip
    assert [f.fetched_bytes for f in world.client.download(left, tmp_path, ["ten"])] == [0]
    assert b"".join(world.client.output(left, "ten", 7)) == b"789"
    for name in ("nine", "d", "../order.json", "d/../ten", "ten/", ""):
        with pytest.raises(NotFound):
            world.client.download(left, tmp_path, [name])
        with pytest.raises(NotFound):
            list(world.client.output(left, name))
    later = JobSpec(name="waits", command=("true",), earliest_start_s=int(time.time()) + 86400)
    nothing = world.client.submit([later])[0]
    assert not world.client.outputs(nothing).complete
    world.client.cancel(nothing)
    world.client.wait([nothing], timeout_s=30)
    assert world.client.outputs(nothing).complete


@pytest.mark.parametrize(
    ("asked", "status", "body", "part"),
    [
        ({}, 200, b"0123456789", None),
        ({"Range": "bytes=4-6"}, 206, b"456", "bytes 4-6/10"),
        ({"Range": "bytes=8-"}, 206, b"89", "bytes 8-9/10"),
        ({"Range": "bytes=8-99"}, 206, b"89", "bytes 8-9/10"),
        ({"Range": "bytes=-3"}, 206, b"789", "bytes 7-9/10"),
        ({"Range": "bytes=-30"}, 206, b"0123456789", "bytes 0-9/10"),
        ({"Range": "bytes=10-"}, 416, None, "bytes */10"),
        ({"Range": "bytes=-0"}, 416, None, "bytes */10"),
        ({"Range": "bytes=6-4"}, 200, b"0123456789", None),
        ({"Range": "bytes=0-1,3-4"}, 200, b"0123456789", None),
        ({"Range": "bytes=-"}, 200, b"0123456789", None),
        ({"Range": "lines=1-2"}, 200, b"0123456789", None),
        ({"Range": "bytes=4-6", "If-Range": '"of before"'}, 200, b"0123456789", None),
    ],
)
def test_a_part_of_an_output_is_sent_as_asked_for(
    world: World, left: str, asked: dict[str, str], status: int, body: bytes | None, part: str | None
) -> None:
    answer = world.http.get(f"/v1/jobs/{left}/outputs/ten", headers=asked)
    assert (answer.status_code, answer.headers.get("Content-Range")) == (status, part)
    if body is None:
        assert answer.json()["code"] == "no_such_range"
        return
    assert (answer.content, answer.headers["Content-Length"]) == (body, str(len(body)))
    digest = hashlib.sha256(b"0123456789")
    assert answer.headers["ETag"] == f'"{digest.hexdigest()}"'
    assert answer.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert (answer.headers["X-Content-Type-Options"], answer.headers["Accept-Ranges"]) == ("nosniff", "bytes")
    with_tag = world.http.get(f"/v1/jobs/{left}/outputs/ten", headers={**asked, "If-Range": answer.headers["ETag"]})
    assert with_tag.status_code == status or "If-Range" in asked


def test_an_output_that_became_another_is_not_passed_off_as_what_the_run_left(
    world: World, left: str, tmp_path: Path
) -> None:
    engine = world.live.nodes[world.client.job(left).site].parts.engine
    (path,) = engine._files.runs.glob(f"{left}.*/outputs/ten")  # type: ignore[attr-defined]
    try:
        path.write_bytes(b"0123456780")
        with pytest.raises(DataDamaged, match="ten: what came"):
            world.client.download(left, tmp_path)
        for content in (b"012345678", b"0123456789+"):
            path.write_bytes(content)
            with pytest.raises(DataDamaged, match="its size differs"):
                list(world.client.output(left, "ten"))
        path.unlink()
        path.symlink_to("none")
        with pytest.raises(DataDamaged, match="or it is gone"):
            list(world.client.output(left, "ten"))
        assert not (tmp_path / "ten").exists()
    finally:
        path.unlink()
        path.write_bytes(b"0123456789")


def test_a_full_disk_is_said_reads_go_on_and_room_mends_it(world: World) -> None:
    node = world.live.nodes["xinzhou"]
    engine = node.parts.store._engine  # type: ignore[attr-defined]
    kept = world.client.submit([JobSpec(name="kept", command=("true",))], "xinzhou")
    world.client.wait(kept, timeout_s=30)
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("pragma page_count").scalar()

    # as a full disk does, SQLite answers "database or disk is full" beyond its page limit
    def full(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"pragma max_page_count={pages}")

    def roomy(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("pragma max_page_count=1000000")

    sa.event.listen(engine, "checkout", full)
    big = [Submission(key=f"big-{i}", spec=JobSpec(name="big", command=("true", "x" * 100_000))) for i in range(3)]
    with pytest.raises(StoreFailed) as caught:
        world.client.submit(big, "xinzhou")
    assert "Free space" in str(caught.value)
    assert not world.http.get("/v1/health").json()["ok"]
    assert world.client.job(kept[0]).state is JobState.SUCCEEDED
    assert [r.id for r in world.client.jobs(node="xinzhou").jobs] == kept
    sa.event.remove(engine, "checkout", full)
    sa.event.listen(engine, "checkout", roomy)
    done = world.client.wait(world.client.submit(big, "xinzhou"), timeout_s=60)
    assert [r.state for r in done] == [JobState.SUCCEEDED] * 3
    assert world.client.audit("xinzhou")[0].problems == ()
    assert world.http.get("/v1/health").json()["ok"]


def test_the_how_to_of_the_client_runs(world: World, tmp_path: Path) -> None:
    page = Path(__file__).parents[3] / "docs" / "howto" / "use-the-client.md"
    code = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)[0]
    (tmp_path / "address").write_text(world.client.url)
    with open(os.open(tmp_path / "token", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(TOKEN)
    environment = {**os.environ, "SANJIN_STATE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[1:] for line in lines[:3]] == [["succeeded", str(i**2)] for i in range(3)]
    assert lines[3].endswith("True")
