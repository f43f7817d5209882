"""A region of which one site has a real Slurm cluster: set by a document, work runs there, is metered and billed."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sanjin
from sanjin.client import Client
from sanjin.model.job import Effects, JobSpec, Submission
from tests.live import Region
from tests.slurm_lab import MACHINE_CORES, SlurmLab
from tests.support import until

SITE = "datong"


@pytest.fixture
def region(lab: SlurmLab, tmp_path: Path) -> Iterator[Region]:
    found = Region(tmp_path / "state")
    yield found
    if found.process is not None and found.process.poll() is None:
        found.down()
    lab.say("scancel", "--user=root")


def document(folder: Path, lab: SlurmLab, more: str = "") -> str:
    file = folder / "engines.yaml"
    said = f"engine: slurm, folder: {folder}/shared, conf: {lab.settings.conf}, partition: batch{more}"
    file.write_text(f"engines:\n  {SITE}: {{{said}}}\n")
    return str(file)


def job(name: str, code: str, **more: Any) -> Submission:
    spec = JobSpec(name=name, command=("sh", "-c", code), site=SITE, duration_s=60, memory_bytes=64 << 20, **more)
    return Submission(key=name, spec=spec)


def submitted(region: Region, jobs: list[Submission]) -> list[str]:
    with Client.here(region.state) as client:
        return client.submit(jobs, node="linfen")


def over(region: Region, jobs: list[str]) -> list[dict[str, Any]]:
    """These jobs, once all have ended."""

    def ended() -> bool:
        found = [region.ask(f"jobs/{name}") for name in jobs]
        return all(r["state"] in ("succeeded", "failed", "cancelled", "interrupted") for r in found)

    until(ended, "end of all jobs", 60)
    return [region.ask(f"jobs/{name}") for name in jobs]


def test_work_for_a_site_with_slurm_runs_in_its_cluster(region: Region, lab: SlurmLab, tmp_path: Path) -> None:
    assert region.json("engines", "show") == {}
    done = region.run("engines", "set", document(tmp_path, lab))
    assert done.returncode == 0, done.stderr
    assert SITE in done.stdout and "partition=batch" in done.stdout
    region.up("--sample-data")
    sites = {s["site"]: s for s in region.ask("sites")}
    assert (sites[SITE]["engine"], sites["linfen"]["engine"]) == ("slurm", "local")
    count = "echo x >> $SANJIN_OUTPUTS/count"
    jobs = [
        job("hello", "echo from $0; " + count),
        job("fails", "exit 3"),
        job("gang", "echo $SANJIN_RANK of $SANJIN_NODES", nodes=2),
        job("array", "echo $SANJIN_INDEX", members=6),
        job("long", count + "; sleep 5; " + count, effects=Effects.ONCE),
    ]
    names = submitted(region, jobs)
    until(lambda: region.ask(f"jobs/{names[4]}")["state"] == "running", "start")
    folder = tmp_path / "shared" / SITE / "runs"
    until(lambda: any(p.read_text() == "x\n" for p in folder.glob("*/outputs/count")), "its first word")
    assert region.down(signal.SIGKILL) == -signal.SIGKILL
    region.up()
    hello, fails, gang, array, long = over(region, names)
    assert [r["state"] for r in (hello, gang, array, long)] == ["succeeded"] * 4
    assert (fails["state"], fails["exit_status"], array["members_done"]) == ("failed", 3, 6)
    assert all(r["site"] == SITE for r in (hello, gang, long))
    assert long["facility_mwh"] > 0  # less than a second costs nothing
    assert region.run("logs", names[2]).stdout.split("\n")[:2] in (["0 of 2", "1 of 2"], ["1 of 2", "0 of 2"])
    counts = sorted(len(p.read_text().split()) for p in folder.glob("*/outputs/count"))
    assert counts == [1, 2]  # each begun once, though the node was killed
    seen = lab.say("squeue", "--noheader", "--array", "--states=all", "--format=%j").split()
    assert sum(name.startswith("sanjin-") for name in seen) >= len(jobs)
    assert region.run("audit", "verify").returncode == 0


def test_a_map_over_sites_of_different_engines_is_the_serial_answer(
    region: Region, lab: SlurmLab, tmp_path: Path
) -> None:
    region.run("engines", "set", document(tmp_path, lab))
    region.up()

    with Client.here(region.state) as client:
        until(lambda: all(s.parent_reachable for s in client.sites()), "reachable tree", 60)
        found = sanjin.map(
            lambda item: item**2, range(12), parts=4, sites=(SITE, "linfen"), client=client, duration_s=60,
            memory_bytes=128 << 20, timeout_s=120,
        )  # fmt: skip
        records = client.jobs().jobs
    assert found == [item**2 for item in range(12)]
    assert sorted(r.site for r in records) == [SITE, SITE, "linfen", "linfen"]
    seen = lab.say("squeue", "--noheader", "--array", "--states=all", "--format=%j").split()
    assert sum(name.startswith("sanjin-") for name in seen) >= 2


def test_work_goes_round_what_others_have_of_a_shared_cluster_and_back(
    region: Region, lab: SlurmLab, tmp_path: Path
) -> None:
    region.run("engines", "set", document(tmp_path, lab, ", shared_s: 1"))
    region.up("--sample-data")

    def others() -> dict[str, int]:
        site = next(s for s in region.ask("sites") if s["site"] == SITE)
        return {p["what"]: p["cores"] for p in site["cluster"]["parts"]} if site["cluster"] else {}

    def start_s() -> int:
        """When work for the site would begin, from now."""
        done = region.run("submit", "--dry-run", str(file), "--node", SITE, "--output", "json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        found = found[0] if isinstance(found, list) else found
        option = next(o for o in found["options"] if o["site"] == SITE)
        assert option["reason"] is None, option
        return option["start_s"] - found["at_s"]

    file = tmp_path / "job.yaml"
    file.write_text(
        f"{{name: one, command: [hostname], cores: 2, memory_bytes: 100000000, duration_s: 600, site: {SITE}, "
        "delay_price_fen_per_hour: 100000}\n"
    )
    cores = MACHINE_CORES * len(lab.machines)
    until(lambda: others() == {"whole": cores}, "an empty cluster", 60)
    assert start_s() == 0
    lab.say("sbatch", "--output=/dev/null", f"--ntasks={cores}", "--mem=64", "--time=120", "--wrap=sleep 6000")
    until(lambda: others() == {"whole": cores, "others": cores}, "others in it", 90)
    assert 119 * 60 <= start_s() <= 136 * 60  # from the next slot on
    said = region.run("sites").stdout
    assert "others' work" in said
    assert f"others' work: 1, {cores} cores" in region.run("doctor").stdout
    lab.say("scancel", "--user=root")
    until(lambda: others() == {"whole": cores}, "an empty cluster", 90)
    assert start_s() == 0


def test_a_site_keeps_its_engine_while_work_runs_there(region: Region, lab: SlurmLab, tmp_path: Path) -> None:
    region.run("engines", "set", document(tmp_path, lab))
    region.up()
    (name,) = submitted(region, [job("hold", "sleep 60")])
    until(lambda: region.ask(f"jobs/{name}")["state"] == "running", "start")
    until(lambda: any((tmp_path / "shared" / SITE / "runs").glob("*/started")), "start in the cluster")
    region.down()
    kept = (region.state / "engines.yaml").read_text()
    (region.state / "engines.yaml").unlink()
    done = region.run("up")
    assert done.returncode == 3, done.stderr
    assert SITE in done.stderr and "slurm" in done.stderr
    (region.state / "engines.yaml").write_text(kept)
    shared = tmp_path / "shared"
    shared.rename(tmp_path / "away")  # as where it is not mounted
    done = region.run("up")
    assert done.returncode == 3 and str(shared / SITE) in done.stderr
    assert not shared.exists()
    (tmp_path / "away").rename(shared)
    other = Region(tmp_path / "other")
    other.run("engines", "set", document(tmp_path, lab))
    done = other.run("up")
    assert done.returncode == 3 and str(shared / SITE) in done.stderr
    region.up()
    assert region.run("cancel", name).returncode == 0
    assert over(region, [name])[0]["state"] == "cancelled"
    until(lambda: any((shared / SITE / "runs").glob("*/result.json")), "its end taken down")
    region.down()
    (region.state / "engines.yaml").unlink()
    region.up()


def test_everything_wrong_with_a_document_is_said_at_once(region: Region, tmp_path: Path) -> None:
    file = tmp_path / "engines.yaml"
    file.write_text("engines:\n  datong: {engine: slurm, partition: a b, python: python3}\n  linfen: {engine: pbs}\n")
    done = region.run("engines", "set", str(file))
    assert done.returncode == 3
    for word in ("engines.yaml:2", "engines.yaml:3", "folder", "a b", "python3", "pbs"):
        assert word in done.stderr
    file.write_text("engines:\n  nowhere: {engine: local}\n")
    assert region.run("engines", "set", str(file), "--dry-run").returncode == 0
    assert not (region.state / "engines.yaml").exists()
    assert region.run("engines", "set", str(file)).returncode == 0
    done = region.run("up")
    assert done.returncode == 3
    assert "nowhere" in done.stderr
