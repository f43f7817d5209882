"""The folder of a region's state on one machine, and the files in it that are not a node's own.

======================= ==========================================================
file                    what it holds
======================= ==========================================================
``token``               the operator's secret for the API; only its owner may read it
``users.json``          the other users with hashes of their tokens; see :mod:`.users`
``decisions.jsonl``     who was allowed what, and who was not; see :mod:`.decision_log`
``address``             where the API of the running region listens
``region.yaml``         the region document that it was last started with
``policy.yaml``         the policy document, where one was set
``engines.yaml``        the document of engines, where one was set
``scarcity.json``       prices of scarce capacity that were learnt, where they were
``clock.json``          where a faster clock began, so that a restart goes on with it
``node.json``           which site this is, who its parent is and where it listens, of one node
``measured.json``       what the benchmark measured of this machine, of one node
``declared.yaml``       what its operator declares of its machines beside the region document
``measured.told``       which of the two its journal has
``identity/``           keys and certificates of one node, and the children that it knows
``restored.json``       that the state was restored, until the next start has taken account of it
``writer``              as which writer of its database this folder was used last, of a replica
``lock``                held while a region is up
``<node>/``             a node's store, runs and data
======================= ==========================================================
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from sanjin.adapters.clock import FastClock, RealClock
from sanjin.model.errors import NotAllowed, NotFound, NotReachable, SanjinError
from sanjin.model.performance import Measurement
from sanjin.model.scarcity import HOURS_A_WEEK, Scarcity


def default_folder() -> Path:
    """``$SANJIN_STATE``, or ``sanjin`` in the user's state folder (XDG base directories)."""
    if given := os.environ.get("SANJIN_STATE"):
        return Path(given)
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "sanjin"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """What one node runs with. ``listen`` is a host and port for children (empty: none can call), ``names`` are
    further names or addresses that they reach it under; ``data`` the folder of all sites' datasets (empty: here).
    ``parent`` may be several addresses with commas between, ``store`` a database (empty: SQLite in the folder), and
    ``identity`` a folder of keys that replicas share (empty: here). ``cosign_every`` is how often it makes a checkpoint
    for others to cosign, as typed (empty: the usual; ``off``: never)."""

    site: str
    parent: str = ""
    listen: str = ""
    names: tuple[str, ...] = ()
    data: str = ""
    store: str = ""
    identity: str = ""
    cosign_every: str = ""


class StateFolder:
    """A state folder at ``path``; nothing is made before it is needed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def claim(self) -> None:
        """Make the folder and hold it for this process. Raises NotAllowed where another has it."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = (self.path / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            raise NotAllowed(f"{self.path}: a region is already up on this state folder") from fault

    def release(self) -> None:
        """Let go of it; no region is up here any more."""
        (self.path / "address").unlink(missing_ok=True)
        if self._lock:
            self._lock.close()
            self._lock = None

    def token(self) -> str:
        """The secret of the API, made at first use. Raises NotAllowed where others could read it."""
        path = self.path / "token"
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(32))
        except FileExistsError:
            pass
        if path.stat().st_mode & 0o077:
            raise NotAllowed(f"{path}: others can read the token; run: chmod 600 {path}")
        return path.read_text().strip()

    def announce(self, url: str) -> None:
        """Say where the API listens."""
        self._write("address", url + "\n")

    def found(self) -> tuple[str, str]:
        """(address, token) of the region that is up. Raises NotReachable where none is."""
        return self.address(), self.token()

    def address(self) -> str:
        """Where the API of the region listens that is up. Raises NotReachable where none is."""
        try:
            return (self.path / "address").read_text().strip()
        except FileNotFoundError as fault:
            raise NotReachable(f"no region is up on {self.path}; start one with: sanjin up") from fault

    def keep_region(self, document: str) -> None:
        """Keep the region document beside the state that it explains."""
        self._write("region.yaml", document)

    def region_document(self) -> Path:
        """The region document that was kept. Raises NotFound where no region was ever up here."""
        path = self.path / "region.yaml"
        if not path.exists():
            raise NotFound(f"{self.path} holds no state of a region; see --state")
        return path

    def keep_clock(self, document: str) -> None:
        """Keep the clock that a parent told (``clock.json`` of its state folder), where this state has none yet."""
        if document and not (self.path / "clock.json").exists():
            self._write("clock.json", document)

    def clock_document(self) -> str:
        """What ``clock.json`` holds; empty where region time is the time of day."""
        path = self.path / "clock.json"
        return path.read_text() if path.exists() else ""

    def keep_node(self, settings: NodeSettings) -> None:
        """Keep what a node was started with, so that the next start need not say it."""
        self._write("node.json", msgspec.json.encode(settings).decode())

    def node_settings(self) -> NodeSettings | None:
        """What the node of this folder was last started with; None where none was. Raises SanjinError."""
        path = self.path / "node.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=NodeSettings) if path.exists() else None
        except msgspec.DecodeError as fault:
            raise SanjinError(f"{path}: {fault}; remove the file and start the node with --site") from fault

    def keep_measurement(self, found: Measurement) -> None:
        """Keep what the benchmark measured; a node that is up here reads it within seconds."""
        self._write("measured.json", msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")

    def measurement(self) -> Measurement | None:
        """The last measurement of this machine; None where there is none. Raises SanjinError."""
        path = self.path / "measured.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Measurement) if path.exists() else None
        except msgspec.DecodeError as fault:
            raise SanjinError(f"{path}: {fault}; measure again with: sanjin node measure") from fault

    def keep_declared(self, document: str) -> None:
        """Keep what the operator declares of this site's machines."""
        self._write("declared.yaml", document)

    def declared_document(self) -> Path | None:
        """The declaration that was kept, or None."""
        path = self.path / "declared.yaml"
        return path if path.exists() else None

    def performance_digest(self) -> tuple[str, int]:
        """(SHA-256 of the measurement and the declaration that are kept, when the later of them was kept, ms UTC)."""
        paths = [p for name in ("measured.json", "declared.yaml") if (p := self.path / name).exists()]
        found = hashlib.sha256(b"\0".join(p.read_bytes() for p in paths)).hexdigest() if paths else ""
        return found, max((p.stat().st_mtime_ns // 1_000_000 for p in paths), default=0)

    def keep_told(self, digest: str) -> None:
        """Note that the journal has the measurement and declaration of this digest."""
        self._write("measured.told", digest)

    def told(self) -> str:
        """The digest that was noted last; empty where none was."""
        path = self.path / "measured.told"
        return path.read_text() if path.exists() else ""

    def keep_restored(self, of: str, moved: bool) -> None:
        """Note for the next start that this is the state of ``of`` (UTC), which may not be the last that there was."""
        self._write("restored.json", json.dumps({"of": of, "moved": moved}))

    def restored(self) -> tuple[str, bool] | None:
        """(of which time, whether nothing was done since) of a state that was restored and not started since."""
        path = self.path / "restored.json"
        if not path.exists():
            return None
        kept: dict[str, Any] = json.loads(path.read_text())
        return str(kept["of"]), bool(kept["moved"])

    def wrote_last(self, epoch: int) -> bool:
        """Whether the writer of the database before the one numbered ``epoch`` used this folder, or there was none.
        Where not, what ran meanwhile is not known to the engine here."""
        path = self.path / "writer"
        return epoch == (int(path.read_text()) if path.exists() else 0) + 1

    def started(self, epoch: int = 0) -> None:
        """A start has taken account of what was restored, and of who wrote before it did, as number ``epoch``."""
        (self.path / "restored.json").unlink(missing_ok=True)
        if epoch:
            self._write("writer", str(epoch))

    def keep_policy(self, document: str) -> None:
        """Keep a policy document for the next start."""
        self._write("policy.yaml", document)

    def policy_document(self) -> Path | None:
        """The policy document that was kept, or None."""
        path = self.path / "policy.yaml"
        return path if path.exists() else None

    def keep_engines(self, document: str) -> None:
        """Keep a document of engines for the next start."""
        self._write("engines.yaml", document)

    def engines_document(self) -> Path | None:
        """The document of engines that was kept, or None."""
        path = self.path / "engines.yaml"
        return path if path.exists() else None

    def keep_scarcity(self, document: bytes) -> None:
        """Keep learnt prices of scarce capacity for the next start."""
        self._write("scarcity.json", document.decode())

    def scarcity(self) -> Scarcity | None:
        """The prices that were learnt, or None. Raises SanjinError where the file is not such prices."""
        path = self.path / "scarcity.json"
        if not path.exists():
            return None
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Scarcity)
        except msgspec.DecodeError as fault:
            raise SanjinError(f"{path}: {fault}; learn the prices again, or remove the file") from fault
        weeks = [w for prices in (found.core, found.card, found.power) for w in prices.values()]
        if any(len(week) != HOURS_A_WEEK or min(week) < 0 for week in weeks):
            raise SanjinError(f"{path}: a price list is not 168 prices of at least 0; learn the prices again")
        return found

    def clock(self, rate: float | None, start_s: int | None) -> RealClock | FastClock:
        """The clock of this state. A faster one goes on from where it began, also after a restart.

        Raises SanjinError where the state already has another clock.
        """
        path = self.path / "clock.json"
        if path.exists():
            kept: dict[str, Any] = json.loads(path.read_text())
            if (rate is not None and rate != kept["rate"]) or (start_s is not None and start_s != kept["start_s"]):
                raise SanjinError(
                    f"{path}: this state runs at rate {kept['rate']:g} from {kept['start_s']}; leave out --rate "
                    "and --start, or use another --state"
                )
            return FastClock(int(kept["start_s"]), float(kept["rate"]), float(kept["wall_s"]))
        if rate is None or rate == 1.0:
            if start_s is not None:
                raise SanjinError("--start needs a --rate other than 1")
            return RealClock()
        if any(self.path.glob("*/state.db")):
            raise SanjinError(f"{self.path}: this state runs on the real clock; use another --state for --rate")
        clock = FastClock(RealClock().now() if start_s is None else start_s, rate)
        self._write("clock.json", json.dumps({"start_s": clock.start_s, "rate": rate, "wall_s": clock.wall_s}))
        return clock

    def _write(self, name: str, text: str) -> None:
        made = self.path / f".{name}.new"
        made.write_text(text)
        made.replace(self.path / name)
