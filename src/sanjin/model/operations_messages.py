"""Texts about running nodes for years: backup, restore, upgrade. Key, (English, Chinese); see
:mod:`sanjin.model.catalogue`."""

from __future__ import annotations

OPERATIONS: dict[str, tuple[str, str]] = {
    "cli.console": ("console: {url} (sanjin console --open signs in)", "控制台:{url}(sanjin console --open 自动登录)"),
    "cli.console_watch": ("watch it in a browser: {page}", "在浏览器中观看:{page}"),
    "cli.console_opened": ("opened, signed in by {page}", "已打开并登录:{page}"),
    "cli.console_how": (
        "sign in with a token, or open this page, which only you can read: {page} (or: sanjin console --open)",
        "使用令牌登录,或打开仅本人可读的页面:{page}(或:sanjin console --open)",
    ),
    "cli.drill_cut": ("the line to {site} is cut for {span}", "与 {site} 的连接已断开,时长 {span}"),
    "cli.drill_healed": ("the line to {site} is joined again", "与 {site} 的连接已恢复"),
    "head.stated": ("stated", "文档额度"),
    "head.borrowed": ("borrowed", "上级借入"),
    "head.lent": ("lent", "借出"),
    "head.used": ("used", "已用"),
    "head.free": ("free", "余额"),
    "cli.envelope_cores": ("Cores at once", "同时可用核数"),
    "cli.envelope_yuan": ("Yuan in all: spent, and set aside for what lives", "累计金额(元):已支出及在途预留"),
    "head.expected_s": ("expected s", "预计秒"),
    "head.found_s": ("found s", "实际秒"),
    "head.bias": ("bias", "偏差"),
    "head.error": ("median error", "误差中位数"),
    "head.ratio_p90": ("found/expected p90", "实际/预计 p90"),
    "head.entry": ("last entry", "末条目"),
    "head.tip": ("tip", "链尾"),
    "head.revision": ("schema", "库版本"),
    "head.before": ("before", "升级前"),
    "head.after": ("after", "升级后"),
    "head.given_up": ("given up", "放弃"),
    "head.away": ("elsewhere", "在他处"),
    "cli.backed_up": (
        "{file}: {bytes} bytes, {files} files, of {at} UTC; nobody but you can read it",
        "{file}:{bytes} 字节,{files} 个文件,时刻 {at} UTC;仅本人可读",
    ),
    "cli.backup_without": (
        "tokens, private keys and what was signed with them are not in it: --secrets adds them; datasets, outputs and logs of runs are never in it",
        "不含令牌、私钥及其签名文件(用 --secrets 加入);数据集、作业输出与日志从不包含",
    ),
    "cli.backup_with": (
        "SECRET: it holds the operator's token and private keys; who has it can act as this node. Datasets, outputs and logs of runs are not in it",
        "机密:其中含运营令牌与私钥,持有者可冒充本节点。不含数据集、作业输出与日志",
    ),
    "cli.backup_database": (
        "the state of {site} is in PostgreSQL, which its own program backs up: {command}\nFor the rest of the folder: sanjin backup --without-store",
        "{site} 的状态在 PostgreSQL 中,须用其自带程序备份:{command}\n目录其余部分:sanjin backup --without-store",
    ),
    "cli.restored": (
        "{folder} holds the state of {at} UTC, verified to the tip of every journal",
        "{folder} 已恢复为 {at} UTC 的状态,各日志均已校验至链尾",
    ),
    "cli.restore_checked": (
        "{file} is whole: every checksum, and every journal to its tip, of {at} UTC; nothing was put in place",
        "{file} 完整:校验和与各日志链尾均正确,时刻 {at} UTC;未写入任何内容",
    ),
    "cli.restore_set_back": (
        "what was done after that is not known here: at the next start work that must not run twice is given up (state interrupted), and numbers go on {skip} further. See docs/howto/deploy.md before you start it",
        "此后的操作在此未知:下次启动时,不可重复的作业将被放弃(状态为已中断),编号跳过 {skip}。启动前请阅读 docs/howto/deploy.md",
    ),
    "cli.restore_no_secrets": (
        "there are no keys in it: the node gets new ones, must be invited again by its parent, and starts a new signed log",
        "其中没有密钥:节点将生成新密钥,须由上级重新邀请,并另起签名日志",
    ),
    "cli.restore_database": (
        "the database of {site} is not in it: restore that with pg_restore, and if it is older than the node's last commit, run: sanjin restore --in-place",
        "不含 {site} 的数据库:请用 pg_restore 恢复;若早于节点最后一次提交,请运行 sanjin restore --in-place",
    ),
    "cli.set_back": (
        "numbers of the state in {folder} go on {skip} further; at the next start work that must not run twice is given up",
        "{folder} 的编号跳过 {skip};下次启动时不可重复的作业将被放弃",
    ),
    "cli.would_set_back": (
        "dry run: numbers of the state in {folder} would go on {skip} further",
        "试算:{folder} 的编号将跳过 {skip}",
    ),
    "cli.not_empty": (
        "{folder} is not empty: restore into a new folder, and put that in its place yourself once you have looked",
        "{folder} 非空:请恢复到新目录,检查后自行替换",
    ),
    "cli.folder_busy": (
        "{folder}: a process runs on it; stop that first (for a service: systemctl stop), then call this again",
        "{folder}:有进程正在使用;请先停止(如 systemctl stop),再重试",
    ),
    "cli.database_busy": (
        "a process writes the database of {site}; stop every replica first, then call this again",
        "有进程正在写入 {site} 的数据库;请先停止所有副本,再重试",
    ),
    "cli.upgrade_dump": (
        "the state of {site} is in PostgreSQL; back it up first: {command}\nthen call this again with --dumped",
        "{site} 的状态在 PostgreSQL 中;请先备份:{command}\n然后以 --dumped 重试",
    ),
    "cli.upgraded": ("upgraded to schema {revision}; the state of before: {backup}", "已升级至库版本 {revision};升级前的状态:{backup}"),
    "cli.upgrade_none": ("every store has schema {revision} already", "各状态库已是版本 {revision}"),
    "cli.would_upgrade": ("dry run: nothing was changed", "试算:未做更改"),
}

OPERATIONS_PROBLEMS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "backup_name": (
        ("{value} does not end in .tar.gz", "{value} 不以 .tar.gz 结尾"),
        ("name a file like sanjin-2026-07-15.tar.gz", "文件名如 sanjin-2026-07-15.tar.gz"),
    ),
    "restore_what": (
        ("it is not clear what to restore", "未指明恢复方式"),
        ("give either a backup, or --in-place for a state that was set back by other means", "请给出备份文件;若状态已由其他方式回退,请用 --in-place"),
    ),
    "unit_name": (
        ("{value} is no name of a service or user", "{value} 不能作为服务名或用户名"),
        ("use 1 to 31 small letters, digits, _ and -", "请使用 1 至 31 个小写字母、数字、_ 与 -"),
    ),
    "wrong_log": (
        ("{value} is no way to log", "{value} 不是日志格式"),
        ("use text or json", "可用:text、json"),
    ),
}
