"""What what-ifs say, and what is wrong with one; see :mod:`sanjin.model.catalogue`."""

from __future__ import annotations

WHAT_IF: dict[str, tuple[str, str]] = {
    "whatif.busy": (
        "{most} what-ifs wait already; ask again when one of them is done",
        "已有 {most} 个推演在排队;请待其完成后再提交",
    ),
    "whatif.stopped": (
        "the region was stopped before this was done; ask again",
        "完成前区域已停止;请重新提交",
    ),
    "whatif.died": (
        "the process that replayed it ended without an answer; the node's log has more",
        "推演进程未给出结果即结束;详见节点日志",
    ),
}

WHAT_IF_PROBLEMS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "what_if_hours": (
        ("a site that is down from hour {begin} is not down until hour {until}", "停机自第 {begin} 小时起,不能止于第 {until} 小时"),
        ("let until_h be later than from_h", "until_h 须晚于 from_h"),
    ),
    "what_if_downs": (
        ("{value} sites that are down are more than {most}", "停机条目 {value} 超过 {most}"),
        ("name at most {most}", "至多给出 {most} 条"),
    ),
    "what_if_folder": (
        ("this region has no state folder to copy", "本区域没有可复制的状态目录"),
        ("ask one that was started with: sanjin up", "请询问由 sanjin up 启动的区域"),
    ),
    "what_if_nodes": (
        ("nodes of other processes cannot be copied from here: {away}", "其他进程的节点无法由此复制:{away}"),
        (
            "ask a region whose nodes run in one process (sanjin up), or copy its stores and use: sanjin replay --from-state",
            "请询问所有节点同进程的区域(sanjin up),或复制其状态后使用 sanjin replay --from-state",
        ),
    ),
    "what_if_stores": (
        ("only stores in SQLite can be copied while they are used; not those of: {nodes}", "仅能复制使用中的 SQLite 状态库;以下节点不是:{nodes}"),
        ("ask a region that keeps its state in its folder", "请询问状态存于目录中的区域"),
    ),
    "what_if_jobs": (
        ("{value} jobs are not over, more than the {most} that are replayed at most", "未结束作业 {value} 个,超过可推演的 {most} 个"),
        ("ask when fewer are there, or use: sanjin replay", "请在作业较少时再问,或使用 sanjin replay"),
    ),
}
