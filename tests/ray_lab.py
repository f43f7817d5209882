"""A real Ray cluster on this machine: a head that runs nothing and some machines, in a network namespace of its own.

Outside of one, Ray turns 127.0.0.1 into the machine's outward address and listens there. A door leads from a port of
this machine's loopback to the dashboard.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from sanjin.model.engines import EngineKind, EngineSettings
from tests.support import give_up, needs, until

MACHINE_CORES, MACHINE_MIB = 8, 16_000
START_S = 300.0
"""Seconds that Ray may take to start: on two busy cores the whole takes half a minute or more."""

DOOR = """
import asyncio, socket, sys
async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
async def enter(reader, writer):
    try:
        inner = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    except OSError:
        writer.close()
        return
    await asyncio.gather(copy(reader, inner[1]), copy(inner[0], writer))
async def main():
    server = await asyncio.start_server(enter, sock=socket.socket(fileno=int(sys.argv[1])))
    await server.serve_forever()
asyncio.run(main())
"""


class RayLab:
    """``start`` brings the cluster up; ``settings`` say how to reach it. Root only."""

    def __init__(self, folder: Path, machines: int = 2) -> None:
        if os.geteuid() != 0:
            give_up("a Ray cluster in a network of its own is made by root")
        needs("ip")
        for name in ("ray", "aiohttp", "grpc"):  # without the latter two it has no dashboard
            if importlib.util.find_spec(name) is None:
                give_up("needs Ray with its dashboard: pip install 'ray[default]'")
        self.machines = [f"w{n}" for n in range(machines)]
        self.folder = folder
        self.token_file = folder / "token"
        self._ray = str(Path(sys.executable).with_name("ray"))
        self._space = f"ray-{os.getpid()}"
        # Ray looks for others by the address that their processes name, in all of the machine
        self._port = 20_000 + os.getpid() % 10_000
        self._inside = ["ip", "netns", "exec", self._space]
        self._temporary = Path(tempfile.mkdtemp(prefix="ray"))  # short: the path of a socket has 107 bytes at most
        self._environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token_file), "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_raylet_start_wait_time_s": f"{START_S:.0f}", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "RAY_health_check_initial_delay_ms": "2000", "RAY_health_check_period_ms": "1000",
        }  # fmt: skip
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        self.settings = EngineSettings(engine=EngineKind.RAY, address=self.address, token_file=str(self.token_file))

    def start(self) -> None:
        """Bring up all of it, and wait until its machines can take work."""
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(secrets.token_hex(32))
        subprocess.run(["ip", "netns", "add", self._space], check=True)
        subprocess.run(["ip", "-n", self._space, "link", "set", "lo", "up"], check=True)
        fd = str(self._door.fileno())
        subprocess.Popen([*self._inside, sys.executable, "-c", DOOR, fd, "8265"], pass_fds=[self._door.fileno()])
        self._start(
            "head", "--head", f"--port={self._port}", "--num-cpus=0", "--num-gpus=0", "--memory=1000000000",
            "--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--temp-dir={self._temporary}",
        )  # fmt: skip
        for machine in self.machines:  # two that start at once get in each other's way
            self.start_machine(machine)

    def start_machine(self, machine: str) -> None:
        """Start a machine, and wait until it can take work."""
        self._start(
            machine, f"--address=127.0.0.1:{self._port}", f"--num-cpus={MACHINE_CORES}", "--num-gpus=0",
            f"--memory={MACHINE_MIB << 20}",
        )  # fmt: skip
        until(lambda: machine in self.alive(), f"machine {machine}", START_S)

    def _start(self, name: str, *words: str) -> None:
        command = [*self._inside, self._ray, "start", f"--node-name={name}", "--node-ip-address=127.0.0.1", *words]
        command += ["--object-store-memory=100000000", "--disable-usage-stats", "--include-log-monitor=false"]
        log = self.folder / f"{name}.log"  # a pipe would stay open as long as Ray lives
        with log.open("wb") as file:
            code = subprocess.run(
                command, check=False, stdout=file, stderr=file, env=self._environment, cwd="/", timeout=START_S
            ).returncode
        if code:
            pytest.fail(f"Ray did not start: {log.read_text(errors='replace')[-2000:]}")

    def ask(self, path: str, method: str = "GET", timeout_s: float = 30.0) -> httpx.Response:
        """What the dashboard answers."""
        headers = {"Authorization": f"Bearer {self.token_file.read_text()}"}
        return httpx.request(method, f"{self.address}{path}", headers=headers, timeout=timeout_s, trust_env=False)

    def jobs(self, *statuses: str) -> list[str]:
        """The jobs of these statuses, or all that were submitted."""
        found = [job for job in self.ask("/api/jobs/").json() if job["type"] == "SUBMISSION"]
        return [job["submission_id"] for job in found if not statuses or job["status"] in statuses]

    def alive(self) -> list[str]:
        """The machines that live, by name."""
        try:
            found = self.ask("/api/v0/nodes?detail=true").json()["data"]["result"]["result"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return []
        return [node["node_name"] for node in found if node["state"] == "ALIVE" and not node["is_head_node"]]

    def processes(self, *words: str) -> list[int]:
        """Process ids in this cluster whose command line has all these words."""
        found: list[int] = []
        said = subprocess.run(["ip", "netns", "pids", self._space], check=False, capture_output=True, text=True).stdout
        for pid in map(int, said.split()):
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if all(word in line for word in words):
                found.append(pid)
        return found

    def kill_dashboard(self) -> Callable[[], None]:
        """Kill the dashboard. What starts it again, and waits until it answers."""
        (pid,) = self.processes("dashboard/dashboard.py")
        command = [part.decode() for part in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") if part]
        variables = [part.decode() for part in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if part]
        environment = {name: value for name, _, value in (part.partition("=") for part in variables)}
        os.kill(pid, signal.SIGKILL)
        until(lambda: not self.processes("dashboard-JobHead"), "end of its parts", 60)

        def again() -> None:
            with (self.folder / "dashboard.log").open("wb") as log:
                subprocess.Popen([*self._inside, *command], stdout=log, stderr=log, env=environment, cwd="/")
            until(lambda: len(self.alive()) == len(self.machines), "a dashboard", START_S)

        return again

    def kill_machine(self, machine: str) -> None:
        """Kill Ray's own process of a machine: what else it has there ends with it."""
        (pid,) = self.processes("raylet/raylet ", f"--node-name={machine}")
        os.kill(pid, signal.SIGKILL)
        until(lambda: machine not in self.alive(), f"loss of {machine}", 60)

    def stop(self) -> None:
        """End all of it."""
        self._door.close()
        end = time.monotonic() + 30
        while (left := self.processes()) and time.monotonic() < end:
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.1)
        subprocess.run(["ip", "netns", "del", self._space], check=False, capture_output=True)
        shutil.rmtree(self._temporary, ignore_errors=True)


@pytest.fixture(scope="session")
def ray_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayLab]:
    """A cluster of two machines."""
    cluster = RayLab(tmp_path_factory.mktemp("ray"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
