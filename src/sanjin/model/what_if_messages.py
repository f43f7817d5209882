"""What what-ifs say, and what is wrong with one; see :mod:`sanjin.model.catalogue`."""

from __future__ import annotations

WHAT_IF: dict[str, tuple[str, str]] = {
    "head.as_is": ("as it is", "现状"),
    "head.changed": ("changed", "改变后"),
    "whatif.jobs": ("jobs that were not over", "未结束作业"),
    "whatif.succeeded": ("of those succeeded", "其中成功"),
    "whatif.yuan": ("yuan", "元"),
    "whatif.kwh": ("kWh at the meter of the facility", "设施电表千瓦时"),
    "whatif.kg": ("kg CO2e", "千克CO2e"),
    "whatif.wait_h": ("mean wait h", "平均等待(时)"),
    "whatif.late": ("late", "逾期"),
    "whatif.begun": ("what-if {id}, from {begin} on; {took} s", "推演 {id},自 {begin} 起;用时 {took} 秒"),
    "whatif.asked": (
        "what-if {id} is asked; its answer: sanjin what-if --show {id}",
        "推演 {id} 已提交;查看结果:sanjin what-if --show {id}",
    ),
    "whatif.not_yet": ("what-if {id}: {state}, {share} of the work replayed", "推演 {id}:{state},已推演 {share}"),
    "whatif.waiting": ("waits", "排队中"),
    "whatif.running": ("is replayed", "推演中"),
    "whatif.done": ("done", "完成"),
    "whatif.failed": ("failed", "失败"),
    "whatif.nothing": ("nothing is changed: name what is to be other than it is", "未给出任何改变:请指明要改变的内容"),
    "whatif.checked": ("nothing was asked; the question is sound as far as is known here", "未提交;就此处所知,问题无误"),
    "whatif.how": (
        "Replayed by the region's own nodes from copies of their stores; runs last as long as jobs said, machines, "
        "weather and energy are modelled, and work that would still come is not guessed.",
        "由区域自身节点从状态副本推演;运行时长取作业申报值,机器、气候与能耗为模型,未计将来到达的作业。",
    ),
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
    "what_if_site_down": (
        ("{value} does not say which site is down, and from which hour to which", "{value} 未说明站点及停机起止小时"),
        ("write SITE:FROM:UNTIL, like datong:0:12", "请写作 站点:起:止,如 datong:0:12"),
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
