"""A node's own key, and the certificate that its parent gave it.

A device key (EC P-256) is made once and never leaves the node's folder. A certificate is short-lived and carries the
node's identity as a SPIFFE URI (``spiffe://<region>/node/<node>``; https://spiffe.io/docs/latest/spiffe-about/). After
it has run out, the key itself is what its parent knows the node by: no operator is needed to come back.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sanjin.adapters.files import write_secret
from sanjin.model.errors import NotAllowed


def spiffe(region: str, node: str) -> str:
    """The SPIFFE id of a node."""
    return f"spiffe://{region}/node/{node}"


def node_of(uri: str, region: str) -> str:
    """The node that a SPIFFE id of this region names; empty where it is none."""
    base = f"spiffe://{region}/node/"
    return uri.removeprefix(base) if uri.startswith(base) else ""


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key in ``path``, made at first use. Raises NotAllowed where others could read it."""
    if not path.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        encoding, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        write_secret(path, made.private_bytes(encoding, kind, serialization.NoEncryption()))
    if path.stat().st_mode & 0o077:
        raise NotAllowed(f"{path}: others can read the key; run: chmod 600 {path}")
    found = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise NotAllowed(f"{path}: not an EC key; restore it from a backup, or enrol the node anew")
    return found


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of a public key (SubjectPublicKeyInfo), hexadecimal."""
    encoding, kind = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes(encoding, kind))
    return digest.finalize().hex()


def digest_of(certificate: bytes) -> str:
    """SHA-256 of a certificate (PEM), hexadecimal. Raises ValueError where it is none."""
    return x509.load_pem_x509_certificate(certificate).fingerprint(hashes.SHA256()).hex()


class Device:
    """A child's side of enrolment, in ``folder``: ``device.key``, ``cert.pem``, ``parent-ca.pem``."""

    def __init__(self, folder: Path, region: str, node: str) -> None:
        self.folder, self.region, self.node = folder, region, node
        self._key = load_key(folder / "device.key")

    def request(self) -> bytes:
        """A certificate signing request, PEM: it shows that whoever asks has the key."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.node)])
        uri = x509.UniformResourceIdentifier(spiffe(self.region, self.node))
        made = x509.CertificateSigningRequestBuilder().subject_name(name)
        made = made.add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        return made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def keep(self, certificate: bytes, authority: bytes) -> None:
        """Keep what the parent gave, PEM."""
        write_secret(self.folder / "parent-ca.pem", authority)
        write_secret(self.folder / "cert.pem", certificate)

    def left_s(self) -> tuple[float, float]:
        """(seconds until the certificate runs out, its whole life in seconds); (0, 1) where there is none."""
        path = self.folder / "cert.pem"
        if not path.exists():
            return 0.0, 1.0
        found = x509.load_pem_x509_certificate(path.read_bytes())
        life = (found.not_valid_after_utc - found.not_valid_before_utc).total_seconds()
        return (found.not_valid_after_utc - datetime.now(UTC)).total_seconds(), life

    def enrolled(self) -> bool:
        """Whether a parent ever knew this node."""
        return (self.folder / "parent-ca.pem").exists()

    def context(self, with_certificate: bool = True) -> ssl.SSLContext:
        """TLS to the parent: nobody but who has a server certificate of the parent's own issuer is believed, under
        whatever address it answers."""
        context = authority_context((self.folder / "parent-ca.pem").read_text())
        if with_certificate:
            context.load_cert_chain(self.folder / "cert.pem", self.folder / "device.key")
        return context


def authority_context(authority: str) -> ssl.SSLContext:
    """TLS 1.3 to a server whose certificate this authority (PEM) issued for serving."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # who it is follows from the issuer, which belongs to one node alone; addresses change
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority)
    return context
