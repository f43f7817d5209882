"""Rules of the house: no clock or chance outside adapters, every text in the catalogue, short files."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from sanjin.flow import apply
from sanjin.model import event as ev
from sanjin.model.engines import EngineKind
from sanjin.model.forecast import ForecastModel
from sanjin.model.job import JobState
from sanjin.model.messages import MESSAGES
from sanjin.model.performance import NOT_MEASURED, Remark
from sanjin.model.reason import KERNEL_REASONS, Reason
from sanjin.model.region import Quantity, Status
from sanjin.model.resources import LifeCycle, ResourceKind

SOURCE = Path(__file__).parents[2] / "src" / "sanjin"
PURE = ("model", "flow", "kernels", "tree")
FILES = sorted(p for p in SOURCE.rglob("*.py"))


def test_every_reason_state_and_event_has_its_words() -> None:
    wanted = {f"reason.{r}" for r in Reason} | {f"state.{s}" for s in JobState} | {f"event.{k}" for k in ev.EVENTS}
    wanted |= {f"model.{m}" for m in ForecastModel} | {f"remark.{r}" for r in Remark} | {f"status.{s}" for s in Status}
    wanted |= {f"resource.{k}" for k in ResourceKind} | {f"lifecycle.{s}" for s in LifeCycle}
    wanted |= {f"figure.{q}" for q in Quantity}
    wanted |= {f"quantity.{q}" for q in Quantity} | {f"unmeasured.{n}" for n in NOT_MEASURED}
    assert wanted - MESSAGES.keys() == set()


def test_every_key_that_the_code_says_is_in_the_catalogue() -> None:
    said = set()
    for path in FILES:
        said |= set(re.findall(r'(?:say|text|sentence)\(\s*"([a-z]+\.[a-z_.0-9]+)"', path.read_text()))
        said |= set(re.findall(r'"((?:head|cli|explain|why|demo|change|unit)\.[a-z_]+)"', path.read_text()))
        said |= {f"problem.{c}" for c in re.findall(r' problem\("([a-z_]+)"', path.read_text()) if "flow" in path.parts}
    assert said - MESSAGES.keys() == set()


def test_every_text_in_the_catalogue_is_said_by_somebody() -> None:
    code = "\n".join(p.read_text() for p in FILES if not p.name.endswith("messages.py"))
    by_value = (
        "reason.", "state.", "event.", "tier.", "period.", "grade.", "term.", "rule.", "model.", "replayed.",
        "assumed.", "doctor.", "quantity.", "status.", "unmeasured.", "remark.", "label.", "todo.", "role.", "access.",
        "left_out.", "data.", "cluster.", "resource.", "lifecycle.", "figure.", "forecast.", "register.",
    )  # fmt: skip
    silent = [
        key
        for key in MESSAGES
        if not key.startswith((*by_value, "console."))
        and f'"{key}"' not in code
        and not (key.startswith(("problem.", "head.")) and f'"{key.partition(".")[2]}"' in code)
    ]
    assert silent == []


def test_every_text_of_the_console_is_said_by_a_page() -> None:
    root = SOURCE.parents[1] / "console" / "src"
    pages = "\n".join(p.read_text(encoding="utf-8") for kind in ("*.svelte", "*.ts") for p in root.rglob(kind))
    whole = set(re.findall(r"['`](console\.\w+)['`]", pages))
    begun = tuple(re.findall(r"`(console\.\w+)\$\{", pages))  # the rest of the key is a value
    whole |= {f"console.{page}" for page in re.findall(r"(\w+): \(\) => import\(", pages)} & MESSAGES.keys()
    silent = [k for k in MESSAGES if k.startswith("console.") and k not in whole and not k.startswith(begun)]
    assert silent == []
    assert sorted(whole - MESSAGES.keys()) == []


def test_the_table_of_the_engine_contract_has_every_test_and_engine() -> None:
    root = SOURCE.parents[1]
    written = (root / "docs/reference/engine-contract.md").read_text(encoding="utf-8")
    tests = re.findall(r"^def test_(\w+)", (root / "tests/contract/test_engine.py").read_text(encoding="utf-8"), re.M)
    missing = [name for name in tests if f"| {name.replace('_', ' ')} |" not in written]
    assert missing == [], "run the contract and renew the table; it says how"
    assert [kind for kind in EngineKind if kind.value not in written.lower()] == []
    assert "FAILED" not in written


def test_the_reference_is_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("generate", SOURCE.parents[1] / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for name, make in generate.PAGES.items():
        there = (generate.FOLDER / name).read_text(encoding="utf-8")
        assert there == generate.HEAD + make(), f"docs/reference/{name} is old: run make docs"


@pytest.mark.parametrize("key", sorted(MESSAGES))
def test_both_languages_are_there_and_take_the_same_values(key: str) -> None:
    en, zh = MESSAGES[key]
    assert en and zh
    assert set(re.findall(r"{(\w+)}", en)) == set(re.findall(r"{(\w+)}", zh))


def test_every_event_that_changes_a_job_has_a_handler() -> None:
    without = {ev.NodeStarted, ev.Priced, ev.SiteMeasured, ev.Metered}
    assert set(ev.EVENTS.values()) - set(apply._APPLY) == without


def test_kernel_codes_are_the_reasons_in_order() -> None:
    assert len(set(KERNEL_REASONS)) == len(KERNEL_REASONS)


def test_no_clock_and_no_chance_outside_adapters() -> None:
    found = []
    for room in PURE:
        for path in (SOURCE / room).rglob("*.py"):
            for item in ast.walk(ast.parse(path.read_text())):
                names = []
                if isinstance(item, ast.Import):
                    names = [a.name for a in item.names]
                elif isinstance(item, ast.ImportFrom):
                    names = [item.module or ""]
                found += [f"{path}: {n}" for n in names if n in ("time", "random", "datetime", "secrets", "uuid")]
    assert found == []


def test_files_are_short_enough_to_read() -> None:
    long = {str(p): n for p in FILES if (n := len(p.read_text().splitlines())) > 600}
    assert long == {}
