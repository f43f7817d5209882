"""What is made anew for every event of every job: structs of msgspec, several times as quick as dataclasses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, make_dataclass
from typing import Any

import msgspec

changed = msgspec.structs.replace
"""``changed(struct, **fields)``: a copy with some fields replaced. Raises ``TypeError`` for a field it has not."""


class Struct(msgspec.Struct, frozen=True, kw_only=True):
    """Base of these: never changed once made, its fields given by name."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type, handler: Callable[[type], Any]) -> Any:
        """How the API describes it: as a dataclass of the same fields, since pydantic knows no structs."""
        parts = [
            (f.name, f.type) if f.required else (f.name, f.type, field(default=f.default))
            for f in msgspec.structs.fields(source)
        ]
        return handler(make_dataclass(source.__name__, parts, kw_only=True))
