"""Whom a TLS client certificate names. Pure; that the certificate is genuine, TLS has seen to (RFC 8705, 2.1)."""

import ssl
from collections.abc import Mapping
from typing import Any

from vtn.errors import Unauthenticated

Certificate = Mapping[str, Any]
NAME_KINDS = frozenset({"DNS", "URI"})


def names(certificate: Certificate) -> frozenset[str]:
    """The common names and the DNS and URI names of a certificate as `ssl.SSLSocket.getpeercert` gives it."""
    subject = certificate.get("subject", ())
    common = {value for part in subject for kind, value in part if kind == "commonName"}
    return frozenset(common | {value for kind, value in certificate.get("subjectAltName", ()) if kind in NAME_KINDS})


def client_of(certificate: Certificate, clients: Mapping[str, str]) -> str | None:
    """The clientID that a certificate's names are mapped to; None when there is none; Unauthenticated when several."""
    found = {clients[name] for name in names(certificate) if name in clients}
    if len(found) > 1:
        raise Unauthenticated("the client certificate names several clients")
    return next(iter(found), None)


def dies_at_s(certificate: Certificate) -> float:
    """When a certificate ends, in Unix seconds."""
    return float(ssl.cert_time_to_seconds(certificate["notAfter"]))
