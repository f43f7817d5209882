"""``sanjin user``: who may do what. Works on the file of users in the state folder, whether the region is up or not.

Whoever can write the state folder manages its users; each change is noted in the log of decisions.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from sanjin.adapters.decision_log import DecisionLog
from sanjin.adapters.state_folder import StateFolder, default_folder
from sanjin.adapters.users import UserFile, new_id, new_token
from sanjin.cli.amounts import to_instant
from sanjin.cli.output import Format, State, data, note, table, text
from sanjin.model.access import BOOTSTRAP, Action, Role, User
from sanjin.model.catalogue import problem
from sanjin.model.errors import NotFound, Problem, ProblemsFound
from sanjin.model.region import Region

_Role = Literal["operator", "planner", "site_operator", "owner", "data_provider", "auditor"]
_Roles = Annotated[tuple[_Role, ...], Parameter(name="--role", negative=(), help="A role; repeat for more. 角色。")]
_Sites = Annotated[
    tuple[str, ...],
    Parameter(name="--site", negative=(), help="A site operator's site; repeat for more. 站点。"),
]
_Datasets = Annotated[
    tuple[str, ...],
    Parameter(name="--dataset", negative=(), help="A data provider's dataset; repeat for more. 数据集。"),
]
_Name = Annotated[str, Parameter(help="Name of the user. 用户名。")]
_DryRun = Annotated[bool, Parameter(negative=(), help="Check and show it; change nothing. 试算。")]

_NAME = re.compile(r"[\w.@-]{1,100}")
NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownUser:
    """A user as commands print it, without the hash of the token. Times are UTC, ISO 8601; empty: never."""

    id: str
    name: str
    roles: tuple[str, ...]
    tenant: str
    sites: tuple[str, ...]
    datasets: tuple[str, ...]
    created: str
    expires: str
    standing: str
    """``good``, ``expired`` or ``revoked``."""


def add_user(
    name: _Name,
    /,
    *,
    role: _Roles,
    tenant: Annotated[str, Parameter(help="Whose work an owner handles. 租户。")] = "",
    site: _Sites = (),
    dataset: _Datasets = (),
    expires: Annotated[str, Parameter(help="When the token ends: +90d, 2027-01-31T00:00, never. 到期。")] = "+90d",
    dry_run: _DryRun = False,
    state: State = None,
    output: Format = "table",
) -> None:
    """Add a user and print the token, once. 新增用户。

    An owner needs --tenant, a site operator --site, a data provider --dataset.
    """
    folder = StateFolder(state or default_folder())
    now = int(time.time())
    made = User(
        id=new_id(),
        name=name,
        roles=tuple(dict.fromkeys(Role(r) for r in role)),
        tenant=tenant,
        sites=site,
        datasets=dataset,
        created_s=now,
        expires_s=_end(expires, now),
    )
    faults = [] if _NAME.fullmatch(name) else [problem("user_name", "NAME", value=name)]
    if faults := faults + _faults(made, _region(folder)):
        raise ProblemsFound(faults)
    token, hashed = new_token(made.id)

    def added(users: tuple[User, ...]) -> tuple[User, ...]:
        if _find(users, name) is not None:
            raise ProblemsFound([problem("user_exists", "NAME", value=name)])
        return (*users, replace(made, token_sha256=hashed))

    _change(folder, added, made, "add", dry_run)
    token = "" if dry_run else token
    if not data({"user": _shown(made, now), "token": token, "dry_run": dry_run}, output):
        if token:
            print(token)
        note(text("access.dry_run" if dry_run else "access.token_once"))
        note(text("access.taken_up"))


def list_user(*, state: State = None, output: Format = "table") -> None:
    """List users. 用户列表。"""
    now = int(time.time())
    found = [_shown(u, now) for u in UserFile(state or default_folder()).read()]
    if data(found, output):
        return
    if not found:
        note(text("access.nobody"))
        return
    rows = [
        [u.name, u.id, ", ".join(text(f"role.{r}") for r in u.roles), u.tenant, ", ".join(u.sites),
         ", ".join(u.datasets), u.expires or text("access.never"), text(f"access.{u.standing}")]
        for u in found
    ]  # fmt: skip
    heads = ("name", "user", "roles", "tenant", "sites", "datasets", "expires", "standing")
    table([f"head.{h}" for h in heads], rows, left=tuple(range(8)))


def revoke_user(name: _Name, /, *, dry_run: _DryRun = False, state: State = None, output: Format = "table") -> None:
    """End a user's token, for good; the user stays in the list. 撤销用户。"""

    def revoked(user: User) -> User:
        return replace(user, revoked_s=int(time.time()))

    user = _changed(StateFolder(state or default_folder()), name, revoked, "revoke", dry_run)
    if not data({"user": _shown(user, int(time.time())), "dry_run": dry_run}, output):
        print(text("access.is_revoked", name=name))
        note(text("access.dry_run" if dry_run else "access.taken_up"))


def grant_user(
    name: _Name,
    /,
    *,
    role: _Roles = (),
    site: _Sites = (),
    dataset: _Datasets = (),
    dry_run: _DryRun = False,
    state: State = None,
    output: Format = "table",
) -> None:
    """Give a user a role, a site, a dataset. 授权。"""
    folder = StateFolder(state or default_folder())
    _something(role, site, dataset)

    def granted(user: User) -> User:
        made = replace(
            user,
            roles=tuple(dict.fromkeys((*user.roles, *map(Role, role)))),
            sites=tuple(dict.fromkeys((*user.sites, *site))),
            datasets=tuple(dict.fromkeys((*user.datasets, *dataset))),
        )
        if faults := _faults(made, _region(folder)):
            raise ProblemsFound(faults)
        return made

    _print_change(_changed(folder, name, granted, "grant", dry_run), dry_run, output)


def ungrant_user(
    name: _Name,
    /,
    *,
    role: _Roles = (),
    site: _Sites = (),
    dataset: _Datasets = (),
    dry_run: _DryRun = False,
    state: State = None,
    output: Format = "table",
) -> None:
    """Take a role, a site, a dataset from a user. 收回授权。"""
    _something(role, site, dataset)

    def less(user: User) -> User:
        made = replace(
            user,
            roles=tuple(r for r in user.roles if r not in role),
            sites=tuple(s for s in user.sites if s not in site),
            datasets=tuple(d for d in user.datasets if d not in dataset),
        )
        if not made.roles:
            raise ProblemsFound([problem("last_role", "--role")])
        return made

    folder = StateFolder(state or default_folder())
    _print_change(_changed(folder, name, less, "ungrant", dry_run), dry_run, output)


def _print_change(user: User, dry_run: bool, output: Format) -> None:
    if not data({"user": _shown(user, int(time.time())), "dry_run": dry_run}, output):
        roles = ", ".join(text(f"role.{r}") for r in user.roles)
        sites, sets = ", ".join(user.sites) or "-", ", ".join(user.datasets) or "-"
        print(text("access.has_now", name=user.name, roles=roles, sites=sites, datasets=sets))
        note(text("access.dry_run" if dry_run else "access.taken_up"))


def _something(*given: tuple[str, ...]) -> None:
    if not any(given):
        raise ProblemsFound([problem("nothing_granted", "user")])


def _find(users: Iterable[User], name: str) -> User | None:
    """The user of that name who is not revoked."""
    return next((u for u in users if u.name == name and not u.revoked_s), None)


def _changed(folder: StateFolder, name: str, how: Callable[[User], User], what: str, dry_run: bool) -> User:
    """The user as ``how`` makes it, written unless that is not wanted. Raises NotFound."""
    made: list[User] = []

    def changed(users: tuple[User, ...]) -> tuple[User, ...]:
        found = _find(users, name)
        if found is None:
            raise NotFound(f"there is no user {name}; see: sanjin user list")
        made.append(how(found))
        return tuple(made[0] if u is found else u for u in users)

    if dry_run:
        changed(UserFile(folder.path).read())
    else:
        UserFile(folder.path).change(changed)
        _noted(folder, made[0], what)
    return made[0]


def _change(
    folder: StateFolder, how: Callable[[tuple[User, ...]], tuple[User, ...]], user: User, what: str, dry_run: bool
) -> None:
    file = UserFile(folder.path)
    if dry_run:
        how(file.read())
    else:
        file.change(how)
        _noted(folder, user, what)


def _noted(folder: StateFolder, user: User, what: str) -> None:
    log = DecisionLog(folder.path, rotates=False)  # the region that is up turns the files over
    log.write(
        user=BOOTSTRAP.id,
        name="whoever writes the state folder",
        action=Action.MANAGE_USERS.value,
        resource=f"User:{user.id}",
        what=what,
        whom=user.name,
        roles=list(user.roles),
        tenant=user.tenant,
        site=",".join(user.sites),
        allow=True,
    )
    log.close()


def _region(folder: StateFolder) -> Region | None:
    """The region that this state is of, where one was ever up here."""
    from sanjin.regions.load import load_region

    path: Path = folder.path / "region.yaml"
    return load_region(path) if path.exists() else None


def _faults(user: User, region: Region | None) -> list[Problem]:
    """What is wrong with a user's roles and grants; names are checked where the region is known."""
    found: list[Problem] = []
    if Role.OWNER in user.roles and not user.tenant:
        found.append(problem("needs_tenant", "--tenant"))
    if Role.SITE_OPERATOR in user.roles and not user.sites:
        found.append(problem("needs_site", "--site"))
    if Role.DATA_PROVIDER in user.roles and not user.datasets:
        found.append(problem("needs_dataset", "--dataset"))
    if region is None:
        return found
    if user.tenant and user.tenant not in region.tenants:
        known = ", ".join(region.tenants)
        found.append(problem("unknown_tenant", "--tenant", value=user.tenant, known=known))
    known = ", ".join(region.nodes)
    found += [problem("unknown_node", "--site", value=s, known=known) for s in user.sites if s not in region.nodes]
    found += [problem("unknown_dataset", "--dataset", value=d) for d in user.datasets if d not in region.datasets]
    return found


def _end(expires: str, now: int) -> int:
    """When a token ends, wall seconds UTC (0: never); a time without an offset is this machine's. Raises
    ProblemsFound."""
    if expires == NEVER:
        return 0
    offset = datetime.now().astimezone().utcoffset()
    hours = offset.total_seconds() / 3600 if offset else 0
    found = to_instant(expires, now, round(hours), "--expires")
    if found <= now:
        raise ProblemsFound([problem("expires_past", "--expires", value=expires)])
    return found


def _shown(user: User, now: int) -> ShownUser:
    standing = "revoked" if user.revoked_s else "good" if user.good_at(now) else "expired"
    return ShownUser(
        id=user.id,
        name=user.name,
        roles=tuple(user.roles),
        tenant=user.tenant,
        sites=user.sites,
        datasets=user.datasets,
        created=_iso(user.created_s),
        expires=_iso(user.expires_s),
        standing=standing,
    )


def _iso(moment_s: int) -> str:
    from datetime import UTC

    return datetime.fromtimestamp(moment_s, UTC).isoformat().replace("+00:00", "Z") if moment_s else ""
