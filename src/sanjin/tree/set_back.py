"""A node whose state was set back: restored from a backup, or changed for an older copy by other means.

What it did since then it does not know, and others do. Three things follow:

- **Numbers must not be given twice.** Mail that carries a number which the peer has already is thrown away there as a
  repeat, and a job that gets the id of another is taken for it. So whoever restores a state lets its numbers skip
  ahead by :data:`SKIP` (:meth:`sanjin.adapters.store.sql.SqlStore.skip_ahead`).
- **Work may have run since.** :func:`uncertain_ends` ends what must not run twice.
- **A state that was set back without that is found out**, since a peer acknowledges mail that this node never sent
  (:class:`Lines`): it exchanges nothing more with that peer until an operator has seen to it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sanjin.flow.run import without_run
from sanjin.flow.view import View
from sanjin.model import event as ev
from sanjin.model.job import Effects, JobState
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord
from sanjin.ports import Mail, PeerMark, RunReport, RunState

SKIP = 1_000_000
"""By how much numbers skip ahead: more than a node uses between two backups."""

log = logging.getLogger("sanjin.node")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """That a state was restored: of which time (UTC, as text). ``moved``: nothing was done with it since then."""

    of: str
    moved: bool = False


def uncertain_ends(
    view: View, restored: Restored | None, found: Sequence[RunReport], now_s: int
) -> Iterator[ev.Ended]:
    """The ends of live jobs here that must not run twice, and of which it is not known whether they ran since.

    ``found`` is what the engine says of runs: those that it knows go on. Of a state that was ``moved`` only those end
    that it does not know: what had not started has not. Nothing where the state was not ``restored``.
    """
    if restored is None:
        return
    absent = {r.key for r in found if r.state is RunState.ABSENT}
    detail = f"the node's state is that of {restored.of}: whether this ran after that is not known"
    for record in view.jobs.values():
        known = record.state is JobState.RUNNING and record.run not in absent
        if is_uncertain(record, restored.moved) and not known:
            yield without_run(record, JobState.INTERRUPTED, Reason.INTERRUPTED, now_s, detail)


def is_uncertain(record: JobRecord, moved: bool) -> bool:
    """Whether a job of a restored state may have run since and must not run twice; its engine aside."""
    if record.sent_to or record.state is JobState.DIVIDED or record.spec.reserves or not record.state.live:
        return False
    return record.spec.effects is Effects.ONCE and (record.state is JobState.RUNNING or not moved)


@dataclass(slots=True)
class Lines:
    """What the numbers of mail say of a node's lines. ``behind``: peers that know more of this node than it does."""

    node: str
    behind: set[str] = field(default_factory=set[str])

    def fault(self) -> str:
        """What is wrong with the lines; empty where nothing is."""
        peers = ", ".join(sorted(self.behind))
        return f"its state was set back: {peers} heard more of it than it knows; see sanjin restore" if peers else ""

    def wrong(self, mark: PeerMark, ack: int, mail: Sequence[Mail]) -> bool:
        """Whether the peer of this mark acknowledges what was never sent: then nothing of its call counts.

        Says so once, and says where mail from the peer is missing: it was acknowledged once, and that was forgotten
        here or there.
        """
        if ack > mark.sent:
            if mark.peer not in self.behind:
                log.error(
                    "node %s: %s has mail up to %d from here and only %d was sent: this state was set back. Nothing is "
                    "exchanged with %s until the node is stopped and this was run: sanjin restore --in-place",
                    self.node, mark.peer, ack, mark.sent, mark.peer,
                )  # fmt: skip
            self.behind.add(mark.peer)
            return True
        self.behind.discard(mark.peer)
        missing = mail[0].seq - mark.received - 1 if mail else 0
        if missing > SKIP // 2:  # it skipped ahead, from before what was heard of it since
            log.error("node %s: the state of %s was restored from a backup", self.node, mark.peer)
        elif missing > 0:
            log.error(
                "node %s: %d messages from %s were heard once and are not known any more: this state was set back",
                self.node, missing, mark.peer,
            )  # fmt: skip
        return False
