"""A region that is really up, with real runs on a faster clock; its state folder replayed."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import pytest

from sanjin.client import Client
from sanjin.model.job import JobSpec, JobState, Submission
from tests.live import Region

NODES = ("taiyuan", "datong", "yangquan", "linfen", "changzhi")


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Region:
    """Twenty jobs of some hours each, from five cities, each when word of the one before is everywhere."""
    region = Region(tmp_path_factory.mktemp("lived") / "state")
    region.up("--rate", "3600", "--port", "0")
    with Client.here(region.state) as client:
        ids: list[str] = []
        for i in range(20):
            spec = JobSpec(
                name=f"j{i}",
                command=(sys.executable, "-c", f"import time; time.sleep({0.2 + i % 4 * 0.5})"),
                cores=1 + i % 3,
                sample_cores=1,
                duration_s=3600 * (1 + i % 3),
                delay_price_fen_per_hour=(0, 5000)[i % 2],
            )
            ids += client.submit([Submission(key=f"k{i}", spec=spec)], NODES[i % len(NODES)])
            time.sleep(0.7)
        until = time.monotonic() + 60
        while time.monotonic() < until and not all(client.job(j).state.ended for j in ids):
            time.sleep(0.2)
    region.down()
    return region


def test_what_it_did_is_replayed_to_the_same_placements(lived: Region) -> None:
    found = lived.json("replay", str(lived.state))
    assert isinstance(found, dict)
    assert found["submitted"] == found["jobs"] == found["same"] == 20
    assert found["others"] == [] and found["restarts"] == 0


def test_it_says_so_in_both_languages(lived: Region) -> None:
    for lang, word in (("en", "20 of 20 jobs"), ("zh", "20 个已安排的作业")):
        done = lived.run("replay", str(lived.state), lang=lang)
        assert done.returncode == 0 and word in done.stdout


def test_a_fork_of_a_region_that_is_up_leaves_it_alone(lived: Region) -> None:
    lived.up("--rate", "3600", "--port", "0")
    try:
        spec = JobSpec(name="later", command=("sleep", "1"), duration_s=3600, delay_price_fen_per_hour=0)
        with Client.here(lived.state) as client:
            later = replace(spec, earliest_start_s=client.region().now_s + 40 * 3600)
            job = client.submit([Submission(key="later", spec=later)], "datong")[0]
            until = time.monotonic() + 30
            while time.monotonic() < until and client.job(job).state not in (JobState.PLACED, JobState.ASSIGNED):
                time.sleep(0.1)
            found = lived.json("replay", "made", "--jobs", "20", "--fold", "1", "--from-state", str(lived.state))
            assert isinstance(found, dict)
            assert [b["job"] for b in found["there"]] == [job]
            assert found["there"][0]["as_placed"] and found["there"][0]["after"] == "succeeded"
            assert len(found["came"]) + found["refused"] == 20
            assert not [j for j in client.jobs(limit=1000).jobs if j.spec.tenant == "replay"]
    finally:
        lived.down()
    for lang, word in (("en", "the trace"), ("zh", "轨迹")):
        done = lived.run("replay", "made", "--jobs", "5", "--fold", "1", "--from-state", str(lived.state), lang=lang)
        assert done.returncode == 0 and word in done.stdout, done.stderr
