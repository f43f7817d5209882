"""The command line: ``sanjin demo`` and ``sanjin region validate``. Heavy imports wait for their command."""

from __future__ import annotations

import sys
from pathlib import Path

import cyclopts

from sanjin.model.catalogue import say
from sanjin.model.errors import ProblemsFound, SanjinError

app = cyclopts.App(
    name="sanjin",
    help="Runs a region's data centres as one system. 把一个区域的数据中心作为一个系统运行。",
)
region_app = cyclopts.App(name="region", help="Region documents. 区域文档。")
app.command(region_app)


@region_app.command(name="validate")
def validate(file: Path, /, *, output: str = "table") -> None:
    """Check a region document and say all that is wrong with it. 校验区域文档。

    Parameters
    ----------
    file
        The YAML document, or the name of one that ships (shanxi, national).
    output
        table or json.
    """
    from sanjin.regions.load import available, bundled, load_region

    path = bundled(str(file)) if str(file) in available() else file
    region = load_region(path)
    pools = sum(len(n.site.pools) for n in region.nodes.values())
    if output == "json":
        import json

        print(json.dumps({"file": str(path), "valid": True, "nodes": len(region.nodes), "pools": pools}))
    else:
        print(say("cli.valid", file=path, nodes=len(region.nodes), pools=pools))


@app.command
def demo(*, jobs: int = 66, rate: float = 360.0, output: str = "table") -> None:
    """Run a day's work of Shanxi on this machine: real processes, a faster clock. 演示。

    Parameters
    ----------
    jobs
        How many jobs to submit.
    rate
        Region seconds a wall second.
    output
        table or json.
    """
    from sanjin.cli.demo import run_demo

    run_demo(jobs=jobs, rate=rate, output=output)


def main() -> None:
    """Entry of the ``sanjin`` program; the exit code says what went wrong (see errors)."""
    try:
        app()
    except ProblemsFound as fault:
        for problem in fault.problems:
            print(problem.text(), file=sys.stderr)
            if problem.what_zh:
                print(f"  {problem.what_zh}。{problem.todo_zh}。", file=sys.stderr)
        sys.exit(fault.exit_code)
    except SanjinError as fault:
        print(fault, file=sys.stderr)
        sys.exit(fault.exit_code)
