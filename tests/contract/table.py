"""The engine contract as a table, engine by behaviour, from a run of its tests.

    python -m pytest tests/contract/test_engine.py --junitxml /tmp/contract.xml
    python -m tests.contract.table /tmp/contract.xml > docs/reference/engine-contract.md
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET  # of our own test run
from collections import defaultdict
from pathlib import Path

ENGINES = {"none": "local, not confined", "landlock": "local, Landlock", "bwrap": "local, bubblewrap",
           "slurm": "Slurm 22.05", "ray": "Ray 2.60", "kubernetes": "Kubernetes, stand-in"}  # fmt: skip


def outcome(case: ET.Element) -> str:
    """``yes``, ``FAILED``, or why it was not run."""
    if case.find("failure") is not None or case.find("error") is not None:
        return "FAILED"
    skipped = case.find("skipped")
    return "yes" if skipped is None else skipped.get("message", "not run")


def table(junit: Path) -> str:
    """The table, in Markdown."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for case in ET.parse(junit).iter("testcase"):
        name, _, kinds = case.get("name", "").removesuffix("]").partition("[")
        kind = next((k for k in kinds.split("-") if k in ENGINES), "")
        if kind and case.get("classname", "").endswith("test_engine"):
            found[name][kind].append(outcome(case))
    notes: dict[str, int] = {}
    rows = [f"| what an engine must do | {' | '.join(ENGINES.values())} |", "| --- |" + " --- |" * len(ENGINES)]
    for name, by_kind in found.items():
        cells: list[str] = []
        for kind in ENGINES:
            told = set(by_kind.get(kind, []))
            why = sorted(told - {"yes", "FAILED"})
            if "FAILED" in told or not why:
                cells.append("FAILED" if "FAILED" in told else "yes" if told else "")
            else:
                cells.append(f"({notes.setdefault(why[0], len(notes) + 1)})")
        rows.append(f"| {re.sub('^test ', '', name.replace('_', ' '))} | {' | '.join(cells)} |")
    told = "\n".join(f"{number}. {why}" for why, number in notes.items())
    head = (
        "Each line is a test of `tests/contract/test_engine.py`, run against each engine. Slurm and Ray are real "
        "clusters; of Kubernetes it is a stand-in for its API server, with scheduler and kubelet played. The same "
        "tests passed once on a real API server and Job controller (1.20.2): see "
        "[run work in Kubernetes](../howto/use-kubernetes.md). "
        "Made anew by:\n\n    python -m pytest tests/contract/test_engine.py --junitxml /tmp/contract.xml\n"
        "    python -m tests.contract.table /tmp/contract.xml > docs/reference/engine-contract.md"
    )
    return f"# The engine contract\n\n{head}\n\n" + "\n".join(rows) + f"\n\n{told}\n"


if __name__ == "__main__":
    print(table(Path(sys.argv[1])), end="")
