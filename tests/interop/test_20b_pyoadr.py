"""A VEN of the VOLTTRON line, which writes what the schema refuses: it is served where it is provisioned as lenient."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest
from environments import PYOADR, python_or_skip
from peers20b import eventually, now
from rigs20b import downstream_settings, event_in, program_for, reported, serving
from vtn_process import fresh

from vtn.client import Client
from vtn.oadr20b.downstream.vens import VenProvision
from vtn.wire.enumerations import ObjectType

SCRIPT = Path(__file__).with_name("drive_pyoadr.py")
BOUND_S = 60.0


def driven(python, url, name):
    """What the VEN came to, line by line."""
    done = subprocess.run(
        [python, SCRIPT],
        input=json.dumps({"url": url, "ven": name}),
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


async def test_it_registers_gets_an_event_and_offers_reports_when_it_is_lenient_and_is_refused_when_not(
    launch, tmp_path
):
    python, name, target = python_or_skip(PYOADR), "volttron", fresh("t")
    with launch() as server:
        async with Client(server.url, "bl", server.secrets["bl"]) as bl:
            provision = VenProvision(name, name, targets=(target,), lenient=True)
            async with serving(downstream_settings(server, tmp_path), provision) as at:
                program_id = await program_for(bl, target, target, X_20B_MARKET_CONTEXT="http://utility.example/summer")
                made = await bl.create(ObjectType.EVENT, event_in(program_id, "SIMPLE", 2, start=now()))
                await eventually(lambda: made["id"] in at.context.registry.vens[name].events)
                root = at.url.removesuffix("/OpenADR2/Simple/2.0b")
                code, lines, errors = await asyncio.to_thread(driven, python, root, name)
                assert code == 0, (lines, errors[-2_000:])
                told = {one["step"]: one for one in lines}
                assert told["registered"] == {"step": "registered", "ven": name, "vtn": "EVTN"}
                assert (told["event"]["event_id"], told["event"]["opt_type"]) == (made["id"], "optIn")
                held = at.context.registry.vens[name].events[made["id"]]
                assert (held.acked, held.opt) == (0, None), "it says `none` to the VTN, and that is no opt"
                assert await reported(bl, made["id"], "X_20B_OPT") == []
                assert "telemetry" in at.context.registry.vens[name].metadata
                assert set(at.services.counts.answers) == {200}

    strict = VenProvision(name, name)
    (tmp_path / "strict").mkdir(mode=0o700)
    with launch() as server:
        async with serving(downstream_settings(server, tmp_path / "strict"), strict) as at:
            code, _, errors = await asyncio.to_thread(
                driven, python, at.url.removesuffix("/OpenADR2/Simple/2.0b"), name
            )
            assert code != 0
            assert "schemaVersion" in errors


pytestmark = pytest.mark.filterwarnings("ignore:It is recommended to use web.AppKey")
