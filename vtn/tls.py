"""The server's side of TLS: its certificate, renewed without a restart, and whom it asks for certificates.

Every handshake shows the newest certificate that could be loaded with its key; connections that stand keep theirs. A
file that is half written, missing, or does not match its partner changes nothing but the log. TLS 1.2 or later
(SEC-02). Nothing here knows what a certificate's names mean.
"""

import asyncio
import contextlib
import functools
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

from vtn.errors import CannotStart

log = logging.getLogger("vtn.tls")
Stamp = tuple[int, int, int, int] | None


class ServerTls:
    """A listener's TLS. `context` is for the listener; CannotStart when the files cannot be used at the start.

    With `client_ca`, clients may show a certificate of one of these authorities, or `must` show one.
    """

    def __init__(
        self,
        certificate: Path,
        private_key: Path,
        client_ca: Path | None = None,
        *,
        reload_s: float = 10.0,
        must: bool = False,
    ) -> None:
        self._certificate = certificate
        self._private_key = private_key
        self._client_ca = client_ca
        self._reload_s = reload_s
        self._asked = ssl.CERT_REQUIRED if must else ssl.CERT_OPTIONAL
        self._stamps = self._look()
        self._newest = self._load()
        self.context = self._load()
        self.context.sni_callback = self._show_newest

    def refresh(self) -> bool:
        """Take the files as they are now, if they have changed; whether new ones are shown from now on."""
        stamps = self._look()
        if stamps == self._stamps:
            return False
        self._stamps = stamps
        try:
            self._newest = self._load()
        except CannotStart as error:
            log.error("the certificate in use stays: %s", error)  # noqa: TRY400 - one sentence says all there is
            return False
        log.info("new connections are shown the new certificate in %s", self._certificate)
        return True

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Refresh every `reload_s`, for the length of a block."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._reload_s)
            self.refresh()

    def _show_newest(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called by OpenSSL in every handshake, also where the client names no server."""
        connection.context = self._newest

    def _files(self) -> tuple[Path | None, ...]:
        """What is looked at for changes."""
        return self._certificate, self._private_key, self._client_ca

    def _look(self) -> tuple[Stamp, ...]:
        return tuple(map(_stamp, self._files()))

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        for path in (self._certificate, self._private_key, self._client_ca):
            if path is not None:
                require_readable(path)
        try:
            context.load_cert_chain(self._certificate, self._private_key, password=lambda: b"")
        except (OSError, ssl.SSLError, ValueError) as error:
            raise CannotStart(
                f"the certificate {self._certificate} or its key {self._private_key} cannot be used: {error}"
            ) from None
        if self._client_ca:
            context.verify_mode = self._asked
            try:
                context.load_verify_locations(self._client_ca)
            except (OSError, ssl.SSLError) as error:
                raise CannotStart(f"the client authorities in {self._client_ca} cannot be used: {error}") from None
        return context


@functools.cache
def system_authorities() -> ssl.SSLContext:
    """A client's TLS that trusts the system's authorities alone: read once, shared by all, changed by nobody."""
    return trusting(None)


def trusting(ca: Path | None, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """A client's TLS: it trusts the authorities in a file besides the system's, and may show a certificate of its own.

    CannotStart names a bad file.
    """
    for path in (ca, certificate, key):
        if path is not None:
            require_readable(path)
    try:
        tls = ssl.create_default_context(cafile=ca)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise CannotStart(f"the file {ca} holds no certificates: {error}") from None
    if certificate is not None:
        try:
            tls.load_cert_chain(certificate, key)
        except (OSError, ValueError) as error:
            raise CannotStart(f"the certificate {certificate} or its key cannot be used: {error}") from None
    return tls


def require_readable(path: Path) -> None:
    """CannotStart, in one sentence that names the file, unless it can be read; OpenSSL names none."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise CannotStart(f"the file {path} cannot be read: {error.strerror}") from None


def _stamp(path: Path | None) -> Stamp:
    """What changes when a file is written, replaced or opened to other users; None when there is no file."""
    try:
        found = path.stat() if path else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino) if found else None
