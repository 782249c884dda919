"""A process that keeps one directive until somebody kills it; settings and directive stand on its command line."""

import asyncio
import json
import sys

from ven_adapters.contract import BackendError, Directive
from ven_adapters.oems.tesla import backend as tesla
from ven_adapters.transport.http.codec import load, loads
from vtn.clock import parse_clock


def say(word):
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def main(settings, directive):
    backend = tesla.backend(settings)
    now = parse_clock(settings["clock"]).now()
    asked = load(Directive, loads(directive.encode()), received_at=now)
    capability, snapshot = await backend.capabilities("t-0"), await backend.snapshot("t-0")
    try:
        await backend.submit(asked, capability, snapshot)
    except BackendError as error:
        say(error.code)
        return
    say("taken")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1]), sys.argv[2]))
