"""The logs of a state folder's nodes with their keys, and who cosigns whom.

======================== ==============================================================
file in a node's folder  what it holds
======================== ==============================================================
``log.key``              the private key of its log, made at first use, for its owner alone
``log/``                 the log's full tiles and the last checkpoint that it signed
``cosigner.key``         the private key that it cosigns other logs with
``cosigner/seen.json``   what it saw last of each log that it cosigns
``cosigner/known.json``  the keys that its parent, its siblings and its children showed first
``log/witnesses``        the keys of the witnesses on other machines
``log/cosigned/``        the last checkpoint that each of these has cosigned
======================== ==============================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sanjin.adapters.files import FolderFiles, secret
from sanjin.flow.notes import COSIGNATURE, ED25519, BadNote, SigningKey, VerifierKey, parse_signing
from sanjin.model.errors import SanjinError
from sanjin.model.region import Region
from sanjin.ports import Clock, Store
from sanjin.tree.cosigner import Cosigner
from sanjin.tree.cosigning import WITNESSES, Own, Ring
from sanjin.tree.log import CHECKPOINT, NodeLog, origin_of, witness_name


def published(own: Path) -> bool:
    """Whether the node with this folder has ever signed a checkpoint."""
    return (own / "log" / CHECKPOINT).exists()


def open_log(region: Region, node: str, folder: Path, store: Store) -> NodeLog:
    """A node's log; its key is made where there is none. Raises NotAllowed where others can read the key."""
    own = folder / node
    key = _key(own / "log.key", origin_of(region.id, node), ED25519)
    return NodeLog(node, store, FolderFiles(own / "log"), key)


def open_logs(region: Region, folder: Path, stores: Mapping[str, Store], clock: Clock) -> dict[str, NodeLog]:
    """The logs of these nodes; a parent cosigns its children's checkpoints, and the root's are cosigned by children."""
    logs = {node: open_log(region, node, folder, store) for node, store in stores.items()}
    known = {log.key.name: log.verifier for log in logs.values()}
    cosigners = {node: open_cosigner(region, node, folder, known, clock) for node in logs}
    for node, log in logs.items():
        parent = region.nodes[node].parent
        names = [parent] if parent else [n for n in logs if region.nodes[n].parent == node][:WITNESSES]
        log.witnesses = {cosigners[n].key.verifier(): cosigners[n].cosign for n in names if n in cosigners}
    return logs


def open_cosigner(
    region: Region, node: str, folder: Path, logs: Mapping[str, VerifierKey], clock: Clock
) -> Cosigner:
    """A node as cosigner of these logs (origin to key), with a key of its own."""
    own = folder / node
    # a key that signs as a log must not sign as a witness too (tlog-cosignature, Ed25519 signed message)
    key = _key(own / "cosigner.key", witness_name(region.id, node), COSIGNATURE)
    return Cosigner(key, logs, FolderFiles(own / "cosigner"), clock.now)


def open_own(region: Region, node: str, folder: Path, log: NodeLog, clock: Clock, every_s: float) -> Own:
    """What a node on a machine of its own cosigns with, at most every ``every_s`` wall seconds."""
    ring = Ring(region.id, FolderFiles(folder / node / "cosigner"))
    cosigner = open_cosigner(region, node, folder, ring.logs, clock)
    return Own(
        region=region.id, node=node, log=log, cosigner=cosigner, ring=ring, every_s=every_s, wall=clock.wall
    )  # fmt: skip


def _key(path: Path, name: str, kind: int) -> SigningKey:
    try:
        found = parse_signing(secret(path, lambda seed: SigningKey(name, kind, seed).text()))
    except BadNote as fault:
        raise SanjinError(f"{path}: {fault}; restore it from a backup") from fault
    if (found.name, found.kind) != (name, kind):
        raise SanjinError(f"{path}: the key is that of {found.name}, not of {name}")
    return found
