"""Measure this machine as jobs find it: the benchmark as one run of the ``local`` engine, in the same sandbox.

It takes all cores, and nobody's turn: where jobs run meanwhile, both are slower, and the measurement says how much of
the processors others had.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sanjin.adapters.engines import machine_benchmark
from sanjin.adapters.engines.local import LocalEngine
from sanjin.model.errors import SanjinError
from sanjin.model.performance import Measurement, Remark, sampled
from sanjin.model.region import Quantity
from sanjin.model.units import GIB
from sanjin.ports import EndReason, RunOrder, RunReport

SECONDS = 6.0
"""Of repetitions, by default; making the arrays comes on top, some seconds more."""
PATIENCE = 10
"""The run is given up after so many times the seconds that it was to take, and a minute."""
LOOK_WALL_S = 0.1
KEY = "benchmark"
_OUTPUT_MAX = 1 << 20


def measure(folder: Path, seconds: float = SECONDS, sandbox: str = "auto") -> Measurement:
    """Measure the machine, and its disk where ``folder`` is, for about ``seconds``. Raises SanjinError where it fails.

    A folder for the run is made below ``folder`` and removed in the end.
    """
    own = Path(tempfile.mkdtemp(prefix="measure-", dir=folder))
    engine = LocalEngine(own, sandbox=sandbox)
    cores = len(os.sched_getaffinity(0))
    words = (str(cores), f"{seconds:g}", str(cache_bytes()))
    program = os.path.abspath(machine_benchmark.__file__)
    order = RunOrder(
        key=KEY, command=(sys.executable, "-I", program, *words), cores=cores, time_limit_s=60 + PATIENCE * seconds
    )
    try:
        report = _run(engine, order)
        output = engine.logs(KEY, "stdout", 0, _OUTPUT_MAX).decode(errors="replace")
        said = engine.logs(KEY, "stderr", 0, _OUTPUT_MAX).decode(errors="replace").strip()
        if report.reason is not EndReason.EXIT or report.exit_status:
            why = report.detail or said.rpartition("\n")[2] or f"exit status {report.exit_status}"
            raise SanjinError(f"this machine was not measured: the run ended with {report.reason}: {why}")
        return measurement_of(json.loads(output), cores, report.sandbox, round(time.time()))
    except ValueError as fault:
        raise SanjinError(f"this machine was not measured: the benchmark's answer cannot be read: {fault}") from fault
    finally:
        engine.close()
        shutil.rmtree(own, ignore_errors=True)


def _run(engine: LocalEngine, order: RunOrder, sleep: Callable[[float], None] = time.sleep) -> RunReport:
    """Run it to its end; an interruption from outside ends it too."""
    try:
        failed = engine.start([order])
        while not (ended := failed or engine.watch()):
            sleep(LOOK_WALL_S)
        return ended[0]
    except BaseException:
        engine.cancel([order.key])
        while not engine.watch():
            sleep(LOOK_WALL_S)
        raise


def measurement_of(found: dict[str, Any], cores: int, sandbox: str, at_s: int) -> Measurement:
    """What the benchmark printed, as a measurement. Raises ValueError where it is none."""
    try:
        values = {Quantity(name): [float(v) for v in each] for name, each in found["values"].items()}
        return Measurement(
            at_s=at_s,
            machine=machine(),
            cores=cores,
            threads=int(found["threads"]),
            blas=str(found["blas"]),
            sandbox=sandbox,
            others_share=float(found["others_share"]),
            samples=tuple(sampled(q, values[q]) for q in Quantity if values.get(q)),
            remarks=tuple(Remark(each) for each in found["remarks"]),
        )
    except (KeyError, TypeError, AttributeError) as fault:
        raise ValueError(f"{type(fault).__name__}: {fault}") from fault


def machine() -> str:
    """Which machine this is: its processor, cores and memory; no name, since others see it."""
    lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    return f"{next(named, os.uname().machine)}, {os.cpu_count()} cores, {memory:.0f} GiB"


def cache_bytes() -> int:
    """The last-level caches of this machine together; 32 MiB where the system does not say."""
    found: dict[str, tuple[int, int]] = {}  # level and size, by the cores that share it
    for index in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cache/index*"):
        try:
            size, level = (index / "size").read_text().strip(), int((index / "level").read_text())
            found[f"{level} {(index / 'shared_cpu_list').read_text()}"] = level, int(size.removesuffix("K")) << 10
        except (OSError, ValueError):
            continue
    last = max((level for level, _ in found.values()), default=0)
    return sum(size for level, size in found.values() if level == last) or 32 << 20
