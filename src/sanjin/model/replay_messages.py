"""What replays, their assumptions and made series are called: key, (English, Chinese). See :mod:`sanjin.model.messages`."""

from __future__ import annotations

from sanjin.model.briefing_messages import BRIEFING
from sanjin.model.what_if_messages import WHAT_IF

REPLAYS: dict[str, tuple[str, str]] = {
    **WHAT_IF,
    **BRIEFING,
    "replayed.more": (
        "{count} more, where fewer jobs came from, are in the JSON output",
        "另有 {count} 个来源作业较少,见 JSON 输出",
    ),
    "replayed.decided": (
        "decided by the lowest node that has both the job's origin and its site below it: {parts}",
        "由同时包含来源与站点的最低层节点决策:{parts}",
    ),
    "replayed.own": ("the region's own rule", "区域自身规则"),
    "replayed.home_only": ("least total at home", "就地总价最少"),
    "replayed.earliest_finish": ("earliest finish", "最早完成"),
    "replayed.greenest": ("greenest", "碳排最少"),
    "replayed.easy_at_home": ("EASY at home", "就地 EASY 回填"),
    "replayed.fcfs_at_home": ("FCFS at home", "就地先到先服务"),
    "assumed.origin": (
        "Origins are drawn by {origin} with seed {seed}; all jobs of a user come from one city.",
        "来源城市按 {origin} 权重抽取(种子 {seed});同一用户的作业来自同一城市。",
    ),
    "assumed.delay": (
        "An hour of waiting costs {low} to {high} yuan a core, log-uniform: assumed, no trace says it.",
        "每核等待一小时的代价为 {low} 至 {high} 元,对数均匀分布:假定值,轨迹未载。",
    ),
    "assumed.due": (
        "A job is late that is not done within {least} to {most} times what it asked for, log-uniform: drawn, and "
        "only counted.",
        "作业未在申请时长的 {least} 至 {most} 倍(对数均匀抽取)内完成即计为逾期;仅作统计。",
    ),
    "assumed.data": (
        "{share} of the jobs read data that lie in their own city, of {gb} GB in the median: assumed.",
        "{share} 的作业读取本地数据,中位数 {gb} GB:假定值。",
    ),
    "assumed.scaled": (
        "Capacity is {scale} of the region's, so that the work asks for {load} of it.",
        "容量按 {scale} 缩放,使作业需求占 {load}。",
    ),
    "assumed.enlarged": (
        "{count} of {pools} pools are larger than that, to hold the widest job ({widest} cores).",
        "{pools} 个资源池中有 {count} 个大于此比例,以容纳最宽的作业({widest} 核)。",
    ),
    "assumed.as_it_is": ("Capacity is the region's as its document states it.", "容量取区域文档所载。"),
    "assumed.energy": (
        "Energy is modelled from cores at full use, the tariff, and PUE by the month's mean weather; carbon by the grid's "
        "yearly factor at {price} yuan a tonne.",
        "能耗按满载核数、电价与月均气候下的 PUE 建模;碳按电网年均因子,碳价 {price} 元/吨。",
    ),
    "assumed.left_out": (
        "Machines at rest are not counted, memory is not in the trace, and links carry nothing but the jobs' data.",
        "不计空闲机器;轨迹不含内存;链路仅承载作业数据。",
    ),
    "assumed.queues": (
        "Queues at home look at cores and cards alone; the other rules also keep to the power caps of sites.",
        "就地队列只看核数与加速卡;其他规则另受站点功率上限约束。",
    ),
    "assumed.planned": ("Rules plan with the time that jobs asked for.", "各规则按作业申请的时长安排。"),
    "assumed.looked_again": (
        "What ends early makes room. Under the region's own rule, work that has not started is looked at again at every "
        "quarter of an hour, as the region does (not where move_gain_fen is below 0); work whose data were sent elsewhere "
        "stays.",
        "提前结束即腾出容量。按区域自身规则,未开始的作业每一刻钟重新评估(与实际区域一致;move_gain_fen 小于 0 时不评估);"
        "数据已迁出者不再改派。",
    ),
    "assumed.none_stoppable": (
        "No job can be stopped and go on later, or be divided over several windows: the trace says it of none, and "
        "none is drawn.",
        "没有作业可中断后续跑或分段运行:轨迹未载,亦未抽取。",
    ),
    "assumed.stoppable": (
        "{count} jobs can be stopped and go on later: as the trace says it of {said}, and else a share of {share}, drawn. A "
        "stop costs {cost} s of work where the trace does not say.",
        "{count} 个作业可中断后续跑:其中轨迹载明 {said} 个作业是否可中断,其余按 {share} 抽取。轨迹未载时每次中断损失 {cost} 秒工作量。",
    ),
    "assumed.stopped": (
        "Stoppable work runs in up to {most} windows at one site where that saves a fen or more, under all rules but the "
        "queues at home, which run it whole. Under the region's own rule it also stops for other work at its site where "
        "that gains stop_gain_fen or more (not where that is below 0, nor for work whose data were sent elsewhere). "
        "Pauses, and what stops cost, count as waiting. What it had done is lost where its site fails.",
        "可中断作业若分段可省一分以上,则在同一站点至多分 {most} 段运行(就地队列整段运行)。按区域自身规则,若让位可获 "
        "stop_gain_fen 以上收益,则为同站点其他作业让位(小于 0 时不让位;不为数据已迁出者让位)。暂停与中断损失计为等待。"
        "站点故障时已完成部分丢失。",
    ),
    "assumed.folded": ("The trace is laid over itself every {count} days.", "轨迹每 {count} 天折叠一次。"),
    "assumed.bad_line": ("{count} lines of the trace cannot be read and are left out.", "{count} 行无法读取,已略去。"),
    "assumed.no_cores": ("{count} jobs without cores are left out.", "{count} 个无核数作业已略去。"),
    "assumed.no_run_time": ("{count} jobs without run time are left out.", "{count} 个无运行时长作业已略去。"),
    "assumed.before_begin": (
        "{count} jobs came before the trace begins and are left out.",
        "{count} 个作业早于起点,已略去。",
    ),
    "assumed.out_of_order": ("{count} jobs stood out of the order of arrival.", "{count} 个作业未按到达顺序。"),
    "assumed.asked_unknown": (
        "{count} jobs do not say what time they asked for: the time that they ran is taken.",
        "{count} 个作业未载申请时长,以实际时长代替。",
    ),
    "assumed.asked_too_little": (
        "{count} jobs ran longer than they asked for; they are taken to have asked for what they ran.",
        "{count} 个作业超出申请时长,以实际时长为申请。",
    ),
    "assumed.series": (
        "Hours and sites until the last arrival for which the series {name} stands in place of the model: {shares}. "
        "Elsewhere the model holds.",
        "至最后到达时刻,序列 {name} 代替模型的小时与站点占比:{shares}。其余仍用模型。",
    ),
    "assumed.series_source": ("The series says of its source: {source}.", "序列注明的来源:{source}。"),
    "assumed.series_synthetic": (
        "The series is synthetic: made from models and chance, not measured.",
        "该序列为合成数据:由模型与随机数生成,非实测。",
    ),
    "assumed.series_repeated": (
        "In other years than its own the series is said again: the same month, day and hour.",
        "在其他年份按相同月、日、时重复该序列。",
    ),
    "synthetic.what": (
        "Synthetic year {year} of region {region}, seed {seed}: made from the region document and chance. Nothing here was "
        "measured.",
        "区域 {region} 的合成年 {year}(种子 {seed}):由区域文档与随机数生成,均非实测。",
    ),
    "synthetic.temperature": (
        "temperature_c: the document's monthly means and its swing of the day, and AR(1) noise of {spread} degC that "
        "correlates {persists} a day later and falls to 1/e over {reach} km.",
        "temperature_c:文档月均值与日较差,加标准差 {spread} °C 的 AR(1) 噪声,隔日相关 {persists},空间相关距离 {reach} 公里。",
    ),
    "synthetic.generation": (
        "generation_kw: sunlight as modelled under a sky of mean clearness {mean} that changes from day to day (correlation "
        "{persists}, 1/e over {reach} km); wind as modelled, constant.",
        "generation_kw:按模型日照,天空晴朗度逐日变化,均值 {mean}(隔日相关 {persists},空间相关距离 {reach} 公里);风电按模型为常数。",
    ),
    "synthetic.holidays": (
        "price_yuan_kwh: the tariff; from {begin} to {end} h at the deep valley's price on {days}.",
        "price_yuan_kwh:分时电价;{days} 的 {begin} 至 {end} 时按深谷电价。",
    ),
    "synthetic.no_holidays": (
        "price_yuan_kwh: the tariff; holidays are not in it.",
        "price_yuan_kwh:分时电价;未计节假日。",
    ),
    "synthetic.carbon": (
        "carbon_kg_kwh: the grid's yearly factor in every hour; factors by the hour are not published.",
        "carbon_kg_kwh:各小时均取电网年均因子;逐时因子未公布。",
    ),
    "gap.no_waits": (
        "The reality gap cannot be stated: too few jobs of the trace carry the wait that was recorded.",
        "无法给出与实际的差距:轨迹中记有等待时长的作业过少。",
    ),
    "gap.no_machine": (
        "The reality gap cannot be stated: the trace does not say how large its machine was; give --machine-cores.",
        "无法给出与实际的差距:轨迹未载机器规模;请用 --machine-cores 给出。",
    ),
    "gap.one_queue": (
        "One machine, one queue: partitions, priorities, reservations and outages of the recorded system are not in the "
        "log and are not replayed.",
        "按单机单队列:原系统的分区、优先级、预约与停机未载于日志,不作回放。",
    ),
    "gap.empty_at_first": (
        "The machine is empty when the trace begins, which the recorded one was not: waits at the begin are too short.",
        "轨迹开始时机器视为空闲,实际并非如此:开头的等待偏短。",
    ),
    "gap.as_recorded": (
        "Arrivals, widths, run times and times asked for are those recorded; the trace is neither folded nor scaled.",
        "到达、核数、运行时长与申请时长均取记录值;轨迹未折叠、未缩放。",
    ),
    "gap.machine": (
        "The machine had {cores} cores, as the log states.",
        "机器共 {cores} 核,取自日志。",
    ),
    "gap.machine_given": (
        "The machine is taken to have had {cores} cores, as given.",
        "机器按给定的 {cores} 核计。",
    ),
    "gap.left_out": (
        "{without} jobs carry no wait and {wide} are wider than the machine: they are not compared.",
        "{without} 个作业无等待记录,{wide} 个超出机器规模:不作比较。",
    ),
    "gap.fitted": (
        "Calibrated on the first {jobs} of the compared jobs, in {replays} replays: {discipline}, {share} of the machine "
        "usable. Judged on the {judged} after them, whose waits the search has not seen: distance {before} s before, "
        "{after} s after.",
        "以前 {jobs} 个可比作业标定,共回放 {replays} 次:{discipline},可用 {share} 的机器。以其后 {judged} 个作业检验"
        "(搜索未见其等待):距离由 {before} 秒变为 {after} 秒。",
    ),
}
