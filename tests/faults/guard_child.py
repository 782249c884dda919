"""A process that holds cars and keeps a guard, as `ven-adapters run` does, until somebody kills it.

Run as a module: `python tests/faults/guard_child.py CONFIG ENDS`; ENDS is a file of JSON, ref to the instant at which
the car's pause ends. With no ENDS it takes up what the life before held.
"""

import asyncio
import json
import logging
import os
import sys
from datetime import datetime
from pathlib import Path

from ven_adapters.config import read_settings
from ven_adapters.contract import BackendError, Directive, DirectiveKind
from ven_adapters.guard.child import guarded
from ven_adapters.ven.startup import backend_of


def say(word):
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def hold(backend, clock, ref, end):
    """Pause one car; True when that was taken."""
    name, now = f"hold-{ref}", clock.now()
    try:
        directive = Directive(name, name, ref, DirectiveKind.CURTAIL, now, end, end)
        snapshot = await backend.snapshot(ref)
        await backend.submit(directive, await backend.capabilities(ref), snapshot)
    except BackendError as error:
        logging.getLogger(__name__).warning("%s: %s", ref, error)
        return False
    return True


async def main(config, ends):
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    settings = read_settings(config, os.environ)
    clock = settings.shared_clock()
    backend = backend_of(settings.oem, settings.backend)
    async with guarded(settings.guard, backend, settings.oem, config):
        await anext(backend.vehicles())
        held = await asyncio.gather(*(hold(backend, clock, ref, datetime.fromisoformat(end)) for ref, end in ends))
        say(f"held {sum(held)}")
        await asyncio.Event().wait()


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[2]).read_text()) if len(sys.argv) > 2 else {}
    asyncio.run(main(Path(sys.argv[1]), sorted(given.items())))
