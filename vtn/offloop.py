"""Work that would hold the event loop: done in one thread beside it, while everybody else is served.

A thread shares the interpreter with the loop: pure Python gives way after `SWITCH_S`, a call into a library when it
returns. So what runs here is cut into pieces, none of which takes long in one call.
"""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

SWITCH_S = 0.001


class OffLoop:
    """One thread, made when it is first needed; what is asked for waits its turn."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="offloop")

    async def do(self, work: Callable[[], T]) -> T:
        """What `work` comes to; it touches nothing that the loop may change meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Take no more work and forget what waits; what has begun ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def give_way() -> None:
    """Have threads of this process give way to its event loop soon."""
    sys.setswitchinterval(SWITCH_S)
