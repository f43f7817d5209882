"""A parent's side of enrolment: invitations, the children that it knows, certificates for them and for itself.

Every node issues to its own children alone, by an authority of its own that nobody else trusts: what is lost at one
node is lost there. All is in one folder:

================== ===============================================================
file               what it holds
================== ===============================================================
``issuer.key``     the authority's key; only its owner may read it
``issuer.pem``     the authority's certificate
``serving.pem``    the certificate with which this node serves, and its key
``children.json``  children: SHA-256 of the device key, since when, revoked or not
``invites.json``   open invitations: SHA-256 of the secret, for whom, until when
================== ===============================================================
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import ipaddress
import secrets
import ssl
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sanjin.adapters.files import write_secret
from sanjin.adapters.identity.device import digest_of, fingerprint, load_key, spiffe
from sanjin.model.errors import NotAllowed, NotFound, SanjinError

LIFE_S = 3600
"""How long a child's certificate is good for; it is renewed at half of that."""

SERVING_DAYS = 397
AUTHORITY_DAYS = 3650
SKEW = timedelta(minutes=5)
"""By how much the clocks of two nodes may differ."""

PEM = serialization.Encoding.PEM


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A child that was enrolled: ``key`` is SHA-256 of its device key, ``since_s`` seconds UTC of this machine."""

    node: str
    key: str
    since_s: int
    revoked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """An invitation that was not used yet."""

    node: str
    secret: str
    until_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What an operator hands to a new child: it may be used once. ``authority`` is SHA-256 of the parent's authority,
    so that the first call already knows whom it talks to."""

    region: str
    node: str
    secret: str
    authority: str

    def text(self) -> str:
        """As it is typed."""
        return "sjn1." + base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")


def read_token(text: str) -> Token:
    """The token in ``text``. Raises NotAllowed where it is none."""
    try:
        body = text.strip().removeprefix("sjn1.")
        return msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=Token)
    except (ValueError, msgspec.DecodeError) as fault:
        raise NotAllowed("this is no invitation; make one at the parent: sanjin node invite") from fault


class Issuer:
    """What node ``node`` needs to have children. Several processes may use one folder."""

    def __init__(self, folder: Path, region: str, node: str) -> None:
        self.folder, self.region, self.node = folder, region, node
        self._key = load_key(folder / "issuer.key")
        self._children: dict[str, Child] = {}
        self._read_at = -1

    # -- the authority and this node's own certificate

    def authority(self) -> bytes:
        """The authority's certificate, PEM; made at first use."""
        path = self.folder / "issuer.pem"
        if not path.exists():
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"sanjin {self.region} {self.node}")])
            made = self._builder(name, name, self._key.public_key(), timedelta(days=AUTHORITY_DAYS))
            made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            write_secret(path, made.sign(self._key, hashes.SHA256()).public_bytes(PEM))
        return path.read_bytes()

    def authority_digest(self) -> str:
        """SHA-256 of the authority's certificate (DER), hexadecimal."""
        return digest_of(self.authority())

    def serving_context(self, hosts: Sequence[str]) -> ssl.SSLContext:
        """TLS 1.3 for this node's listener, under the names and addresses ``hosts``. Who calls may show a certificate
        of this authority; any other is refused."""
        self._serve(hosts)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.folder / "serving.pem")
        context.load_verify_locations(cadata=self.authority().decode())
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def _serve(self, hosts: Sequence[str]) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._signed(self.node, key.public_key(), timedelta(days=SERVING_DAYS), hosts, client=False)
        kind = serialization.PrivateFormat.PKCS8
        body = key.private_bytes(PEM, kind, serialization.NoEncryption())
        write_secret(self.folder / "serving.pem", made + body)

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
        made = made.serial_number(x509.random_serial_number())
        return made.not_valid_before(now - SKEW).not_valid_after(now + life)

    def _signed(
        self, node: str, key: ec.EllipticCurvePublicKey, life: timedelta, hosts: Sequence[str], client: bool
    ) -> bytes:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)])
        issuer = x509.load_pem_x509_certificate(self.authority())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(spiffe(self.region, node))]
        names += [_name(host) for host in hosts]
        use = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        made = self._builder(name, issuer.subject, key, life)
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        # a child must not be able to pass for this node towards another child
        made = made.add_extension(x509.ExtendedKeyUsage([use]), critical=True)
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = made.add_extension(own, critical=False)
        return made.sign(self._key, hashes.SHA256()).public_bytes(PEM)

    # -- children

    def invite(self, node: str, life_s: int) -> Token:
        """An invitation for ``node``, good once and for ``life_s`` seconds."""
        secret, now = secrets.token_urlsafe(24), int(time.time())
        with self._locked():
            kept = [i for i in self._invites() if i.until_s > now]
            made = Invite(node=node, secret=_digest(secret), until_s=now + life_s)
            write_secret(self.folder / "invites.json", msgspec.json.encode([*kept, made]))
        return Token(region=self.region, node=node, secret=secret, authority=self.authority_digest())

    def enrol(self, request: bytes, secret: str = "") -> bytes:
        """A certificate, PEM, for who signed this request (PEM): a child that is known by its key, or one that brings
        the secret of an invitation. Raises NotAllowed."""
        node, key = _asked(request, self.region)
        mark = fingerprint(key)
        known = self.children().get(node)
        if known is not None and known.key == mark and known.revoked and not secret:
            raise NotAllowed(f"{node} was revoked here; an operator may invite it again")
        if known is None or known.key != mark or known.revoked:
            self._admit(node, mark, secret)
        return self._signed(node, key, timedelta(seconds=LIFE_S), (), client=True)

    def _admit(self, node: str, mark: str, secret: str) -> None:
        with self._locked():
            now, invites = int(time.time()), self._invites()
            found = [i for i in invites if i.node == node and hmac.compare_digest(i.secret, _digest(secret))]
            if not secret or not found or found[0].until_s <= now:
                raise NotAllowed(f"{node} needs an invitation that is still good; make one here: sanjin node invite")
            children = self._load()
            children[node] = Child(node=node, key=mark, since_s=now)
            self._keep(children)
            write_secret(self.folder / "invites.json", msgspec.json.encode([i for i in invites if i not in found]))

    def revoke(self, node: str) -> None:
        """Believe this child no more. Raises NotFound where it never was enrolled."""
        with self._locked():
            children = self._load()
            children[node] = replace(self.known(node), revoked=True)
            self._keep(children)

    def known(self, node: str) -> Child:
        """A child that was enrolled here. Raises NotFound."""
        children = self.children()
        if node not in children:
            raise NotFound(f"{node} was never enrolled here; known: {', '.join(children) or '-'}")
        return children[node]

    def children(self) -> dict[str, Child]:
        """Children by node, read again where the file has changed."""
        path = self.folder / "children.json"
        at = path.stat().st_mtime_ns if path.exists() else 0
        if at != self._read_at:
            self._children, self._read_at = self._load(), at
        return self._children

    def may_call(self, node: str) -> bool:
        """Whether this child is enrolled and was not revoked."""
        found = self.children().get(node)
        return found is not None and not found.revoked

    def _load(self) -> dict[str, Child]:
        path = self.folder / "children.json"
        if not path.exists():
            return {}
        try:
            return {c.node: c for c in msgspec.json.decode(path.read_bytes(), type=list[Child])}
        except msgspec.DecodeError as fault:
            raise SanjinError(f"{path}: {fault}; restore it from a backup, or enrol the children anew") from fault

    def _keep(self, children: dict[str, Child]) -> None:
        write_secret(self.folder / "children.json", msgspec.json.encode(list(children.values())))

    def _invites(self) -> list[Invite]:
        path = self.folder / "invites.json"
        return msgspec.json.decode(path.read_bytes(), type=list[Invite]) if path.exists() else []

    @contextmanager
    def _locked(self) -> Generator[None]:
        """One process at a time changes the files."""
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _asked(request: bytes, region: str) -> tuple[str, ec.EllipticCurvePublicKey]:
    """(node, key) of a signing request whose signature holds. Raises NotAllowed."""
    try:
        found = x509.load_pem_x509_csr(request)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        key = found.public_key()
    except (ValueError, x509.ExtensionNotFound) as fault:
        raise NotAllowed("this is no signing request of a node") from fault
    base = spiffe(region, "")
    nodes = [uri.removeprefix(base) for uri in uris if uri.startswith(base)]
    if len(nodes) != 1 or not found.is_signature_valid or not isinstance(key, ec.EllipticCurvePublicKey):
        raise NotAllowed(f"the signing request must be by an EC key, for one node of {region}")
    return nodes[0], key
