"""Confine a process with Landlock and seccomp: what the kernel lets any process do to itself, without privileges.

Part of the supervisor (:mod:`sanjin.adapters.engines.local_runner`), copied beside it: standard library alone. After
:func:`enter` a process and all that it starts can open nothing but the given folders, send signals and look into the
memory of none but each other, and make no sockets but local ones; it has no capabilities and can gain none.

The calls: https://docs.kernel.org/userspace-api/landlock.html (ABI 1 to 6), ``linux/seccomp.h``,
``linux/bpf_common.h``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # slow to import
    from collections.abc import Iterable

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # system calls, the same on every architecture in _SOCKET
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL_DEV = (1 << bit for bit in (0, 1, 2, 3, 14, 15))
_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
"""The rights that a rule for something that is no folder may name."""
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_MAKE_DEVICES = 1 << 6 | 1 << 11
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many rights to files each version of the interface knows; later ones as many as the last."""
_NET_ABI, _SCOPE_ABI = 4, 6
_NET, _SCOPES = 0b11, 0b11  # TCP bind and connect; abstract sockets and signals
_PR_CAPBSET_DROP, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 24, 22, 38
_CAPABILITY_V3 = 0x20080522
_SOCKET = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""The kernel's name of the architecture, and the number of ``socket`` there."""
_IO_URING_SETUP, _X32, _AF_UNIX = 425, 0x40000000, 1
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_LIBC = ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    whole = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    got = int(_LIBC.syscall(ctypes.c_long(number), *whole))
    if got < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return got


def _prctl(option: int, value: int, more: object = 0) -> int:
    words = [ctypes.c_ulong(value), ctypes.c_ulong(more) if isinstance(more, int) else more]
    return int(_LIBC.prctl(option, *words, ctypes.c_ulong(0), ctypes.c_ulong(0)))


def no_new_privileges() -> None:
    """From now on no program that is started gains rights by setuid, setgid or file capabilities."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def landlock_version() -> int:
    """The version of Landlock's interface in this kernel, 0 where there is none or it is switched off."""
    try:
        return _call(_CREATE, None, 0, 1)
    except OSError:
        return 0


def rights(version: int) -> int:
    """All rights to files that this version knows, so all that is refused where no rule gives it."""
    return (1 << _RIGHTS[max(1, min(version, max(_RIGHTS)))]) - 1


def attributes(version: int) -> bytes:
    """``struct landlock_ruleset_attr``: what is refused where no rule allows it, as far as this version knows it."""
    words = [rights(version)]
    if version >= _NET_ABI:
        words.append(_NET)
    if version >= _SCOPE_ABI:
        words.append(_SCOPES)
    return b"".join(word.to_bytes(8, sys.byteorder) for word in words)


def make_ruleset(readable: Iterable[str], writable: Iterable[str]) -> int:
    """A ruleset that allows to read and execute, and to read, write and execute, below these paths; its descriptor.

    Paths that are not there, or that this user cannot reach, are left out. ``OSError`` where the kernel has
    no Landlock.
    """
    version = landlock_version()
    if not version:
        raise OSError(errno.EOPNOTSUPP, "this kernel has no Landlock, or it is switched off")
    asked = attributes(version)
    ruleset = _call(_CREATE, asked, len(asked), 0)
    handled = rights(version)
    for paths, allowed in ((readable, _READ), (writable, handled & ~_MAKE_DEVICES)):
        for path in paths:
            try:
                fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                mask = handled if stat.S_ISDIR(os.fstat(fd).st_mode) else handled & _FILE
                rule = (allowed & mask).to_bytes(8, sys.byteorder) + fd.to_bytes(4, sys.byteorder)
                _call(_ADD_RULE, ruleset, 1, rule, 0)
            finally:
                os.close(fd)
    return ruleset


def network_filter(machine: str) -> bytes:
    """A seccomp program (``struct sock_filter[]``) that refuses all sockets but local ones; empty for other machines.

    ``io_uring`` is refused too, since it makes sockets of its own, and so is every call of another architecture.
    """
    if machine not in _SOCKET:
        return b""
    architecture, socket = _SOCKET[machine]
    steps = (
        (_LOAD, 0, 0, 4),  # 0: the architecture
        (_EQUAL, 0, 8, architecture),
        (_LOAD, 0, 0, 0),  # 2: the number of the call
        (_AT_LEAST, 6, 0, _X32),
        (_EQUAL, 4, 0, _IO_URING_SETUP),
        (_EQUAL, 0, 2, socket),
        (_LOAD, 0, 0, 16),  # 6: its first argument, the family
        (_EQUAL, 0, 3, _AF_UNIX),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_RETURN, 0, 0, _ERRNO | errno.EACCES),
    )
    order = sys.byteorder
    return b"".join(c.to_bytes(2, order) + bytes((t, f)) + k.to_bytes(4, order) for c, t, f, k in steps)


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def refuse_network() -> None:
    """Make no sockets but local ones from now on, in this process and its children. ``OSError`` where that fails."""
    steps = network_filter(os.uname().machine)
    if steps and _prctl(_PR_SET_SECCOMP, 2, ctypes.byref(_Program(len(steps) // 8, steps))):
        raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")


def drop_capabilities() -> None:
    """Have no capabilities, and none that a program started by root would get. ``OSError`` where that fails."""
    number = 0
    while _prctl(_PR_CAPBSET_DROP, number) == 0:
        number += 1
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_V3, 0)
    if _LIBC.capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno(), f"capset: {os.strerror(ctypes.get_errno())}")


def enter(ruleset: int) -> None:
    """Confine this process, and all that it starts, for good. ``OSError`` where that fails."""
    no_new_privileges()
    drop_capabilities()
    _call(_RESTRICT, ruleset, 0)
    refuse_network()
