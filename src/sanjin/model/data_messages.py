"""What is said about outputs of runs, and about stores and replicas of datasets. See :mod:`sanjin.model.messages`."""

from __future__ import annotations

DATA: dict[str, tuple[str, str]] = {
    "head.bytes": ("bytes", "字节"),
    "head.sha256": ("SHA-256", "SHA-256"),
    "left_out.link": ("a symbolic link, which is not followed", "符号链接,不予跟随"),
    "left_out.no_file": ("a device, pipe or socket", "设备、管道或套接字"),
    "left_out.name": ("its name is too long, too deep or cannot be shown", "名称过长、过深或无法显示"),
    "left_out.unreadable": ("it cannot be read", "无法读取"),
    "left_out.many": ("there are too many files", "文件过多"),
    "left_out.late": ("reading the outputs took too long", "读取产出耗时过长"),
    "cli.output_brought": ("{path}", "{path}"),
    "cli.output_here": ("{path} (was here)", "{path}(已存在)"),
    "cli.outputs_verified": (
        "{count} files verified by their checksums; {bytes} bytes came",
        "已按校验和核验 {count} 个文件;本次传输 {bytes} 字节",
    ),
    "cli.output_left_out": ("left out: {name}: {why}", "未列入:{name}:{why}"),
    "cli.outputs_left_out": ("{count} were left out in all", "共有 {count} 项未列入"),
    "cli.outputs_incomplete": (
        "{job} has not ended: more may come",
        "{job} 尚未结束:可能还有产出",
    ),
}
