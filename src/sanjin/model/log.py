"""What a node's transparent log shows: proofs that travel, and what checking them found.

Hashes and roots are base64, as checkpoints write them (https://c2sp.org/tlog-checkpoint).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sanjin.model.status import Happening


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """A journal entry with its leaf: the line of JSON whose hash stands in the log; see the how-to."""

    entry: Happening
    leaf: str
    leaf_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InclusionProof:
    """That an entry is in a log: ``hashes`` lead from its leaf, number ``index``, to the checkpoint's root.

    RFC 6962, section 2.1.1. ``checkpoint`` is a signed note, ``key`` the public key that signed it: who
    checks must know the key from elsewhere.
    """

    entry: Happening
    leaf: str
    index: int
    size: int
    hashes: tuple[str, ...]
    checkpoint: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthProof:
    """That a log of ``size`` entries begins with the ``old_size`` entries of before (RFC 6962, section 2.1.2)."""

    node: str
    old_size: int
    size: int
    hashes: tuple[str, ...]
    checkpoint: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export wrote: ``tiles`` of hashes and ``bundles`` of entries that were not there yet."""

    node: str
    folder: str
    size: int
    tiles: int
    bundles: int
    cosigned_by: tuple[str, ...]
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigned:
    """What a witness of a log has signed last: ``checkpoint`` over ``size`` entries, at ``at_s`` seconds UTC (all
    empty where it never signed). ``key`` is its public key."""

    name: str
    key: str
    size: int
    at_s: int
    checkpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What checking a log found to be true. ``grown_from`` is the older checkpoint's size (-1: none was given),
    ``entry`` the entry that is in the log (0: none was asked for), ``cosigned`` the witnesses' names with the
    time of their signature, seconds UTC. ``cosigned_size`` says over how many entries, and ``not_cosigned`` names
    witnesses that the log itself names and that have signed nothing that is shown here."""

    origin: str
    size: int
    root: str
    grown_from: int
    entry: int
    entries_read: int
    cosigned: dict[str, int]
    cosigned_size: dict[str, int] = field(default_factory=dict[str, int])
    not_cosigned: tuple[str, ...] = ()
