"""The one message catalogue: every text that a person sees, in English and Chinese side by side.

``say("reason.quota", "both")`` gives both. Keys are grouped by their first part. A key without a
text is an error, and a test reads all keys out of the code. Values are filled in by name.
"""

from __future__ import annotations

from sanjin.model.errors import Problem
from sanjin.model.messages import MESSAGES

LANGUAGES = ("en", "zh", "both")


def both(key: str, **values: object) -> tuple[str, str]:
    """The text of ``key`` in English and in Chinese."""
    return say(key, "en", **values), say(key, "zh", **values)


def say(key: str, lang: str = "both", **values: object) -> str:
    """The text of ``key`` in ``lang`` (en, zh or both). Raises KeyError for an unknown key."""
    en, zh = MESSAGES[key]
    if lang == "en":
        return en.format(**values)
    if lang == "zh":
        return zh.format(**values)
    return f"{en.format(**values)} · {zh.format(**values)}"


def problem(code: str, path: str, **values: object) -> Problem:
    """A problem worded by the catalogue (``problem.<code>`` and ``todo.<code>``)."""
    what, todo = f"problem.{code}", f"todo.{code}"
    return Problem(
        code=code,
        path=path,
        what=say(what, "en", **values),
        todo=say(todo, "en", **values),
        what_zh=say(what, "zh", **values),
        todo_zh=say(todo, "zh", **values),
    )
