"""The cards of a run that asks for accelerators: their device files, and the variables that say which they are.

Part of the supervisor (:mod:`sanjin.adapters.engines.local_runner`), copied beside it: standard library alone. A
cluster's engine says which cards it gives a task (``CUDA_VISIBLE_DEVICES`` and the like). On a machine without one the
supervisor takes cards that no other has: each is held by a name that the kernel gives one process alone, and takes back
when that ends. In a sandbox a run finds the files of these cards and no others.

A process counts the cards that it can open, from 0; so where it can open its own alone, numbers begin at 0, whatever
the engine called them. Identifiers (``GPU-...``) stay as they are.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_PATIENCE_S = 5.0
DEV = "/dev"
PROC = "/proc/driver/nvidia/gpus"
_NVIDIA = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
_RENDER = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ZE_AFFINITY_MASK")
_REAL = "SLURM_JOB_GPUS"  # numbers on the machine, where Slurm counts anew those that it lets a job open
_SHARED = {"nvidia": ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"), "render": ("kfd",)}
"""What work with any card of a kind opens besides."""


class Cards:
    """What a run is given: ``files`` with their names in a sandbox, and variables. ``at_once``: for how many processes
    at once it is enough."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.files: dict[str, str] = {}
        self.variables: dict[str, str] = {}
        self._held: dict[str, socket.socket] = {}

    def take(self, each: int, gang: bool, environment: Mapping[str, str], apart: bool) -> None:
        """Find ``each`` cards for every process that runs at once; of a gang all, of others as many as there are for.

        ``apart``: the run can open no other device files. ``OSError`` where there are too few, or where an engine
        does not say which.
        """
        if each < 1:
            return
        told = {name: environment[name] for name in (*_NVIDIA, *_RENDER) if environment.get(name)}
        if told:
            kind = "nvidia" if any(name in told for name in _NVIDIA) else "render"
            found = _named(kind, told, environment.get(_REAL, "")) if apart else []
        elif "SANJIN_BATCH" in environment:
            if apart:
                raise OSError(errno.ENODEV, "the cluster does not say which cards it gives")
            return
        else:
            kind, found = self._free(each * self.at_once, each * (self.at_once if gang else 1))
            told = {name: "" for name in ((_NVIDIA if kind == "nvidia" else _RENDER)[:1] if found else ())}
            self.at_once = min(self.at_once, len(found) // each) if found else self.at_once
        shared = [name for name in _SHARED[kind] if found and os.path.exists(f"{DEV}/{name}")]
        self.files = {f"{DEV}/{name}": f"/dev/{name}" for name in (*found, *shared)}
        for name, value in told.items():
            counted = apart and re.fullmatch(r"[\d,\s-]+", value or "0")
            numbers = [str(n) if apart else re.sub(r"\D", "", found[n]) for n in range(len(found))]
            self.variables[name] = ",".join(numbers) if counted or not value else value
        if "CUDA_VISIBLE_DEVICES" in self.variables:
            self.variables["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # as device files are numbered

    def _free(self, wanted: int, least: int) -> tuple[str, list[str]]:
        """Cards of this machine that nobody has, held from now on; none where the machine has none."""
        kind, there = "nvidia", present("nvidia")
        if not there:
            kind, there = "render", present("render")
        return (kind, self._hold_some(there, wanted, least)) if there else (kind, [])

    def _hold_some(self, there: list[str], wanted: int, least: int) -> list[str]:
        """Hold so many of these; none where fewer than ``least`` are free."""
        until = time.monotonic() + _PATIENCE_S
        while (turn := _hold("cards")) is None:  # one after the other: two that look must not have one card each
            if time.monotonic() > until:
                raise OSError(errno.EBUSY, "the cards of this machine are being given out")
            time.sleep(0.01)
        with turn:
            for name in there:
                if len(self._held) < wanted and (held := _hold(name)) is not None:
                    self._held[name] = held
            if len(self._held) < least:
                free = len(self._held)
                while self._held:
                    self._held.popitem()[1].close()
                raise OSError(errno.EBUSY, f"asks for {least} cards at once, of which {free} are free here")
        return list(self._held)


def _hold(name: str) -> socket.socket | None:
    """What has this name until it is closed, or its process ends; None where another has it."""
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        held.bind(f"\0sanjin-{DEV}/{name}")
    except OSError:
        held.close()
        return None
    return held


def present(kind: str) -> list[str]:
    """The cards of this machine, as names below ``/dev``, by number."""
    folder, form = ("", r"nvidia\d+") if kind == "nvidia" else ("dri/", r"renderD\d+")
    try:
        names = [name for name in os.listdir(f"{DEV}/{folder}") if re.fullmatch(form, name)]
    except OSError:
        return []
    return [folder + name for name in sorted(names, key=lambda name: int(re.sub(r"\D", "", name)))]


def _named(kind: str, told: dict[str, str], real: str) -> list[str]:
    """The device files of the cards that an engine names."""
    there, listed = present(kind), real or next(iter(told.values()))
    found: list[str] = []
    for word in filter(None, re.split(r"[,\s]+", listed)):
        if numbers := re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", word, re.ASCII):
            for number in range(int(numbers[1]), int(numbers[2] or numbers[1]) + 1):
                name = f"nvidia{number}" if kind == "nvidia" else (there[number] if number < len(there) else "")
                found.append(name)
        else:
            found.append(_by_identifier(word))
    missing = [name for name in found if name not in there]
    if missing or not found:
        raise OSError(errno.ENODEV, f"no device files of the cards {listed!r} that the engine gives")
    return found


def _by_identifier(identifier: str) -> str:
    """The device file of the card with this UUID, as the driver tells it; empty where it tells of none."""
    try:
        for bus in os.listdir(PROC):
            with open(f"{PROC}/{bus}/information") as file:
                about = dict(line.split(":", 1) for line in file if ":" in line)
            if about.get("GPU UUID", "").strip() == identifier:
                return "nvidia" + about.get("Device Minor", "").strip()
    except OSError:
        pass
    return ""
