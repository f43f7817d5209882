"""What is said about jobs that come after others, and about work that goes on at another site. See
:mod:`sanjin.model.messages`."""

from __future__ import annotations

WORKFLOW: dict[str, tuple[str, str]] = {
    "reason.comes_after": ("waits for the jobs that it comes after", "等待其前置作业完成"),
    "reason.upstream_ended": ("a job that it comes after did not succeed", "其前置作业未成功"),
    "reason.not_published": ("its outputs could not be registered for later jobs", "其产出未能登记,后续作业无法使用"),
    "shape.after": ("comes after {jobs}", "前置作业:{jobs}"),
    "shape.waits_for": ("waits for {jobs}", "等待 {jobs}"),
    "shape.ran_at": ("ran at {sites}, and moved its checkpoint", "曾在 {sites} 运行,检查点随之迁移"),
    "told.fed": ("{job} left {bytes} bytes for it", "{job} 为其留下 {bytes} 字节"),
    "event.job.fed": ("a job before it succeeded", "前置作业已完成"),
}

WORKFLOW_PROBLEMS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "after_twice": (
        ("a job is named twice", "同一作业被列出两次"),
        ("name each job once", "每个作业只列一次"),
    ),
    "after_name": (
        ("{value} cannot name a folder of inputs", "{value} 不能用作输入目录名"),
        (
            "give that job a key of 1 to 100 of A-Z a-z 0-9 . _ - that begins with a letter or digit",
            "请为该作业设置由 1 至 100 个 A-Z a-z 0-9 . _ - 组成、以字母或数字开头的 key",
        ),
    ),
    "after_unknown": (
        ("tenant {tenant} has no job with the key or id {value} at this node", "租户 {tenant} 在此节点没有键或编号为 {value} 的作业"),
        ("submit it here before, or with this one", "请先在此提交该作业,或与本作业一并提交"),
    ),
    "after_unpublished": (
        ("{value} does not publish its outputs", "{value} 未公布其产出"),
        ("submit it with publish: true", "提交该作业时请设 publish: true"),
    ),
    "after_reservation": (
        ("{value} is a reservation", "{value} 是一项预留"),
        ("name it as reservation to run inside it", "如需在其中运行,请填 reservation"),
    ),
    "after_grade": (
        ("the job has grade {value}, but {job}, which it comes after, is {grade}", "作业数据等级为 {value},而其前置作业 {job} 为 {grade}"),
        ("set grade to {grade}", "请将 grade 设为 {grade}"),
    ),
    "after_input": (
        ("{value} is also a dataset among the inputs", "{value} 同时也是一个输入数据集"),
        ("give that job another key", "请为该作业换一个 key"),
    ),
    "after_ring": (
        ("these jobs come after each other in a ring: {value}", "这些作业互为前置,形成环:{value}"),
        ("take one of them out of the ring", "请去掉环中的一条前置关系"),
    ),
    "reserve_after": (
        ("a reservation cannot come after jobs", "预留不能有前置作业"),
        ("leave out after, or reserves", "请去掉 after 或 reserves"),
    ),
    "checkpoint_unused": (
        ("only work that can be stopped has a checkpoint that moves", "只有可中断的作业才有可迁移的检查点"),
        ("set stoppable, or leave out checkpoint_bytes", "请设置 stoppable,或去掉 checkpoint_bytes"),
    ),
}
