"""XML signatures of the profile: made with a key that is read once, verified against a certificate's fingerprint.

A signature covers the oadrSignedObject and a ReplayProtect element with an instant and a nonce. Verifying is pure but
for time, which is an argument; that no nonce is taken twice is for a `NonceStore`, which processes share.
"""

import dataclasses
import secrets
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature as WrongSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from lxml import etree
from openleadr import utils
from signxml.algorithms import SignatureConstructionMethod, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from vtn.errors import CannotStart
from vtn.oadr20b.codec.elements import instant
from vtn.oadr20b.codec.encode import envelope, print_instant, signed_object
from vtn.oadr20b.codec.reading import OADR, BadMessage
from vtn.tls import require_readable

REPLAY_WINDOW = timedelta(seconds=60)
LONGEST_NONCE = 200
DSP = "http://openadr.org/oadr-2.0b/2012/07/xmldsig-properties"
C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
_METHODS = (
    (rsa.RSAPrivateKey, SignatureMethod.RSA_SHA256),
    (dsa.DSAPrivateKey, SignatureMethod.DSA_SHA256),
    (ec.EllipticCurvePrivateKey, SignatureMethod.ECDSA_SHA256),
)
_CERTIFICATE = etree.XPath(
    "//ds:Signature/ds:KeyInfo//ds:X509Certificate", namespaces={"ds": "http://www.w3.org/2000/09/xmldsig#"}
)
_VERIFIER = XMLVerifier()
_TWO_REFERENCES = SignatureConfiguration(expect_references=2)


class SignatureRefused(BadMessage):
    """The message bears no signature that proves who sent it and when."""


@dataclasses.dataclass(frozen=True, slots=True)
class SignedAt:
    """What a verified signature says of its message: when it was signed, and its nonce."""

    at: datetime
    nonce: str


class NonceStore(Protocol):
    """Remembers nonces for twice the replay window, for all processes that share it."""

    async def take(self, signed: SignedAt, now: datetime) -> bool:
        """Whether this nonce was not taken before; from now on it is."""
        ...


class MessageWriter:
    """Writes messages, signed with a certificate's key where there is one. The key is read once, not per message."""

    def __init__(self, certificate: Path | None = None, private_key: Path | None = None) -> None:
        """CannotStart names the file that cannot be used."""
        self._signer: XMLSigner | None = None
        self.fingerprint: str | None = None
        if certificate is not None and private_key is not None:
            for path in (certificate, private_key):
                require_readable(path)
            self._certificate = certificate.read_text("ascii", "replace")
            try:
                self._key = serialization.load_pem_private_key(private_key.read_bytes(), None)
                self.fingerprint = str(utils.certificate_fingerprint(self._certificate))
            except (ValueError, TypeError) as error:
                raise CannotStart(
                    f"the certificate {certificate} or its key {private_key} cannot sign: {error}"
                ) from None
            method = next((method for kind, method in _METHODS if isinstance(self._key, kind)), None)
            if method is None:
                raise CannotStart(f"the key {private_key} is of a kind that OpenADR 2.0b has no signature for")
            self._signer = XMLSigner(
                method=SignatureConstructionMethod.detached, signature_algorithm=method, c14n_algorithm=C14N
            )
            self._signer.namespaces["oadr"] = OADR.strip("{}")

    @property
    def signs(self) -> bool:
        """Whether messages are signed."""
        return self._signer is not None

    def write(self, kind: str, now: datetime, **values: object) -> bytes:
        """One message; `values` are those of its template."""
        inner = signed_object(kind, **values)
        if self._signer is None:
            return envelope(inner)
        signature = self._signer.sign(
            etree.fromstring(inner),
            key=self._key,  # type: ignore[arg-type] # one of the kinds of _METHODS
            cert=self._certificate,
            reference_uri="#oadrSignedObject",
            signature_properties=_replay_protect(now),
        )
        return envelope(inner, etree.tostring(signature, encoding="unicode"))


def verify(tree: etree._Element, fingerprint: str, now: datetime) -> SignedAt:
    """Verify that the holder of the certificate with this fingerprint signed this tree just now.

    SignatureRefused says why not. The caller still has to see that the nonce is fresh.
    """
    shown_in = _CERTIFICATE(tree)
    if not shown_in or not shown_in[0].text:
        raise SignatureRefused("the message is not signed")
    certificate = f"-----BEGIN CERTIFICATE-----\n{shown_in[0].text.strip()}\n-----END CERTIFICATE-----\n"
    try:
        shown = utils.certificate_fingerprint(certificate)
    except ValueError:
        raise SignatureRefused("the signature shows no certificate") from None
    if shown != fingerprint:
        raise SignatureRefused(f"the message is signed with the certificate {shown}, and {fingerprint} is expected")
    try:
        results = _VERIFIER.verify(tree, x509_cert=certificate, expect_config=_TWO_REFERENCES)
    except (SignXMLException, WrongSignature, ValueError, TypeError, etree.LxmlError) as error:
        raise SignatureRefused(f"the signature is not right: {type(error).__name__}") from None
    found = results if isinstance(results, list) else [results]
    signed = [one.signed_xml for one in found if one.signed_xml is not None]
    payload = [one for one in signed if one.tag == f"{OADR}oadrSignedObject"]
    protect = next((one.find(f".//{{{DSP}}}ReplayProtect") for one in signed if _protects(one)), None)
    if len(payload) != 1 or protect is None:
        raise SignatureRefused("the signature covers something else than the message and its ReplayProtect")
    if _canonical(payload[0]) != _canonical(tree.find(f"{OADR}oadrSignedObject")):
        raise SignatureRefused("the signature covers another message")
    return _fresh(protect, now)


def _protects(element: etree._Element) -> bool:
    return element.find(f".//{{{DSP}}}ReplayProtect") is not None


def _canonical(element: etree._Element | None) -> bytes:
    return b"" if element is None else etree.tostring(element, method="c14n", with_tail=False)


def _fresh(protect: etree._Element, now: datetime) -> SignedAt:
    nonce = (protect.findtext(f"{{{DSP}}}nonce") or "").strip()
    try:
        at = instant(protect.findtext(f"{{{DSP}}}timestamp") or "")
    except BadMessage:
        raise SignatureRefused("the signature has no instant") from None
    if not nonce or len(nonce) > LONGEST_NONCE:
        raise SignatureRefused("the signature has no nonce, or one that is too long")
    if abs(now - at) > REPLAY_WINDOW:
        side = "old" if at < now else "from the future"
        raise SignatureRefused(f"the signature is {side}: it says {print_instant(at)}, and {print_instant(now)} it is")
    return SignedAt(at, nonce)


def _replay_protect(now: datetime) -> etree._Element:
    element = etree.Element(f"{{{DSP}}}ReplayProtect", nsmap={"dsp": DSP}, Id="myid", Target="#mytarget")
    etree.SubElement(element, f"{{{DSP}}}timestamp").text = print_instant(now)
    etree.SubElement(element, f"{{{DSP}}}nonce").text = secrets.token_hex(16)
    return element
