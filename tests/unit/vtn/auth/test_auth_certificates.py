"""Which client a TLS client certificate is."""

import pytest

from vtn.auth.clients import client_of, dies_at_s
from vtn.errors import Unauthenticated

CLIENTS = {"derms.example": "derms-1", "urn:ven:7": "ven-7", "alias.example": "derms-1"}


def certificate(*common, **alternative):
    names = tuple((kind, value) for kind, value in alternative.items())
    return {"subject": tuple((("commonName", name),) for name in common), "subjectAltName": names}


@pytest.mark.parametrize(
    ("shown", "client"),
    [
        (certificate("derms.example"), "derms-1"),
        (certificate(DNS="derms.example"), "derms-1"),
        (certificate("somebody", URI="urn:ven:7"), "ven-7"),
        (certificate("derms.example", DNS="alias.example"), "derms-1"),
        (certificate("somebody"), None),
        (certificate(email="derms.example"), None),
        ({"subject": ((("organizationName", "derms.example"),),)}, None),
        ({}, None),
    ],
)
def test_a_certificate_is_the_client_that_its_names_are_mapped_to(shown, client):
    assert client_of(shown, CLIENTS) == client


def test_a_certificate_of_two_clients_is_nobodys():
    with pytest.raises(Unauthenticated):
        client_of(certificate("derms.example", URI="urn:ven:7"), CLIENTS)


def test_a_certificate_says_when_it_ends():
    assert dies_at_s({"notAfter": "Jan  1 00:00:00 2030 GMT"}) == 1_893_456_000
