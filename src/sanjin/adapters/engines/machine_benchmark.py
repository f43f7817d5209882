"""The benchmark of one machine: a program of its own, which needs numpy alone and prints one line of JSON.

It runs as a job does, confined, in the job's scratch folder (:mod:`sanjin.adapters.engines.measuring` starts it). Each
quantity is tried once to warm up, then repeated for its share of the time, three times at least; every repetition is
told, so that whoever reads it sees how they scatter. Rates have decimal prefixes.

- Arithmetic: ``c = a b`` of square matrices, 2 n^3 operations, n doubled until one product takes a tenth of a second.
- Memory: the triad ``a = b + s c`` as numpy does it, in two passes that move five arrays (STREAM's single pass moves
  three; https://www.cs.virginia.edu/stream/ref.html), one thread a core, each array at least four times the caches.
  As in STREAM the lines that a store first fetches are not counted.
- Disk: a file of incompressible bytes written in order and made durable (fsync); then read in order after the kernel
  was asked to forget it. What was still in memory is no figure of the disk and is not told.
"""

from __future__ import annotations

import ctypes
import json
import math
import mmap
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

LEAST_RUNS, MOST_RUNS = 3, 200
PRODUCT_S = 0.1
"""How long one product of matrices takes at least, so that threads have enough to do."""
SIDES = (512, 8192)
"""Least and greatest side of the matrices; the greatest takes 1.6 GB in FP64."""
CACHES = 4
"""An array is so many times the last-level caches together: STREAM's rule."""
MEMORY_SHARE = 4
"""The three arrays of the triad take at most one part in so many of the memory that is available."""
FILE_BYTES = 64 << 20
PIECE_BYTES = 4 << 20
CACHED_MOST = 0.05
"""More of a file than this in memory: its reading does not tell of the disk."""

SHARES = {"fp64_core": 0.25, "fp32_core": 0.2, "memory_bandwidth": 0.2, "disk_write": 0.2, "disk_read": 0.15}
"""How the time is divided."""


def repeated(work: Callable[[], float], seconds: float, clock: Callable[[], float]) -> list[float]:
    """Rates of ``work``, which does it once and returns how much that was: as often as ``seconds`` allow, after one
    time that does not count."""
    work()
    rates: list[float] = []
    until = clock() + seconds
    while len(rates) < MOST_RUNS and (len(rates) < LEAST_RUNS or clock() < until):
        began = clock()
        amount = work()
        rates.append(amount / max(clock() - began, 1e-9))
    return rates


def products(kind: str, cores: int, seconds: float, clock: Callable[[], float]) -> list[float]:
    """GFLOP/s a core of matrix products in ``float64`` or ``float32``."""
    import numpy as np

    side = SIDES[0]
    while True:
        random = np.random.default_rng(side)
        a, b = (random.random((side, side)).astype(kind) for _ in range(2))
        c = np.empty_like(a)
        np.matmul(a, b, out=c)
        began = clock()
        np.matmul(a, b, out=c)
        if clock() - began >= PRODUCT_S or side >= SIDES[1]:
            break
        side *= 2

    def work() -> float:
        np.matmul(a, b, out=c)
        return 2.0 * side**3 / 1e9 / cores

    return repeated(work, seconds, clock)


def triad(cores: int, array_bytes: int, seconds: float, clock: Callable[[], float]) -> list[float]:
    """GB/s of the triad over arrays of this size, a thread a core."""
    import numpy as np

    count = array_bytes // 8
    a, b, c = np.zeros(count), np.full(count, 2.0), np.full(count, 0.5)
    cuts = [count * n // cores for n in range(cores + 1)]

    def part(n: int) -> None:
        mine = slice(cuts[n], cuts[n + 1])
        np.multiply(c[mine], 3.0, out=a[mine])
        np.add(a[mine], b[mine], out=a[mine])

    with ThreadPoolExecutor(cores) as threads:

        def work() -> float:
            list(threads.map(part, range(cores)))
            return 5 * 8 * count / 1e9

        return repeated(work, seconds, clock)


def writes(path: str, seconds: float, clock: Callable[[], float]) -> list[float]:
    """MB/s of writing a file in order and making it durable."""
    piece = os.urandom(PIECE_BYTES)

    def work() -> float:
        with open(path, "wb", buffering=0) as file:
            for _ in range(FILE_BYTES // PIECE_BYTES):
                file.write(piece)
            os.fsync(file.fileno())
        return FILE_BYTES / 1e6

    return repeated(work, seconds, clock)


def reads(path: str, seconds: float, clock: Callable[[], float]) -> list[float]:
    """MB/s of reading the file in order from the disk; empty where the kernel keeps it in memory all the same."""
    cached = 0.0

    def work() -> float:
        with open(path, "rb", buffering=0) as file:
            while file.read(PIECE_BYTES):
                pass
        return FILE_BYTES / 1e6

    rates: list[float] = []
    until = clock() + seconds
    while len(rates) < MOST_RUNS and (len(rates) < LEAST_RUNS or clock() < until):
        _forget(path)
        cached = max(cached, _cached(path))
        if cached > CACHED_MOST:
            return []
        began = clock()
        rates.append(work() / max(clock() - began, 1e-9))
    return rates


def _forget(path: str) -> None:
    with open(path, "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _cached(path: str) -> float:
    """The share of a file that is in memory (mincore); 1 where the system does not say."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as held:
        pages = -(-len(held) // mmap.PAGESIZE)
        found = (ctypes.c_ubyte * pages)()
        window = ctypes.c_char.from_buffer(held)
        try:
            address = ctypes.c_void_p(ctypes.addressof(window))
            if ctypes.CDLL(None).mincore(address, ctypes.c_size_t(len(held)), found):
                return 1.0
            return sum(each & 1 for each in found) / pages
        finally:
            del window  # else the mapping cannot be closed


def blas() -> tuple[str, int]:
    """Which library multiplies matrices, and with how many threads (0: it does not say)."""
    import numpy as np

    shown: Any = np.show_config(mode="dicts")
    built: dict[str, Any] = shown.get("Build Dependencies", {}).get("blas", {})
    name = f"{built.get('name', 'unknown')} {built.get('version', '')}".strip()
    with open("/proc/self/maps") as maps:
        paths = {line.split(maxsplit=5)[-1].strip() for line in maps if "openblas" in line}
    for path in sorted(paths):
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for form in ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}"):
            ask = getattr(library, form.format("get_num_threads"), None)
            core = getattr(library, form.format("get_corename"), None)
            if ask is not None and core is not None:
                core.restype = ctypes.c_char_p
                return f"{name} ({core().decode()})", int(ask())
    return name, int(os.environ.get("OMP_NUM_THREADS", "0"))


def used() -> tuple[float, float]:
    """Processor seconds that the whole machine has spent since it came up: at work, and in all."""
    with open("/proc/stat") as file:
        ticks = [int(each) for each in file.readline().split()[1:9]]
    unit = os.sysconf("SC_CLK_TCK")
    idle = ticks[3] + ticks[4]  # idle and waiting for a disk; the last of the eight is stolen by other guests
    return (sum(ticks) - idle) / unit, sum(ticks) / unit


def available_bytes() -> int:
    """Memory that can be taken without swapping."""
    with open("/proc/meminfo") as file:
        found = next((line for line in file if line.startswith("MemAvailable")), "MemAvailable: 1048576 kB")
    return int(found.split()[1]) * 1024


def main(arguments: list[str]) -> None:
    """``machine_benchmark.py CORES SECONDS CACHE_BYTES``: print what was found as one line of JSON."""
    cores, seconds, cache_bytes = int(arguments[0]), float(arguments[1]), int(arguments[2])
    clock, path = time.perf_counter, os.path.abspath("benchmark.bin")
    busy, whole = used()
    wanted = max(CACHES * cache_bytes, 64 << 20)
    array_bytes = min(wanted, available_bytes() // MEMORY_SHARE // 3)
    told: list[str] = []  # of sanjin.model.performance.Remark
    if array_bytes < wanted:
        told.append("small_arrays")
    try:
        values = {
            "fp64_core": products("float64", cores, SHARES["fp64_core"] * seconds, clock),
            "fp32_core": products("float32", cores, SHARES["fp32_core"] * seconds, clock),
            "memory_bandwidth": triad(cores, array_bytes, SHARES["memory_bandwidth"] * seconds, clock),
            "disk_write": writes(path, SHARES["disk_write"] * seconds, clock),
            "disk_read": reads(path, SHARES["disk_read"] * seconds, clock),
        }
    finally:
        if os.path.exists(path):
            os.unlink(path)
    if not values["disk_read"]:
        told.append("cached_file")
    after, over = used()
    spent = os.times()
    others = (after - busy) - (spent.user + spent.system)
    name, threads = blas()
    share = min(max(others / max(over - whole, 1e-9), 0.0), 1.0)
    found = {"values": values, "blas": name, "threads": threads, "others_share": round(share, 4), "remarks": told}
    assert all(math.isfinite(v) for each in values.values() for v in each)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
