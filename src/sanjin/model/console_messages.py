"""What the console says, but for what its pages share with the rest. Keys ``console.<name>``."""

from __future__ import annotations

from sanjin.model.console_match_messages import CONSOLE_MATCH

CONSOLE: dict[str, tuple[str, str]] = {
    "console.net": ("Net", "一张网"),
    "console.ledger": ("Ledger", "一本账"),
    "console.match": ("Match", "一站式"),
    "console.decide": ("Decide", "一盘棋"),
    "console.report": ("Morning report", "晨报"),
    "console.pages": ("Pages", "页面"),
    "console.skip": ("To the content", "跳到正文"),
    "console.loading": ("loading", "加载中"),
    "console.live": ("live", "实时"),
    "console.lost": ("line lost", "连接中断"),
    "console.away": ("The node does not answer. It is tried again.", "节点无应答,正在重试。"),
    "console.region_time": ("time of the region", "区域时间"),
    "console.dark": ("Dark", "深色"),
    "console.sign_in": ("Sign in", "登录"),
    "console.sign_out": ("Sign out", "退出"),
    "console.sign_in_how": (
        "With the token that the operator gave you (sanjin user add), or open the console with: sanjin console",
        "使用运维人员签发的令牌(sanjin user add),或运行:sanjin console",
    ),
    "console.token": ("Token", "令牌"),
    "console.refused": ("This node does not know that token.", "本节点不认可该令牌。"),
    "console.look_public": ("Look without signing in", "免登录浏览"),
    "console.public_view": ("public view", "公开视图"),
    "console.replay": ("Replay", "回放"),
    "console.past": ("The past", "历史"),
    "console.play": ("Play", "播放"),
    "console.pause": ("Pause", "暂停"),
    "console.scrub": ("Time shown", "显示时刻"),
    "console.to_live": ("Back to now", "返回实时"),
    **CONSOLE_MATCH,
}
