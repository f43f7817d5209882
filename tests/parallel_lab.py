"""A blocked product of two matrices over four sites of three engines, with losses on the way.

Datong and Changzhi have a Slurm cluster each, Jinzhong has Ray, Taiyuan runs processes and keeps the blocks in its
object store; Yangquan has a second replica. The first half of the product meets killed workers and a
region that is killed and started again, the second an object store that is away and comes again without what it held.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sanjin
from sanjin.adapters.engines.run_limits import descendants, send
from sanjin.adapters.movers.site import SiteMover
from sanjin.adapters.state_folder import StateFolder
from sanjin.cli.engines import kept_engines
from sanjin.cli.store_choice import store_choice
from sanjin.client import Client
from sanjin.model.record import JobRecord
from sanjin.regions.load import bundled
from tests.live import Region
from tests.ray_lab import RayLab
from tests.s3_server import BUCKET, KEY, SECRET, S3Server
from tests.slurm_lab import SlurmLab
from tests.support import until

SLURM, RAY, STORE, REPLICA = ("datong", "changzhi"), "jinzhong", "taiyuan", "yangquan"
HALVES = ("blocks-1", "blocks-2")
DATASET = """  {name}:
    title_en: Blocks of two matrices
    title_zh: 两个矩阵的分块
    owner: public
    grade: general
    size: {{<<: *assumed, value: 0.01, unit: GB}}
    replicas: [{store}, {replica}]
"""
Array = NDArray[np.int64]
Tell = Callable[[str], None]


@dataclass
class Outcome:
    """What came of it. ``jobs`` are the parts by site, ``again`` how many runs and parts were begun once more."""

    product: Array
    serial: Array
    jobs: dict[str, int]
    ends: dict[str, int]
    again: int
    away: str
    """What work that waited for the store said of it."""
    found: list[dict[str, Any]]
    """What ``sanjin data verify`` found then."""
    mended: list[dict[str, Any]]
    """What ``sanjin data repair`` did, and what ``verify`` found after it."""
    whole: list[dict[str, Any]]
    audit: int
    """Exit status of ``sanjin audit verify``."""


@dataclass
class Lab:
    """Real servers, and a region over them that lies below ``folder``."""

    folder: Path
    slurm: dict[str, SlurmLab]
    ray: RayLab
    s3: S3Server
    tell: Tell = field(default=lambda _: None)
    blocks: int = 4
    side: int = 64
    """Rows and columns of a block."""

    def __post_init__(self) -> None:
        self.region = Region(self.folder / "state")
        self.sites = (*self.slurm, RAY, STORE)
        rng = np.random.default_rng(2026)
        whole = self.blocks * self.side
        self.a, self.b = (rng.integers(-1000, 1000, (whole, whole), dtype=np.int64) for _ in range(2))

    def multiply(self) -> Outcome:
        """The product of both matrices, made by the region."""
        self._prepare()
        self._up()
        try:
            with Client.here(self.region.state) as client:
                until(lambda: all(s.parent_reachable for s in client.sites()), "reachable tree", 60)
                first = self._with_workers_lost(client)
                second, away = self._with_the_store_lost(client)
                records = client.jobs(limit=1000).jobs
            found, mended, whole = (self._data(*words) for words in (("verify",), ("repair",), ("verify",)))
            audit = self.region.run("audit", "verify").returncode
        finally:
            self.region.down()
        return Outcome(
            product=first + second,
            serial=self.a @ self.b,
            jobs=dict(Counter(r.site for r in records)),
            ends=dict(Counter(str(r.state) for r in records)),
            again=sum(r.runs - 1 for r in records if r.runs) + len(records) - 2 * 2 * len(self.sites),
            away=away,
            found=found, mended=mended, whole=whole,
            audit=audit,
        )  # fmt: skip

    def _up(self) -> None:
        self.region.up("--region", str(self.folder / "region.yaml"))

    def _prepare(self) -> None:
        """The documents, and the blocks at two sites: in one the store alone has them."""
        text = bundled("shanxi").read_text(encoding="utf-8")
        added = "".join(DATASET.format(name=name, store=STORE, replica=REPLICA) for name in HALVES)
        before, at, after = text.partition("\ndatasets:\n")
        assert at, "the region document has changed: where are its datasets?"
        (self.folder / "region.yaml").write_text(before + at + added + after, encoding="utf-8")
        keys = self.folder / "keys"
        keys.touch(mode=0o600)
        keys.write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
        shared, bucket = f"folder: {self.folder}/shared", f"endpoint: '{self.s3.url}', bucket: {BUCKET}"
        rows = [f"  {site}: {{engine: slurm, {shared}, conf: {lab.settings.conf}}}" for site, lab in self.slurm.items()]
        ray = f"address: '{self.ray.address}', token_file: {self.ray.token_file}"
        rows += [f"  {RAY}: {{engine: ray, {shared}, {ray}}}"]
        rows += [f"  {STORE}: {{engine: local, store: {{kind: s3, {bucket}, prefix: matrix, credentials: {keys}}}}}"]
        document = self.folder / "engines.yaml"
        document.write_text("\n".join(["engines:", *rows, ""]))
        done = self.region.run("engines", "set", str(document))
        assert done.returncode == 0, done.stderr
        state = self.region.state
        objects = store_choice(kept_engines(StateFolder(state)), ())
        half = self.blocks * self.side // 2
        for name, columns in zip(HALVES, (slice(0, half), slice(half, None)), strict=True):
            files: dict[str, bytes] = {}
            for n in range(self.blocks):
                rows_of = slice(n * self.side, (n + 1) * self.side)
                files[f"a{n}"], files[f"b{n}"] = self.a[rows_of, columns].tobytes(), self.b[columns, rows_of].tobytes()
            for site in (STORE, REPLICA):
                SiteMover(state, site, objects).put(name, files)
            shutil.rmtree(state / STORE / "data" / name)

    def _map(self, client: Client, half: str, gate: bool) -> Array:
        """The half of the product that one dataset makes, its blocks shared out over all sites, two parts at each."""
        side, blocks = self.side, self.blocks

        def block(place: tuple[int, int]) -> Any:
            import os
            import time
            from pathlib import Path

            import numpy as np

            while gate and not Path(os.environ["SANJIN_OUTPUTS"], "go-on").exists():
                time.sleep(0.02)
            folder = Path(os.environ["SANJIN_INPUTS"], half)
            a = np.frombuffer((folder / f"a{place[0]}").read_bytes(), np.int64).reshape(side, -1)
            b = np.frombuffer((folder / f"b{place[1]}").read_bytes(), np.int64).reshape(-1, side)
            return a @ b

        places = [(i, j) for i in range(blocks) for j in range(blocks)]
        found = sanjin.map(
            block, places, parts=2 * len(self.sites), sites=self.sites, client=client, inputs=(half,), duration_s=120,
            memory_bytes=512 << 20, timeout_s=600,
        )  # fmt: skip
        return np.block([[found[i * blocks + j] for j in range(blocks)] for i in range(blocks)])

    def _with_workers_lost(self, client: Client) -> Array:
        """The first half. Once every site works: a run is killed with its supervisor, one without, and the region."""
        found = _Later(lambda: self._map(client, HALVES[0], gate=True))
        until(lambda: found.over() or all(self._runs(site) for site in self.sites), "work at every site", 120)
        for site, all_of_it in ((STORE, True), (next(iter(self.slurm)), False)):
            run = self._runs(site)[0]
            supervisor = int((run / "started").read_text().split()[0])
            below = descendants(supervisor)
            assert below, f"{site}: nothing runs"
            send([supervisor, *below] if all_of_it else below, signal.SIGKILL)
            self.tell(f"killed {len(below) + all_of_it} processes of {run.name} at {site}")
        self.region.down(signal.SIGKILL)
        self.tell("killed the region, with all its nodes")
        self._up()
        self.tell("started it again")
        while not found.over():
            for run in (run for site in self.sites for run in self._runs(site)):
                (run / "outputs" / "go-on").touch()
            found.wait(0.05)
        self.tell("the first half is there")
        return found.result()

    def _with_the_store_lost(self, client: Client) -> tuple[Array, str]:
        """The second half, begun while the store is away; it comes again and has lost what it held."""
        self.s3.stop()
        self.tell(f"the object store of {STORE} was killed")
        found = _Later(lambda: self._map(client, HALVES[1], gate=False))
        away: list[JobRecord] = []

        def said() -> bool:
            away[:] = [r for r in client.jobs(limit=1000).jobs if r.reason == "input_away"]
            return bool(away) or found.over()

        until(said, "word of a store that is away", 120)
        assert away, found.result()
        self.tell(f"{away[0].id} waits: {away[0].detail}")
        self.s3.lose_volumes()
        self.tell("the store was started again, without its volumes")
        found.wait(600)
        self.tell("the second half is there")
        return found.result(), away[0].detail

    def _runs(self, site: str) -> list[Path]:
        """Folders of the runs that have begun at a site and not ended."""
        engines = [self.folder / "shared" / site, self.region.state / site / "engine"]
        found = [run for engine in engines for run in (engine / "runs").glob("*") if (run / "started").exists()]
        ended = {path.stem for engine in engines for path in (engine / "ended").glob("*.json")}
        return [r for r in found if r.name not in ended and not (r / "result.json").exists() and _lives(r)]

    def _data(self, *words: str) -> list[dict[str, Any]]:
        """What a command of ``sanjin data`` says of both datasets."""
        done = self.region.run("data", *words, "--output", "json")
        found = json.loads(done.stdout)
        self.tell(f"sanjin data {' '.join(words)}: exit {done.returncode}: {dict(Counter(r['state'] for r in found))}")
        return [r for r in found if r["dataset"] in HALVES]


class _Later:
    """A call in a thread."""

    def __init__(self, call: Callable[[], Array]) -> None:
        self._value: Array | BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self._thread.start()

    def _run(self, call: Callable[[], Array]) -> None:
        try:
            self._value = call()
        except BaseException as fault:
            self._value = fault

    def over(self) -> bool:
        return not self._thread.is_alive()

    def wait(self, within_s: float) -> None:
        self._thread.join(within_s)

    def result(self) -> Array:
        assert self.over(), "it is not over"
        if isinstance(self._value, BaseException):
            raise self._value
        assert self._value is not None
        return self._value


def _lives(run: Path) -> bool:
    words = (run / "started").read_text().split()
    return bool(words) and os.path.exists(f"/proc/{words[0]}")
