"""One call to a callback: its token opened, its body signed, made in one of few places.

At most 64 calls are made at once; a call that is not answered promptly gives its place to another and waits on outside,
so receivers that hang delay nobody but themselves, until there are so many that connections would run out.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from vtn.auth import installation_keys
from vtn.errors import VtnError
from vtn.notifiers.audience import Callback
from vtn.notifiers.webhooks.callbacks import Callbacks

AT_ONCE = 64
OPEN_AT_ONCE = 512  # half of the connections that most systems let a process have; the API needs the rest
PROMPT_S = 0.5

T = TypeVar("T")


class NotCalled(str):
    """Why no call was made, which says nothing of its receiver."""

    __slots__ = ()


@dataclasses.dataclass(frozen=True, slots=True)
class CallbackSender:
    """Makes calls. `unseal` opens a stored token, `key_of` gives a client's webhook key, `now_s` is real Unix time."""

    callbacks: Callbacks
    unseal: Callable[[str], str]
    key_of: Callable[[str], str]
    now_s: Callable[[], float]
    _places: asyncio.Semaphore = dataclasses.field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _open: asyncio.Semaphore = dataclasses.field(default_factory=lambda: asyncio.Semaphore(OPEN_AT_ONCE))

    async def in_place(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work that ends in a call, once there is a place for it."""
        call: asyncio.Future[T] | None = None
        try:
            async with self._open:
                async with self._places:
                    call = asyncio.ensure_future(work)
                    await asyncio.wait({call}, timeout=PROMPT_S)
                return await call
        except asyncio.CancelledError:
            if call is None:
                work.close()
            else:
                call.cancel()
            raise

    async def send(self, callback: Callback) -> str | None:
        """Call; None when the receiver took it, else the reason it did not."""
        try:
            token = self.unseal(callback.sealed_token) if callback.sealed_token else None
        except VtnError as error:
            return NotCalled(error)
        signed = installation_keys.signature(self.key_of(callback.client_id), callback.body, int(self.now_s()))
        return await self.callbacks.post(callback.url, callback.body, token, {installation_keys.HEADER: signed})
