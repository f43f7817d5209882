"""A training run that stops at the edge of a price and goes on at another site, to the same weights.

Shanxi on a clock that runs faster; power is cheap at Datong for some hours and at Luliang for the hours after. A
training run that may be stopped (``sanjin.examples.training``) is submitted at Taiyuan: it begins where it is
cheapest, is asked to stop when the cheap hours end, its checkpoint moves over the network as a dataset, and it goes on
there. The same training without a stop, in this process, has to come to the same losses. Datong has a Slurm cluster
where this machine has Slurm and you are root; elsewhere work is processes.

    make demo-training
    python benchmarks/demo_training.py [--folder training-out]
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml
from common import SANJIN

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _pytest.outcomes import Skipped

from sanjin.client import Client
from sanjin.examples import training
from sanjin.model.job import JobSpec, Submission
from sanjin.model.record import JobRecord
from sanjin.model.status import Happening
from sanjin.model.units import HOUR_S, MIB
from tests.slurm_lab import SlurmLab
from tests.two_prices import two_prices

FIRST, THEN = "datong", "luliang"
START, CHEAP = "2026-07-15T06:00", {FIRST: (8, 14), THEN: (14, 20)}
RATE, EPOCHS, HOURS = 360.0, 64, 8
GIVE_UP_S = 600.0


def wanted(now_s: int) -> Submission:
    """The training as a job: it is expected to take eight hours, and has a day and a half."""
    pace_s = HOURS * HOUR_S / RATE / EPOCHS
    spec = JobSpec(
        name="training", command=("python3", "-m", "sanjin.examples.training", "--size", str(EPOCHS), "--pace",
        f"{pace_s:.3f}"), cores=64, sample_cores=1, memory_bytes=64 * 256 * MIB, duration_s=HOURS * HOUR_S,
        duration_spread_s=0, stoppable=True, stop_cost_s=600, checkpoint_bytes=10**9, delay_price_fen_per_hour=2,
        deadline_s=now_s + 36 * HOUR_S, deadline_firm=True,
    )  # fmt: skip
    return Submission(key="training", spec=spec)


def slurm(folder: Path) -> SlurmLab | None:
    """A Slurm cluster for the first site, where one can run here."""
    try:
        lab = SlurmLab(folder / "slurm", machines=1)
        lab.start()
    except Skipped as missing:
        print(f"no Slurm: {missing}; {FIRST} has processes")
        return None
    return lab


def followed(client: Client, job: str) -> JobRecord:
    """The job once it has ended; where it stands is told on the way."""
    began, last = time.monotonic(), ""
    while time.monotonic() - began < GIVE_UP_S:
        record = client.job(job)
        stands = f"{record.state} at {record.site or '-'}"
        if stands != last:
            print(f"{time.monotonic() - began:5.0f} s: {stands}", flush=True)
        last = stands
        if record.state.ended:
            return record
        time.sleep(0.5)
    raise SystemExit("gave up waiting")


def plot(rows: list[tuple[int, float, str]], path: Path) -> None:
    """The loss over the epochs, in the colour of the site of each."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3))
    for site, colour in zip(dict.fromkeys(s for _, _, s in rows), ("#0072B2", "#D55E00", "#009E73"), strict=False):
        axes.plot(
            [e for e, _, s in rows if s == site], [loss for _, loss, s in rows if s == site], ".-", color=colour,
            label=site,
        )  # fmt: skip
    axes.set(xlabel="epoch", ylabel="loss on held-out samples", yscale="log")
    axes.legend(title="ran at")
    axes.grid(alpha=0.3)
    figure.savefig(path, bbox_inches="tight", dpi=110)


def told(record: JobRecord, happened: list[Happening], rows: list[tuple[int, float, str]], bill_fen: int) -> int:
    """Print what came of it; the exit code."""
    straight, _ = training.train(None, epochs=EPOCHS)
    apart = max(abs(a[1] - b[1]) for a, b in zip(rows, straight.losses, strict=True))
    moved = [h for h in happened if h.kind == "transfer.started"]
    found = {
        "ended": str(record.state), "sites": list(dict.fromkeys(s for _, _, s in rows)), "epochs": len(rows),
        "runs": sum(h.kind == "job.started" for h in happened), "checkpoints_moved": len(moved),
        "largest_difference_of_a_loss_from_training_without_a_stop": apart, "last_loss": rows[-1][1],
        "fen_of_job_and_of_its_bill": (record.fen, bill_fen),
    }  # fmt: skip
    print(json.dumps(found))
    whole = [e for e, _, _ in rows] == list(range(EPOCHS))
    return 0 if whole and apart == 0 and len(found["sites"]) == 2 and record.fen == bill_fen else 1


def main() -> int:
    """Bring it up, run it, tell what came of it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, default=Path("training-out"))
    folder = options.parse_args().folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    state = folder / "state"
    (folder / "region.yaml").write_text(yaml.safe_dump(two_prices(CHEAP), allow_unicode=True), encoding="utf-8")
    lab, node = slurm(folder), None
    try:
        if lab is not None:
            engines = f"engines:\n  {FIRST}: {{engine: slurm, folder: {folder}/shared, conf: {lab.settings.conf}}}\n"
            (folder / "engines.yaml").write_text(engines)
            command = [SANJIN, "engines", "set", str(folder / "engines.yaml"), "--state", str(state)]
            subprocess.run(command, check=True, capture_output=True)
        command = [SANJIN, "up", "--state", str(state), "--region", str(folder / "region.yaml"), "--rate", str(RATE),
                   "--start", START, "--output", "json"]  # fmt: skip
        node = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert node.stdout is not None
        if not node.stdout.readline():
            raise SystemExit("the region did not come up")
        with Client.here(state) as client:
            (job,) = client.submit([wanted(client.region().now_s)], "taiyuan")
            record = followed(client, job)
            client.download(job, folder / "outputs")
            happened, bill = client.happenings(job), client.job_bill(job)
    finally:
        if node is not None:
            node.send_signal(signal.SIGINT)
            node.wait(60)
        if lab is not None:
            lab.stop()
    found = sorted((folder / "outputs").rglob(training.LOSSES))[-1]
    rows = [(int(r["epoch"]), float(r["loss"]), r["site"]) for r in csv.DictReader(found.open())]
    plot(rows, folder / "loss.png")
    return told(record, happened, rows, bill.fen)


if __name__ == "__main__":
    sys.exit(main())
