"""What a node writes about itself to stderr: lines for people, or a JSON object a line (``--log json``)."""

from __future__ import annotations

import logging
import os
import re
import sys
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from cyclopts import Parameter

from sanjin.model.catalogue import problem
from sanjin.model.errors import ProblemsFound

Log = Annotated[str, Parameter(help="text or json, on stderr (default: $SANJIN_LOG, or text). 日志格式。")]

_OWN = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}
"""What every record has; all else in one are fields of whoever logs."""

_SECRETS = re.compile(
    r"(?i)\bsj_[0-9a-f]{12}_[A-Za-z0-9_-]+|\bsjn1\.[A-Za-z0-9_-]+|(?<=bearer )\S+|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"
    r"|(?<=password=)[^\s&'\"]+|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
"""Tokens of users, invitations, headers, passwords in addresses, private keys."""


def without_secrets(text: str) -> str:
    """The text with ``***`` for what looks like a secret. None should come here; a library's error may bring one."""
    return _SECRETS.sub("***", text)


class TextLines(logging.Formatter):
    """A line for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The record, without secrets."""
        return without_secrets(super().format(record))


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time`` (UTC), ``level``, ``logger``, ``message``, ``node``, ``fields``, and
    ``exception`` where there is one."""

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """The record, without secrets."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {k: v for k, v in vars(record).items() if k not in _OWN}
        line: dict[str, object] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "node": fields.pop("node", "") or self._node or _node_of(record.threadName or ""),
            "fields": fields,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # each text by itself: what is put in place of a secret must not break the line
        return msgspec.json.encode(_clean(line), enc_hook=str).decode()


def _node_of(thread: str) -> str:
    """Which of several nodes in one process says it: each takes its turns in a thread of its name."""
    return thread.removeprefix("node-") if thread.startswith("node-") else ""


def _clean(value: object) -> object:
    if isinstance(value, dict):
        return {str(k): _clean(v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, int | float | bool | None):
        return value
    return without_secrets(str(value))


def set_up(how: str, node: str = "") -> None:
    """Log warnings and errors to stderr; ``how`` is text, json, or empty for ``$SANJIN_LOG``. Raises ProblemsFound."""
    chosen = how or os.environ.get("SANJIN_LOG", "") or "text"
    if chosen not in ("text", "json"):
        raise ProblemsFound([problem("wrong_log", "--log" if how else "SANJIN_LOG", value=chosen)])
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(node) if chosen == "json" else TextLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
