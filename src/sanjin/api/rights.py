"""Asking the policies: may this user do that? Decisions are remembered, and each asking is logged.

A resource tells Cedar whose it is and where, and nothing else (:data:`_KINDS`), so a decision remembered for a user,
an action, a tenant and a site is the decision that Cedar would give again. A user whose grants change is another
:class:`User`, with decisions of its own.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import cedarpy

from sanjin.adapters.decision_log import DecisionLog
from sanjin.model.access import Action, Reach, Role, User

REMEMBERED = 20_000
"""Decisions that are kept; beyond that all are forgotten."""

log = logging.getLogger("sanjin.access")

_KINDS: dict[Action, tuple[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        (
            Action.SUBMIT,
            Action.RESERVE,
            Action.DRY_RUN,
            Action.LIST_JOBS,
            Action.READ_JOB,
            Action.CANCEL_JOB,
            Action.READ_BILL,
        ),
        ("Job", ("tenant", "site")),
    ),
    Action.READ_LOGS: ("Log", ("tenant", "site")),
    **dict.fromkeys((Action.READ_JOURNAL, Action.READ_EVENTS, Action.AUDIT), ("Journal", ("tenant", "site"))),
    **dict.fromkeys((Action.READ_SITES, Action.DRILL), ("Site", ("site",))),
    **dict.fromkeys((Action.READ_REGION, Action.WHAT_IF, Action.MANAGE_USERS), ("Region", ())),
    Action.READ_USES: ("Dataset", ("name",)),
}
"""What each action is about, and what a policy may know of it."""


@cache
def policies() -> cedarpy.PolicySet:
    """The policies that ship."""
    return cedarpy.PolicySet.from_str(files("sanjin.api").joinpath("policies.cedar").read_text(encoding="utf-8"))


@cache
def schema() -> cedarpy.Schema:
    """Which entities and actions there are."""
    return cedarpy.Schema.from_str(files("sanjin.api").joinpath("policies.cedarschema").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something is allowed, and by which policy (empty: none permits it)."""

    allow: bool
    policy: str


@dataclass(frozen=True, slots=True)
class About:
    """What is asked about: whose and where. ``name`` is a dataset's."""

    tenant: str = ""
    site: str = ""
    name: str = ""


NOBODYS = About()
"""Of no tenant at no site: who may read this may read everything."""


class Rights:
    """Decides and remembers; writes what was asked to ``decisions``. From any thread."""

    def __init__(self, decisions: DecisionLog) -> None:
        self.decisions = decisions
        self._known: dict[tuple[User, Action, About], Decision] = {}

    def decide(self, user: User, action: Action, about: About = NOBODYS) -> Decision:
        """The decision of the policies, without a line in the log: for parts of a question that is logged."""
        key = (user, action, about)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            found = self._known[key] = ask_cedar(user, action, about)
        return found

    def ask(self, user: User, action: Action, about: About = NOBODYS, what: str = "") -> bool:
        """Whether the user may; logged. ``what`` says for the log which thing it is (a job's id)."""
        found = self.decide(user, action, about)
        self.decisions.write(
            user=user.id,
            name=user.name,
            action=action.value,
            resource=f"{_KINDS[action][0]}:{what or about.name or '*'}",
            tenant=about.tenant,
            site=about.site,
            allow=found.allow,
            policy=found.policy,
        )
        return found.allow

    def extent(self, user: User, action: Action) -> Reach:
        """How far a right goes: some decisions, without a line in the log."""
        if self.decide(user, action).allow:
            return Reach(everything=True)
        own = bool(user.tenant) and self.decide(user, action, About(tenant=user.tenant)).allow
        sites = frozenset(s for s in user.sites if self.decide(user, action, About(site=s)).allow)
        return Reach(tenant=user.tenant if own else "", sites=sites)

    def reach(self, user: User, action: Action) -> Reach:
        """How far a right to see goes, for filtering lists: some decisions, whatever the length of the list; logged.

        Sound because a policy knows a resource by tenant and site alone, and permits nothing to hold both at once.
        """
        found, whole = self.extent(user, action), self.decide(user, action)
        self.decisions.write(
            user=user.id,
            name=user.name,
            action=action.value,
            resource=f"{_KINDS[action][0]}:*",
            tenant="*" if found.everything else found.tenant,
            site="*" if found.everything else ",".join(sorted(found.sites)),
            allow=not found.nothing,
            policy=whole.policy,
        )
        return found


def ask_cedar(user: User, action: Action, about: About) -> Decision:
    """One decision by Cedar, about 0.1 ms. A policy that cannot be evaluated denies."""
    kind, known = _KINDS[action]
    attributes = {name: getattr(about, name) for name in known}
    who, which = {"type": "User", "id": user.id}, {"type": kind, "id": "this"}
    entities: list[dict[str, Any]] = [
        {
            "uid": who,
            "attrs": {"tenant": user.tenant, "sites": list(user.sites), "datasets": list(user.datasets)},
            "parents": [{"type": "Role", "id": role.value} for role in user.roles],
        },
        {"uid": which, "attrs": attributes, "parents": []},
        {"uid": {"type": "Role", "id": "member"}, "attrs": {}, "parents": []},
        *(
            {"uid": {"type": "Role", "id": r.value}, "attrs": {}, "parents": [{"type": "Role", "id": "member"}]}
            for r in Role
        ),
    ]
    request = {"principal": who, "action": {"type": "Action", "id": action.value}, "resource": which, "context": {}}
    cedar: Any = cedarpy  # its dicts have no types
    result: cedarpy.AuthzResult = cedar.is_authorized(request, policies(), json.dumps(entities), schema())
    if result.diagnostics.errors:
        log.error("policies: %s", "; ".join(map(str, result.diagnostics.errors)))
        return Decision(False, "")
    found: Any = result.diagnostics
    names: dict[str, str] = found.id_annotations_by_reason
    return Decision(result.allowed, ",".join(sorted(names.get(r, r) for r in result.diagnostics.reasons)))
