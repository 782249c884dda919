"""A real OpenID provider's key endpoint on this machine, and tokens in the shapes of well-known providers."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

Json = dict[str, Any]
Key = RSAKey | ECKey | OKPKey
KEYCLOAK = "https://login.example.org/realms/grid"
ENTRA_V1 = "https://sts.windows.net/11111111-2222-3333-4444-555555555555/"
ENTRA_V2 = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0"
COGNITO = "https://cognito-idp.us-west-2.amazonaws.com/us-west-2_AbCdEfGhI"
API = "api://evtn"
RESOURCE_SERVER = "https://api.example.org/"


class Provider:
    """Serves the public halves of `keys` (by kid); `fetches` counts the looks. `stop` and `start` keep the port.

    `answer` may be replaced by (status, headers, body); `entry` shapes one entry of the JWK set.
    """

    def __init__(self, make: Callable[[], Key] = lambda: ECKey.generate_key("P-256"), **entry: str) -> None:
        self._make = make
        self._entry = entry
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        self.keys: dict[str, Key] = {}
        self.fetches = 0
        self.answer: tuple[int, Mapping[str, str], bytes] | None = None
        self.newest = self.add()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/certs"

    def start(self) -> Self:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.fetches += 1
                status, headers, body = provider.answer or (200, {}, provider.jwks())
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.server_close()

    def add(self) -> str:
        """A new key, which signs from now on; its id."""
        self.newest = uuid.uuid4().hex
        self.keys[self.newest] = self._make()
        return self.newest

    def jwks(self) -> bytes:
        entries = [{**key.as_dict(private=False), "kid": kid, **self._entry} for kid, key in self.keys.items()]
        return json.dumps({"keys": entries}).encode()

    def sign(self, claims: Json, key: Key | OctKey | None = None, **header: Any) -> str:
        """A token of these claims by the newest key, or by another; a header that is None is left out."""
        key = key or self.keys[header.get("kid") or self.newest]
        alg = header.get("alg") or {"RSA": "RS256", "EC": "ES256", "OKP": "Ed25519"}[key.key_type]
        whole = {"kid": self.newest, **header, "alg": alg}
        kept = {name: value for name, value in whole.items() if value is not None}
        registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
        return jwt.encode(kept, claims, key, registry=registry, default_type=None)


def rsa() -> RSAKey:
    return RSAKey.generate_key(2048)


def times(**change: float) -> Json:
    now_s = int(time.time())
    return {"iat": now_s, "nbf": now_s, "exp": now_s + 300, **change}


def keycloak(client: str, *scopes: str, **change: Any) -> Json:
    """A service account's access token as Keycloak 26 gives it, scopes as roles of the client `evtn`."""
    return {
        **times(),
        "iss": KEYCLOAK,
        "aud": ["evtn", "account"],
        "sub": "f1d7-service-account",
        "typ": "Bearer",
        "azp": client,
        "jti": uuid.uuid4().hex,
        "acr": "1",
        "realm_access": {"roles": ["offline_access", "uma_authorization"]},
        "resource_access": {"evtn": {"roles": list(scopes)}, "account": {"roles": ["view-profile"]}},
        "scope": "profile email",
        "client_id": client,
        **change,
    }


def entra_v1(client: str, *scopes: str, **change: Any) -> Json:
    """An application's token of the v1 endpoint: `appid` and `roles`."""
    return {
        **times(),
        "iss": ENTRA_V1,
        "aud": API,
        "appid": client,
        "appidacr": "1",
        "oid": "e1b2-object",
        "roles": list(scopes),
        "sub": "e1b2-object",
        "tid": "11111111-2222-3333-4444-555555555555",
        "ver": "1.0",
        **change,
    }


def entra_v2(client: str, *scopes: str, **change: Any) -> Json:
    """An application's token of the v2 endpoint: `azp` and `roles`."""
    return {
        **times(),
        "iss": ENTRA_V2,
        "aud": "9a8b7c6d-api",
        "azp": client,
        "azpacr": "1",
        "oid": "e1b2-object",
        "roles": list(scopes),
        "sub": "e1b2-object",
        "ver": "2.0",
        **change,
    }


def cognito(client: str, *scopes: str, **change: Any) -> Json:
    """An app client's access token: no `aud`, scopes with the resource server before them."""
    claims = {
        **times(),
        "iss": COGNITO,
        "sub": client,
        "token_use": "access",
        "scope": " ".join(RESOURCE_SERVER + scope for scope in scopes),
        "auth_time": int(time.time()),
        "version": 2,
        "jti": uuid.uuid4().hex,
        "client_id": client,
        **change,
    }
    del claims["nbf"]
    return claims


def as_setting(*issuers: Json) -> str:
    """Issuers as the value of EVTN_AUTH__ISSUERS (TOML)."""
    tables = (", ".join(f"{name} = {json.dumps(value)}" for name, value in issuer.items()) for issuer in issuers)
    return f"[{', '.join(f'{{{table}}}' for table in tables)}]"
