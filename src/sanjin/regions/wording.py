"""What a fault in a region document is called: one line of :data:`FAULTS` a code.

Texts are format strings; the fault's details fill them. The Chinese says the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from sanjin.model.errors import Problem


@dataclass(frozen=True, slots=True)
class Fault:
    """Wording of one kind of fault: what is wrong, and what to do about it."""

    what: str
    todo: str
    what_zh: str
    todo_zh: str


FAULTS: dict[str, Fault] = {
    "unreadable_file": Fault(
        "the file cannot be read: {reason}",
        "Check the name and the rights of the file, and save it as UTF-8",
        "文件无法读取：{reason}",
        "请检查文件名和读取权限，并以 UTF-8 编码保存",
    ),
    "yaml_syntax": Fault(
        "this is not valid YAML: {reason}",
        "Correct the syntax at this line",
        "YAML 语法错误：{reason}",
        "请改正此行的语法",
    ),
    "too_deep": Fault(
        "the document nests more than {limit} levels",
        "Write it with fewer levels",
        "文档嵌套超过 {limit} 层",
        "请减少嵌套层数",
    ),
    "unknown_link": Fault(
        "there is no link with these ends",
        "Name a link by its two ends, one of: {known}",
        "没有以此二者为端点的链路",
        "请以两端命名链路，可用：{known}",
    ),
    "outage_ends": Fault(
        "the outage ends at {until} h, not after its begin at {begin} h",
        "Give until_h after from_h",
        "故障结束时间（{until} 小时）不晚于开始时间（{begin} 小时）",
        "until_h 须大于 from_h",
    ),
    "outage_of_what": Fault(
        "an outage is of one site or of one link, and only a site's may be announced",
        "Give either site, or link: [a, b]",
        "故障须为一个站点或一条链路，且仅站点故障可预先通知",
        "请给出 site 或 link: [a, b]",
    ),
    "too_many_scenarios": Fault(
        "the sweep asks for {count} scenarios; {most} at most",
        "Give fewer values",
        "扫描产生 {count} 个方案，至多 {most} 个",
        "请减少取值",
    ),
    "unknown_key": Fault(
        "there is no key {key!r} here",
        "{hint}",
        "此处没有名为 {key!r} 的键",
        "{hint_zh}",
    ),
    "missing_key": Fault(
        "the key {key!r} is missing",
        "Add {key!r}",
        "缺少键 {key!r}",
        "请补上 {key!r}",
    ),
    "missing_unit": Fault(
        "the figure has no unit",
        "Add unit: {expected!r}",
        "数值没有单位",
        "请补上 unit: {expected!r}",
    ),
    "wrong_unit": Fault(
        "the unit is {found!r}, but {expected!r} is expected",
        "Convert the value to {expected!r} and state that unit",
        "单位为 {found!r}，应为 {expected!r}",
        "请把数值换算成 {expected!r} 并注明该单位",
    ),
    "wrong_type": Fault(
        "{found} stands where {expected} is expected",
        "Write {expected}",
        "此处是{found_zh}，应为{expected_zh}",
        "请改为{expected_zh}",
    ),
    "duplicate_key": Fault(
        "the key {key!r} is already there at line {first}",
        "Keep one of the two",
        "键 {key!r} 已在第 {first} 行出现",
        "请只保留其中一个",
    ),
    "duplicate_id": Fault(
        "the id {key!r} is already in use at line {first}",
        "Give one of them another id",
        "编号 {key!r} 已在第 {first} 行使用",
        "请为其中一个换用其他编号",
    ),
    "bad_id": Fault(
        "{key!r} is not a valid id",
        "Use small letters, digits and hyphens, beginning with a letter or digit",
        "{key!r} 不是有效的编号",
        "请使用小写字母、数字和连字符，并以字母或数字开头",
    ),
    "empty_text": Fault(
        "the text is empty",
        "Write something here",
        "文字为空",
        "请填写内容",
    ),
    "negative": Fault(
        "{value} is negative",
        "Write a number that is at least 0",
        "{value} 是负数",
        "请填写不小于 0 的数",
    ),
    "zero": Fault(
        "it is zero",
        "Write a number above 0, or leave the whole entry out",
        "数值为零",
        "请填写大于 0 的数，或删去整个条目",
    ),
    "out_of_range": Fault(
        "{value} is outside {low} to {high}",
        "Write a number from {low} to {high}",
        "{value} 超出范围 {low} 至 {high}",
        "请填写 {low} 至 {high} 之间的数",
    ),
    "not_whole": Fault(
        "{value} is not a whole number",
        "Write a whole number",
        "{value} 不是整数",
        "请填写整数",
    ),
    "no_shared_folder": Fault(
        "a cluster needs a folder for runs",
        "Name one that the node and the machines of the cluster share, under the same name",
        "集群需要运行目录",
        "请指定节点与集群各机器以同一路径共享的目录",
    ),
    "not_a_whole_path": Fault(
        "{found} is not a whole path",
        "Begin it with /",
        "{found} 不是绝对路径",
        "请以 / 开头",
    ),
    "not_a_slurm_name": Fault(
        "{found} cannot be the name of something in Slurm",
        "Use letters, digits and . _ , + - only",
        "{found} 不能作为 Slurm 中的名称",
        "请仅使用字母、数字和 . _ , + -",
    ),
    "not_a_kubernetes_name": Fault(
        "{found} cannot be the name of a thing of this kind in Kubernetes",
        "Write it as kubectl shows it: small letters, digits and -; a card as nvidia.com/gpu",
        "{found} 不能作为 Kubernetes 中此类对象的名称",
        "请按 kubectl 显示的写法：小写字母、数字和 -；加速卡如 nvidia.com/gpu",
    ),
    "not_an_address": Fault(
        "{found} is not the address of a Ray dashboard",
        "Write http:// or https://, a host and a port, as http://127.0.0.1:8265",
        "{found} 不是 Ray 仪表板地址",
        "请填写 http:// 或 https://、主机和端口，例如 http://127.0.0.1:8265",
    ),
    "not_a_rest_address": Fault(
        "{found} is not where slurmrestd answers",
        "Write unix: and the socket's whole path, or http:// or https://, a host and a port",
        "{found} 不是 slurmrestd 地址",
        "请填写 unix: 加套接字的绝对路径，或 http:// 或 https://、主机和端口",
    ),
    "rest_without_token": Fault(
        "slurmrestd answers over HTTP only to those who have a token",
        "Name its file in token_file; scontrol token makes one",
        "slurmrestd 经 HTTP 访问须有令牌",
        "请在 token_file 中给出令牌文件；令牌由 scontrol token 生成",
    ),
    "token_for_nothing": Fault(
        "nothing asks for this token",
        "Say rest, where slurmrestd answers, or leave token_file out",
        "此令牌无处使用",
        "请给出 rest（slurmrestd 地址），或去掉 token_file",
    ),
    "token_in_the_open": Fault(
        "the token would go to {found} where others can read it",
        "Use https://, or a tunnel to this machine (ssh -L) and http://127.0.0.1",
        "令牌将以明文发往 {found}",
        "请使用 https://，或用 ssh -L 隧道接到本机 http://127.0.0.1",
    ),
    "not_a_store_name": Fault(
        "{found} cannot be the name of something in an object store",
        "Use letters, digits and . _ , + - only",
        "{found} 不能作为对象存储中的名称",
        "请仅使用字母、数字和 . _ , + -",
    ),
    "not_a_store_address": Fault(
        "{found} cannot be the address of an object store here",
        "Write https://host or https://host:port, without keys; plain http is for this machine alone (127.0.0.1)",
        "{found} 不能作为对象存储的地址",
        "请写 https://主机 或 https://主机:端口,不含密钥;仅本机(127.0.0.1)可用 http",
    ),
    "bad_date": Fault(
        "{found!r} is not a date",
        "Write YYYY, YYYY-MM or YYYY-MM-DD",
        "{found!r} 不是有效日期",
        "请按 YYYY、YYYY-MM 或 YYYY-MM-DD 填写",
    ),
    "unknown_value": Fault(
        "{found!r} is not a known {name}",
        "{hint}",
        "{found!r} 不是已知的{name_zh}",
        "{hint_zh}",
    ),
    "unknown_reference": Fault(
        "there is no {name} {found!r} in this document",
        "{hint}",
        "本文档中没有{name_zh} {found!r}",
        "{hint_zh}",
    ),
    "empty_section": Fault(
        "there is nothing in it",
        "Add at least one entry",
        "内容为空",
        "请至少添加一个条目",
    ),
    "wrong_count": Fault(
        "there are {found} values where {expected} are expected",
        "Write {expected} values",
        "此处有 {found} 个值，应为 {expected} 个",
        "请填写 {expected} 个值",
    ),
    "no_root": Fault(
        "no node is the root",
        "Leave the parent of one node empty: parent: ''",
        "没有根节点",
        "请将一个节点的上级留空：parent: ''",
    ),
    "several_roots": Fault(
        "{found} nodes have no parent: {names}",
        "Name the parent of all but one",
        "有 {found} 个节点没有上级：{names}",
        "请为其余节点指定上级，只保留一个根节点",
    ),
    "cyclic_parents": Fault(
        "the parents form a circle: {names}",
        "Change the parent of one of these nodes",
        "上级关系成环：{names}",
        "请修改其中一个节点的上级",
    ),
    "link_to_itself": Fault(
        "the link joins {key!r} to itself",
        "Name two different nodes",
        "链路两端都是 {key!r}",
        "请填写两个不同的节点",
    ),
    "duplicate_link": Fault(
        "{names} are already linked at line {first}",
        "Keep one of the two links; a link is usable both ways",
        "{names} 已在第 {first} 行相连",
        "请只保留一条；链路可双向使用",
    ),
    "unreachable_node": Fault(
        "no links lead from the root to {key!r}",
        "Add a link that joins it to the others",
        "从根节点没有链路通往 {key!r}",
        "请添加一条链路，使其与其他节点相连",
    ),
    "bad_hours": Fault(
        "{found} is not a range of hours",
        "Write [from, to] with 0 <= from < to <= 24; a range over midnight takes two",
        "{found} 不是有效的时段",
        "请按 [起, 止] 填写，0 ≤ 起 < 止 ≤ 24；跨零点的时段请分成两段",
    ),
    "overlapping_hours": Fault(
        "hour {hour} is in {names}",
        "Let each hour be in one range (sharp may lie over peak, deep_valley over valley)",
        "{hour} 时同时属于 {names}",
        "请让每个小时只属于一个时段（尖峰可与高峰重叠，深谷可与低谷重叠）",
    ),
    "missing_months": Fault(
        "months {names} are in none of them",
        "Add them, so that every month occurs once",
        "缺少月份 {names}",
        "请补上，使每个月恰好出现一次",
    ),
    "double_months": Fault(
        "months {names} occur more than once",
        "Let every month occur once",
        "月份 {names} 重复出现",
        "请让每个月恰好出现一次",
    ),
    "missing_multiplier": Fault(
        "the period {key!r} is used in a season but has no multiplier",
        "Add {key!r} to multipliers",
        "季节中使用了时段 {key!r}，但没有对应的浮动系数",
        "请在 multipliers 中补上 {key!r}",
    ),
    "already_declared": Fault(
        "the region document declares {key!r} of this pool already",
        "Leave it out here, or change the region document",
        "区域文档已为该资源池声明 {key!r}",
        "请在此删去，或修改区域文档",
    ),
    "wrong_order": Fault(
        "{name} must be above {other}",
        "Raise {name} or lower {other}",
        "{name} 必须大于 {other}",
        "请调高 {name} 或调低 {other}",
    ),
}
"""Every fault that reading a region can find, by code."""


def problem(code: str, file: str, line: int, path: str, /, **details: object) -> Problem:
    """The :class:`Problem` for ``code``, its wording filled with ``details``."""
    fault = FAULTS[code]
    return Problem(
        code=code,
        path=path,
        what=fault.what.format(**details),
        todo=fault.todo.format(**details),
        what_zh=fault.what_zh.format(**details),
        todo_zh=fault.todo_zh.format(**details),
        file=file,
        line=line,
    )
