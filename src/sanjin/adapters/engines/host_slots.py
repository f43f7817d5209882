"""A limit on how many runs are active at once on this host, shared by the sites that live on it."""

from __future__ import annotations

import threading

Ticket = tuple[str, str]
"""A run anywhere on this host: the engine's folder and the run's key."""


class HostSlots:
    """At most ``limit`` runs at once over all engines that are given this object.

    Eleven sites on a machine with two cores would otherwise start what eleven real sites could
    bear. Runs are let in in the order in which they asked. A ticket names the run and not the
    engine object, so an engine made anew on the same folder takes over what the former held.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"a host needs at least one slot, not {limit}")
        self.limit = limit
        self._guard = threading.Lock()
        self._active: set[Ticket] = set()
        self._waiting: dict[Ticket, None] = {}  # in order of asking

    def ask(self, ticket: Ticket) -> None:
        """Stand in line."""
        with self._guard:
            if ticket not in self._active:
                self._waiting.setdefault(ticket)

    def enter(self, ticket: Ticket) -> bool:
        """Whether this run may begin now; it then counts as active."""
        with self._guard:
            free = self.limit - len(self._active)
            for place, waiting in enumerate(self._waiting):
                if place >= free:
                    return False
                if waiting == ticket:
                    del self._waiting[ticket]
                    self._active.add(ticket)
                    return True
            return False

    def adopt(self, ticket: Ticket) -> None:
        """Count a run that is already active, also above the limit."""
        with self._guard:
            self._waiting.pop(ticket, None)
            self._active.add(ticket)

    def leave(self, ticket: Ticket) -> None:
        """The run is over, or does not want to begin any more."""
        with self._guard:
            self._active.discard(ticket)
            self._waiting.pop(ticket, None)

    def active(self) -> int:
        """How many runs are active now."""
        with self._guard:
            return len(self._active)
