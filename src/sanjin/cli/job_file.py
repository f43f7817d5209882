"""Job files: one job, or ``jobs:`` with several, in YAML or JSON. Field names are those of a job.

::

    node: datong            # where to submit; may be left out
    jobs:
      - name: count
        command: [python3, count.py]
        inputs: [parcels-2026]
        duration_s: 600

A job may carry a ``key`` of its own; sending the same key and job twice gives one job.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from sanjin.model.catalogue import problem
from sanjin.model.errors import Problem, ProblemsFound

_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


@dataclass(frozen=True, slots=True)
class JobFile:
    """A job file that was read. ``lines`` are submissions as JSON, unchecked: the node checks them."""

    path: str
    node: str
    lines: list[bytes]
    root: Node
    several: bool

    def located(self, fault: ProblemsFound) -> ProblemsFound:
        """The node's problems with the file and the line where each one stands."""
        return type(fault)([self._locate(p) for p in fault.problems])

    def _locate(self, found: Problem) -> Problem:
        path = found.path
        index = found.line - 1 if found.line else 0
        inside = re.fullmatch(r"(?:jobs\[(\d+)\]\.|\[(\d+)\]\.)?(?:spec\.?)?(.*)", path)
        if inside:
            index = int(inside[1] or inside[2] or index)
            path = inside[3]
        prefix = f"jobs[{index}]" if self.several else ""
        whole = f"{prefix}.{path}" if prefix and path else prefix or path
        return replace(found, path=whole, file=self.path, line=_line(self.root, whole))


def read_job_file(path: Path) -> JobFile:
    """Read a job file. Raises ProblemsFound where it is not one."""
    name = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as fault:
        raise ProblemsFound([replace(problem("unreadable", "", value=fault), file=name, line=1)]) from fault
    try:
        root: Node | None = yaml.compose(text, Loader=yaml.SafeLoader)  # pyright: ignore[reportUnknownMemberType]
        found: Any = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as fault:
        mark: Any = getattr(fault, "problem_mark", None)
        line = mark.line + 1 if mark else getattr(fault, "lineno", 1)
        what = getattr(fault, "problem", None) or str(fault)
        raise ProblemsFound([replace(problem("not_yaml", "", value=what), file=name, line=line)]) from fault
    if not isinstance(found, dict) or root is None:
        raise ProblemsFound([replace(problem("no_jobs", ""), file=name, line=1)])
    document = cast(dict[str, Any], found)
    several = "jobs" in document
    node = str(document.pop("node", ""))
    jobs: Any = document.pop("jobs") if several else [document]
    if not isinstance(jobs, list) or not jobs:
        raise ProblemsFound([replace(problem("no_jobs", ""), file=name, line=1)])
    listed = cast(list[Any], jobs)
    faults = [problem("unknown_field", str(key)) for key in sorted(document)] if several else []
    faults += [problem("no_jobs", f"jobs[{i}]") for i, job in enumerate(listed) if not isinstance(job, dict)]
    if faults:
        raise ProblemsFound([replace(p, file=name, line=_line(root, p.path)) for p in faults])
    return JobFile(name, node, [_submission(job) for job in listed], root, several)


def _submission(job: dict[str, Any]) -> bytes:
    key = job.pop("key", None) or str(uuid.uuid4())
    try:
        return msgspec.json.encode({"key": key, "spec": job})
    except TypeError:  # a date, say: what JSON cannot hold is sent as text, and refused with its path
        return json.dumps({"key": key, "spec": job}, default=str).encode()


def _line(root: Node, path: str) -> int:
    """The line of the innermost part of ``path`` that the document has."""
    node: Any = root
    line: int = node.start_mark.line + 1
    for number, key in _PART.findall(path):
        found: tuple[Any, Any] | None = None
        if number and isinstance(node, SequenceNode) and int(number) < len(node.value):
            found = (node.value[int(number)],) * 2
        elif key and isinstance(node, MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == key), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
