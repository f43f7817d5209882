"""Gangs, arrays, work that stops and goes on, and policies: real processes at a small site on a fast clock."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from sanjin.regions.load import bundled
from tests.live import Region
from tests.support import until

HOME = "yangquan"
CORES = 8
RATE = "300"  # a quarter of an hour is three seconds

POLICY = """\
rule: home_only
weights: {waiting: 2}
queues:
  batch: {priority: 0}
  urgent: {priority: 10}
"""

COUNT = """\
n=$(cat "$SANJIN_CHECKPOINT/done" 2>/dev/null || echo 0); first=$n
trap 'stop=1' TERM
while [ "$n" -lt 60 ] && [ -z "$stop" ]; do
  sleep 0.1
  [ "$first $n" = "0 5" ] && continue  # the first run waits here for its stop
  n=$((n+1)); echo $n > "$SANJIN_CHECKPOINT/done"; echo step $n
done
echo $n > "$SANJIN_OUTPUTS/last"
"""

MEET = """\
echo $SANJIN_RANK > "$SANJIN_GANG/$SANJIN_RANK"
until [ "$(ls "$SANJIN_GANG" | wc -l)" = "$SANJIN_NODES" ]; do sleep 0.05; done
echo rank $SANJIN_RANK met $(cat "$SANJIN_GANG"/* | sort | tr '\\n' ' ')
"""


def small(folder: Path) -> Path:
    """Shanxi with a site that has one pool of eight cores."""
    document = yaml.safe_load(bundled("shanxi").read_text(encoding="utf-8"))
    pools = document["nodes"][HOME]["pools"]
    pool = pools["general"]
    pool["capacity"]["value"], pool["memory"]["value"], pool["speed"]["value"] = CORES, 64, 1.0
    document["nodes"][HOME]["pools"] = {"general": pool}
    made = folder / "small.yaml"
    made.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def bring_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Region]]:
    """A small region under a policy."""
    made: dict[str, Region] = {}

    def build(policy: str) -> Region:
        if policy not in made:
            folder = tmp_path_factory.mktemp("region")
            region = made[policy] = Region(folder / "state")
            (folder / "policy.yaml").write_text(policy)
            done = region.run("policy", "set", str(folder / "policy.yaml"))
            assert done.returncode == 0, done.stderr
            region.up("--region", str(small(folder)), "--rate", RATE, "--start", "2026-07-15T06:00")
        return made[policy]

    yield build
    for region in made.values():
        assert region.down() == 0


@pytest.fixture
def region(bring_up: Callable[[str], Region]) -> Region:
    return bring_up(POLICY)


def submitted(region: Region, *words: str) -> str:
    done = region.run("submit", "--node", HOME, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def state_of(region: Region, job: str) -> str:
    return region.ask(f"jobs/{job}")["state"]


def events_of(region: Region, job: str) -> list[dict[str, object]]:
    found = region.json("job", job)
    assert isinstance(found, dict)
    return found["events"]


def test_the_members_of_a_gang_meet(region: Region) -> None:
    job = submitted(region, "--nodes", "3", "--cores", "2", "--delay-price", "100", "--", "sh", "-c", MEET)
    done = region.run("job", "--wait", job)
    assert done.returncode == 0, done.stdout
    assert "a gang: 3 machines at once, 2 cores of each" in done.stdout
    assert sorted(region.run("logs", job).stdout.splitlines()) == [f"rank {r} met 0 1 2" for r in range(3)]


def test_an_array_runs_every_member_and_counts_those_that_fail(region: Region) -> None:
    command = "echo $SANJIN_INDEX | tee $SANJIN_OUTPUTS/$SANJIN_INDEX; case $SANJIN_INDEX in 7|19) exit 3;; esac"
    job = submitted(region, "--members", "30", "--delay-price", "100", "--name", "sweep", "--", "sh", "-c", command)
    explained = region.run("explain", job).stdout
    assert "an array of 30 members: the figures are of each member" in explained
    done = region.run("job", "--wait", job)
    assert done.returncode == 9
    assert "an array of 30 members, 0 to 29: 28 done, 2 failed, 0 neither" in done.stdout
    assert "28/30" in done.stdout
    both = region.run("job", job, lang="both").stdout
    assert "30 个成员的数组(0 至 29):成功 28,失败 2" in both
    shown = region.json("job", job)
    assert isinstance(shown, dict)
    parts = shown["parts"]
    assert [p["spec"]["members"] for p in parts] == [8, 8, 8, 6]
    assert [p["site"] for p in parts] == [HOME] * 4
    assert (shown["job"]["members_done"], shown["job"]["members_failed"]) == (28, 2)
    logs = region.run("logs", job)
    assert logs.returncode == 3
    assert f"{job} is divided into 4 parts" in logs.stderr and f"{job}.1, {job}.2" in logs.stderr
    said = Counter(int(line) for p in parts for line in region.run("logs", p["id"]).stdout.split())
    assert said == Counter(range(30))
    left = region.json("outputs", job)
    assert isinstance(left, dict) and left["complete"]
    assert sorted(f["name"] for f in left["files"]) == sorted(f"{n // 8 + 1}/{n}" for n in range(30))
    for p in parts:
        assert f"{p['id']} goes to {HOME}" in region.run("explain", p["id"]).stdout
        assert f"a part of the array {job}" in region.run("job", p["id"]).stdout
    bill = region.json("bill", "--job", job)
    assert isinstance(bill, dict) and bill["fen"] == shown["job"]["fen"]


def test_work_stops_for_urgent_work_and_goes_on_where_it_was(region: Region) -> None:
    slow = submitted(
        region, "--cores", "8", "--stoppable", "--duration", "1h", "--delay-price", "1", "--", "sh", "-c", COUNT
    )
    until(lambda: state_of(region, slow) == "running", "running job")
    until(lambda: "step 5\n" in region.run("logs", slow).stdout, "fifth step")
    urgent = submitted(
        region, "--cores", "6", "--duration", "10m", "--time-limit", "2h", "--delay-price", "5000", "--queue", "urgent",
        "--", "sleep", "16",
    )  # fmt: skip
    until(lambda: state_of(region, urgent) == "running", "urgent job that runs")
    explained = region.run("explain", slow).stdout
    assert "it waits: stopped to make room for other work" in explained
    assert f" for {urgent}, with " in explained
    assert f"it goes on at {HOME}, 07-15" in explained
    assert "made_room" in {str(e["body"].get("reason")) for e in events_of(region, slow)}
    done = region.run("job", "--wait", slow)
    assert done.returncode == 0, done.stdout
    assert "can stop and go on: 60 min of 60 min done and kept; runs so far: 2" in done.stdout
    kinds = Counter(e["kind"] for e in events_of(region, slow))
    assert (kinds["job.started"], kinds["job.stop_asked"], kinds["job.paused"], kinds["job.ended"]) == (2, 1, 1, 1)
    # every step once, over both runs
    assert region.run("logs", slow).stdout.splitlines() == [f"step {n}" for n in range(1, 61)]
    assert not list((region.state / HOME / "engine" / "checkpoints").glob("*"))
    left = region.json("outputs", slow)
    assert isinstance(left, dict) and [f["name"] for f in left["files"]] == ["1/last", "2/last"]
    assert region.run("audit", "verify").returncode == 0


def test_patient_work_is_divided_over_cheap_windows(region: Region) -> None:
    job = submitted(region, "--cores", "8", "--stoppable", "--duration", "10h", "--delay-price", "0", "--", "true")
    explained = region.run("explain", job).stdout
    assert "it runs in " in explained and " windows: " in explained
    decisions = region.json("explain", job)
    assert isinstance(decisions, list)
    pieces = decisions[-1]["pieces"]
    assert len(pieces) > 1
    at_once = decisions[-1]["at_once"]
    assert at_once["finish_s"] - at_once["start_s"] == 10 * 3600
    assert region.run("job", job).stdout.count("to come") == len(pieces)
    assert region.run("job", job, lang="zh").stdout.count("待运行") == len(pieces)
    assert region.run("cancel", job).returncode == 0


def test_a_policy_that_was_set_is_in_force(region: Region) -> None:
    shown = region.json("policy", "show")
    assert isinstance(shown, dict)
    assert (shown["rule"], shown["weights"]["waiting"]) == ("home_only", 2.0)
    wrong = region.run("submit", "--queue", "fast", "--", "true")
    assert wrong.returncode == 3
    assert "batch, urgent" in wrong.stderr
    dry = region.run("submit", "--dry-run", "--node", HOME, "--", "true").stdout
    assert "by the region's rule home_only: the least sum at the node of submission" in dry
    assert "the policy weighs, and so are the terms shown: waiting 2" in dry
    found = json.loads(region.run("submit", "--dry-run", "--node", HOME, "--output", "json", "--", "true").stdout)
    reasons = {o["site"]: o["reason"] for o in found[0]["options"]}
    assert reasons.pop(HOME) is None
    assert set(reasons.values()) == {"kept_at_home"}


def test_a_queue_in_order_says_who_is_first(bring_up: Callable[[str], Region]) -> None:
    region = bring_up("rule: fcfs\n")
    running = submitted(region, "--cores", "8", "--duration", "2h", "--", "sleep", "15")
    until(lambda: state_of(region, running) == "running", "running job")
    first = submitted(region, "--cores", "8", "--", "true")
    behind = submitted(region, "--cores", "1", "--", "true")
    until(lambda: state_of(region, behind) == "queued", "queued job")
    explained = region.run("explain", behind).stdout
    assert "it waits: others are before it in the queue" in explained
    assert f"the first in the queue is {first}, which is to start at 07-15" in explained
    assert region.run("job", "--wait", behind).returncode == 0
    starts = [region.json("job", j) for j in (first, behind)]
    assert starts[0]["job"]["start_s"] <= starts[1]["job"]["start_s"]  # pyright: ignore


def test_a_decision_of_before_is_not_taken_for_one_of_the_present_policy(tmp_path: Path) -> None:
    region = Region(tmp_path / "state")
    region.up("--rate", "60", "--start", "2026-07-15T06:00")
    job = region.run("submit", "--earliest", "2026-07-15T23:00", "--", "true").stdout.strip()
    region.down()
    (tmp_path / "p.yaml").write_text("rule: greenest\n")
    assert "in force from the next" in region.run("policy", "set", str(tmp_path / "p.yaml")).stderr
    region.up()
    explained = region.run("explain", job).stdout
    assert "by the policy of then" in explained
    assert "greenest" not in explained
    fresh = region.run("submit", "--dry-run", "--", "true").stdout
    assert "by the region's rule greenest: the least carbon, whatever else it costs" in fresh
    assert "not counted, and so shown as 0: energy, transport, latency, use, scarcity, waiting" in fresh
    region.down()
