"""The Python client of a running region: ``Client.here()`` finds it, everything is typed."""

import sys

# httpx comes with a command line of its own, which it imports with all that draws it (click, rich, pygments) wherever
# those are installed: a third of the time that any command of ours takes. It does without where it is not to be had.
if "httpx" not in sys.modules:
    sys.modules["httpx._main"] = None  # pyright: ignore[reportArgumentType]
    import httpx  # noqa: F401  # pyright: ignore[reportUnusedImport]

    del sys.modules["httpx._main"]

from sanjin.client.client import Client
from sanjin.client.events import Notice

__all__ = ["Client", "Notice"]
