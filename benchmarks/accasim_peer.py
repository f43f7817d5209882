"""AccaSim: a simulator of dispatchers in Python (Galleguillos et al., 2017), in an environment of its own.

As in its own basic example: the default reader, writer of schedules and simulator; FIFO with first fit, or its EASY.
The machine has nodes of eight cores, as in its configuration of RICC, and as many of them as the load asks for. What
counts is its own clock: the simulation alone, without imports, reading of the configuration and waits for its
writers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from sanjin.replay.trace import Trace

VERSION = "1.1.3"
HOME = Path.home() / ".cache" / "sanjin-bench" / f"accasim-{VERSION}"
NODE_CORES = 8

_RUN = """
import collections, collections.abc, json, sys
for name in ("Mapping", "MutableMapping", "Iterable", "Callable"):  # where Python 3.9 still had them
    setattr(collections, name, getattr(collections.abc, name))
from accasim.base.allocator_class import FirstFit
from accasim.base.scheduler_class import EASYBackfilling, FirstInFirstOut
from accasim.base.simulator_class import Simulator
folder, easy = sys.argv[1], sys.argv[2] == "easy"
dispatcher = (EASYBackfilling if easy else FirstInFirstOut)(FirstFit())
world = Simulator(f"{folder}/jobs.swf", f"{folder}/pool.config", dispatcher, RESULTS_FOLDER_PATH=folder,
                  show_statistics=False)
world.start_simulation()
print(json.dumps([world.dispatched_jobs, world.end_simulation_time - world.start_simulation_time]))
"""


def rate(trace: Trace, easy: bool = False, load: float = 0.8) -> float | None:
    """Jobs a second on one pool that the trace asks for at ``load``; None where AccaSim is not to be had."""
    python = _installed()
    if python is None:
        return None
    size = max(int(trace.core_seconds() / load / trace.span_s()), int(trace.cores.max()))
    pool = {
        "system_name": "pool", "start_time": 0, "equivalence": {"processor": {"core": 1}},
        "groups": {"g0": {"core": NODE_CORES}}, "resources": {"g0": -(-size // NODE_CORES)},
    }  # fmt: skip
    columns = (trace.arrive_s, trace.run_s, trace.cores, trace.asked_s)
    rows = zip(*(c.tolist() for c in columns), strict=True)
    lines = [f"{j} {at} -1 {run} {n} -1 -1 {n} {asked} -1 1 1 1 -1 1 -1 -1 -1\n"
             for j, (at, run, n, asked) in enumerate(rows, 1)]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="sanjin-bench-") as name:
        folder = Path(name)
        (folder / "jobs.swf").write_text("".join(lines))
        (folder / "pool.config").write_text(json.dumps(pool))
        asked = [str(python), "-c", _RUN, name, "easy" if easy else "fifo"]
        done = subprocess.run(asked, capture_output=True, text=True, cwd=folder, timeout=1800, check=False)
    if done.returncode:
        print(f"AccaSim failed: {done.stderr.strip().splitlines()[-1]}")
        return None
    dispatched, took = json.loads(done.stdout.strip().splitlines()[-1])
    if dispatched != len(trace):
        print(f"AccaSim started {dispatched} of {len(trace)} jobs")
        return None
    return len(trace) / took


def _installed() -> Path | None:
    """The Python of its environment, made where there is none; None, and said so, where that fails."""
    python, mark = HOME / "bin" / "python", HOME / "installed"
    if mark.exists():
        return python
    for step in (
        [sys.executable, "-m", "venv", "--clear", str(HOME)],
        [str(python), "-m", "pip", "install", "--quiet", f"accasim=={VERSION}"],
    ):
        done = subprocess.run(step, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            print("AccaSim: not installed; its environment needs a package index (pip install accasim)")
            return None
    mark.touch()
    return python
