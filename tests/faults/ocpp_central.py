"""A central system that starts one discharge as soon as it can, to be killed by a test. Argument: a clock."""

import asyncio
import sys

from ocpp_rig import central

from ven_adapters.contract import BackendError, DirectiveState
from vtn.clock import parse_clock


async def main():
    async with central(clock=parse_clock(sys.argv[1]), standing=False) as rig:
        sys.stdout.write(f"{rig.url}\n")
        sys.stdout.flush()
        await rig.measures(lambda power_w: power_w > 0)
        directive = rig.discharge(minutes=120)
        while True:
            try:
                await rig.submit(directive)
            except BackendError:
                await rig.news.wait()
                rig.news.clear()
            else:
                break
        await rig.reaches(directive, DirectiveState.IN_FORCE)
        sys.stdout.write("in force\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


asyncio.run(main())
