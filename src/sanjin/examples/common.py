"""What every example job does alike: its options, where it reads and writes, how it ends.

Only cheap imports here: each job's start-up time is a good part of its run time.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

RESULT_FILE = "result.json"


def parser(
    description: str | None, *, size: int, size_help: str, seed: int = 2026
) -> argparse.ArgumentParser:
    """The options that all kinds share; a kind adds its own."""
    options = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    options.add_argument("--seed", type=int, default=seed, help="seed of every random choice")
    options.add_argument("--size", type=int, default=size, help=size_help)
    return options


def dataset(dataset_id: str) -> Path:
    """Folder of an input dataset; ends the job with a message where it is not there."""
    folder = find_dataset(dataset_id)
    if folder is None:
        root = os.environ.get("SANJIN_INPUTS", "")
        raise SystemExit(f"dataset {dataset_id} is not under SANJIN_INPUTS ({root or 'not set'})")
    return folder


def find_dataset(dataset_id: str) -> Path | None:
    """Folder of an input dataset, or None where the job was not given it."""
    root = os.environ.get("SANJIN_INPUTS", "")
    folder = Path(root) / dataset_id
    return folder if root and folder.is_dir() else None


def outputs() -> Path:
    """Folder for results: ``$SANJIN_OUTPUTS``, or ``outputs`` here when run by hand."""
    folder = Path(os.environ.get("SANJIN_OUTPUTS", "") or "outputs")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def finish(kind: str, figures: dict[str, Any], line: str) -> None:
    """Write the figures to ``result.json`` and print the one result line."""
    text = json.dumps({"kind": kind, **figures}, ensure_ascii=False, indent=1, sort_keys=True)
    (outputs() / RESULT_FILE).write_text(text + "\n", encoding="utf-8")
    print(f"{kind}: {line}", flush=True)
