"""Texts about the clusters of sites. Key, (English, Chinese); see :mod:`sanjin.model.catalogue`."""

from __future__ import annotations

CLUSTERS: dict[str, tuple[str, str]] = {
    "cluster.whole": ("all of it", "全部"),
    "cluster.others": ("others' work", "他人作业"),
    "cluster.queue": ("others' work that waits", "他人排队作业"),
    "cluster.down": ("machines that take no work", "不可用机器"),
    "cluster.reserved": ("machines kept for something else", "预留机器"),
    "cluster.ours": ("our runs", "本方运行"),
    "head.count": ("count", "数量"),
    "head.memory_gib": ("GiB", "GiB"),
    "head.cards": ("cards", "加速卡"),
    "head.until": ("until", "至"),
    "cli.clusters_shared": (
        "sites that share their cluster with others, as it last said; what others have is not in the free capacity",
        "与他人共用集群的站点(集群最近一次所报);他人占用已从空闲容量中扣除",
    ),
    "doctor.cluster": ("cluster of a site", "站点集群"),
    "doctor.cluster_has": (
        "{site}: {engine}; largest machine {cores} cores, {gib} GiB, {cards} cards",
        "{site}:{engine};最大机器 {cores} 核、{gib} GiB、{cards} 卡",
    ),
    "doctor.cluster_part": ("{what}: {count}, {cores} cores", "{what}:{count} 个,{cores} 核"),
    "doctor.cluster_rest": ("slurmrestd {version} at {rest}", "slurmrestd {version},{rest}"),
    "problem.rest_shared": (
        "what others have of a shared cluster is asked of {value}, which are not here",
        "共用集群的他人占用须用 {value} 查询,本机没有这些命令",
    ),
    "todo.rest_shared": (
        "install Slurm's commands on the node, or leave shared_s out: sanjin engines set",
        "请在节点上安装 Slurm 命令,或去掉 shared_s:sanjin engines set",
    ),
    "doctor.accounts_kept": (
        "keeps accounts (sacct): ends that it forgot are asked there",
        "有作业记账(sacct):已被控制器遗忘的结束状态由此查询",
    ),
    "doctor.accounts_none": (
        "no accounts to ask (slurmdbd, sacct): an end that it forgot is told as interrupted",
        "无作业记账可查(slurmdbd、sacct):已被控制器遗忘的结束状态记为中断",
    ),
    "doctor.todo_cluster": (
        "see that the cluster answers here: sanjin engines show; docs/howto/use-slurm.md, use-ray.md",
        "请确认本机可连到集群:sanjin engines show;见 docs/howto/use-slurm.md、use-ray.md",
    ),
}
