"""Clocks: the machine's own, a faster one for demonstrations, and a virtual one for tests and replay."""

from __future__ import annotations

import time


class RealClock:
    """Region time is this machine's UTC time."""

    rate = 1.0

    def now(self) -> int:
        """Seconds UTC."""
        return int(time.time())

    def wall(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def region_at(self, wall_s: float) -> int:
        """The same instant."""
        return int(wall_s)


class FastClock:
    """Region time that was ``start_s`` at wall instant ``wall_s`` (default: now) and passes ``rate``
    times as fast as the wall's."""

    def __init__(self, start_s: int, rate: float, wall_s: float | None = None) -> None:
        self.rate = rate
        self.start_s = start_s
        self.wall_s = time.time() if wall_s is None else wall_s

    def now(self) -> int:
        """Region seconds UTC."""
        return self.region_at(time.time())

    def wall(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def region_at(self, wall_s: float) -> int:
        """Region time at a wall instant."""
        return self.start_s + int((wall_s - self.wall_s) * self.rate)


class VirtualClock:
    """Time that moves only when told. Wall time is region time, or ``rate`` times as slow."""

    def __init__(self, start_s: int, rate: float = 1.0) -> None:
        self.rate = rate
        self._now = start_s
        self._waited_s = 0.0

    def now(self) -> int:
        """Virtual seconds UTC."""
        return self._now

    def wall(self) -> float:
        """The same on the wall, and what passed there alone."""
        return self._now / self.rate + self._waited_s

    def region_at(self, wall_s: float) -> int:
        """The same instant."""
        return int(wall_s)

    def advance(self, to_s: int) -> None:
        """Move to ``to_s``; never back."""
        self._now = max(self._now, to_s)

    def wait(self, wall_s: float) -> None:
        """Let time pass on the wall while region time stands still."""
        self._waited_s += wall_s
