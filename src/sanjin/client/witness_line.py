"""A child's calls to its parent's desk for cosignatures, over the line that it has."""

from __future__ import annotations

from collections.abc import Sequence

from sanjin.api.witness_routes import ADD, SIZE_TYPE, WORD
from sanjin.client.client import fault_of
from sanjin.client.uplink import HttpUplink
from sanjin.flow.notes import witness_request
from sanjin.model.errors import LogForked, NotReachable, StaleSize
from sanjin.tree.cosigning import Reply, Word, encode, read_reply

SIZE_MAX = 20
"""Bytes of a size at most, as a witness says it."""


class WitnessLine:
    """The desk at the other end of ``uplink``; see :class:`sanjin.tree.cosigning.Line`."""

    def __init__(self, uplink: HttpUplink) -> None:
        self._uplink = uplink

    def word(self, word: Word) -> Reply:
        """One call. Raises NotReachable, NotAllowed."""
        answer = self._uplink.post(WORD, encode(word))
        if not answer.is_success:
            raise fault_of(answer.content, answer.status_code)
        try:
            return read_reply(answer.content)
        except ValueError as fault:
            raise NotReachable(f"the parent's answer cannot be read: {fault}") from fault

    def add_checkpoint(self, old: int, proof: Sequence[bytes], note: bytes) -> str:
        """The parent's cosignature. Raises StaleSize, LogForked, NotReachable, NotAllowed, NotFound."""
        answer = self._uplink.post(ADD, witness_request(old, proof, note))
        if answer.is_success:
            return answer.text
        kind = answer.headers.get("content-type", "").partition(";")[0]
        said = answer.text.strip()
        if answer.status_code == 409 and kind == SIZE_TYPE and said.isdecimal() and len(said) < SIZE_MAX:
            raise StaleSize(f"the parent has signed {said} entries, not {old}", int(said))
        if answer.status_code in (409, 422):
            raise LogForked(str(fault_of(answer.content, answer.status_code)))
        raise fault_of(answer.content, answer.status_code)
