"""The token that a cluster asks for, from its file."""

from __future__ import annotations

from sanjin.adapters.files import private_text
from sanjin.model.catalogue import problem
from sanjin.model.errors import ProblemsFound


def token_in(file: str) -> str:
    """The token in a file that its owner alone may read. Raises ProblemsFound."""
    try:
        text = private_text(file, "ascii")
    except (OSError, UnicodeDecodeError) as fault:
        why = (fault.strerror if isinstance(fault, OSError) else "") or "not text"
        raise ProblemsFound([problem("token_unreadable", "token_file", value=file, fault=why)]) from None
    if text is None:
        raise ProblemsFound([problem("token_open", "token_file", value=file)])
    token = text.strip()
    if not token or not token.isprintable():
        raise ProblemsFound([problem("token_unreadable", "token_file", value=file, fault="no token")])
    return token
