"""JSON answers that leave in one write, head and body together.

aiohttp makes the head of an answer from a dictionary, header by header, which costs a quarter of a poll. These answers
write their few headers themselves; where the connection ends with the answer, aiohttp frames it as ever. They pass by
the application's `on_response_prepare` signals.
"""

from http import HTTPStatus

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.hdrs import METH_HEAD
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE

from vtn.endpoints import request_id
from vtn.endpoints.answer_cache import Text
from vtn.endpoints.cache_headers import PRIVATE, headers_of
from vtn.endpoints.content_coding import GZIP, gzip_tag, gzipped

MEDIA_TYPE = "application/json"
STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
VARIES = "Vary: Accept-Encoding\r\n"
CODED = f"Content-Encoding: {GZIP}\r\n"
ASKED = f"{request_id.HEADER}: "
SERVED = f"\r\nServer: {SERVER_SOFTWARE}\r\n\r\n"


class JsonAnswer(web.StreamResponse):
    """A JSON text as an answer; without a body (304), the word that the client has it already.

    `text` is where the bytes are remembered, if they are; its compressed form is kept there too. `varies` tells caches
    that the answer has a compressed and a plain form; one with an ETag always does. `shared` are the header lines that
    say who may keep or read it beside the client.
    """

    shared = PRIVATE

    _coded = False
    _sent = False
    _shows_body = True

    def __init__(
        self, body: bytes | None, status: HTTPStatus = HTTPStatus.OK, etag: str | None = None, text: Text | None = None
    ) -> None:
        super().__init__(status=status)
        self.body = body
        self._etag = etag
        self._text = text
        self.varies = etag is not None

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection goes on after this answer."""
        return self._sent or super().keep_alive

    async def compress(self) -> None:
        """Take the compressed form."""
        if self.body is None:
            return
        packed = self._text.gzipped if self._text else None
        if packed is None:
            packed = await gzipped(self.body)
            if self._text:
                self._text.gzipped = packed
        self.body, self._coded = packed, True
        self._etag = gzip_tag(self._etag) if self._etag else None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send all of it on a connection that goes on; otherwise let aiohttp begin."""
        if request.method == METH_HEAD:
            self._shows_body = False
        if request.keep_alive and request.version == HttpVersion11:
            self._sent = True
            await request.writer.write(self._message())
            return None
        self._fill_headers()
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        """End the answer."""
        if not self._sent:
            await super().write_eof(data or self._shown())

    def _shown(self) -> bytes:
        return self.body if self.body is not None and self._shows_body else b""

    def _message(self) -> bytes:
        status, text = STATUS_LINES[self.status], self._text
        if text is None or self._coded:
            lines = self._lines()
        else:
            lines = text.lines = text.lines or self._lines()
        own = f"{self.shared}{ASKED}{request_id.current()}\r\nDate: {rfc822_formatted_time()}{SERVED}"
        return f"{status}{lines}{own}".encode() + self._shown()

    def _lines(self) -> str:
        """The lines of the head that tell of the body."""
        body = self.body
        content = "" if body is None else f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
        etag = f"ETag: {self._etag}\r\n" if self._etag else ""
        return f"{content}{etag}{VARIES if self.varies else ''}{CODED if self._coded else ''}"

    def _fill_headers(self) -> None:
        self.headers[request_id.HEADER] = request_id.current()
        if self._etag:
            self.headers["ETag"] = self._etag
        if self.varies:
            self.headers.add("Vary", "Accept-Encoding")
        self.headers.extend(headers_of(self.shared))
        if self._coded:
            self.headers["Content-Encoding"] = GZIP
        if self.body is not None:
            self.content_type = MEDIA_TYPE
            self.content_length = len(self.body)
