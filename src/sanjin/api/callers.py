"""Who calls: the user of a token. The file of users is looked at once a second, and read when it has changed."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from sanjin.adapters.decision_log import DecisionLog
from sanjin.adapters.users import Stamp, UserFile, matches, parts_of
from sanjin.model.access import BOOTSTRAP, PUBLIC, User
from sanjin.model.errors import NoToken, SanjinError

LOOK_WALL_S = 1.0
"""How often the file of users is looked at: so long a revoked token may go on."""

log = logging.getLogger("sanjin.access")


@dataclass(eq=False, slots=True)
class Caller:
    """Who makes a request. ``still`` says whether the token is good now, for answers that take long.

    ``asked``: whether anybody has asked if this may be done; an answer of a route that never asked is withheld.
    """

    user: User
    still: Callable[[], bool]
    asked: bool = False


class Callers:
    """Knows who holds which token: ``token`` is the operator's of the state folder, ``file`` has the others.

    ``public``: who sends no token is a visitor.
    """

    def __init__(self, token: str, file: UserFile | None, decisions: DecisionLog, public: bool = False) -> None:
        self._operator = f"Bearer {token}".encode()
        self._public = public
        self._file = file
        self._decisions = decisions
        self._users: dict[str, User] = {}
        self._stamp: Stamp | None = None
        self._looked = -LOOK_WALL_S

    def find(self, given: bytes) -> Caller:
        """Who sends this ``Authorization`` header. Raises NoToken."""
        if hmac.compare_digest(given, self._operator):
            return Caller(BOOTSTRAP, lambda: True)
        if not given and self._public:
            return Caller(PUBLIC, lambda: True)
        kind, _, token = given.decode("latin-1").partition(" ")
        parts = parts_of(token) if kind.lower() == "bearer" else None
        if parts is None:
            raise self._refused("", "no token" if not given else "not a token")
        self._look()
        name, secret = parts
        user = self._users.get(name)
        if not matches(user, secret) or user is None:
            raise self._refused(name, "unknown token")
        if not user.good_at(time.time()):
            raise self._refused(name, "revoked" if user.revoked_s else "expired")
        return Caller(user, lambda: self._still(name))

    def _refused(self, user: str, why: str) -> NoToken:
        self._decisions.refused(user, why)
        # one answer for all of these: which of them it was is for the log
        return NoToken("send a valid token as: Authorization: Bearer <token>")

    def _still(self, name: str) -> bool:
        self._look()
        user = self._users.get(name)
        return user is not None and user.good_at(time.time())

    def _look(self) -> None:
        now = time.monotonic()
        if self._file is None or now - self._looked < LOOK_WALL_S:
            return
        self._looked = now
        try:
            stamp = self._file.stamp()
            if stamp != self._stamp:
                self._users = {u.id: u for u in self._file.read()}
                self._stamp = stamp
        except (SanjinError, OSError) as fault:
            # nobody of a file that cannot be trusted comes in; the operator still does
            self._users, self._stamp = {}, None
            log.error("%s", fault)
