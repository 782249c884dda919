"""Keys on disk: whole or not there, and the same for processes that start together."""

import ssl

import pytest
from cryptography.fernet import Fernet
from joserfc.jwk import OKPKey

from vtn.auth.installation_keys import Seal
from vtn.auth.pki import make_development_certificates
from vtn.auth.tokens import load_key
from vtn.clock import RealClock
from vtn.errors import CannotStart
from vtn.tls import ServerTls


def test_two_processes_that_start_together_sign_with_one_key(tmp_path, monkeypatch):
    path, make, others = tmp_path / "tokens.pem", OKPKey.generate_key, []

    def make_late(*arguments, **options):
        monkeypatch.setattr(OKPKey, "generate_key", make)
        others.append(load_key(path))
        return make(*arguments, **options)

    monkeypatch.setattr(OKPKey, "generate_key", make_late)
    assert load_key(path).thumbprint() == others[0].thumbprint()


def test_two_processes_that_start_together_seal_with_one_key(tmp_path, monkeypatch):
    path, make, others = tmp_path / "seal.key", Fernet.generate_key, []

    def make_late():
        monkeypatch.setattr(Fernet, "generate_key", make)
        others.append(Seal(path))
        return make()

    monkeypatch.setattr(Fernet, "generate_key", make_late)
    assert Seal(path).open(others[0].close("x")) == "x"


def test_a_file_that_holds_no_signing_key_is_named(tmp_path):
    path = tmp_path / "tokens.pem"
    path.write_bytes(b"")
    with pytest.raises(CannotStart, match="does not hold a signing key"):
        load_key(path)


@pytest.mark.parametrize("make", [load_key, Seal])
def test_keys_are_for_this_user_only(tmp_path, make):
    make(tmp_path / "new.key")
    assert [(file.name, file.stat().st_mode & 0o777) for file in tmp_path.iterdir()] == [("new.key", 0o600)]


def test_a_certificate_that_becomes_readable_later_is_taken_then(tmp_path, monkeypatch):
    """Renewals write the key for root first and open it for the server in a second step, which leaves mtime alone."""
    make_development_certificates(tmp_path, ["localhost"], RealClock().now())
    tls = ServerTls(tmp_path / "server.pem", tmp_path / "server.key")
    make_development_certificates(tmp_path, ["localhost"], RealClock().now())

    def refuse(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(ssl.SSLContext, "load_cert_chain", refuse)
        assert not tls.refresh()
    assert not tls.refresh(), "an unchanged file is not tried over and over"
    (tmp_path / "server.key").chmod(0o640)
    assert tls.refresh()
