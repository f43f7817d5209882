"""Who may do what: users, their roles, what they ask for, and how much of it they reach.

The rules themselves are Cedar policies (``sanjin/api/policies.cedar``). A user's grants (tenant, sites, datasets)
are data of the user, never part of a rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What somebody does in a region."""

    OPERATOR = "operator"
    PLANNER = "planner"
    SITE_OPERATOR = "site_operator"
    OWNER = "owner"
    """Owner of work: submits for a tenant."""
    DATA_PROVIDER = "data_provider"
    AUDITOR = "auditor"
    VISITOR = "visitor"
    """Sees the region and its sites, and no work of anybody: what a public view shows."""


class Action(StrEnum):
    """What can be asked for."""

    SUBMIT = "submit"
    RESERVE = "reserve"
    DRY_RUN = "dry_run"
    WHAT_IF = "what_if"
    """Have the region's work replayed from now on in a changed world."""
    LIST_JOBS = "list_jobs"
    READ_JOB = "read_job"
    CANCEL_JOB = "cancel_job"
    READ_LOGS = "read_logs"
    READ_BILL = "read_bill"
    READ_SITES = "read_sites"
    READ_REGION = "read_region"
    READ_JOURNAL = "read_journal"
    READ_EVENTS = "read_events"
    READ_USES = "read_uses"
    """See when and where to a dataset was moved, and not for whom."""
    AUDIT = "audit"
    DRILL = "drill"
    """Cut the line to a site on purpose, and join it again."""
    MANAGE_USERS = "manage_users"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody with a token. ``name`` is unique among users that are not revoked.

    ``tenant`` is whose work an owner handles; ``sites`` are a site operator's (node ids), ``datasets`` a data
    provider's. ``token_sha256`` is the hash of the token's secret part: the token itself is kept nowhere. Times are
    wall time, seconds UTC: ``expires_s`` 0 is never, ``revoked_s`` 0 is not revoked.
    """

    id: str
    name: str
    roles: tuple[Role, ...]
    tenant: str = ""
    sites: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    created_s: int = 0
    expires_s: int = 0
    revoked_s: int = 0
    token_sha256: str = ""

    def good_at(self, wall_s: float) -> bool:
        """Whether the user's token is neither revoked nor expired at a wall time, seconds UTC."""
        return not self.revoked_s and (not self.expires_s or wall_s < self.expires_s)


BOOTSTRAP = User(id="bootstrap", name="token of the state folder", roles=(Role.OPERATOR,))
"""Whoever holds the token of the state folder: the operator who is there before there are users."""

PUBLIC = User(id="public", name="public view", roles=(Role.VISITOR,))
"""Who sends no token, where the public view is switched on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far a user's right to see something goes over the work of a region: what a list is filtered by.

    Either ``everything``, or the work of ``tenant`` (empty: of none) and what is at ``sites``.
    """

    everything: bool = False
    tenant: str = ""
    sites: frozenset[str] = frozenset()

    @property
    def nothing(self) -> bool:
        """Whether nothing at all is reached."""
        return not (self.everything or self.tenant or self.sites)

    def covers(self, tenant: str, site: str) -> bool:
        """Whether work of ``tenant`` that is at ``site`` is reached."""
        return self.everything or (tenant == self.tenant != "") or site in self.sites


EVERYTHING = Reach(everything=True)
