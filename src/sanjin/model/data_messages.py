"""What is said about outputs of runs, and about stores and replicas of datasets. See :mod:`sanjin.model.messages`."""

from __future__ import annotations

DATA: dict[str, tuple[str, str]] = {
    "reason.input_away": ("an input cannot be had now; it is tried again", "输入数据暂时无法获得,正在重试"),
    "event.transfer.delayed": ("input cannot be had now", "输入暂时无法获得"),
    "head.bytes": ("bytes", "字节"),
    "head.sha256": ("SHA-256", "SHA-256"),
    "left_out.link": ("a symbolic link, which is not followed", "符号链接,不予跟随"),
    "left_out.no_file": ("a device, pipe or socket", "设备、管道或套接字"),
    "left_out.name": ("its name is too long, too deep or cannot be shown", "名称过长、过深或无法显示"),
    "left_out.unreadable": ("it cannot be read", "无法读取"),
    "left_out.many": ("there are too many files", "文件过多"),
    "left_out.gone": (
        "a run has no folder here: it never began, or was in an engine of before",
        "某次运行在此没有目录:未曾开始,或属于先前的引擎",
    ),
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
    "cli.outputs_removed": ("removed at {at}: the site keeps it no longer", "已于 {at} 清除:超过站点保留期限"),
    "doctor.kept": ("finished runs", "已结束的运行"),
    "doctor.kept_runs": ("{site}: {runs} runs, {used} GB", "{site}:{runs} 次运行,{used} GB"),
    "doctor.kept_days": ("kept for {days} days", "保留 {days} 天"),
    "doctor.kept_ever": ("kept for ever", "永久保留"),
    "head.place": ("place", "位置"),
    "data.folder": ("folder", "目录"),
    "data.store": ("object store", "对象存储"),
    "data.whole": ("whole", "完好"),
    "data.held": ("held", "持有"),
    "data.lost": ("lost", "丢失"),
    "data.repaired": ("repaired: {bytes} bytes came", "已修复:传输 {bytes} 字节"),
    "cli.data_none": ("no site has a dataset", "没有站点持有数据集"),
    "cli.data_damaged": (
        "{count} replicas are damaged or lost; bring them anew with: sanjin data repair",
        "{count} 份副本损坏或丢失;请用 sanjin data repair 修复",
    ),
    "cli.data_not_repaired": (
        "{count} replicas could not be repaired: no site has them whole, or a store does not answer",
        "{count} 份副本无法修复:没有站点持有完好副本,或存储无应答",
    ),
}

DATA_PROBLEMS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "store_keys_open": (
        ("others than its owner may read {value}", "{value} 可被其所有者以外的人读取"),
        ("make it private: chmod 600 {value}", "请设为私有:chmod 600 {value}"),
    ),
    "no_store_keys": (
        ("there are no keys of an object store in {value}", "{value} 中没有对象存储的密钥"),
        (
            "write [default], aws_access_key_id = ... and aws_secret_access_key = ... to a file with mode 600, "
            "or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            "请在权限为 600 的文件中写入 [default]、aws_access_key_id = ... 和 aws_secret_access_key = ...,"
            "或设置 AWS_ACCESS_KEY_ID 与 AWS_SECRET_ACCESS_KEY",
        ),
    ),
}
