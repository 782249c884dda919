"""An adapter as `ven-adapters run` starts it, that writes down each of its claims about a directive as it makes it.

A claim is a state that a directive was moved to, or the observation on which IN_FORCE rests. Run as a module:
`python -m tests.faults.adapter_child --config FILE`; claims go to `claims.jsonl` in the adapter's folder.
"""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import orjson

from ven_adapters.config import read_settings
from ven_adapters.contract import DirectiveState
from ven_adapters.ven.agent import Agent
from ven_adapters.ven.run import ports_of


class Recorder:
    """Writes every new claim of a registry, and passes it on unchanged."""

    def __init__(self, registry, clock, path: Path) -> None:
        self._note, self._put, self._clock = registry._note, registry._put_in_columns, clock
        self._confirmed: dict[str, object] = {}
        self._out = path.open("ab")
        registry._note, registry._put_in_columns = self.note, self.put

    def note(self, held) -> None:
        self._write(held)
        self._note(held)

    def put(self, ref, car) -> None:
        held = car.held
        in_force = held is not None and held.state is DirectiveState.IN_FORCE
        if in_force and self._confirmed.get(held.directive.directive_id) != held.confirmed_at:
            self._write(held)
        self._put(ref, car)

    def _write(self, held) -> None:
        directive = held.directive
        self._confirmed[directive.directive_id] = held.confirmed_at
        claim = {
            "at": self._clock.now(),
            "id": directive.directive_id,
            "ref": held.ref,
            "kind": directive.kind,
            "asked_w": directive.power_w,
            "setting_w": held.setting.power_w if held.setting is not None else None,
            "state": held.state,
            "certainty": held.certainty,
            "confirmed_at": held.confirmed_at,
            "confirmed": held.confirmed_once,
            "evidence": held.evidence,
            "error": held.error,
            "attempts": held.attempts,
            "sends_again": held.sends_again,
        }
        self._out.write(orjson.dumps(claim) + b"\n")

    def close(self) -> None:
        self._out.close()


async def main(config: Path) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    settings = read_settings(config, os.environ)
    clock = settings.shared_clock()
    agent = Agent(settings, clock, ports_of(settings))
    settings.folder.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(agent.fleet_state.registry, clock, settings.folder / "claims.jsonl")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.stop)
    try:
        await agent.run()
    finally:
        recorder.close()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(Path(sys.argv[sys.argv.index("--config") + 1])))
