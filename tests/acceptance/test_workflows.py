"""A workflow from a job file, and work that moves between sites: real processes, real files, a fast clock."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.live import Region
from tests.support import until
from tests.two_prices import two_prices

HOWTO = Path(__file__).parents[2] / "docs/howto/workflows.md"
RATE = "720"  # an hour is five seconds
ENDED = {"succeeded", "failed", "cancelled", "interrupted", "refused"}

COUNT = """\
n=$(cat "$SANJIN_CHECKPOINT/n" 2>/dev/null || echo 0)
trap 'stop=1' TERM
while [ "$n" -lt 200 ] && [ -z "$stop" ]; do
  sleep 0.1; n=$((n+1)); echo $n > "$SANJIN_CHECKPOINT/n"; echo $SANJIN_SITE >> "$SANJIN_CHECKPOINT/sites"
done
[ "$n" = 200 ] && cp "$SANJIN_CHECKPOINT/sites" "$SANJIN_OUTPUTS/sites"; true
"""


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    folder = tmp_path_factory.mktemp("workflows")
    made, document = Region(folder / "state"), folder / "two-prices.yaml"
    region = two_prices({"datong": (8, 11), "luliang": (11, 14)})
    document.write_text(yaml.safe_dump(region, allow_unicode=True), encoding="utf-8")
    made.up("--region", str(document), "--rate", RATE, "--start", "2026-07-15T06:00")
    yield made
    assert made.down() == 0


def test_the_workflow_of_the_how_to(region: Region, tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(node: .*?)```", HOWTO.read_text(encoding="utf-8"), re.S)
    (tmp_path / "flow.yaml").write_text(text)
    done = region.run("submit", "--wait", str(tmp_path / "flow.yaml"), "--output", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    prepare, train, serve = (r["id"] for r in json.loads(done.stdout))
    assert region.ask(f"jobs/{train}")["site"] == "luliang"
    assert region.run("logs", serve).stdout.split() == ["500500", "1000"]
    kinds = [e["kind"] for e in region.json("job", serve)["events"]]
    assert kinds.count("job.fed") == 2 and kinds.index("job.fed") < kinds.index("job.admitted")
    moved = [e for e in region.json("job", train)["events"] if e["kind"] == "transfer.started"]
    assert [e["body"]["dataset"] for e in moved] == [f"{prepare}.out"]
    # a later job may come after what was published; what was not is refused with the remedy
    done = region.run("submit", "--node", "yangquan", "--after", train, "--wait", "--",
                      "sh", "-c", f"cat $SANJIN_INPUTS/{train}/model")  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = region.run("submit", "--node", "yangquan", "--after", serve, "--", "true")
    assert done.returncode == 3 and "publish: true" in done.stderr


def test_what_waits_is_held_and_says_for_what(region: Region, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(
        "node: datong\njobs:\n"
        "  - {key: w1, name: first, site: datong, command: [sh, -c, 'sleep 3; exit 3']}\n"
        "  - {key: w2, name: second, after: [w1], command: ['true']}\n"
    )
    first, second = region.run("submit", str(tmp_path / "two.yaml")).stdout.split()
    shown = region.run("job", second).stdout
    assert "held" in shown and "waits for the jobs that it comes after" in shown
    until(lambda: region.ask(f"jobs/{second}")["state"] in ENDED, "the end of the second")
    found = region.ask(f"jobs/{second}")
    assert (found["state"], found["reason"]) == ("failed", "upstream_ended")
    assert first in found["detail"] and found["fen"] == 0


def test_a_run_goes_on_at_another_site_from_its_files(region: Region, tmp_path: Path) -> None:
    now_s = region.ask("region")["now_s"]
    job = {
        "name": "moves", "command": ["sh", "-c", COUNT], "cores": 64, "sample_cores": 1, "memory_bytes": 64 << 28,
        "duration_s": 4 * 3600, "stoppable": True, "stop_cost_s": 60, "checkpoint_bytes": 10**6,
        "delay_price_fen_per_hour": 2, "deadline_s": now_s + 48 * 3600, "deadline_firm": True, "key": "moves",
    }  # fmt: skip
    (tmp_path / "moves.json").write_text(json.dumps({"node": "taiyuan", "jobs": [job]}))
    (name,) = region.run("submit", str(tmp_path / "moves.json")).stdout.split()
    until(lambda: region.ask(f"jobs/{name}")["state"] in ENDED, "the end of the work", 240)
    found = region.json("job", name)
    events = found["events"]
    assert found["job"]["state"] == "succeeded", found["job"]
    ran = [e["node"] for e in events if e["kind"] == "job.started"]
    assert set(ran) == {"datong", "luliang"}
    # the bill is of all sites, and so are the outputs, after the number of the run
    bill = region.ask(f"jobs/{name}/bill")
    assert bill["fen"] == found["job"]["fen"] == sum(e["body"]["fen"] for e in events if e["kind"] == "job.settled")
    assert region.run("outputs", name, "--to", str(tmp_path / "out")).returncode == 0
    (sites,) = (tmp_path / "out").rglob("sites")
    assert sites.parent.name == str(len(ran))
    counted = sites.read_text().split()
    assert len(counted) == 200 and set(counted) == set(ran)
    assert region.run("audit", "verify").returncode == 0
