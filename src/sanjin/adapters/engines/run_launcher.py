"""Starts the command of a run: in its sandbox, with its variables and limits, as often as wanted.

Part of the supervisor (:mod:`sanjin.adapters.engines.local_runner`), copied beside it: standard library alone.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING or __name__ != "run_launcher":
    from typing import Any

    from sanjin.adapters.engines import run_landlock as confining
    from sanjin.adapters.engines import run_limits as limits
else:  # beside the supervisor, whose folder is looked in while this is loaded
    import run_landlock as confining

_PR_SET_PDEATHSIG = 1
_SECTOR = 4096  # a file may grow so far beyond the quota that it is seen to be over
_APPTAINER_OWN = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8"}
_LIBC = ctypes.CDLL(None)


def prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    _LIBC.prctl(option, ctypes.c_ulong(value), zero, zero, zero)


def beside(name: str) -> Any:
    """One of the programs that lie beside this one, loaded when it is needed."""
    if (there := os.path.dirname(os.path.abspath(sys.argv[0]))) not in sys.path:
        sys.path.append(there)
    return __import__(name)


class Launcher:
    """Starts a command as often as wanted; what is the same each time is made once."""

    def __init__(self, order: dict[str, Any], numbered: str, groups: limits.Groups) -> None:
        self.groups = groups
        self.landlock: dict[str, list[str]] = order["landlock"]
        self.ruleset = -1
        self.file_bytes = int(order["output_bytes"])
        self.streams = bool(order.get("streams", True))  # else the command has those of its supervisor
        self.command: list[str] = order["command"]
        passed = {name: value or os.environ.get(name, "") for name, value in order.get("passed", {}).items()}
        self.variables: dict[str, str] = {**{n: v for n, v in passed.items() if v}, **order["variables"]}
        self.bwrap: list[str] = order["bwrap"]
        self.apptainer: list[str] = order["apptainer"]
        self.numbered = numbered  # the variable that tells the processes of a run apart; may be empty
        self.arguments, self.cards_each = b"", int(order["accelerators"])

    def take_cards(self, at_once: int, gang: bool) -> int:
        """Take the cards that the run asks for; for how many processes at once they are enough. ``OSError``."""
        shown = list[str]()
        if self.cards_each:
            self.cards = beside("run_cards").Cards(at_once)
            self.cards.take(self.cards_each, gang, os.environ, bool(self.bwrap or self.landlock))
            at_once, self.variables = self.cards.at_once, {**self.cards.variables, **self.variables}
            shown = [word for pair in self.cards.files.items() for word in ("--dev-bind", *pair)]
            self.landlock.get("write", []).extend(self.cards.files)
        self.arguments = _joined([*self.bwrap[1:], *shown, "--remount-ro", "/dev", "--clearenv"])
        for name, value in self.variables.items():
            self.arguments += _joined(["--setenv", name, value])
        return at_once

    def start(self, number: int) -> tuple[int, int]:
        """Start the command. ``OSError`` when it cannot be started.

        Returns its process id and the descriptor where bwrap says how the command ended, or -1.
        """
        own = {self.numbered: str(number)} if self.numbered else {}
        argv, variables = self.command, {**self.variables, **own}
        ours, theirs, parent = list[int](), list[int](), os.getpid()
        try:
            _pipe(ours, theirs)
            if self.landlock and self.ruleset < 0:
                self.ruleset = confining.make_ruleset(self.landlock["read"], self.landlock["write"])
            if self.bwrap:
                argv, variables = self._confined(own, ours, theirs), {}
            elif self.apptainer:  # it hands on what has its prefix, and nothing else
                argv = [*self.apptainer, *self.command]
                variables = {**_APPTAINER_OWN, **{f"APPTAINERENV_{name}": v for name, v in variables.items()}}
            pid = os.fork()
            if pid == 0:
                self._become(argv, variables, theirs[1:], parent, theirs[0])
        except OSError:
            _close(ours)
            raise
        finally:
            _close(theirs)
        failure = os.read(ours[0], 200)  # empty once exec has closed the other end
        if failure:
            _close(ours)
            os.waitpid(pid, 0)
            code, _, text = failure.decode(errors="replace").partition(" ")
            raise OSError(int(code), text)
        os.close(ours[0])
        return pid, ours[1] if self.bwrap else -1

    def _become(self, argv: list[str], variables: dict[str, str], keep: list[int], parent: int, failure: int) -> None:
        """In the child: become the command. Never returns; a failure goes to the pipe ``failure``."""
        try:
            os.setsid()
            # When the supervisor is killed the command must not live on unwatched.
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            self.groups.join()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if self.file_bytes > 0:
                _lower(resource.RLIMIT_FSIZE, self.file_bytes + _SECTOR)
            try:
                with open("/proc/self/oom_score_adj", "w") as file:
                    file.write("500")  # short of memory, the kernel ends jobs before nodes
            except OSError:
                pass
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these; the command must not
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            make = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            for number, name in ((1, "stdout"), (2, "stderr")) if self.streams else ():
                os.dup2(os.open(name, make, 0o600), number)
            for fd in keep:
                os.set_inheritable(fd, True)
            os.chdir("work")
            if self.landlock:
                confining.enter(self.ruleset)
            elif not self.bwrap:  # that does it itself, and where it is setuid it could not begin
                confining.no_new_privileges()
            os.execvpe(argv[0], argv, variables)
        except OSError as error:
            os.write(failure, f"{error.errno} {argv[0]}: {error.strerror}".encode()[:200])
        finally:
            os._exit(127)  # whatever happened, two supervisors must not go on

    def _confined(self, own: dict[str, str], ours: list[int], theirs: list[int]) -> list[str]:
        """The command line of bwrap for the command with the variables ``own`` besides the common ones.

        The job's variables go to the sandbox through a file descriptor: given to bwrap itself an
        LD_PRELOAD would act outside of the sandbox, and on its command line all could read them.
        """
        _pipe(ours, theirs)
        os.set_blocking(ours[1], False)
        theirs.append(os.memfd_create("bwrap"))
        status_fd, args_fd = map(str, theirs[1:])
        extra = [part for name, value in own.items() for part in ("--setenv", name, value)]
        os.write(theirs[2], self.arguments + _joined(extra))
        os.lseek(theirs[2], 0, os.SEEK_SET)
        return [self.bwrap[0], "--args", args_fd, "--json-status-fd", status_fd, "--", *self.command]


def _lower(limit: int, value: int) -> None:
    """Bound a resource of this process by ``value``, or less where it is less already."""
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def _joined(parts: list[str]) -> bytes:
    return b"".join(os.fsencode(part) + b"\0" for part in parts)


def _pipe(ours: list[int], theirs: list[int]) -> None:
    """Open a pipe: the end to read from goes to ``ours``, the other to ``theirs``."""
    read, write = os.pipe()
    ours.append(read)
    theirs.append(write)


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
