"""A child's line to its parent over HTTPS: enrolment, the one call between nodes, and the certificate kept fresh.

The child opens every connection, so it may sit behind a NAT. Two calls may be on the line at once: one that the parent
holds until it has something to say, and one that has news from here.
"""

from __future__ import annotations

import hashlib
import logging
import ssl
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from queue import SimpleQueue

import httpx
import msgspec

from sanjin.adapters.identity.device import Device, authority_context, digest_of
from sanjin.adapters.identity.issuer import Token
from sanjin.api.exchange import REGION_HEADER, Enrol, Enrolled
from sanjin.client.client import fault_of
from sanjin.model.errors import NotAllowed, NotReachable, SanjinError
from sanjin.tree.exchange import Answer, Request, encode, read_answer
from sanjin.tree.node import HOLD_WALL_S

LINES = 2
"""Calls on the line at once."""

BESIDE = 1
"""Calls beside them, which are not about work (:meth:`HttpUplink.post`)."""

HELD_WALL_S = HOLD_WALL_S + 5.0
"""How long an answer may take: a line that was cut without a word is noticed by this."""

log = logging.getLogger("sanjin.uplink")


def enrol(device: Device, parents: Sequence[str], token: Token | None) -> Enrolled:
    """Get a certificate from the parent and keep it: by an invitation, or as a node that it knows.

    ``parents`` are the URLs at which it, or a replica of it, may answer. Raises NotAllowed where it refuses, or is not
    the one that the invitation speaks of; NotReachable where none answers.
    """
    fault = NotReachable("no parent is named")
    for parent in parents:
        try:
            return _enrol(device, parent, token)
        except NotReachable as found:
            fault = found
    raise fault


def _enrol(device: Device, parent: str, token: Token | None) -> Enrolled:
    url = f"{parent.rstrip('/')}/v1/enrol"
    context = device.context(with_certificate=False) if token is None else _trusting(parent, token)
    body = msgspec.json.encode(Enrol(request=device.request().decode(), secret=token.secret if token else ""))
    try:
        answer = httpx.post(url, content=body, verify=context, timeout=10.0)
    except httpx.TransportError as fault:
        raise NotReachable(f"{parent} does not answer as the parent of {device.node}: {fault}") from fault
    if not answer.is_success:
        raise fault_of(answer.content, answer.status_code)
    found = msgspec.json.decode(answer.content, type=Enrolled)
    if token and digest_of(found.authority.encode()) != token.authority:
        raise NotAllowed(f"{parent} is not the node that made this invitation")
    device.keep(found.certificate.encode(), found.authority.encode())
    return found


def _trusting(parent: str, token: Token) -> ssl.SSLContext:
    """TLS to the node that made an invitation: the authority that it shows must be the one that is named there."""
    # unverified on purpose: what comes back is believed only if its digest is the one in the invitation
    try:
        answer = httpx.get(f"{parent.rstrip('/')}/v1/authority", verify=_unverified(), timeout=10.0)
    except httpx.TransportError as fault:
        raise NotReachable(f"{parent} does not answer: {fault}") from fault
    shown = answer.text if answer.is_success else ""
    try:
        matches = digest_of(shown.encode()) == token.authority
    except ValueError:
        matches = False
    if not matches:
        raise NotAllowed(f"{parent} is not the node that made this invitation")
    return authority_context(shown)


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def region_digest(document: str) -> str:
    """How a child names the region document that it works with."""
    return hashlib.sha256(document.encode()).hexdigest()


class HttpUplink:
    """The line of ``device`` to its parent at one of ``parents``: where one does not answer, the next call tries the
    next. ``digest`` is that of its region document."""

    def __init__(self, device: Device, parents: Sequence[str], digest: str) -> None:
        self._device, self._digest = device, digest
        self._parents, self._at, self._said = [p.rstrip("/") for p in parents], 0, ""
        self._calls: SimpleQueue[tuple[Request, Future[Answer]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._http: httpx.Client | None = None
        self._fresh_at = 0.0
        for n in range(LINES):
            threading.Thread(target=self._run, name=f"{device.node}-line-{n}", daemon=True).start()

    def call(self, request: Request) -> Future[Answer]:
        """Send a request; the future gets the answer, or NotReachable."""
        future: Future[Answer] = Future()
        self._calls.put((request, future))
        return future

    def post(self, path: str, body: bytes) -> httpx.Response:
        """One call beside the line, not about work; in the caller's thread. Raises NotReachable, NotAllowed."""
        parent = self._parents[self._at % len(self._parents)]
        try:
            return self._client().post(f"{parent}{path}", content=body)
        except (httpx.TransportError, ssl.SSLError, RuntimeError) as fault:  # the line may just be opened anew
            raise NotReachable(f"{parent} does not answer: {fault}") from fault

    def close(self) -> None:
        """End the lines; calls on the way are left."""
        for _ in range(LINES):
            self._calls.put(None)

    def _run(self) -> None:
        while (item := self._calls.get()) is not None:
            request, future = item
            try:
                future.set_result(self._ask(request))
            except SanjinError as fault:
                future.set_exception(fault)
            except Exception as fault:  # whatever a connection does, the node only hears that nobody answered
                log.exception("the line to %s", self._parents)
                future.set_exception(NotReachable(str(fault)))

    def _ask(self, request: Request) -> Answer:
        parent = self._parents[self._at % len(self._parents)]
        try:
            answer = self._client().post(
                f"{parent}/v1/exchange", content=encode(request), headers={REGION_HEADER: self._digest}
            )
        except (httpx.TransportError, ssl.SSLError) as fault:
            self._drop()
            self._at += 1
            raise NotReachable(f"{parent} does not answer: {fault}") from fault
        if not answer.is_success:
            fault = fault_of(answer.content, answer.status_code)
            self._tell(str(fault))
            raise NotReachable(str(fault)) from fault
        self._tell("")
        return read_answer(answer.content)

    def _tell(self, what: str) -> None:
        if what != self._said:
            self._said = what
            if what:
                log.error("the parent of %s refuses: %s", self._device.node, what)

    def _client(self) -> httpx.Client:
        """A client whose certificate is good, renewed where half of its life is over."""
        with self._lock:
            left, life = self._device.left_s()
            if left < life / 2 and time.monotonic() >= self._fresh_at:
                self._fresh_at = time.monotonic() + min(max(left, 0) / 4, 60.0)
                try:
                    enrol(self._device, self._parents, None)
                    self._drop()
                except SanjinError as fault:
                    if left <= 0:
                        raise
                    log.warning("the certificate of %s could not be renewed: %s", self._device.node, fault)
            if self._http is None:
                limits = httpx.Limits(max_connections=LINES + BESIDE, max_keepalive_connections=LINES + BESIDE)
                timeout = httpx.Timeout(HELD_WALL_S, connect=5.0)
                self._http = httpx.Client(verify=self._device.context(), timeout=timeout, limits=limits)
            return self._http

    def _drop(self) -> None:
        """The next call opens new connections."""
        held, self._http = self._http, None
        if held is not None:
            held.close()
