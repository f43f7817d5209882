"""What a machine is declared to do and what it does: key, English, Chinese. See :mod:`sanjin.model.messages`."""

from __future__ import annotations

PERFORMANCE: dict[str, tuple[str, str]] = {
    "quantity.fp64_core": ("FP64 matrix product", "FP64 矩阵乘"),
    "quantity.fp32_core": ("FP32 matrix product", "FP32 矩阵乘"),
    "quantity.memory_bandwidth": ("memory, triad", "内存带宽(triad)"),
    "quantity.disk_write": ("disk, writing with fsync", "磁盘顺序写(fsync)"),
    "quantity.disk_read": ("disk, reading", "磁盘顺序读"),
    "status.sourced": ("sourced", "有出处"),
    "status.computed": ("computed", "计算"),
    "status.estimated": ("estimated", "估计"),
    "status.believed": ("believed", "推测"),
    "remark.small_arrays": (
        "there was not memory enough for arrays of four times the caches: the memory figure is too high",
        "内存不足以容纳四倍于缓存的数组:内存带宽值偏高",
    ),
    "remark.cached_file": (
        "reading from disk was not measured: the file stayed in memory, as it may have done when it was written",
        "未测磁盘读取:文件仍留在内存中,写入值也可能仅为内存速度",
    ),
    "unmeasured.accelerators": ("accelerators", "加速卡"),
    "unmeasured.network": ("network", "网络"),
    "cli.measuring": ("measuring this machine, {seconds} s and some to make ready", "正在实测本机,{seconds} 秒,另需准备"),
    "cli.not_measured_why": (
        "{fault}; try again with: sanjin node measure",
        "本机未能实测({fault});可重试:sanjin node measure",
    ),
    "cli.measured_on": (
        "{site}: {machine}, {at}; {threads} threads of {blas}; sandbox {sandbox}; {others} of the processors were busy with other work",
        "{site}:{machine},{at};{blas},{threads} 线程;沙箱 {sandbox};测试期间 {others} 的处理器时间用于其他工作",
    ),
    "cli.measured_not": (
        "flagged: more than {tolerance} below what is declared. Not measured: {accelerators}, {network}. Placing does not look at it",
        "标记:低于声明值 {tolerance} 以上。未测:{accelerators}、{network}。调度不使用这些数值",
    ),
    "cli.below": ("BELOW DECLARED", "低于声明"),
    "cli.below_busy": ("BELOW DECLARED (machine was busy)", "低于声明(测试时本机繁忙)"),
    "head.unit": ("unit", "单位"),
    "head.declared": ("declared", "声明值"),
    "head.measured": ("measured (median)", "实测(中位数)"),
    "head.spread": ("least-most (runs)", "最小-最大(次数)"),
    "head.ratio": ("measured/declared", "实测/声明"),
    "head.flag": ("flag", "标记"),
}
