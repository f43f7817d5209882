"""What commands print: tables for people in English and Chinese, JSON and YAML for programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from sanjin.model.catalogue import LANGUAGES, say
from sanjin.model.units import HOUR_S

State = Annotated[Path | None, Parameter(help="State folder of the region. 状态目录。")]
WIDE = 250

Format = Annotated[Literal["table", "json", "yaml"], Parameter(help="How to print. 输出格式。")]


def language() -> str:
    """``$SANJIN_LANG``: en, zh or both (the default)."""
    found = os.environ.get("SANJIN_LANG", "both")
    return found if found in LANGUAGES else "both"


def text(key: str, **values: object) -> str:
    """A text of the catalogue in the user's language."""
    return say(key, language(), **values)


class Word(str):
    """A key of the catalogue among a sentence's values, said in the sentence's own language."""


def sentence(key: str, **values: object) -> str:
    """A longer text of the catalogue: in both languages a line each."""
    langs = ("en", "zh") if language() == "both" else (language(),)
    lines: list[str] = []
    for lang in langs:
        said = {k: say(v, lang) if isinstance(v, Word) else v for k, v in values.items()}
        lines.append(say(key, lang, **said))
    return "\n".join(lines)


def name_of(thing: Any) -> str:
    """The name of a node, dataset or region (``name_en``, ``name_zh``) in the user's language."""
    return titled(thing.name_en, thing.name_zh)


def titled(en: str, zh: str) -> str:
    """A name of two languages in the user's."""
    return {"en": en, "zh": zh}.get(language()) or (en if en == zh else f"{en} {zh}")


def data(value: object, output: Format) -> bool:
    """Print ``value`` as JSON or YAML; false where a table is wanted, which the caller then prints."""
    if output == "json":
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
    elif output == "yaml":
        import msgspec
        import yaml

        # through JSON, so that both formats say the same
        plain = msgspec.json.decode(msgspec.json.encode(value))
        print(yaml.safe_dump(plain, allow_unicode=True, sort_keys=False), end="")
    return output != "table"


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], title: str = "", left: Sequence[int] = (0,)) -> None:
    """Print a table; ``heads`` are catalogue keys, ``left`` the columns that are not numbers."""
    from rich.console import Console
    from rich.table import Table

    made = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for i, head in enumerate(heads):
        made.add_column(text(head).replace(" · ", "\n"), justify="left" if i in left else "right")
    for row in rows:
        made.add_row(*map(str, row))
    # into a pipe nothing is cut off: the other end decides
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    console.print(made)


def note(line: str) -> None:
    """A remark for people, beside the data."""
    print(line, file=sys.stderr)


def at(moment_s: int, utc_offset_h: int, *, year: bool = False) -> str:
    """Region time as month-day hour:minute, local, after its year where that is wanted; empty for 0."""
    if not moment_s:
        return ""
    from datetime import UTC, datetime

    local = datetime.fromtimestamp(moment_s + utc_offset_h * HOUR_S, UTC)
    return f"{local:%Y-%m-%d %H:%M}" if year else f"{local:%m-%d %H:%M}"


def yuan(micro: int) -> str:
    """Micro-yuan as yuan, with as many decimals as small sums need."""
    return f"{micro / 1e6:.4f}"


def span(seconds: int) -> str:
    """A duration: ``42 s``, ``7 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{seconds} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * HOUR_S else f"{seconds / HOUR_S:.1f} h"
