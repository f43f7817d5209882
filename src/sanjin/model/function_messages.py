"""What is said about Python functions that run as jobs. See :mod:`sanjin.model.messages`."""

from __future__ import annotations

FUNCTIONS: dict[str, tuple[str, str]] = {
    "task.other_python": (
        "the site has Python {here}, and the function was sent by Python {wanted}: send it from {here}, or to a site that has {wanted}",
        "站点的 Python 为 {here},函数由 Python {wanted} 发送:请改用 {here} 发送,或发往有 {wanted} 的站点",
    ),
    "task.other_cloudpickle": (
        "the site's Python has cloudpickle {here}, and {wanted} is wanted: install it there",
        "站点的 Python 中 cloudpickle 版本为 {here},需要 {wanted}:请在该处安装",
    ),
    "task.unsent": (
        "what it returned cannot be sent back as {form}: {value}",
        "返回值无法以 {form} 形式传回:{value}",
    ),
    "task.unreadable": ("what came back cannot be read here: {value}", "传回的内容在此无法读取:{value}"),
    "task.no_word": (
        "it ended without a result: {why}",
        "任务结束但没有结果:{why}",
    ),
    "task.where": ("in {job} at {site}", "位于 {site} 的 {job}"),
    "task.item": (
        "item {item}, in {job} at {site}; of the other {others} parts {ended} had ended and {cancelled} were cancelled",
        "第 {item} 项,位于 {site} 的 {job};其余 {others} 个部分中 {ended} 个已结束,{cancelled} 个已取消",
    ),
}

FUNCTION_PROBLEMS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "task_not_packed": (
        ("the function or its arguments cannot be pickled: {value}", "函数或其参数无法序列化:{value}"),
        (
            "make files, connections, locks and generators inside of the function, and give lists",
            "请在函数内部创建文件、连接、锁与生成器,参数请用列表",
        ),
    ),
    "task_too_large": (
        (
            "the function with the arguments of one call is {value} KiB packed, and a job carries {most} KiB at most",
            "函数连同一次调用的参数打包后为 {value} KiB,而一个作业至多携带 {most} KiB",
        ),
        (
            "have it make or read its data at the site: name a dataset in inputs, and open it below $SANJIN_INPUTS",
            "请让函数在站点生成或读取数据:在 inputs 中给出数据集,并在 $SANJIN_INPUTS 下打开",
        ),
    ),
    "unknown_condition": (
        ("there is no condition of this name for a function", "函数作业没有该条件"),
        ("use some of: {known}", "可用:{known}"),
    ),
    "form_of_results": (
        ("{value} is no form of results", "没有名为 {value} 的结果形式"),
        ("use pickle or json", "请使用 pickle 或 json"),
    ),
}
