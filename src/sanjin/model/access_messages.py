"""Texts about users and what they may do: key, (English, Chinese). See :mod:`sanjin.model.catalogue`."""

from __future__ import annotations

ACCESS: dict[str, tuple[str, str]] = {
    "access.denied": (
        "{name} (roles: {roles}) may not do this: {action}; see docs/howto/who-may-do-what.md",
        "{name}(角色:{roles})无权进行此操作:{action};见 docs/howto/who-may-do-what.md",
    ),
    "role.operator": ("operator", "运营调度员"),
    "role.planner": ("planner", "规划人员"),
    "role.site_operator": ("site operator", "站点运维"),
    "role.owner": ("owner of work", "算力用户"),
    "role.data_provider": ("data provider", "数据提供方"),
    "role.auditor": ("auditor", "审计人员"),
    "role.visitor": ("visitor", "访客"),
    "head.user": ("user", "用户"),
    "head.roles": ("roles", "角色"),
    "head.sites": ("sites", "站点"),
    "head.datasets": ("datasets", "数据集"),
    "head.expires": ("expires", "到期"),
    "head.standing": ("standing", "状况"),
    "access.good": ("good", "有效"),
    "access.revoked": ("revoked", "已撤销"),
    "access.expired": ("expired", "已过期"),
    "access.never": ("never", "永不"),
    "access.token_once": (
        "this token is shown once and kept nowhere; hand it over safely, used as: SANJIN_TOKEN=<token> sanjin jobs",
        "令牌仅显示一次且不留存;请安全转交,使用方法:SANJIN_TOKEN=<令牌> sanjin jobs",
    ),
    "access.taken_up": (
        "a region that is up takes this up within two seconds",
        "运行中的区域两秒内生效",
    ),
    "access.dry_run": ("dry run: no user was changed", "试算:未更改任何用户"),
    "access.nobody": (
        "there is no user yet; the token of the state folder is the operator's",
        "尚无用户;状态目录中的令牌属于运营调度员",
    ),
    "access.is_revoked": ("{name} is revoked", "{name} 已撤销"),
    "access.has_now": ("{name} now: {roles}; sites: {sites}; datasets: {datasets}", "{name} 现有:{roles};站点:{sites};数据集:{datasets}"),
}

ACCESS_PROBLEMS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "other_tenant": (
        ("this is for tenant {value}, and you submit for {own}", "该作业属于租户 {value},而您只能为 {own} 提交"),
        ("leave tenant out, or send it with a token of that tenant", "请去掉 tenant,或使用该租户的令牌"),
    ),
    "user_exists": (
        ("there is a user {value} already", "用户 {value} 已存在"),
        ("use another name, or revoke that one first", "请换用其他名称,或先撤销该用户"),
    ),
    "user_name": (
        ("{value} is no name for a user", "{value} 不能作为用户名"),
        ("use 1 to 100 letters, digits and . _ @ -", "请使用 1 至 100 个字母、数字及 . _ @ -"),
    ),
    "needs_tenant": (
        ("an owner of work needs a tenant", "算力用户须指定租户"),
        ("give --tenant", "请给出 --tenant"),
    ),
    "needs_site": (
        ("a site operator needs a site", "站点运维须指定站点"),
        ("give --site", "请给出 --site"),
    ),
    "needs_dataset": (
        ("a data provider needs a dataset", "数据提供方须指定数据集"),
        ("give --dataset", "请给出 --dataset"),
    ),
    "nothing_granted": (
        ("there is nothing to grant or take away", "没有要授予或收回的内容"),
        ("give --role, --site or --dataset", "请给出 --role、--site 或 --dataset"),
    ),
    "last_role": (
        ("the user would have no role left", "该用户将不再有任何角色"),
        ("grant another role first, or revoke the user", "请先授予其他角色,或撤销该用户"),
    ),
    "expires_past": (
        ("{value} is over", "{value} 已过"),
        ("give a time to come, such as +90d, or never", "请给出将来的时间,如 +90d,或 never"),
    ),
}
