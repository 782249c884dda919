"""Settings of [auth] that would be unsafe or useless are refused before anything starts."""

import pytest

from vtn.config import Settings
from vtn.errors import ConfigError
from vtn.settings import load

ISSUER = '[[auth.issuers]]\nissuer = "https://a"\njwks_url = "{url}"\n'


def read(tmp_path, text):
    path = tmp_path / "vtn.toml"
    path.write_text(text)
    return load(Settings, path, prefix="EVTN", environ={})


@pytest.mark.parametrize(
    "url", ["https://login.example.org/certs", "http://127.0.0.1:8080/c", "http://localhost/c", "http://[::1]:1/c"]
)
def test_keys_come_over_https_or_from_this_machine(tmp_path, url):
    assert read(tmp_path, ISSUER.format(url=url)).auth.issuers[0].jwks_url == url


@pytest.mark.parametrize(
    "url",
    ["http://login.example.org/certs", "http://127.0.0.1.evil.example/c", "file:///etc/keys", "certs", "https://", ""],
)
def test_keys_never_come_over_plain_http_from_elsewhere(tmp_path, url):
    with pytest.raises(ConfigError, match=r"jwks_url: must be an https URL"):
        read(tmp_path, ISSUER.format(url=url))


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS1", "ES256K"])
def test_unsafe_algorithms_cannot_be_allowed(tmp_path, algorithm):
    with pytest.raises(ConfigError, match="algorithms"):
        read(tmp_path, ISSUER.format(url="https://a/c") + f'algorithms = ["{algorithm}"]\n')


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[auth]\nown_tokens = false\n", "token_url and at least one of issuers"),
        ("[auth]\nown_tokens = false\ntoken_url = 'https://a/token'\n", "at least one of issuers"),
        ("[auth]\ntoken_url = 'token'\n", "token_url must be an absolute URL"),
        (ISSUER.format(url="https://a/c") * 2, "names an issuer twice"),
        ("[auth.certificate_clients]\n'a.example' = 'c1'\n", r"certificate_clients needs client_ca in \[server\]"),
    ],
)
def test_what_cannot_work_is_refused_with_its_reason(tmp_path, text, says):
    with pytest.raises(ConfigError, match=says):
        read(tmp_path, text)
