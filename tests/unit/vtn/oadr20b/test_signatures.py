"""XML signatures: who signed, what, and when; and that a key is read once."""

import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import openleadr.messaging
import pytest
from authority import Authority
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from oadr20b_cases import distributed, event, poll

from vtn.errors import CannotStart
from vtn.oadr20b.codec.reading import parse
from vtn.oadr20b.codec.signatures import REPLAY_WINDOW, MessageWriter, SignatureRefused, verify
from vtn.oadr20b.store.database import opened

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ecc")).issue("ven")


@pytest.fixture(scope="module")
def ecc(pair):
    return MessageWriter(pair.pem, pair.key_file)


@pytest.fixture(scope="module")
def rsa_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rsa")
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ven")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=1))
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "ven.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(pem))
    (folder / "ven.key").write_bytes(key.private_bytes(pem, private, serialization.NoEncryption()))
    return folder / "ven.pem", folder / "ven.key"


@pytest.fixture(scope="module", params=["ecc", "rsa"])
def writer(request, ecc, rsa_files):
    return ecc if request.param == "ecc" else MessageWriter(*rsa_files)


def checked(data, writer, now=NOW):
    return verify(parse(data).tree, writer.fingerprint, now)


def test_what_is_signed_is_verified_and_tells_when_with_a_nonce_of_its_own(writer):
    first, second = (checked(poll(writer=writer, now=NOW), writer) for _ in range(2))
    assert first.at == second.at == NOW
    assert first.nonce != second.nonce


def test_openleadr_verifies_what_is_signed_here_and_the_other_way_round(writer, monkeypatch):
    now = datetime.now(UTC)
    tree = parse(distributed(event(), writer=writer, now=now)).tree
    openleadr.messaging.validate_xml_signature(tree, writer.fingerprint)


def test_a_signature_of_openleadr_is_verified_here(pair, ecc):
    made = openleadr.messaging.create_message("oadrPoll", cert=pair.certificate, key=pair.key, ven_id="ven")
    assert checked(made.encode(), ecc, datetime.now(UTC)).nonce


def test_a_message_that_was_changed_is_refused(writer):
    raw = distributed(event(), writer=writer, now=NOW)
    with pytest.raises(SignatureRefused):
        checked(raw.replace(b"<ei:value>1<", b"<ei:value>0<"), writer)


def test_a_signed_message_beside_another_one_is_no_proof_of_the_other(writer):
    raw = poll(writer=writer, now=NOW)
    with pytest.raises(SignatureRefused):
        checked(raw.replace(b"<ei:venID>ven<", b"<ei:venID>nev<"), writer)


def test_the_instant_and_the_nonce_are_signed_too(writer):
    raw = poll(writer=writer, now=NOW)
    with pytest.raises(SignatureRefused):
        checked(raw.replace(b"2026-07-01T12:00:00Z", b"2026-07-01T12:00:30Z"), writer, NOW + timedelta(seconds=30))


def test_the_certificate_of_somebody_else_and_no_signature_are_refused(writer, tmp_path):
    other = Authority(tmp_path).issue("other")
    forged = MessageWriter(other.pem, other.key_file)
    with pytest.raises(SignatureRefused, match="is expected"):
        checked(poll(writer=forged, now=NOW), writer)
    with pytest.raises(SignatureRefused, match="not signed"):
        checked(poll(), writer)


@pytest.mark.parametrize(("off", "side"), [(REPLAY_WINDOW, "old"), (-REPLAY_WINDOW, "future")])
def test_the_window_is_sixty_seconds_to_both_sides(ecc, off, side):
    raw = poll(writer=ecc, now=NOW)
    checked(raw, ecc, NOW + off)
    with pytest.raises(SignatureRefused, match=side):
        checked(raw, ecc, NOW + off * 1.02)


async def test_a_nonce_is_taken_once_by_all_processes_that_share_the_store(ecc, tmp_path):
    signed = checked(poll(writer=ecc, now=NOW), ecc)
    url = f"sqlite:///{tmp_path / '20b.db'}"
    async with opened(url) as first, opened(url) as second:
        assert await first.take(signed, NOW)
        assert not await second.take(signed, NOW)
        await second.forget(NOW + 2 * REPLAY_WINDOW, 90)
        assert not await first.take(signed, NOW), "what the window still admits must be remembered"
        await second.forget(NOW + 3 * REPLAY_WINDOW, 90)
        assert await first.take(signed, NOW)


def test_a_key_is_read_once_and_not_with_every_message(rsa_files, tmp_path):
    copies = [shutil.copy(one, tmp_path) for one in rsa_files]
    writer = MessageWriter(*map(Path, copies))
    for one in copies:
        Path(one).unlink()
    began_s = time.process_time()
    for _ in range(20):
        poll(writer=writer, now=NOW)
    assert (time.process_time() - began_s) / 20 < 0.02, "openleadr takes 0.075 s, for it reads the key twice"


def test_files_that_cannot_sign_refuse_to_start_and_are_named(rsa_files, tmp_path):
    with pytest.raises(CannotStart, match=r"gone\.pem"):
        MessageWriter(tmp_path / "gone.pem", rsa_files[1])
    with pytest.raises(CannotStart, match="cannot sign"):
        MessageWriter(rsa_files[0], rsa_files[0])
