"""The program that calls a function at a site, and leaves what came of it as one file in ``$SANJIN_OUTPUTS``.

It travels with the job, in a variable, and needs nothing there but the standard library and cloudpickle. The file is
one line of JSON, the head, and then the values (or the exception), pickled or as JSON. Nothing in the head has to be
unpickled: it says what was wrong where the calls could not even begin.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import traceback
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RESULT = "sanjin-result"
TEXT_MAX = 20_000
"""Characters of a message or a traceback that are told."""


def main() -> int:
    """Do the calls in ``$TASK_CALLS``. The exit status: 0 where all of them returned."""
    about = json.loads(os.environ.pop("TASK_ABOUT"))
    packed = os.environ.pop("TASK_CALLS")
    os.environ.pop("TASK_RUNNER", None)
    fault, pickle = _unfit(about)
    head, body = ({"fault": fault}, b"") if fault else _called(pickle, packed, about["results"])
    head["part"] = about["part"]
    folder = os.environ["SANJIN_OUTPUTS"]
    with open(os.path.join(folder, RESULT + ".part"), "wb") as file:
        file.write(json.dumps(head).encode() + b"\n" + body)
    os.rename(os.path.join(folder, RESULT + ".part"), os.path.join(folder, RESULT))
    return 1 if "fault" in head or "error" in head else 0


def _unfit(about: dict[str, Any]) -> tuple[list[str], Any]:
    """What about this Python does not fit the sender's (code, value here, value wanted), and the pickling module."""
    here = "{}.{}".format(*sys.version_info[:2])
    if here != about["python"]:
        return ["python", here, about["python"]], None
    try:
        import cloudpickle  # type: ignore[import-untyped]
    except ImportError:
        return ["cloudpickle", "-", about["cloudpickle"]], None
    major = cloudpickle.__version__.partition(".")[0]
    return (["cloudpickle", major, about["cloudpickle"]] if major != about["cloudpickle"] else []), cloudpickle


def _called(pickle: Any, packed: str, form: str) -> tuple[dict[str, Any], bytes]:
    """The head and body of the result. Calls after one that raised are not made."""
    values: list[object] = []
    try:
        function, calls = pickle.loads(zlib.decompress(base64.b85decode(packed)))
        for arguments, named in calls:
            values.append(function(*arguments, **named))
    except BaseException as error:  # also SystemExit: here it is an end like any other
        return _raised(pickle, error, len(values), form)
    tried = 0
    try:
        for value in values:  # each alone first, so that the one at fault can be named
            _dumped(pickle, value, form)
            tried += 1
        return {"count": tried}, _dumped(pickle, values, form)
    except Exception as error:
        head, _ = _raised(pickle, error, min(tried, len(values) - 1), form)
        return {**head, "unsent": True}, b""


def _dumped(pickle: Any, value: object, form: str) -> bytes:
    return json.dumps(value, allow_nan=False).encode() if form == "json" else pickle.dumps(value)


def _raised(pickle: Any, error: BaseException, at: int, form: str) -> tuple[dict[str, Any], bytes]:
    trace = error.__traceback__.tb_next if error.__traceback__ else None  # without this file's own frame
    head = {
        "at": at,
        "error": type(error).__qualname__,
        "text": str(error)[:TEXT_MAX],
        "traceback": "".join(traceback.format_exception(type(error), error, trace))[-TEXT_MAX:],
    }
    body = b""
    if form == "pickle":
        try:
            body = pickle.dumps(error)
            pickle.loads(body)  # there are exceptions that can be pickled, but not back
        except Exception:
            body = b""
    return head, body


if __name__ == "__main__":
    sys.exit(main())
