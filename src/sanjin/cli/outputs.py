"""``sanjin outputs``: what jobs left, listed or brought here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sanjin.cli.output import Format, State, at, data, note, sentence, table, text
from sanjin.client import Client
from sanjin.model.data import JobOutputs


def outputs(
    job: Annotated[str, Parameter(help="Id of the job. 作业编号。")],
    /,
    *,
    to: Annotated[Path | None, Parameter(help="Bring them into this folder, verified. 下载目录。")] = None,
    only: Annotated[tuple[str, ...], Parameter(help="With --to: bring this file alone. 仅下载该文件。")] = (),
    state: State = None,
    output: Format = "table",
) -> None:
    """List what a job left in $SANJIN_OUTPUTS, or bring it here: verified, and going on where it was cut. 作业产出。

    Exit 10 where a file is not what its checksum says.
    """
    with Client.here(state) as client:
        if to is not None:
            brought = client.download(job, to, only)
            if not data({"job": job, "folder": str(to), "files": brought}, output):
                for file in brought:
                    print(text("cli.output_brought" if file.fetched_bytes else "cli.output_here", path=file.path))
                note(sentence("cli.outputs_verified", count=len(brought), bytes=sum(f.fetched_bytes for f in brought)))
            return
        found = client.outputs(job)
        if not data(found, output):
            _print(found)


def _print(found: JobOutputs) -> None:
    rows = [[file.name, file.bytes, file.sha256] for file in found.files]
    table(("head.name", "head.bytes", "head.sha256"), rows, left=(0, 2))
    for each in found.left_out:
        note(sentence("cli.output_left_out", name=each.name, why=text(f"left_out.{each.why}")))
    if found.left_out_count > len(found.left_out):
        note(sentence("cli.outputs_left_out", count=found.left_out_count))
    if found.removed_at_s:
        note(sentence("cli.outputs_removed", at=f"{at(found.removed_at_s, 0, year=True)} UTC"))
    if not found.complete:
        note(sentence("cli.outputs_incomplete", job=found.job))
