"""What the routes ask before they answer: may this caller do that, and how much of it may the caller see?

Somebody else's job is answered exactly as a job that does not exist. Lists and streams hold what the caller may read
and nothing in the place of the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Request

from sanjin.api import redact
from sanjin.api.bodies import Check
from sanjin.api.callers import Caller
from sanjin.api.rights import NOBODYS, About, Rights
from sanjin.model.access import Action, Reach, User
from sanjin.model.catalogue import problem, say
from sanjin.model.errors import NotAllowed, NotFound, NotYourTenant, Problem, ProblemsFound
from sanjin.model.job import Submission
from sanjin.model.record import JobRecord
from sanjin.model.status import Me
from sanjin.ports import Entry
from sanjin.tree import overview
from sanjin.tree.region import LiveRegion

TENANTS_KNOWN = 50_000
"""Jobs of which one reader of a journal or stream remembers the tenant."""

JOURNAL_A_READ = 5000


async def caller_of(request: Request) -> Caller:
    """Who makes the request, as :class:`~sanjin.api.access.Access` found out."""
    return request.state.caller


Asking = Annotated[Caller, Depends(caller_of)]


class Guard:
    """Asks ``rights`` on behalf of the routes over ``live``."""

    def __init__(self, live: LiveRegion, rights: Rights) -> None:
        self.live = live
        self.rights = rights

    def need(self, caller: Caller, action: Action, about: About = NOBODYS, what: str = "") -> None:
        """Let the caller go on. Raises NotAllowed."""
        caller.asked = True
        if not self.rights.ask(caller.user, action, about, what):
            raise _denied(caller.user, action)

    def me(self, caller: Caller) -> Me:
        """Who the caller is, and what for that is not refused outright. Everybody with a token may ask."""
        caller.asked = True
        user = caller.user
        may = [a for a in Action if not self.rights.extent(user, a).nothing]
        may += [Action.READ_USES] * any(self.may(caller, Action.READ_USES, About(name=d)) for d in user.datasets)
        return Me(
            user=user.id, name=user.name, roles=tuple(r.value for r in user.roles), tenant=user.tenant,
            sites=tuple(user.sites), may=tuple(dict.fromkeys(a.value for a in may)),
        )  # fmt: skip

    def may(self, caller: Caller, action: Action, about: About = NOBODYS) -> bool:
        """Whether the caller may; for parts of an answer that was asked for already."""
        return self.rights.decide(caller.user, action, about).allow

    def reach(self, caller: Caller, action: Action) -> Reach:
        """How much of a list the caller may see. Raises NotAllowed where that is nothing, whatever there is."""
        caller.asked = True
        found = self.rights.reach(caller.user, action)
        if found.nothing:
            raise _denied(caller.user, action)
        return found

    def extent(self, caller: Caller, action: Action) -> Reach:
        """How far a right to see goes, be it nowhere; for parts of an answer that was asked for already."""
        return self.rights.extent(caller.user, action)

    def lens(self, caller: Caller, action: Action, blind: bool = False) -> Lens:
        """Through what the caller sees journals and events. Raises NotAllowed where that shows nothing at all, unless
        it may be ``blind``."""
        caller.asked = True
        reach = self.rights.reach(caller.user, action)
        datasets = [d for d in caller.user.datasets if self.may(caller, Action.READ_USES, About(name=d))]
        if reach.nothing and not datasets and not blind:
            raise _denied(caller.user, action)
        return Lens(self.live, self.rights, caller, reach, frozenset(datasets))

    def job(self, caller: Caller, action: Action, name: str) -> JobRecord:
        """A job that the caller may read and do ``action`` to, as its owner knows it, without redaction.

        Raises NotFound where there is none or the caller may not read it, NotAllowed where only the action is denied.
        """
        caller.asked = True
        record = overview.job(self.live, name)
        about = About(record.spec.tenant, self._own_site(caller.user, name))
        if not self.rights.ask(caller.user, Action.READ_JOB, about, name):
            raise NotFound(f"there is no job {name}")
        if action is not Action.READ_JOB and not self.rights.ask(caller.user, action, about, name):
            raise _denied(caller.user, action)
        return record

    def any_job(self, caller: Caller, action: Action, name: str) -> None:
        """Let who may do this to everybody's jobs go on, an operator, whether this node owns the job or not. To others
        there is no such job. Raises NotFound."""
        caller.asked = True
        if not self.rights.ask(caller.user, action, NOBODYS, name):
            raise NotFound(f"there is no job {name}")

    def _own_site(self, user: User, name: str) -> str:
        """The site of the user's own that runs or ran the job; empty where none did."""
        for site in user.sites:
            node = self.live.nodes.get(site)
            if node and overview.at_site(node, name):
                return site
        return ""

    def shown(self, caller: Caller, record: JobRecord) -> JobRecord:
        """A record that the caller may read, without what only a reader of its logs may know."""
        tenant = record.spec.tenant
        private = self.may(caller, Action.READ_LOGS, About(tenant))
        return redact.record_of(record, private, not record.room_for or self.knows(caller, record.room_for))

    def submitted(self, caller: Caller, names: Sequence[str]) -> None:
        """Note who sent these jobs: the journal knows only their tenant."""
        user = caller.user
        self.rights.decisions.write(
            user=user.id, name=user.name, action="submitted", resource=f"Job:{names[0]}", jobs=len(names), allow=True
        )

    def knows(self, caller: Caller, name: str) -> bool:
        """Whether there is such a job and the caller may read it as its tenant's, or as everybody's."""
        record = self.live.job(name)
        return record is not None and self.may(caller, Action.READ_JOB, About(record.spec.tenant))


class Sending:
    """The submissions of one request, for submitting or for a dry run: each tenant is asked about once."""

    def __init__(self, guard: Guard, caller: Caller, action: Action) -> None:
        self._guard, self._caller, self._action = guard, caller, action
        self._decided: dict[tuple[Action, str], bool] = {}
        self.tenant = caller.user.tenant
        """For whom a submission is that does not say so; empty: for the usual tenant."""

    def checked(self, check: Check) -> Check:
        """``check``, for submissions that the caller may send at all: others would only be questions."""

        def found(submissions: Sequence[Submission]) -> list[Problem]:
            return self._foreign(submissions) or self._inside(submissions) or check(submissions)

        return found

    def admit(self, found: Sequence[Submission]) -> None:
        """Let submissions through. Raises NotYourTenant with every one that is for another tenant than the caller's,
        NotAllowed where the caller sends nothing of the kind at all, ProblemsFound for a reservation of others."""
        foreign = self._foreign(found)
        if foreign:
            raise NotYourTenant(foreign)
        inside = self._inside(found)
        if inside:
            raise ProblemsFound(inside)

    def _foreign(self, found: Sequence[Submission]) -> list[Problem]:
        return [
            problem("other_tenant", f"{_at(i, found)}spec.tenant", value=s.spec.tenant, own=self.tenant)
            for i, s in enumerate(found)
            if not self._may(s)
        ]

    def _may(self, submission: Submission) -> bool:
        guard, spec = self._guard, submission.spec
        action = Action.RESERVE if spec.reserves and self._action is Action.SUBMIT else self._action
        # a tenant that nobody is counts as nobody's, however many names somebody makes up
        tenant = spec.tenant if spec.tenant in guard.live.region.tenants else ""
        found = self._decided.get((action, tenant))
        if found is None:
            self._caller.asked = True
            user = self._caller.user
            found = self._decided[action, tenant] = guard.rights.ask(user, action, About(tenant), "new")
            if not found and not guard.may(self._caller, action, About(user.tenant)):
                raise _denied(user, action)
        return found

    def _inside(self, found: Sequence[Submission]) -> list[Problem]:
        """Where they name a reservation that the caller may not read: to the caller there is none."""
        return [
            problem(
                "unknown_reservation",
                f"{_at(i, found)}spec.reservation",
                value=s.spec.reservation,
                tenant=s.spec.tenant,
                node=s.spec.reservation.rpartition("-")[0],
            )
            for i, s in enumerate(found)
            if s.spec.reservation and not self._guard.knows(self._caller, s.spec.reservation)
        ]


def _at(index: int, found: Sequence[Submission]) -> str:
    return f"jobs[{index}]." if len(found) > 1 else ""


class Lens:
    """Shows a caller of journal entries what the caller may read. For one answer; from one thread at a time."""

    def __init__(
        self, live: LiveRegion, rights: Rights, caller: Caller, reach: Reach, datasets: frozenset[str]
    ) -> None:
        self._live = live
        self.reach = reach
        self.still = caller.still
        self._datasets = datasets
        everyone = rights.decide(caller.user, Action.READ_LOGS).allow
        self._private = everyone or rights.decide(caller.user, Action.READ_LOGS, About(caller.user.tenant)).allow
        self.whole = reach.everything and everyone
        """Whether every entry is shown as it is."""
        self._tenants: dict[str, str] = {}

    def entry(self, node: str, entry: Entry) -> Entry | None:
        """The entry as the caller may see it, or None."""
        if self.whole:
            return entry
        if self.reach.everything:
            return redact.entry_of(entry, private=False, room_for=True)
        if entry.job and self.reach.tenant and self._tenant(node, entry.job) == self.reach.tenant:
            return redact.entry_of(entry, self._private, room_for=False)
        if node in self.reach.sites and (not entry.job or overview.at_site(self._live.nodes[node], entry.job)):
            return redact.entry_of(entry, private=False, room_for=False)
        if self._datasets and entry.kind.startswith("transfer."):
            shown = redact.entry_of(entry, private=False, room_for=False, job=False)
            if overview.happening(node, shown).body.get("dataset") in self._datasets:
                return shown
        return None

    def page(self, node: str, after: int, limit: int) -> list[Entry]:
        """Up to ``limit`` entries of a node's journal after entry ``after``."""
        store = self._live.nodes[node].parts.store
        if self.reach.everything:
            return [e for each in store.journal(after, limit) if (e := self.entry(node, each))]
        if self.reach.tenant and not self.reach.sites and not self._datasets:
            own = store.journal(after, limit, tenant=self.reach.tenant)
            self._tenants.update((e.job, self.reach.tenant) for e in own)
            return [e for each in own if (e := self.entry(node, each))]
        found: list[Entry] = []
        while len(found) < limit and (part := store.journal(after, JOURNAL_A_READ)):
            after = part[-1].seq
            found.extend(e for each in part if (e := self.entry(node, each)))
        return found[:limit]

    def _tenant(self, node: str, job: str) -> str:
        found = self._tenants.get(job)
        if found is None:
            record = self._live.nodes[node].parts.store.job(job)
            if len(self._tenants) >= TENANTS_KNOWN:
                self._tenants.clear()
            if record is None:
                return ""
            found = self._tenants[job] = record.spec.tenant
        return found


def _denied(user: User, action: Action) -> NotAllowed:
    roles = ", ".join(user.roles) or "-"
    return NotAllowed(say("access.denied", "both", name=user.name, roles=roles, action=action.value))
