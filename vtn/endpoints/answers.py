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

MEDIA_TYPE = "application/json"
STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


class JsonAnswer(web.StreamResponse):
    """A JSON text as an answer; without a body (304), the word that the client has it already."""

    def __init__(self, body: bytes | None, status: HTTPStatus = HTTPStatus.OK, etag: str | None = None) -> None:
        super().__init__(status=status)
        self.body = body
        self._etag = etag
        self._sent = False
        self._shows_body = True

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection goes on after this answer."""
        return self._sent or super().keep_alive

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
        body = self.body
        etag = f"ETag: {self._etag}\r\n" if self._etag else ""
        content = "" if body is None else f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
        own = f"Date: {rfc822_formatted_time()}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n"
        return f"{STATUS_LINES[self.status]}{content}{etag}{own}".encode() + self._shown()

    def _fill_headers(self) -> None:
        if self._etag:
            self.headers["ETag"] = self._etag
        if self.body is not None:
            self.content_type = MEDIA_TYPE
            self.content_length = len(self.body)
