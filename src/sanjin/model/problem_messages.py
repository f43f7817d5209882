"""What is wrong with an input, and what to do: key, (English, Chinese) of both. See :mod:`sanjin.model.messages`."""

from __future__ import annotations

from sanjin.model.what_if_messages import WHAT_IF_PROBLEMS

PROBLEMS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    **WHAT_IF_PROBLEMS,
    "name_length": (
        ("a job needs a name of 1 to 200 characters", "作业名须为 1 至 200 个字符"),
        ("give it one", "请填写作业名"),
    ),
    "key_length": (
        ("a client key has 1 to 200 characters", "客户端键须为 1 至 200 个字符"),
        ("send a key that is unique to this job", "请提供该作业唯一的键"),
    ),
    "no_command": (
        ("there is no command", "缺少命令"),
        ("give the program and its arguments as a list", "请以列表给出程序及参数"),
    ),
    "nul_byte": (
        ("the command or environment holds a NUL character", "命令或环境变量含有 NUL 字符"),
        ("remove it", "请删除"),
    ),
    "too_small": (("{value} is below {least}", "{value} 小于 {least}"), ("use at least {least}", "至少为 {least}")),
    "too_big": (("{value} is above {most}", "{value} 超过 {most}"), ("use at most {most}", "至多为 {most}")),
    "window_too_long": (
        ("{value} s is longer than the horizon of {most} s", "时长 {value} 秒超过规划期 {most} 秒"),
        ("split the job, or shorten it to at most {most} s", "请拆分作业,或缩短至 {most} 秒以内"),
    ),
    "deadline_too_early": (
        ("the deadline is not after the earliest start", "截止时间不晚于最早开始时间"),
        ("move one of them", "请调整其一"),
    ),
    "no_deadline": (
        ("the deadline is firm but not given", "要求硬性截止但未给出截止时间"),
        ("set deadline_s", "请设置 deadline_s"),
    ),
    "latency_class": (
        ("there is no latency class of {value} ms", "没有 {value} 毫秒时延圈"),
        ("use 1, 5 or 20, or 0 for none", "可用 1、5、20,0 表示无要求"),
    ),
    "sample_larger": (
        ("a sample cannot use more cores than the job", "样本核数不能超过作业核数"),
        ("set sample_cores to at most cores", "sample_cores 不得大于 cores"),
    ),
    "unknown_tenant": (
        ("there is no tenant {value}", "没有租户 {value}"),
        ("use one of: {known}", "可用:{known}"),
    ),
    "no_envelope": (
        ("tenant {value} may not use node {node}", "租户 {value} 在节点 {node} 没有额度"),
        (
            "submit at another node, or have the region document give it an envelope",
            "请在其他节点提交,或在区域文档中给出额度",
        ),
    ),
    "over_quota": (
        (
            "{value} cores are more than the tenant's quota of {most} at {node}",
            "{value} 核超过租户在 {node} 的配额 {most}",
        ),
        ("ask for at most {most}", "请申请不超过 {most} 核"),
    ),
    "unknown_node": (("there is no node {value}", "没有节点 {value}"), ("use one of: {known}", "可用:{known}")),
    "unknown_dataset": (
        ("there is no dataset {value}", "没有数据集 {value}"),
        ("see `sanjin region show` for the datasets", "数据集见 `sanjin region show`"),
    ),
    "grade_too_low": (
        (
            "the job has grade {value}, but its input {dataset} is {grade}",
            "作业数据等级为 {value},而输入 {dataset} 的等级为 {grade}",
        ),
        ("set grade to {grade}", "请将 grade 设为 {grade}"),
    ),
    "no_pool_kind": (
        ("no site has a pool of kind {value}", "没有 {value} 类型的资源池"),
        ("use another pool_kind, or none", "请改用其他类型,或不指定"),
    ),
    "no_accelerator": (
        ("no site has accelerators of kind {value} in such a pool", "没有这类资源池提供 {value} 加速卡"),
        ("ask for another kind", "请改用其他型号"),
    ),
    "larger_than_any_site": (
        ("{value} is more than any site has ({most})", "{value} 超过任何站点的容量({most})"),
        ("ask for at most {most}, or split the job", "请申请不超过 {most},或拆分作业"),
    ),
    "larger_than_any_machine": (
        ("{value} is more than any machine has ({most})", "{value} 超过任何单机的容量({most})"),
        ("ask for at most {most} a node, and for more nodes", "每节点请申请不超过 {most},并增加节点数"),
    ),
    "unknown_queue": (
        ("there is no queue {value}", "没有队列 {value}"),
        ("use one of: {known}", "可用:{known}"),
    ),
    "gang_of_array": (
        ("members of an array cannot be gangs of several nodes", "作业数组的成员不能占用多个节点"),
        ("leave out members or nodes, or send a job for each gang", "请去掉 members 或 nodes,或逐个提交"),
    ),
    "stoppable_array": (
        ("an array cannot be stoppable as a whole", "作业数组不能整体可中断"),
        ("send the members as jobs, or leave out stoppable", "请逐个提交成员,或去掉 stoppable"),
    ),
    "reserve_elsewhere": (
        ("capacity is reserved at the site itself", "容量须在站点本身预留"),
        ("submit it at the node of the site, and name that as site: {node}", "请在 {node} 节点提交,并写 site: {node}"),
    ),
    "reserve_command": (
        ("a reservation runs no command and no array, and is not stoppable", "预留不运行命令,不可为数组或可中断"),
        ("leave out command, members, stoppable and reservation", "请去掉 command、members、stoppable、reservation"),
    ),
    "unknown_reservation": (
        ("tenant {tenant} has no reservation {value} at {node}", "租户 {tenant} 在 {node} 没有预留 {value}"),
        ("submit at the node where it is; see: sanjin jobs --node {node}", "请在其所在节点提交;见 sanjin jobs --node {node}"),
    ),
    "trace_kind": (
        ("{value} is no kind of trace that can be read", "{value} 不是可读取的轨迹格式"),
        ("give a file that ends in .swf, .swf.gz, .csv, .csv.gz or .parquet", "请给出 .swf、.swf.gz、.csv、.csv.gz 或 .parquet 文件"),
    ),
    "trace_empty": (
        ("there is no job in it", "其中没有作业"),
        ("give a trace with at least one job", "请给出至少含一个作业的轨迹"),
    ),
    "swf_line": (
        ("this line is not 18 numbers: {value}", "此行不是 18 个数:{value}"),
        ("see the Standard Workload Format; -1 stands for what is not known", "见标准负载格式 SWF;未知写 -1"),
    ),
    "not_numbers": (
        ("the table cannot be read as numbers: {value}", "表格无法按数字读取:{value}"),
        ("write a line of column names and then numbers only", "首行写列名,其后只写数字"),
    ),
    "trace_columns": (
        ("no known table has these columns: {value}", "未识别的列:{value}"),
        (
            "name them arrive_s, run_s and cores (asked_s, cards, user, queue, waited_s where known)",
            "请命名为 arrive_s、run_s、cores(已知时另有 asked_s、cards、user、queue、waited_s)",
        ),
    ),
    "no_parquet": (
        ("Parquet needs DuckDB, which is not installed", "Parquet 需要 DuckDB,尚未安装"),
        ("run: pip install 'sanjin[examples]', or use CSV", "请运行 pip install 'sanjin[examples]',或改用 CSV"),
    ),
    "no_ray": (
        ("Ray is not installed here", "此处未安装 Ray"),
        ("run: pip install 'sanjin[ray]'", "请运行 pip install 'sanjin[ray]'"),
    ),
    "no_ray_there": (
        ("no Ray cluster answers at {value}: {fault}", "{value} 处无 Ray 集群响应:{fault}"),
        ("give the address of one that runs, or leave --ray out", "请给出运行中的集群地址,或去掉 --ray"),
    ),
    "fork_after_all": (
        ("hour {value} is after the last job came", "第 {value} 小时晚于最后一个作业的到达"),
        ("say an hour up to {most}", "请给出不晚于 {most} 的小时"),
    ),
    "fork_of_queues": (
        ("{value} cannot go on from another rule's placements", "{value} 不能接续其他规则的安置"),
        (
            "leave from_h out, or use own, home_only, earliest_finish or greenest",
            "请去掉 from_h,或用 own、home_only、earliest_finish、greenest",
        ),
    ),
    "fork_after_outage": (
        ("an outage begins before hour {value}, from which the scenario differs", "停运早于方案的分叉时刻(第 {value} 小时)"),
        ("let the outage begin then or later, or make from_h less", "请让停运在该时刻或之后开始,或减小 from_h"),
    ),
    "fork_of_pools": (
        (
            "from_h: sites, pools, speeds, power and prices of machines cannot change in the middle of a replay",
            "from_h:站点、资源池、机器的速度、功耗与价格不能在回放中途改变",
        ),
        (
            "change capacity, links, tariffs, climates, the price of carbon or the policy, take a site out by an "
            "outage, or leave from_h out",
            "可改变容量、线路、电价、气候、碳价或策略,或以停运停用站点,或去掉 from_h",
        ),
    ),
    "fork_of_stoppable": (
        (
            "from_h: a replay of work that can stop and go on cannot change in the middle",
            "from_h:含可中断作业的回放不能中途改变",
        ),
        (
            "leave from_h out, or take stoppable out of the trace and --stoppable out of the command",
            "请去掉 from_h,或从轨迹与命令中去掉可中断设置",
        ),
    ),
    "stoppable_epoch": (
        (
            "an epoch of {value} s does not end where windows of stoppable work do, at quarters of an hour",
            "轮次 {value} 秒的结束时刻与可中断作业的窗口边界(每刻钟)不一致",
        ),
        ("use an epoch that divides {slot} s, or 0", "请用可整除 {slot} 秒的轮次,或 0"),
    ),
    "unknown_rule": (
        ("there is no rule {value}", "没有规则 {value}"),
        ("use one of: {known}", "可用:{known}"),
    ),
    "no_members": (
        ("first_member is given, but not how many members", "给出了 first_member,但没有成员数"),
        ("give members, or leave out first_member", "请给出 members,或去掉 first_member"),
    ),
    "key_reused": (
        ("key {value} was already used for another job", "键 {value} 已用于另一作业"),
        ("send a new key, or the same job again", "请换用新键,或重发同一作业"),
    ),
    "not_json": (("this is not JSON: {value}", "不是有效的 JSON:{value}"), ("correct it", "请更正")),
    "missing_field": (("this field is missing", "缺少该字段"), ("add it", "请补充")),
    "unknown_field": (("there is no such field", "没有该字段"), ("remove it, or correct its name", "请删除或更正名称")),
    "wrong_value": (("{value}", "类型或取值不符:{value}"), ("correct it", "请更正")),
    "bad_amount": (
        ("{value} cannot be understood", "无法识别 {value}"),
        ("write it like {example}", "写法如 {example}"),
    ),
    "unreadable": (("the file cannot be read: {value}", "无法读取文件:{value}"), ("check the path", "请检查路径")),
    "not_yaml": (("this is not YAML: {value}", "不是有效的 YAML:{value}"), ("correct it", "请更正")),
    "no_jobs": (
        ("there is no job in this file", "文件中没有作业"),
        ("write one job, or a list under jobs:", "请写一个作业,或在 jobs: 下列出"),
    ),
    "file_or_command": (
        ("give either a job file or a command after --", "请给出作业文件,或在 -- 之后给出命令"),
        ("for example: sanjin submit -- echo hello", "例如:sanjin submit -- echo hello"),
    ),
    "empty_batch": (("there is no job in it", "没有作业"), ("send at least one line", "请至少提交一行")),
    "no_line": (
        ("{value} is no node whose parent runs in this process too", "{value} 不是与其上级同在本进程的节点"),
        ("use one of: {known}", "可用:{known}"),
    ),
    "no_node": (("there is no node {value} here", "此处没有节点 {value}"), ("use one of: {known}", "可用:{known}")),
    "replace_once": (
        ("work that must not run twice cannot be placed again while its node is silent", "不可重复的作业不能在其节点失联时重新安置"),
        ("leave replace_after_s out, or say effects: repeatable", "请去掉 replace_after_s,或声明 effects: repeatable"),
    ),
    "no_site": (
        ("it is not said which node this is", "未指明是哪个节点"),
        ("give --site at the first start", "首次启动请给出 --site"),
    ),
    "engine_of_no_site": (
        ("the region has no site {value}", "区域中没有站点 {value}"),
        ("correct it in the document of engines: sanjin engines set", "请在引擎文档中改正:sanjin engines set"),
    ),
    "engine_in_use": (
        ("{value} runs of {site} have not ended in the engine that it had: {was}", "{site} 原引擎 {was} 尚有 {value} 个运行未结束"),
        (
            "go on with that engine until they have ended: sanjin engines set",
            "请先沿用原引擎,待其结束后再更换:sanjin engines set",
        ),
    ),
    "token_unreadable": (
        ("the token cannot be read from {value}: {fault}", "无法从 {value} 读取令牌:{fault}"),
        ("put the token of the cluster there, alone: sanjin engines show", "请将集群的令牌单独写入该文件:sanjin engines show"),
    ),
    "token_open": (
        ("{value} holds a token, and others may read it", "{value} 含有令牌,且他人可读"),
        ("run: chmod 600 {value}", "请运行 chmod 600 {value}"),
    ),
    "engine_folder": (
        ("the folder of runs {value} is not that of {site} as this state has it", "运行目录 {value} 不属于本状态中的 {site}"),
        (
            "see that it is mounted; for a new state name a new folder: sanjin engines set",
            "请确认已挂载;新的状态目录请另设运行目录:sanjin engines set",
        ),
    ),
    "another_node": (
        ("this state folder is that of {known}, not of {value}", "此状态目录属于 {known},不属于 {value}"),
        ("use another --state for {value}", "请为 {value} 另选 --state"),
    ),
    "not_https": (
        ("{value} is no https address", "{value} 不是 https 地址"),
        ("say where the parent listens: https://HOST:PORT", "请给出上级的监听地址:https://HOST:PORT"),
    ),
    "not_an_address": (
        ("{value} is no host and port", "{value} 不是主机与端口"),
        ("say HOST:PORT, such as 10.0.0.1:8443", "请写成 HOST:PORT,如 10.0.0.1:8443"),
    ),
    "not_a_child": (
        ("{value} is not a child of {node}", "{value} 不是 {node} 的下级"),
        ("use one of: {known}", "可用:{known}"),
    ),
    "no_token": (
        ("the request has no valid token", "请求没有有效令牌"),
        ("send the token of the state folder as `Authorization: Bearer`", "请以 Bearer 方式发送状态目录中的令牌"),
    ),
    "divided": (
        ("{value} is divided into {count} parts, each with logs of its own", "{value} 已拆分为 {count} 部分,日志按部分保存"),
        ("look at a part: {parts}", "请查看其中一部分:{parts}"),
    ),
    "batch_size": (
        ("{value} jobs are more than one call may carry ({most})", "{value} 个作业超过单次上限 {most}"),
        ("send several batches", "请分批提交"),
    ),
    "history_too_short": (
        ("{value} hours of history are too few to forecast from", "历史仅 {value} 小时,不足以预测"),
        ("give at least {least} hours; with more, the error can be stated", "至少需要 {least} 小时;更长的历史可给出误差"),
    ),
    "no_generation": (
        ("site {value} has no on-site generation in the region document", "区域文档中站点 {value} 没有自有发电"),
        ("use a site that has, or add it to the document", "请改用有自有发电的站点,或补充区域文档"),
    ),
    "missing_column": (
        ("there is no column {value}", "缺少列 {value}"),
        ("name the columns time and kw in the first line", "请在首行写明列名 time 和 kw"),
    ),
    "not_on_the_hour": (
        ("{value} is not the begin of an hour", "{value} 不是整点"),
        ("give hourly means, each with the begin of its hour", "请提供小时均值及各小时的起始时刻"),
    ),
    "not_hourly": (
        ("it comes {value} h after the line before it", "与上一行相隔 {value} 小时"),
        ("give every hour once, in order, without gaps", "请逐小时按顺序提供,不得缺漏或重复"),
    ),
    "more_faults": (
        ("{value} more faults are not shown", "另有 {value} 处错误未列出"),
        ("correct those above first", "请先更正以上各处"),
    ),
    "series_kind": (
        ("{value} is no kind of file that holds a series", "{value} 不是序列文件格式"),
        ("name a file that ends in .csv, .csv.gz or .parquet", "文件名请以 .csv、.csv.gz 或 .parquet 结尾"),
    ),
    "series_column": (
        ("a series has no column {value}", "序列没有列 {value}"),
        ("rename or remove it; the columns are {known}", "请更名或删除;可用列:{known}"),
    ),
    "series_columns": (
        ("these columns are no series: {value}", "这些列不构成序列:{value}"),
        ("give a column hour, and at least one of {known}", "须有 hour 列,及 {known} 之一"),
    ),
    "column_twice": (("column {value} stands twice", "列 {value} 重复"), ("keep one of them", "请保留其一")),
    "row_width": (
        ("this line has {value} cells, and the first line {count} names", "此行有 {value} 格,而首行有 {count} 个列名"),
        ("give every column a cell, empty where the figure is not known", "请补齐各列,未知处留空"),
    ),
    "series_empty": (("there is no hour in it", "其中没有小时数据"), ("give at least one row", "请至少给出一行")),
    "series_twice": (
        ("{value} stands in a row before this one", "{value} 已在前面出现"),
        ("give every hour of a site once", "每站点每小时只给一行"),
    ),
    "series_elsewhere": (
        ("the series has nothing to say of this replay, from {begin} to {end}", "序列不含本次回放时段({begin} 至 {end})的数据"),
        (
            "give one that has these hours, or say it again in every year with --series-repeats",
            "请提供涵盖该时段的序列,或用 --series-repeats 逐年重复",
        ),
    ),
    "no_deep_valley": (
        ("tariff {value} has no price of the deep valley", "电价 {value} 没有深谷价格"),
        ("leave out --holidays", "请去掉 --holidays"),
    ),
    "other_year": (("{value} is not in {year}", "{value} 不在 {year} 年"), ("name days of that year", "请给出该年的日期")),
    "plot_not_svg": (("{value} does not end in .svg", "{value} 不以 .svg 结尾"), ("name a file like forecast.svg", "文件名如 forecast.svg")),
    "unwritable": (("the file cannot be written: {value}", "无法写入文件:{value}"), ("check the path", "请检查路径")),
}
