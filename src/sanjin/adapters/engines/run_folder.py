"""The files of the runs of one site: who is known, who lives, what became of them.

Every name under the engine's folder is made here. ``runs/<key>/`` belongs to one run, ``ended/``
holds one result a run until it is forgotten, when the result moves to the run's own folder.
``checkpoints/<name>/`` belongs to all runs that name it, one after the other. ``removed/`` has the
results of runs whose folders are gone, so that none is ever begun again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import py_compile
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from sanjin.adapters.engines import local_runner, run_outputs
from sanjin.adapters.files import sync_folder
from sanjin.model.data import DataFile, LeftOut, LeftOutWhy, RunOutputs
from sanjin.model.errors import NotFound, StoreFailed
from sanjin.ports import EndReason, RunOrder, RunReport, RunState, Usage

_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_RESULT_SPACE = 4096
_PATIENCE_S = 2.0
_LOG_READ_MAX = 16 << 20
_INDEX_MAX = 128 << 20
_INDEXES_KEPT = 4
INSIDE = ("bwrap", "apptainer")
"""Kinds of confinement in which a run has a file system of its own, and sees its folders below ``/job``."""
PROGRAMS = {
    name: str(Path(__file__).with_name(f"{file}.py"))
    for name, file in (
        ("run_limits", "run_limits"), ("run_landlock", "run_landlock"), ("run_outputs", "run_outputs"),
        ("run_checkpoint", "run_checkpoint"), ("run_cards", "run_cards"), ("run_gang", "run_gang"),
        ("run_launcher", "run_launcher"), ("supervisor", "local_runner"),
    )
}  # fmt: skip
"""What a supervisor is made of, by the names in the engine's folder: what it looks for beside itself, and it."""


class Refused(Exception):
    """A run that cannot be started; the text says why."""


def valid_name(name: str) -> bool:
    """Whether this may name a run, an input or a checkpoint: 1 to 100 of ``A-Za-z0-9._-``, and no ``.`` or ``..``."""
    return _NAME.fullmatch(name) is not None and name not in (".", "..")


def check(order: RunOrder) -> None:
    """Refuse an order that names things badly, before anything is made for it."""
    if not valid_name(order.key):
        raise Refused(f"key {order.key!r} is not 1 to 100 of A-Z a-z 0-9 . _ -")
    if not order.command or not order.command[0]:
        raise Refused("the command is empty")
    try:
        text = b"".join(map(os.fsencode, [*order.command, *order.environment, *order.environment.values()]))
    except UnicodeEncodeError:
        raise Refused("the command or environment holds a character that cannot be passed on") from None
    if b"\0" in text:
        raise Refused("the command or environment holds a zero byte")
    for name in order.environment:
        if not name or "=" in name:
            raise Refused(f"environment variable {name!r} cannot be set")
    for name, path in order.inputs.items():
        if not valid_name(name):
            raise Refused(f"input name {name!r} is not 1 to 100 of A-Z a-z 0-9 . _ -")
        if not os.path.exists(path):
            raise Refused(f"input {name} is not at this site: {path}")
    _check_shape(order)


def _check_shape(order: RunOrder) -> None:
    if order.checkpoint and not valid_name(order.checkpoint):
        raise Refused(f"checkpoint {order.checkpoint!r} is not 1 to 100 of A-Z a-z 0-9 . _ -")
    if not 0 <= order.stop_grace_s < float("inf"):
        raise Refused(f"the grace of a stop is {order.stop_grace_s} seconds, not 0 or more")
    if order.nodes < 1 or order.parallel < 1:
        raise Refused(f"{order.nodes} nodes and {order.parallel} members at once: each must be 1 or more")
    if order.members < 0 or order.first_member < 0:
        raise Refused(f"{order.members} members from index {order.first_member}: each must be 0 or more")
    if order.nodes > 1 and order.members > 0:
        raise Refused("a run is a gang of several nodes or a part of an array, not both")


def not_started(key: str, why: str) -> RunReport:
    """The report of a run that could not be started."""
    now = time.time()
    return RunReport(
        key=key,
        state=RunState.ENDED,
        reason=EndReason.NOT_STARTED,
        exit_status=126,
        started_at=now,
        ended_at=now,
        detail=why,
    )


def result_of(report: RunReport) -> dict[str, object]:
    """A report as it is written, in the form that the supervisor writes too."""
    return {
        "key": report.key,
        "reason": report.reason,
        "exit_status": report.exit_status,
        "signal": report.signal,
        "started_at": report.started_at,
        "ended_at": report.ended_at,
        "wall_s": report.usage.wall_s,
        "cpu_s": report.usage.cpu_s,
        "memory_peak_bytes": report.usage.memory_peak_bytes,
        "busy_s": report.usage.busy_s,
        "sandbox": report.sandbox,
        "detail": report.detail,
        "members_done": report.members_done,
        "members_failed": report.members_failed,
    }


def _report_of(key: str, text: bytes) -> RunReport:
    try:
        read: Any = json.loads(text)
        return RunReport(
            key=key,
            state=RunState.ENDED,
            reason=EndReason(read["reason"]),
            exit_status=int(read["exit_status"]),
            signal=int(read["signal"]),
            started_at=float(read["started_at"]),
            ended_at=float(read["ended_at"]),
            usage=Usage(
                wall_s=float(read["wall_s"]),
                cpu_s=float(read["cpu_s"]),
                memory_peak_bytes=int(read["memory_peak_bytes"]),
                busy_s=float(read.get("busy_s", 0.0)),
            ),
            sandbox=str(read["sandbox"]),
            detail=str(read["detail"]),
            members_done=int(read.get("members_done", 0)),
            members_failed=int(read.get("members_failed", 0)),
        )
    except (ValueError, KeyError, TypeError) as error:
        return RunReport(key=key, state=RunState.INTERRUPTED, detail=f"its result cannot be read: {error}")


@cache
def _compiled(source: str) -> bytes:
    """A program as Python keeps it compiled."""
    with tempfile.TemporaryDirectory() as folder:
        made = py_compile.compile(source, cfile=str(Path(folder) / "program.pyc"), doraise=True)
        assert made  # else it has raised
        return Path(made).read_bytes()


class RunFolder:
    """The folder of one engine."""

    def __init__(self, folder: Path) -> None:
        self.root = Path(os.path.realpath(folder))
        self.runs = self.root / "runs"
        self.ended = self.root / "ended"
        self.checkpoints = self.root / "checkpoints"
        self.discarded = self.root / "discarded"
        self.removed = self.root / "removed"
        for path in (self.runs, self.ended, self.checkpoints, self.discarded, self.removed):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._listed: dict[str, RunOutputs] = {}  # the last that were read
        self._unlisted: dict[str, str] = {}  # why listing failed
        self._listing = threading.Thread()
        self._guard = threading.Lock()

    def supervisor(self) -> str:
        """The supervisor's program, compiled into this folder: Python compiles a script anew at each start."""
        try:
            for name, source in PROGRAMS.items():
                made = self.root / f"{name}.pyc.{os.getpid()}"
                made.write_bytes(_compiled(source))
                os.rename(made, self.root / f"{name}.pyc")  # one that is just being started must not find half of it
            return str(self.root / "supervisor.pyc")
        except (OSError, py_compile.PyCompileError):
            return PROGRAMS["supervisor"]  # slower by about 10 ms a run, otherwise the same

    def supervisor_source(self) -> str:
        """The supervisor's program as a copy in this folder, for another Python."""
        for name, source in PROGRAMS.items():
            made = self.root / f"{name}.{os.getpid()}"
            shutil.copyfile(source, made)
            os.rename(made, self.root / f"{name}.py")
        return str(self.root / "supervisor.py")

    def writable(self, order: RunOrder) -> dict[str, Path]:
        """The folders that a run may write, by the names under which its sandbox shows them."""
        run = self.runs / order.key
        found = {"work": run / "work", "outputs": run / "outputs"}
        if order.nodes > 1:
            found["gang"] = run / "gang"
        if order.checkpoint:
            found["checkpoint"] = self.checkpoints / order.checkpoint
        return found

    def prepare(self, order: RunOrder, more: Mapping[str, object]) -> int | None:
        """Make the folder of a run and take its lock. The lock's descriptor, or None if it has begun.

        Space for the result is taken now, so a disk that is full refuses the run instead of losing
        what became of it. Raises ``OSError``.
        """
        run = self.runs / order.key
        run.mkdir(exist_ok=True, mode=0o700)
        lock = self._lock(run)
        if lock is None:
            return None
        try:
            for path in (run / "inputs", run / "tmp", *self.writable(order).values()):
                path.mkdir(exist_ok=True, mode=0o700)
            if more["sandbox"] not in INSIDE:
                for name, path in order.inputs.items():
                    (run / "inputs" / name).unlink(missing_ok=True)
                    (run / "inputs" / name).symlink_to(os.path.realpath(path))
            written = {
                "key": order.key,
                "checkpoint": order.checkpoint,
                "command": order.command,
                "inputs": order.inputs,
                "cores": order.cores,
                "accelerators": order.accelerators,
                "memory_bytes": order.memory_bytes,
                "time_limit_s": order.time_limit_s,
                "nodes": order.nodes,
                "first_member": order.first_member,
                "members": order.members,
                "parallel": order.parallel,
                "stop_grace_s": order.stop_grace_s,
                "checkpoint_to": str(self.checkpoints / order.checkpoint) if order.checkpoint else "",
                "checkpoint_from": os.path.realpath(order.checkpoint_from) if order.checkpoint_from else "",
                **more,
            }
            _write(run / "order.json", json.dumps(written).encode())
            for name in ("stdout", "stderr"):
                _write(run / name, b"")
            _write(run / "result.tmp", b" " * _RESULT_SPACE)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def terminated(self, key: str) -> RunReport | None:
        """What the supervisor of a run left that its cluster ended: all but why."""
        try:
            return _report_of(key, (self.runs / key / "terminated.json").read_bytes())
        except OSError:
            return None

    def _lock(self, run: Path) -> int | None:
        until = time.monotonic() + _PATIENCE_S
        fd = os.open(run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not ((run / "started").exists() or self.result(run.name)):
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    # Either another engine just looks whether it is held, or a supervisor has it
                    # and is about to say that it has begun.
                    if time.monotonic() > until:
                        return None  # to start it again would be wrong, to wait longer useless
                    time.sleep(0.002)
                    continue
                if (run / "started").exists() or self.result(run.name):
                    break
                kept, fd = fd, -1
                return kept
            return None
        finally:
            if fd >= 0:
                os.close(fd)

    def begun(self, key: str) -> bool:
        """Whether this key has a ``started`` marker or a result."""
        return (self.runs / key / "started").exists() or self.result(key) is not None

    def held(self, key: str) -> bool:
        """Whether a supervisor, or a start under way, holds the run's lock."""
        try:
            fd = os.open(self.runs / key / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who look do not hinder each other
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def marker(self, key: str) -> tuple[int, float] | None:
        """Process id of the supervisor and the wall time of its start; (0, 0) if not written whole."""
        try:
            parts = (self.runs / key / "started").read_text().split()
        except OSError:
            return None
        return (int(parts[0]), float(parts[1])) if len(parts) >= 2 else (0, 0.0)

    def withhold(self, key: str) -> bool:
        """Make the marker of a run in place of a supervisor, so that none begins it. False where one has begun."""
        (self.runs / key).mkdir(exist_ok=True, mode=0o700)
        try:
            fd = os.open(self.runs / key / "started", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return False
        os.write(fd, b"0 0 - -\n")
        os.close(fd)
        return True

    def look(self, key: str) -> RunReport:
        """What the files say of a run."""
        result = self.result(key)
        if result is not None:
            return result
        marker = self.marker(key)
        if self.held(key):
            marker = marker or self.marker(key) or (0, 0.0)
            return RunReport(key=key, state=RunState.RUNNING, started_at=marker[1])
        # It may have ended between the first look and the test of its lock.
        result = self.result(key)
        if result is not None:
            return result
        marker = marker or self.marker(key)
        if marker is None:
            return RunReport(key=key, state=RunState.ABSENT)
        detail = "its supervisor ended without a result"
        said = self.tail(key, "supervisor")
        return RunReport(
            key=key,
            state=RunState.INTERRUPTED,
            started_at=marker[1],
            detail=f"{detail}: {said}" if said else detail,
        )

    def result(self, key: str) -> RunReport | None:
        """The result of a run, forgotten or not."""
        for path in (self.ended / f"{key}.json", self.runs / key / "result.json", self.removed / f"{key}.json"):
            try:
                return self._with_places(_report_of(key, path.read_bytes()))
            except OSError:
                continue
        return None

    def _with_places(self, report: RunReport) -> RunReport:
        """The report with the folders where the run left something."""
        run, checkpoint = self.runs / report.key, ""
        if report.reason is EndReason.STOPPED:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                checkpoint = str(json.loads((run / "order.json").read_bytes())["checkpoint_to"])
        return replace(report, outputs=str(run / "outputs"), checkpoint=checkpoint)

    def ended_keys(self) -> list[str]:
        """Keys with a result that is not forgotten. One listing of one folder."""
        return sorted(name[:-5] for name in os.listdir(self.ended) if name.endswith(".json"))

    def unfinished(self) -> int:
        """How many runs have begun, or are about to, and whose end nobody was told of."""
        told = [(self.runs / key / "result.json").exists() or self.forgotten(key) for key in os.listdir(self.runs)]
        return told.count(False)

    def forgotten(self, key: str) -> bool:
        """Whether somebody was told that a run ended without a result."""
        return (self.runs / key / "forgotten").exists()

    def put_result(self, report: RunReport) -> None:
        """Write the result of a run that had no supervisor. ``OSError`` when it cannot be written."""
        run = self.runs / report.key
        run.mkdir(exist_ok=True, mode=0o700)
        final = self.ended / f"{report.key}.json"
        local_runner.write_result(result_of(report), str(run / "result.tmp"), str(final))

    def ask(self, key: str, request: str) -> bool:
        """Leave the request ``cancel`` or ``stop`` with a run that has begun or is beginning.

        Whether there is such a run.
        """
        if not (self.held(key) or self.marker(key)):
            return False
        _write(self.runs / key / request, b"")
        return True

    def leave(self, key: str, name: str, content: bytes = b"") -> None:
        """Leave a small file in the folder of a run: a request, or who is to begin it."""
        (self.runs / key).mkdir(exist_ok=True, mode=0o700)
        _write(self.runs / key / name, content)

    def asked(self, key: str) -> str:
        """The end that was asked for of a run: ``cancel``, ``stop`` or empty."""
        return next((name for name in ("cancel", "stop") if (self.runs / key / name).exists()), "")

    def put_away(self, key: str) -> None:
        """Move the result out of the folder of those not yet forgotten."""
        run = self.runs / key
        try:
            os.rename(self.ended / f"{key}.json", run / "result.json")
        except FileNotFoundError:
            if run.exists():
                (run / "forgotten").touch()
            return
        for name in ("tmp", "gang"):
            shutil.rmtree(run / name, ignore_errors=True)

    def discard(self, checkpoints: Sequence[str]) -> None:
        """Remove checkpoints."""
        self._discard([self.checkpoints / name for name in checkpoints])

    def over(self) -> Iterator[tuple[str, float]]:
        """Runs whose end somebody was told of, and the wall time of it."""
        for key in os.listdir(self.runs):
            for name in ("result.json", "forgotten"):
                with contextlib.suppress(OSError):
                    ended_s = os.stat(self.runs / key / name).st_mtime
                    if not self.held(key):
                        yield key, ended_s
                    break

    def in_use(self, key: str) -> bool:
        """Whether a run shares a checkpoint that is still there: its job may go on."""
        try:
            name: Any = json.loads((self.runs / key / "order.json").read_bytes()).get("checkpoint", "")
        except (OSError, ValueError):
            return False
        return bool(name) and valid_name(str(name)) and (self.checkpoints / str(name)).exists()

    def remove(self, keys: Sequence[str]) -> None:
        """Remove the folders of runs that are over; what became of them stays. Raises OSError."""
        for key in keys:
            kept = self.removed / f"{key}.json"
            try:
                shutil.copyfile(self.runs / key / "result.json", kept)
            except FileNotFoundError:
                kept.touch()  # it ended without a result
            with self._guard:
                self._listed.pop(key, None)
        sync_folder(self.removed)
        self._discard([self.runs / key for key in keys])

    def removed_at(self, key: str) -> float:
        """Wall time at which the folder of a run was removed; 0 where it was not."""
        try:
            return os.stat(self.removed / f"{key}.json").st_mtime if not (self.runs / key).exists() else 0.0
        except OSError:
            return 0.0

    def _discard(self, folders: Sequence[Path]) -> None:
        """Remove folders. A name is gone at once, so none is ever found half removed."""
        for folder in folders:
            with contextlib.suppress(FileNotFoundError):
                os.rename(folder, self.discarded / f"{time.time_ns()}-{folder.name}")
        for name in os.listdir(self.discarded):  # also what a crash in the midst of this left
            shutil.rmtree(self.discarded / name, ignore_errors=True)

    def outputs(self, key: str) -> RunOutputs:
        """What an ended run left. Where its supervisor has not listed that, it is begun here, and not waited for.

        Raises StoreFailed where that failed the last time.
        """
        if valid_name(key) and (removed_s := self.removed_at(key)):
            return RunOutputs(registered=True, removed_at_s=int(removed_s))
        if not valid_name(key) or not (self.runs / key).exists():
            return RunOutputs(registered=True, left_out=(LeftOut("", LeftOutWhy.GONE),), left_out_count=1)
        if not (self.result(key) or self.forgotten(key)):
            return RunOutputs(registered=False)
        with self._guard:
            if (known := self._listed.get(key)) is not None:
                return known
            found = _outputs_of(self.runs / key / run_outputs.INDEX)
            if found is None and run_outputs.leaves_any(str(self.runs / key)):
                if (fault := self._unlisted.pop(key, "")):
                    raise StoreFailed(f"the outputs of run {key} cannot be listed: {fault}")
                if not self._listing.is_alive():  # else somebody will ask again
                    self._listing = threading.Thread(target=self._register, args=(key,), daemon=True)
                    self._listing.start()
                return RunOutputs(registered=False)
            if len(self._listed) >= _INDEXES_KEPT:
                del self._listed[next(iter(self._listed))]
            self._listed[key] = found or RunOutputs(registered=True)
            return self._listed[key]

    def _register(self, key: str) -> None:
        try:
            run_outputs.register(str(self.runs / key))
        except OSError as error:
            self._unlisted[key] = error.strerror or str(error)

    def open_output(self, key: str, name: str) -> BinaryIO:
        """A file that a run left, to read. Raises OSError."""
        return os.fdopen(run_outputs.open_output(str(self.runs / key), name), "rb")

    def output(self, key: str, name: str, offset: int, limit: int) -> bytes:
        """Bytes of a file that a run left, from ``offset``, 16 MiB at most; empty where there are none."""
        if not valid_name(key):
            return b""
        try:
            fd = run_outputs.open_output(str(self.runs / key), name)
        except (OSError, ValueError):
            return b""
        try:
            return os.pread(fd, max(min(limit, _LOG_READ_MAX), 0), max(offset, 0))
        finally:
            os.close(fd)

    def tail(self, key: str, name: str) -> str:
        """The last line of a small log."""
        try:
            text = (self.runs / key / name).read_text(errors="replace")
        except OSError:
            return ""
        return text.strip().rpartition("\n")[2][:300]

    def log(self, key: str, stream: str, offset: int, limit: int) -> bytes:
        """Bytes of ``stdout`` or ``stderr`` from ``offset``, 16 MiB at most; empty if there are none.

        Raises NotFound where they were removed.
        """
        if stream not in ("stdout", "stderr") or not valid_name(key):
            return b""
        if removed_s := self.removed_at(key):
            at = datetime.fromtimestamp(removed_s, UTC).strftime("%Y-%m-%d %H:%M")
            raise NotFound(f"what run {key} printed was removed at {at} UTC: its site keeps it no longer")
        return self.read(key, stream, offset, min(limit, _LOG_READ_MAX))

    def read(self, key: str, name: str, offset: int, limit: int) -> bytes:
        """A range of a file of a run; empty when there is none."""
        try:
            fd = os.open(self.runs / key / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return b""
        try:
            return os.pread(fd, max(limit, 0), max(offset, 0))
        finally:
            os.close(fd)


def _outputs_of(index: Path) -> RunOutputs | None:
    """The list that :mod:`run_outputs` wrote; None where there is none, or none that can be read."""
    try:
        with open(os.open(index, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb") as file:
            read: Any = json.loads(file.read()) if os.fstat(file.fileno()).st_size <= _INDEX_MAX else None
        return RunOutputs(
            registered=True,
            files=tuple(DataFile(_shown(name), int(size), _shown(sha256)) for name, size, sha256 in read["files"]),
            left_out=tuple(LeftOut(_shown(name), LeftOutWhy(why)) for name, why in read["left_out"]),
            left_out_count=int(read["left_out_count"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _shown(text: object) -> str:
    """A text of the list, which a run without a sandbox may have written. Raises ValueError if it cannot be shown."""
    if not isinstance(text, str) or not text.isprintable():
        raise ValueError(text)
    return text


def _write(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.write(fd, content) != len(content):
            raise OSError(28, "no space left for it", str(path))
        os.ftruncate(fd, len(content))
    finally:
        os.close(fd)
