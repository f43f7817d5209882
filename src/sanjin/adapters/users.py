"""The users of a state folder: one small JSON file, ``users.json``, that only its owner may read.

It holds hashes of tokens, never a token. A token looks like ``sj_<user id>_<secret>``; its secret has 256 random
bits, so that a plain SHA-256 of it cannot be searched backwards.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec

from sanjin.adapters.files import write_secret
from sanjin.model.access import User
from sanjin.model.errors import NotAllowed, SanjinError

Stamp = tuple[int, int, int]
"""What changes when the file does: inode, size, time of change (ns)."""

_TOKEN = re.compile(r"sj_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_decoder = msgspec.json.Decoder(tuple[User, ...])


def new_id() -> str:
    """An id for a new user."""
    return secrets.token_hex(6)


def new_token(user: str) -> tuple[str, str]:
    """(token for the user's id, hash of its secret). The token is to be shown once and kept nowhere."""
    secret = secrets.token_urlsafe(32)
    return f"sj_{user}_{secret}", hash_of(secret)


def hash_of(secret: str) -> str:
    """What is kept of a token's secret part."""
    return hashlib.sha256(secret.encode()).hexdigest()


def parts_of(token: str) -> tuple[str, str] | None:
    """(user id, secret) of a token, or None where it is none."""
    found = _TOKEN.fullmatch(token)
    return (found[1], found[2]) if found else None


def matches(user: User | None, secret: str) -> bool:
    """Whether this is the user's secret; takes as long where there is no such user."""
    return hmac.compare_digest(hash_of(secret), user.token_sha256 if user else "-" * 64)


class UserFile:
    """``users.json`` in the state folder ``folder``. Reading makes nothing."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "users.json"

    def stamp(self) -> Stamp | None:
        """What tells one version of the file from the next; None where there is none."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return (found.st_ino, found.st_size, found.st_mtime_ns)

    def read(self) -> tuple[User, ...]:
        """All users, revoked ones too. Raises NotAllowed where others could read the file, SanjinError where it is
        not such a file."""
        try:
            with self.path.open("rb") as file:
                mode, text = os.fstat(file.fileno()).st_mode, file.read()
        except FileNotFoundError:
            return ()
        if mode & 0o077:
            raise NotAllowed(f"{self.path}: others can read it; run: chmod 600 {self.path}")
        try:
            return _decoder.decode(text)
        except msgspec.DecodeError as fault:
            raise SanjinError(f"{self.path}: {fault}; restore it, or remove it and add the users again") from fault

    def change(self, how: Callable[[tuple[User, ...]], tuple[User, ...]]) -> None:
        """Replace the users by what ``how`` makes of them, all or nothing; one change at a time."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(self.path.with_name("users.lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            write_secret(self.path, msgspec.json.format(msgspec.json.encode(how(self.read())), indent=1))
        finally:
            os.close(lock)
