"""The command line. Each command is imported when it is called; ``sanjin --help`` imports none.

Exit codes: 0 done; 1 another failure; 2 wrong usage; 3 wrong input; 4 no such thing; 5 not allowed;
6 no region answers; 7 the store cannot write; 8 a journal is broken; 9 a job that was waited for
did not succeed; 10 data are damaged; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import cyclopts
from cyclopts import App

from sanjin.model.errors import ProblemsFound, SanjinError

USAGE = 2
INTERRUPTED = 130

_EPILOGUE = """\
Exit codes: 0 done; 1 failure; 2 usage; 3 wrong input; 4 not found;
5 not allowed; 6 no region; 7 store cannot write; 8 journal broken;
9 a job waited for failed; 10 data damaged; 130 interrupted.
退出码:0 完成;1 失败;2 用法;3 输入错误;4 不存在;5 不允许;
6 无区域;7 无法写入;8 日志损坏;9 所等作业失败;10 数据损坏;130 中断。

Environment 环境变量: SANJIN_LANG=en|zh|both, SANJIN_STATE=<folder>,
SANJIN_TOKEN=<token>, SANJIN_URL=<address>, SANJIN_LOG=text|json
"""

app = App(
    name="sanjin",
    help="Runs a region's data centres as one system. 把一个区域的数据中心作为一个系统运行。",
    help_epilogue=_EPILOGUE,
    help_format="plaintext",
    version_flags=["--version"],
)
_region = App(name="region", help="Region documents. 区域文档。")
_audit = App(name="audit", help="Journals: verify, list, publish, prove. 审计日志。")

_prices = App(name="prices", help="What scarce capacity is worth. 稀缺价格。")
_forecast = App(name="forecast", help="What will come: demand, on-site generation. 预测。")

_user = App(name="user", help="Who may do what: users and their tokens. 用户与权限。")

_engines = App(name="engines", help="Which engine runs the work of a site. 执行引擎。")
_data = App(name="data", help="Replicas of datasets: list, verify, repair. 数据副本。")
_policy = App(name="policy", help="By which rule work is placed. 调度策略。")

_COMMANDS = {
    "demo": ("sanjin.cli.demo:demo", "Run a day of Shanxi on this machine: real work, a faster clock. 演示。"),
    "up": ("sanjin.cli.running:up", "Bring a region up on this machine. 启动区域。"),
    "submit": ("sanjin.cli.submitting:submit", "Submit jobs: a file, or a command after --. 提交作业。"),
    "reserve": ("sanjin.cli.reserving:reserve", "Reserve capacity of a site. 预留容量。"),
    "jobs": ("sanjin.cli.watching:jobs", "List jobs. 作业列表。"),
    "job": ("sanjin.cli.watching:job", "Show a job and all that happened to it. 作业详情。"),
    "explain": ("sanjin.cli.watching:explain", "Say why a job went where it went. 说明安排原因。"),
    "logs": ("sanjin.cli.watching:logs", "Print what a job printed. 作业输出。"),
    "outputs": ("sanjin.cli.outputs:outputs", "What a job left: list it, or bring it here. 作业产出。"),
    "cancel": ("sanjin.cli.watching:cancel", "Ask for the end of jobs. 取消作业。"),
    "replay": ("sanjin.cli.replaying:replay", "Replay a trace of work: what it would cost. 回放轨迹。"),
    "what-if": ("sanjin.cli.asking:what_if", "Ask a region that is up: what if? 推演。"),
    "report": ("sanjin.cli.reporting:report", "The morning report. 晨报。"),
    "console": ("sanjin.cli.console:console", "Where the console is, or open it. 控制台。"),
    "drill": ("sanjin.cli.console:drill", "Cut the line to a site on purpose. 断网演练。"),
    "sites": ("sanjin.cli.running:sites", "Show every site now. 站点状态。"),
    "resources": ("sanjin.cli.looking:resources", "The register: every figure and its source. 资源一本账。"),
    "plan": ("sanjin.cli.looking:plan", "What is to run where and when. 调度计划。"),
    "links": ("sanjin.cli.looking:links", "Show every link now. 链路状态。"),
    "me": ("sanjin.cli.looking:me", "Who the token says one is. 当前身份与权限。"),
    "envelopes": ("sanjin.cli.watching:envelopes", "What tenants may use at each node. 各节点额度。"),
    "bill": ("sanjin.cli.watching:bill", "What was used and what it cost. 账单。"),
    "run-times": ("sanjin.cli.watching:run_times", "Expected and found run times. 运行时长。"),
    "backup": ("sanjin.cli.keeping:backup", "Copy a state folder while it runs. 备份。"),
    "restore": ("sanjin.cli.keeping:restore", "Put a backup into a new state folder. 恢复。"),
    "upgrade": ("sanjin.cli.keeping:upgrade", "Bring stores to this version's schema. 升级。"),
    "doctor": ("sanjin.cli.running:doctor", "Look at this machine. 环境检查。"),
}
for _name, (_place, _help) in _COMMANDS.items():
    app.command(_place, name=_name, help=_help)
_region.command("sanjin.cli.running:validate", name="validate", help="Check a region document. 校验区域文档。")
_region.command("sanjin.cli.running:show", name="show", help="Show a region document. 区域概览。")
_region.command("sanjin.cli.synthesizing:series", name="series", help="Write a synthetic year of it. 合成年。")
_region.command("sanjin.cli.synthesizing:country", name="country", help="Write a generated country. 生成全国网络。")
_audit.command("sanjin.cli.running:verify", name="verify", help="Verify every journal. 校验日志。")
_audit.command("sanjin.cli.running:journal", name="journal", help="List a node's journal. 日志条目。")
app.command("sanjin.cli.node:app", name="node", help="One node of a region in a process of its own. 单个节点。")
_audit.command("sanjin.cli.logs:key", name="key", help="Public keys of the logs. 日志公钥。")
_audit.command("sanjin.cli.logs:export", name="export", help="Write a log as static files. 导出透明日志。")
_audit.command("sanjin.cli.logs:prove", name="prove", help="Prove that an entry is in a log. 生成证明。")
_audit.command("sanjin.cli.logs:check", name="check", help="Check an exported log or a proof. 核验。")
_prices.command("sanjin.cli.pricing:learn", name="learn", help="Learn them from last week's work. 学习。")
_prices.command("sanjin.cli.pricing:show", name="show", help="Show them. 查看。")
_policy.command("sanjin.cli.policies:set_policy", name="set", help="Set it from a document. 设置。")
_engines.command("sanjin.cli.engines:set_engines", name="set", help="Set them from a document. 设置。")
_engines.command("sanjin.cli.engines:show", name="show", help="Show them. 查看。")
_policy.command("sanjin.cli.policies:show", name="show", help="Show it. 查看。")
for _name, _help in (
    ("add", "Add a user and print the token, once. 新增用户。"),
    ("list", "List users. 用户列表。"),
    ("revoke", "End a user's token. 撤销用户。"),
    ("grant", "Give a role, a site, a dataset. 授权。"),
    ("ungrant", "Take them away. 收回授权。"),
):
    _user.command(f"sanjin.cli.users:{_name}_user", name=_name, help=_help)
for _name, _help in (
    ("list", "List replicas of datasets. 副本列表。"),
    ("verify", "Read every replica against its manifest. 校验副本。"),
    ("repair", "Bring what is damaged from another site. 修复副本。"),
):
    _data.command(f"sanjin.cli.data:{_name}_data", name=_name, help=_help)
app.command(_data)
app.command(_user)
app.command(_policy)
app.command(_engines)
_forecast.command("sanjin.cli.forecasting:demand", name="demand", help="Core-hours that jobs will ask for. 需求预测。")
_forecast.command("sanjin.cli.forecasting:generation", name="generation", help="A site's own power. 发电预测。")
app.command(_region)
app.command(_forecast)
app.command(_prices)
app.command(_audit)
app.register_install_completion_command(help="Set up shell completion. 安装命令补全。")  # pyright: ignore


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    words, command = list(arguments), ()
    if "--" in words and words[0] == "submit":  # what follows is the job's own command line
        at = words.index("--")
        words, command = words[:at], tuple(words[at + 1 :])
    try:
        function, bound, _ = app.parse_args(words, exit_on_error=False, print_error=True)
        if command:
            bound.arguments["command"] = command
        return int(function(*bound.args, **bound.kwargs) or 0)
    except cyclopts.CycloptsError:
        return USAGE
    except ProblemsFound as fault:
        for problem in fault.problems:
            print(problem.text(), file=sys.stderr)
            if problem.what_zh:
                print(f"  {problem.what_zh}。{problem.todo_zh}。", file=sys.stderr)
        return fault.exit_code
    except SanjinError as fault:
        print(fault, file=sys.stderr)
        return fault.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def main() -> None:
    """Entry of the ``sanjin`` program."""
    sys.exit(run(sys.argv[1:]))
