"""The authority of the broker's clients: what its certificates say, and what becomes of it with time."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from vtn.auth.pki import ClientAuthority, holder, make_development_certificates, trust_anchor
from vtn.errors import CannotStart

NOW = datetime(2026, 7, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def authority(tmp_path):
    return ClientAuthority(tmp_path / "clients", NOW)


@pytest.mark.parametrize("client_id", ["c1", "x" * 64, "y" * 128, "Ställverk, Ø/1", "*"])
def test_a_certificate_names_its_client_whole_however_long(authority, client_id):
    issued = authority.issue(client_id, "1.5", NOW, HOUR)
    read = holder(issued.certificate)
    assert (read.client_id, read.generation, read.expires_at_s) == (client_id, "1.5", (NOW + HOUR).timestamp())


def test_a_common_name_is_never_cut_because_it_would_be_another_clients(authority):
    for length, named in ((64, True), (65, False)):
        certificate = x509.load_pem_x509_certificate(authority.issue("z" * length, "1", NOW, HOUR).certificate.encode())
        names = [name.value for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        assert names == (["z" * length] if named else [])


def test_a_certificate_is_for_clients_only_and_of_this_authority(authority):
    certificate = x509.load_pem_x509_certificate(authority.issue("c1", "1", NOW, HOUR).certificate.encode())
    root = x509.load_pem_x509_certificate(authority.path.read_bytes())
    certificate.verify_directly_issued_by(root)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_key_is_never_shown_by_accident(authority):
    issued = authority.issue("c1", "1", NOW, HOUR)
    assert "PRIVATE" not in repr(issued)


@pytest.mark.parametrize("text", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_names_nobody(text):
    with pytest.raises(ValueError, match=r"."):
        holder(text)


def test_another_kind_of_certificate_names_nobody(tmp_path):
    make_development_certificates(tmp_path, ["localhost"], NOW)
    with pytest.raises(ValueError, match="names no client"):
        holder((tmp_path / "server.pem").read_text())


def test_the_authority_is_kept_until_its_last_year(authority, tmp_path):
    held = authority.path.read_bytes()
    ClientAuthority(tmp_path / "clients", NOW + timedelta(days=3200))
    assert authority.path.read_bytes() == held
    ClientAuthority(tmp_path / "clients", NOW + timedelta(days=3300))
    assert authority.path.read_bytes() != held


def test_an_authority_that_cannot_be_read_is_named(authority, tmp_path):
    authority.path.with_name("ca.key").write_text("nonsense")
    with pytest.raises(CannotStart, match="does not hold a certificate authority"):
        ClientAuthority(tmp_path / "clients", NOW)


def test_clients_are_given_the_highest_certificate_that_the_broker_shows(tmp_path):
    make_development_certificates(tmp_path, ["localhost"], NOW)
    assert trust_anchor(tmp_path / "server.pem") == (tmp_path / "ca.pem").read_text()
    assert trust_anchor(tmp_path / "ca.pem") == (tmp_path / "ca.pem").read_text()
    with pytest.raises(CannotStart, match="does not hold a certificate"):
        trust_anchor(tmp_path / "server.key")
