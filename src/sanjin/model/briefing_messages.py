"""What the morning report says: key, (English, Chinese). See :mod:`sanjin.model.catalogue`."""

from __future__ import annotations

BRIEFING: dict[str, tuple[str, str]] = {
    "label.modelled": ("modelled", "模型"),
    "label.estimated": ("estimated", "估计"),
    "report.title": ("Morning report", "晨报"),
    "report.over": (
        "{begin} to {at}; the plan until {until} (local time of the region)",
        "{begin} 至 {at};计划至 {until}(区域当地时间)",
    ),
    "report.attention": ("What wants attention", "需要关注"),
    "report.calm": ("Nothing does.", "无。"),
    "report.silent": ("{site} does not answer", "{site} 无应答"),
    "report.fault": ("{site}: {fault}", "{site}:{fault}"),
    "report.failed_jobs": ("{count} jobs failed or were interrupted", "{count} 个作业失败或中断"),
    "report.late_jobs": ("{count} jobs missed their deadline", "{count} 个作业逾期"),
    "report.audit_broken": (
        "a journal does not verify: run sanjin audit verify",
        "日志校验不通过:请运行 sanjin audit verify",
    ),
    "report.came": ("What was done", "完成情况"),
    "report.submitted": ("jobs submitted", "提交作业"),
    "report.succeeded": ("jobs succeeded", "成功作业"),
    "report.running": ("jobs running now", "正在运行"),
    "report.yuan": ("yuan settled", "结算金额(元)"),
    "report.kwh": ("kWh at the facilities' meters", "设施电表千瓦时"),
    "report.kg": ("kg CO2e", "千克CO2e"),
    "report.moved": ("GB of data sent for", "调入数据(GB)"),
    "report.home": ("Against at once in its own city", "与就地立即运行相比"),
    "report.home_how": (
        "{count} runs that ended, metered again where and when they were submitted, as if there were room. {moved} were "
        "placed a quarter of an hour or more after they could have begun, {away} ran elsewhere than submitted.",
        "{count} 个已结束的运行按提交地与提交时刻重新计量,假定当地有余量。其中 {moved} 个的安排晚于可开始时刻一刻钟以上,{away} 个在他处运行。",
    ),
    "report.sites": ("Sites", "站点"),
    "report.waits": ("What waits, and why", "等待与原因"),
    "report.none_waits": ("No job waits for a place.", "没有作业等待安排。"),
    "report.cheapest": ("Cheapest hours ahead", "未来低价时段"),
    "report.cheapest_how": (
        "Each site's cheapest hour of the plan, at the facility's meter: the tariff and on-site generation as modelled.",
        "各站点计划期内最低价的一小时(设施电表价):电价及模型自发电。",
    ),
    "report.how": (
        "Measured: counts of jobs, run times, CPU and memory of runs. Modelled from them: power, PUE, weather, on-site "
        "generation, carbon, and so yuan. Estimated: what is planned, and what would have been at home.",
        "实测:作业数、运行时长、CPU 与内存。据此建模:功率、PUE、气候、自发电、碳,及由此的金额。估计:计划值与就地对照值。",
    ),
    "report.written": ("{file} is written", "已写入 {file}"),
    "report.fine": ("answers", "正常"),
    "head.known": ("known how", "数据性质"),
    "head.ours": ("as it was", "实际"),
    "head.at_home": ("at home", "就地"),
    "head.core_h_run": ("core-h run", "已运行核时"),
    "head.core_h_planned": ("core-h planned", "计划核时"),
    "head.jobs_planned": ("jobs planned", "计划作业"),
    "head.share_used": ("use", "使用率"),
    "head.hour": ("hour", "时段"),
    "head.yuan_kwh": ("yuan/kWh", "元/千瓦时"),
}
