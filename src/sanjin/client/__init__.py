"""The Python client of a running region: ``Client.here()`` finds it, everything is typed."""

from sanjin.client.client import Client
from sanjin.client.events import Notice

__all__ = ["Client", "Notice"]
