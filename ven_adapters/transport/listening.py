"""HTTP listeners whose log never shows what was sent to them.

The HTTP library logs a request that is none with the bytes at which it stumbled: a bearer key, a code, a VIN. Here
such a request leaves one line without them. Knows no addresses and no meanings.
"""

import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

_log = logging.getLogger(__name__)


def _without_bytes(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
        record.msg, record.args = "what came was no HTTP and was refused: %s", (type(error).__name__,)
    return True


_log.addFilter(_without_bytes)


def runner_of(app: web.Application) -> web.AppRunner:
    """What runs an application, without an access log; whoever starts it handles the signals of the system."""
    return web.AppRunner(app, access_log=None, handle_signals=False, logger=_log)
