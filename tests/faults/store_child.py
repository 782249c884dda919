"""A process that writes to a store until it is killed, and says what was acknowledged, one line each.

Usage: store_child.py URL SHARED_DIR [COUNT]; with COUNT it writes that many programs and ends by itself.
"""

import asyncio
import dataclasses
import sys
from pathlib import Path

from stored import event, program, put, removal, report

from vtn.storage.ports import Replace
from vtn.storage.sql import open_store

AT = "2026-07-15T16:00:00.000000Z"


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


async def live(store) -> None:
    """One caller: makes a program with an event and a report, changes the program, deletes every other event."""
    for n in range(1_000_000):
        parent = program(name=None)
        parent = dataclasses.replace(parent, name=parent.id)
        child = event(parent)
        for one in (parent, child, report(child)):
            await put(store, one)
            say("CREATE", one.kind, one.id)
        body = f"changed {n}".encode()
        changed = Replace(parent.kind, parent.id, lambda old, body=body: dataclasses.replace(old, body=body))
        await store.write(changed, at=AT, actor="child")
        say("UPDATE", parent.kind, parent.id, body.decode())
        if n % 2:
            await store.write(removal(child), at=AT, actor="child")
            say("DELETE", child.kind, child.id)


async def main(url: str, shared_dir: str, count: int = 0) -> None:
    store = await open_store(url, shared_dir=Path(shared_dir))
    if not count:
        await asyncio.gather(*(live(store) for _ in range(8)))
    for _ in range(count):
        one = program()
        await put(store, dataclasses.replace(one, name=one.id))
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
