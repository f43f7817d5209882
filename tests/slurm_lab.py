"""A real Slurm cluster on this machine: its own munge, controller and some slurmd, all under one folder."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sanjin.model.engines import EngineSettings
from tests.support import free_ports, give_up, needs, until

MACHINE_CORES, MACHINE_MIB, MACHINE_CARDS = 16, 32_000, 4

CONF = """
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/sock
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MessageTimeout=10
ReturnToService=2
SlurmdTimeout=10
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MinJobAge=30
KillWait=2
MaxJobCount=100000
SlurmdParameters=config_overrides
JobCompType=jobcomp/none
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
GresTypes=npu
"""


class SlurmLab:
    """``start`` brings the cluster up; ``settings`` say how to reach it. Root only."""

    def __init__(self, folder: Path, machines: int = 2) -> None:
        if os.geteuid() != 0:
            give_up("a Slurm cluster is made by root")
        for program in ("munged", "slurmctld", "slurmd", "sbatch"):
            needs(program)
        self.folder = folder
        self.machines = [f"n{i}" for i in range(machines)]
        self.settings = EngineSettings(conf=str(folder / "slurm.conf"))
        self._environment = {**os.environ, "SLURM_CONF": self.settings.conf}
        self._munge: subprocess.Popen[bytes] | None = None
        self._rest: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Bring up all of it, and wait until its machines are idle."""
        for name in ("state", "log", "spool", "munge"):
            (self.folder / name).mkdir(parents=True)
        key = self.folder / "munge" / "key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        ports = free_ports(1 + len(self.machines))
        host = socket.gethostname().partition(".")[0]
        lines = [CONF.format(name=f"lab{ports[0]}", host=host, port=ports[0], folder=self.folder)]
        for machine, port in zip(self.machines, ports[1:], strict=True):
            (self.folder / "spool" / machine).mkdir()
            lines.append(
                f"NodeName={machine} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={MACHINE_CORES} "
                f"RealMemory={MACHINE_MIB} Gres=npu:910b:{MACHINE_CARDS}"
            )
        lines.append("PartitionName=batch Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1")
        lines.append("PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10\n")
        cards = [f"NodeName={machine} Name=npu Type=910b Count={MACHINE_CARDS}\n" for machine in self.machines]
        (self.folder / "gres.conf").write_text("".join(cards))
        (self.folder / "slurm.conf").write_text("\n".join(lines))
        (self.folder / "cgroup.conf").write_text("")
        folder = self.folder / "munge"
        words = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/sock"]
        words += [f"--pid-file={folder}/pid", f"--log-file={folder}/log", f"--seed-file={folder}/seed"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._munge = subprocess.Popen(words, **quiet)
        until((folder / "sock").exists, "munge socket")
        self.start_controller("-c")
        for machine in self.machines:
            self.start_machine(machine)
        until(self.idle, "idle machines", 60)

    def start_controller(self, *options: str) -> None:
        """Start the controller; it goes on from its state, unless ``-c`` is given."""
        subprocess.run(["slurmctld", *options], check=True, env=self._environment, capture_output=True)

    def start_machine(self, machine: str) -> None:
        """Start a machine's daemon."""
        subprocess.run(["slurmd", "-N", machine], check=True, env=self._environment, capture_output=True)

    def start_rest(self) -> EngineSettings:
        """Start slurmrestd on a unix socket, where it is not there yet; how to reach the cluster through it."""
        socket = self.folder / "rest.sock"
        if self._rest is None or self._rest.poll() is not None:
            program = needs("slurmrestd")
            socket.unlink(missing_ok=True)
            words = [program, "-s", "openapi/v0.0.38", "-a", "rest_auth/local", f"unix:{socket}"]
            environment = {**self._environment, "SLURMRESTD_SECURITY": "disable_user_check"}  # it refuses root
            self._rest = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL)
            until(socket.exists, "socket of slurmrestd")
        return replace(self.settings, rest=f"unix:{socket}")

    def kill_rest(self) -> None:
        """End slurmrestd, and wait until it is gone."""
        if self._rest is not None:
            self._rest.kill()
            self._rest.wait()

    def kill_controller(self, number: int = signal.SIGKILL) -> None:
        """End the controller, and wait until it is gone."""
        self._kill("slurmctld.pid", number)

    @contextmanager
    def without_controller(self) -> Iterator[None]:
        """The controller is killed, and goes on from its state at the end, whatever came of it."""
        self.kill_controller()
        try:
            yield
        finally:
            self.start_controller()

    def say(self, *words: str) -> str:
        """What a command of Slurm answers."""
        done = subprocess.run(words, check=True, env=self._environment, capture_output=True, text=True, timeout=60)
        return done.stdout

    def idle(self) -> bool:
        """Whether all machines can take work."""
        try:
            return set(self.say("sinfo", "--noheader", "--Node", "--format=%T").split()) <= {"idle", "mixed"}
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return False

    def stop(self) -> None:
        """End all of it."""
        self.kill_rest()
        self._kill("slurmctld.pid", signal.SIGKILL)
        for machine in self.machines:
            self._kill(f"slurmd-{machine}.pid", signal.SIGKILL)
        for pid in _processes(f"slurmstepd: .*|.*{re.escape(str(self.folder))}"):
            _end(pid, signal.SIGKILL)
        if self._munge is not None:
            self._munge.terminate()
            self._munge.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kill(self, name: str, number: int) -> None:
        try:
            pid = int((self.folder / name).read_text())
        except (OSError, ValueError):
            return
        _end(pid, number)
        end = time.monotonic() + 20
        while _lives(pid) and time.monotonic() < end:
            time.sleep(0.02)
        (self.folder / name).unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    """Whether a process is there, and not only until somebody asks how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _end(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _processes(pattern: str) -> list[int]:
    """Process ids whose command line matches, of this lab alone where the folder is in it."""
    found: list[int] = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if re.match(pattern, line) and int(name) != os.getpid():
            found.append(int(name))
    return found


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmLab]:
    """A cluster of two machines."""
    cluster = SlurmLab(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
