"""What engines have in common whose runs lie in a :class:`~sanjin.adapters.engines.run_folder.RunFolder`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from sanjin.adapters.engines.images import Image, ImageStore
from sanjin.adapters.engines.output_keeper import OutputKeeper
from sanjin.adapters.engines.run_folder import Refused, RunFolder, valid_name
from sanjin.adapters.engines.run_sweeper import RunSweeper
from sanjin.adapters.engines.sandbox import choose, confine, image_runner
from sanjin.model.data import RunOutputs
from sanjin.model.engines import DEFAULT_BOUNDS, Bounds, ImageSettings, Keep
from sanjin.ports import ClusterUse, EndReason, RunOrder, RunReport


class FolderEngine:
    """``sandbox`` is ``auto`` (bubblewrap if it works here, else Landlock), ``bwrap`` or ``landlock`` (required;
    :class:`ProblemsFound` if it does not work) or ``none``. ``read_only`` are more paths that a confined run may read,
    under their own names. ``bounds`` are what each run may take of processes and of the disk. ``keeper`` takes what
    runs left, ``keep`` is how long that stays here (None: for ever). ``images`` says which container images may run and
    how; without, none does (:class:`ProblemsFound` where what runs them is missing). Keys must match
    ``[A-Za-z0-9._-]{1,100}``."""

    def __init__(
        self,
        folder: Path,
        *,
        sandbox: str = "auto",
        read_only: Sequence[str | Path] = (),
        bounds: Bounds = DEFAULT_BOUNDS,
        keeper: OutputKeeper | None = None,
        keep: Keep | None = None,
        images: ImageSettings | None = None,
    ) -> None:
        self._files = RunFolder(folder)
        self._sandbox = choose(sandbox)
        self._read_only = tuple(str(path) for path in read_only)
        self._bounds = bounds
        self._keeper = keeper
        self._sweeper = RunSweeper(self._files, keep, keeper is not None).start() if keep else None
        self._guard = threading.RLock()
        self._image_of: dict[str, Image] = {}  # of runs that are about to start
        self._image_runner = image_runner(images.way) if images else None
        self._images = ImageStore(self._files.root / "images", images, self._image_came) if images else None
        self._told: dict[str, RunReport] = {}  # ended and not forgotten

    def others(self) -> ClusterUse | None:
        """Nothing: here nobody else has a part."""
        return None

    def cancel(self, keys: Sequence[str]) -> None:
        """Ask these runs to end: TERM, and KILL two seconds later. It wins over a stop under way."""
        self._ask(keys, "cancel", EndReason.CANCELLED)

    def stop(self, keys: Sequence[str]) -> None:
        """Ask these runs to stop: TERM, and KILL after their ``stop_grace_s``. They end as STOPPED."""
        self._ask(keys, "stop", EndReason.STOPPED)

    def discard(self, checkpoints: Sequence[str]) -> None:
        """Remove these checkpoint folders. Unknown and bad names are ignored."""
        self._files.discard(list(filter(valid_name, checkpoints)))

    def forget(self, keys: Sequence[str]) -> None:
        """Stop reporting these ends; results, logs and outputs stay in the folder of the run."""
        known = list(filter(valid_name, keys))
        with self._guard:
            for key in known:
                self._told.pop(key, None)
                self._image_of.pop(key, None)
                self._let_go(key)
                self._files.put_away(key)
        if self._keeper is not None:
            self._keeper.keep(known)

    def logs(self, key: str, stream: str, offset: int, limit: int) -> bytes:
        """Bytes of ``stdout`` or ``stderr`` from ``offset``, 16 MiB at most; empty if there are none.

        Raises NotFound where they were removed.
        """
        return self._files.log(key, stream, offset, limit)

    def outputs(self, key: str) -> RunOutputs:
        """What an ended run left; see :mod:`sanjin.adapters.engines.run_outputs`."""
        return self._files.outputs(key)

    def output(self, key: str, name: str, offset: int, limit: int) -> bytes:
        """Bytes of a file that a run left, from ``offset``; empty if there are none."""
        return self._files.output(key, name, offset, limit)

    def close(self) -> None:
        """Let go of what takes outputs, removes them and fetches images."""
        if self._sweeper is not None:
            self._sweeper.close()
        if self._images is not None:
            self._images.close()
        if self._keeper is not None:
            self._keeper.close()

    def _ask(self, keys: Sequence[str], request: str, reason: EndReason) -> None:
        """Leave ``request`` with those that have begun, and tell the end of the others, for ``reason``."""
        raise NotImplementedError

    def _let_go(self, key: str) -> None:
        """Forget what is known of a run whose end nobody asks for any more."""

    def _image_came(self) -> None:
        """An image that a run waits for is here, or is known not to come; called by a thread of its own."""

    def _waits_for_image(self, order: RunOrder) -> bool:
        """Whether the run's image is still to be fetched, which this begins. Raises Refused where it cannot be had."""
        if not order.image or order.key in self._image_of:
            return False
        if self._images is None:
            raise Refused(f"image {order.image}: this site runs no images (its engine has no settings for them)")
        if (found := self._images.find(order.image)) is None:
            return True
        self._image_of[order.key] = found
        return False

    def _confined(self, order: RunOrder) -> dict[str, object]:
        """What its supervisor has to know besides the order, whose image is here. Raises Refused."""
        image = self._image_of.pop(order.key) if order.image else None
        sandbox = self._image_runner if image is not None and self._image_runner is not None else self._sandbox
        return confine(order, self._files, sandbox, self._read_only, self._bounds, image)
