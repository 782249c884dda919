"""An adapter as `ven-adapters run` starts it, that kills itself at one stage of a directive's life.

`python -m tests.faults.directive_child --config FILE --die STAGE`; without a stage it lives until it is told to stop.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from ven_adapters.config import read_settings
from ven_adapters.contract import DirectiveState
from ven_adapters.ven.agent import Agent
from ven_adapters.ven.run import ports_of
from ven_adapters.ven.store.database import DirectiveRow

AFTER = 2


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def directives_in(store):
    return sum(1 for row in store._noted.values() if row.model is DirectiveRow)


def before_commit(agent):
    """Directives are about to be written down."""
    store = agent.ports.store
    flush = store.flush

    async def dies():
        if directives_in(store) >= AFTER:
            die()
        return await flush()

    store.flush = dies


def after_commit(agent):
    """Directives are written down, and none has left."""
    store = agent.ports.store
    flush = store.flush

    async def dies():
        number = directives_in(store)
        done = await flush()
        if number >= AFTER:
            die()
        return done

    store.flush = dies


def after_accept(agent):
    """A backend's answers are known, and not written down."""
    registry = agent.fleet_state.registry
    outcome = registry.outcome

    def dies(*arguments):
        held = outcome(*arguments)
        if registry.by_state[DirectiveState.ACCEPTED] >= AFTER:
            die()
        return held

    registry.outcome = dies


def before_cancel(agent):
    """That a car is given back is written down, and it was not told."""
    agent.ports.backend.cancel = die


STAGES = {stage.__name__: stage for stage in (before_commit, after_commit, after_accept, before_cancel)}


async def main(config, stage):
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    settings = read_settings(config, os.environ)
    agent = Agent(settings, settings.shared_clock(), ports_of(settings))
    if stage is not None:
        STAGES[stage](agent)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, agent.stop)
    await agent.run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--die", choices=STAGES)
    given = parser.parse_args()
    asyncio.run(main(given.config, given.die))
