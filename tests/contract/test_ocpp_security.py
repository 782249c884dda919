"""Security profiles 2 and 3 of OCPP: real TLS between a station process and our central system."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ocpp_rig import CAR, PASSWORD, central, settings, station

from ven_adapters.contract import BackendError
from ven_adapters.oems import ocpp

HOSTS = x509.SubjectAlternativeName([x509.DNSName("localhost")])


class Authority:
    """A certificate authority with a folder for what it issues."""

    def __init__(self, folder, name="CA") -> None:
        self.folder, self.name, self.key = folder, name, ec.generate_private_key(ec.SECP256R1())
        self.file = self._write(f"{name}.pem", self._signed(name, self.key, ca=True))

    def issue(self, name):
        """Certificate and key files, made out to a name."""
        key = ec.generate_private_key(ec.SECP256R1())
        plain = serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        return self._write(f"{name}.crt", self._signed(name, key)), self._write(f"{name}.key", pem)

    def _signed(self, name, key, *, ca=False):
        now = datetime.now(UTC)
        subject, issuer = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one)]) for one in (name, self.name))
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        made = made.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        made = made.not_valid_after(now + timedelta(days=1)).add_extension(x509.BasicConstraints(ca, None), True)
        made = made if ca else made.add_extension(HOSTS, False)
        public = self.key.public_key()
        made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        return made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _write(self, name, pem):
        path = self.folder / name
        path.write_bytes(pem)
        return str(path)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def tls(authority, profile):
    certificate, key = authority.issue("localhost")
    given = {"security_profile": profile, "host": "127.0.0.1", "certificate": certificate, "private_key": key}
    return given | ({"client_ca": authority.file, "stations": {"CP-1": {}}} if profile == 3 else {})


async def test_profile_2_is_a_password_inside_tls(authority):
    async with central(**tls(authority, 2)) as rig, station(rig.url, rig.clock, ca=authority.file) as peer:
        await peer.heard("online")
        await rig.measures(lambda power_w: power_w > 0)


async def test_profile_2_refuses_a_wrong_password(authority):
    async with (
        central(**tls(authority, 2)) as rig,
        station(rig.url, rig.clock, ca=authority.file, password=PASSWORD + "!") as peer,
    ):
        assert await peer.heard("refused") == 401


async def test_profile_2_does_not_speak_without_tls(authority):
    async with central(**tls(authority, 2)) as rig:
        async with station(rig.url.replace("wss:", "ws:"), rig.clock) as peer:
            assert await peer.heard("failed")
        assert (await rig.backend.snapshot(CAR)).reachability is None


async def test_profile_3_is_the_stations_own_certificate(authority):
    certificate, key = authority.issue("CP-1")
    async with (
        central(**tls(authority, 3)) as rig,
        station(rig.url, rig.clock, ca=authority.file, certificate=certificate, key=key, password=None) as peer,
    ):
        await peer.heard("online")
        await rig.measures(lambda power_w: power_w > 0)


@pytest.mark.parametrize("how", ["none", "of another station", "of another authority"])
async def test_profile_3_refuses_any_other_certificate(authority, tmp_path, how):
    (tmp_path / "else").mkdir()
    issuers = {
        "of another station": (authority, "CP-2"),
        "of another authority": (Authority(tmp_path / "else"), "CP-1"),
    }
    given = {}
    if how in issuers:
        issuer, name = issuers[how]
        given = dict(zip(("certificate", "key"), issuer.issue(name), strict=True))
    async with (
        central(**tls(authority, 3)) as rig,
        station(rig.url, rig.clock, ca=authority.file, **given) as peer,
    ):
        assert await peer.heard("refused" if how == "of another station" else "failed")
        assert (await rig.backend.snapshot(CAR)).reachability is None


def test_profile_3_needs_an_authority_of_stations(authority):
    given = tls(authority, 3)
    del given["client_ca"]
    with pytest.raises(BackendError, match="client_ca: is required by security profile 3"):
        ocpp.backend(settings(**given))


async def test_who_guesses_too_often_is_turned_away_unheard():
    async with central() as rig, station(rig.url, rig.clock, password="wrong-wrong-wrong") as peer:
        while await peer.heard("refused") == 401:
            continue
        assert peer.said[-1]["refused"] == 429
        assert len([one for one in peer.said if one.get("refused") == 401]) == 10
