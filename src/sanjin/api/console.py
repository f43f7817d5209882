"""The console's pages, from the files that ``console/build.py`` built into the package.

They are the same for everybody and need no token: what a viewer may see, the API decides. The policy of the pages
allows what comes from this node and nothing else: no script or style within a page, no other address, no frame.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

BUILT = Path(__file__).parent / "console_files"

POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'",
        "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    )
)  # fmt: skip

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_NOT_BUILT = (
    "<!doctype html><meta charset=utf-8><title>Sanjin</title>"
    "<p>The console is not built: run make setup. 控制台尚未构建,请运行 make setup。"
)


@dataclass(frozen=True, slots=True)
class _File:
    kind: str
    body: bytes
    packed: bytes
    tag: str
    lasting: bool
    """Its name changes with what is in it."""


class Pages:
    """The files by their paths, read when they are first asked for."""

    def __init__(self, folder: Path = BUILT) -> None:
        self._folder = folder

    @cached_property
    def _files(self) -> dict[str, _File]:
        found = {
            f"/{path.relative_to(self._folder).as_posix()}": _file(path)
            for path in self._folder.rglob("*")
            if path.suffix in _TYPES
        }
        main = found.pop("/index.html", None) or _File(_TYPES[".html"], _NOT_BUILT.encode(), b"", "", lasting=False)
        return {"/": main, **found}

    def __contains__(self, path: str) -> bool:
        return path in self._files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: one of the files."""
        file, asked = self._files[scope["path"]], dict(scope["headers"])
        headers = {
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "public, max-age=31536000, immutable" if file.lasting else "no-cache",
            "ETag": f'"{file.tag}"',
            "Vary": "Accept-Encoding",
        }
        if scope["method"] not in ("GET", "HEAD"):
            answer = Response(status_code=405, headers={"Allow": "GET, HEAD"})
        elif asked.get(b"if-none-match", b"").decode("latin-1") == headers["ETag"]:
            answer = Response(status_code=304, headers=headers)
        else:
            packed = file.packed and b"gzip" in asked.get(b"accept-encoding", b"")
            if packed:
                headers["Content-Encoding"] = "gzip"
            answer = Response(file.packed if packed else file.body, headers=headers, media_type=file.kind)
        await answer(scope, receive, send)


def _file(path: Path) -> _File:
    body, packed = path.read_bytes(), path.with_name(path.name + ".gz")
    return _File(
        kind=_TYPES[path.suffix], body=body, packed=packed.read_bytes() if packed.exists() else b"",
        tag=hashlib.sha256(body).hexdigest()[:16], lasting=path.parent.name == "assets",
    )  # fmt: skip
