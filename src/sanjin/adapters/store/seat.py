"""Who may write, where several processes share one schema of a PostgreSQL database.

Two things, which do not need each other to be right:

- **The epoch is what keeps the state safe.** Who takes the seat adds one to the epoch in the table
  ``writer``, and every commit holds that row and looks for its own epoch in it. So whoever was taken
  over, frozen or cut off can write nothing any more, at whatever moment it wakes up.
- **The lock says when the seat is free.** It is an advisory lock of a session of its own; the server
  lets go of it when the session ends: at once where the process was killed, and after ``SILENT_S``
  where it stopped answering (frozen, or cut off from the server), because the server ends sessions
  that say nothing for so long.

A session that was lost (the server restarted) is made good by itself as long as the epoch is still ours.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from sanjin.model.errors import StoreFailed

log = logging.getLogger(__name__)

BEAT_S = 1.0
"""Wall seconds between two signs of life of the one that sits."""
SILENT_S = 6.0
"""Wall seconds after which the server ends the session of one that gives none."""
POLL_S = 0.5
"""Wall seconds between two tries of one that waits."""

_SIT = (
    "insert into writer (id, epoch, turn) values (1, 1, 0) "
    "on conflict (id) do update set epoch = writer.epoch + 1 returning epoch"
)


class Seat:
    """The seat of the schema that ``engine`` connects to; free until :meth:`take`.

    ``key`` is the number of its lock, ``said`` makes the text of a fault, ``lost`` is called once, in
    a thread of the seat's own, when another has taken it.
    """

    def __init__(
        self, engine: sa.Engine, key: int, said: Callable[[BaseException], str], lost: Callable[[], None] | None
    ) -> None:
        self.epoch = 0
        """Of this holder; 0 before the seat was taken."""
        self.gone = threading.Event()
        """Another has taken it since; then it is never ours again."""
        self._engine, self._key, self._said, self._lost = engine, key, said, lost
        self._session: sa.Connection | None = None
        self._held = False
        self._guard = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, wait_s: float | None) -> bool:
        """Take the seat, waiting up to ``wait_s`` wall seconds for it (None: for ever); false where it stayed taken.

        Raises StoreFailed where the database did not answer to the end; who waits for ever goes on trying.
        """
        end = None if wait_s is None else time.monotonic() + wait_s
        while True:
            fault: SQLAlchemyError | None = None
            try:
                if self._sat_down():
                    self._thread = threading.Thread(target=self._sit, name="seat", daemon=True)
                    self._thread.start()
                    return True
            except SQLAlchemyError as found:
                fault = found
                self._let_go()
            if self._closed.is_set() or (end is not None and time.monotonic() >= end):
                if fault:
                    raise StoreFailed(f"cannot ask who writes: {self._said(fault)}") from fault
                return False
            self._closed.wait(POLL_S)

    def held(self) -> bool:
        """Whether the seat is ours, as far as is known here: only a commit is sure of it."""
        return self.epoch > 0 and not self.gone.is_set() and not self._closed.is_set()

    def close(self) -> None:
        """Leave the seat to others."""
        self._closed.set()
        if self._thread and self._thread is not threading.current_thread():  # who is told of the loss may close
            self._thread.join()
        with self._guard:
            if self._session and self._held:
                # said, not left to the end of the session, which the server may notice a moment later
                with suppress(SQLAlchemyError):
                    self._session.exec_driver_sql("select pg_advisory_unlock(%s)", (self._key,))
            self._let_go()

    def _sat_down(self) -> bool:
        with self._guard:
            session = self._connected()
            if not self._locked(session):
                return False
            # waits for a commit of the holder before us that is still being written
            self.epoch = int(session.exec_driver_sql(_SIT).scalar_one())
            self._held = True
            return True

    def _sit(self) -> None:
        while not self._closed.wait(BEAT_S):
            if not self.gone.is_set():
                self._beat()
            if self.gone.is_set():
                with self._guard:
                    self._let_go()
                if self._lost:
                    self._lost()
                return

    def _beat(self) -> None:
        """Give a sign of life; where the session was lost, sit down again unless somebody else did."""
        try:
            with self._guard:
                session = self._connected()
                if self._held:
                    session.exec_driver_sql("select 1")
                    return
                held = self._locked(session)
                if session.exec_driver_sql("select epoch from writer where id = 1").scalar() != self.epoch:
                    self.gone.set()
                else:
                    self._held = held
        except SQLAlchemyError as fault:
            log.warning("the session that holds the store's lock: %s", self._said(fault))
            self._let_go()

    def _locked(self, session: sa.Connection) -> bool:
        return bool(session.exec_driver_sql("select pg_try_advisory_lock(%s)", (self._key,)).scalar())

    def _connected(self) -> sa.Connection:
        if self._session is None:
            session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            session.detach()
            self._session = session
            session.exec_driver_sql(f"set idle_session_timeout = {round(SILENT_S * 1000)}")
        return self._session

    def _let_go(self) -> None:
        session, self._session, self._held = self._session, None, False
        if session:
            with suppress(SQLAlchemyError):
                session.close()
