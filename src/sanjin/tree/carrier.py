"""The carrier of a node: data that come to its site, and that runs leave there, in a thread of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from sanjin.ports import Clock, Mover, Publication, Transfer
from sanjin.tree.inbox import Moved, Published


class Carrier:
    """Puts what became of transfers and publications into the node's inbox by ``tell``."""

    def __init__(self, name: str, mover: Mover, clock: Clock, tell: Callable[[object], None]) -> None:
        self._mover, self._clock, self._tell = mover, clock, tell
        self._thread = ThreadPoolExecutor(1, f"{name}-mover")
        self._closed = False

    def fetch(self, transfers: Sequence[Transfer]) -> None:
        """Bring datasets here; the arrival counts when the link model lets it be here."""
        for transfer in transfers:
            wait = max(transfer.done_at_s - self._clock.now(), 0) / self._clock.rate
            timer = threading.Timer(wait, self.bring, (transfer,))
            timer.daemon = True
            timer.start()

    def bring(self, transfer: Transfer) -> None:
        """Bring a dataset here now."""
        if not self._closed:
            self._thread.submit(lambda: self._tell(Moved(self._mover.fetch([transfer]))))

    def publish(self, publications: Sequence[Publication]) -> None:
        """Register what runs left as datasets."""
        if publications:
            self._thread.submit(lambda: self._tell(Published(self._mover.publish(publications))))

    def settle(self) -> None:
        """Return when all that was asked for now has been told."""
        self._thread.submit(lambda: None).result()

    def close(self) -> None:
        """Take nothing more, and wait for what is under way."""
        self._closed = True
        self._thread.shutdown(wait=True)
