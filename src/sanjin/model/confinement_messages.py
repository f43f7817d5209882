"""Texts about how runs are confined and bounded. Key, (English, Chinese); see :mod:`sanjin.model.catalogue`."""

from __future__ import annotations

CONFINEMENT: dict[str, tuple[str, str]] = {
    "reason.process_limit": ("ended at the limit of processes that a run may have", "达到进程数上限被终止"),
    "reason.output_limit": ("ended because it had more on disk than a run may leave", "磁盘占用超过上限被终止"),
    # what doctor looks at
    "doctor.sandbox": ("sandbox of jobs", "作业沙箱"),
    "doctor.todo_sandbox": (
        "install bubblewrap (apt install bubblewrap) and allow user namespaces: {why}",
        "请安装 bubblewrap(apt install bubblewrap)并允许用户命名空间:{why}",
    ),
    "doctor.job_network": ("network of jobs", "作业网络"),
    "doctor.job_network_bwrap": ("none: a network of its own, with loopback alone", "无:独立网络,仅有回环"),
    "doctor.job_network_landlock": (
        "none but local (Unix) sockets, also those of services here that let its user in",
        "仅本机 Unix 套接字,包括允许其用户访问的本机服务",
    ),
    "doctor.job_network_none": ("open: jobs reach what this machine reaches", "开放:作业可访问本机可达的一切"),
    "doctor.todo_job_network": (
        "have a sandbox (see above): without one nothing closes it",
        "请启用沙箱(见上);没有沙箱则无法关闭",
    ),
    "doctor.landlock": ("Landlock", "Landlock"),
    "doctor.todo_landlock": (
        "needed only where bubblewrap does not work: a kernel of 5.13 or later (6.12 for all of it) with landlock in lsm=",
        "仅在 bubblewrap 不可用时需要:内核 5.13 及以上(完整功能需 6.12),且 lsm= 含 landlock",
    ),
    "doctor.job_memory": ("memory limit of jobs", "作业内存上限"),
    "doctor.job_processes": ("process limit of jobs", "作业进程数上限"),
    "doctor.group": ("by the kernel (cgroup v1, {folder})", "由内核执行(cgroup v1,{folder})"),
    "doctor.group_v2": (
        "by the kernel (cgroup v2, {folder}); not tried yet by us on a real one",
        "由内核执行(cgroup v2,{folder});尚未在真实环境验证",
    ),
    "doctor.sampled": ("by looking twenty times a second: what is faster is seen late", "由采样执行(每秒二十次),更快的变化会迟见"),
    "doctor.todo_groups": (
        "give the node control groups of {controller} of its own (cgroup v2 with systemd 254, or v1): docs/howto/confine-work.md",
        "请为节点提供自己的 {controller} 控制组(cgroup v2 加 systemd 254,或 v1):见 docs/howto/confine-work.md",
    ),
}
CONFINEMENT_PROBLEMS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "unknown_sandbox": (
        ("{found!r} is no kind of sandbox", "没有名为 {found!r} 的沙箱"),
        ("use auto, bwrap, landlock or none", "请使用 auto、bwrap、landlock 或 none"),
    ),
    "no_sandbox": (
        ("the sandbox {kind} does not work here: {why}", "本机无法使用 {kind} 沙箱:{why}"),
        (
            "install bubblewrap and allow user namespaces, or set the sandbox to auto",
            "请安装 bubblewrap 并允许用户命名空间,或将沙箱设为 auto",
        ),
    ),
}
