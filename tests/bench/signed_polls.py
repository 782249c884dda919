"""2,000 VENs of OpenADR 2.0b that sign their messages and poll every ten seconds, at one `vtn 20b serve` process.

Each has a certificate of its own, half of them RSA and half ECC, and a TLS connection of its own; certificates of one
kind share a key, which costs the server what keys of their own would. When all are connected an event comes for all,
which each of them acknowledges. Prints one JSON object. Needs `tests` and the project in PYTHONPATH.
"""

import argparse
import asyncio
import collections
import contextlib
import json
import os
import random
import re
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from authority import Authority
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from openleadr.utils import certificate_fingerprint
from vtn_process import add_client

from vtn.client import Client
from vtn.oadr20b.codec.encode import event_response_values, response_values
from vtn.oadr20b.codec.messages import EiResponse, EventResponse
from vtn.oadr20b.codec.signatures import MessageWriter
from vtn.oadr20b.downstream.vens import _PROVISION, _REGISTRATION, VenProvision, VenRegistration
from vtn.oadr20b.store.database import opened
from vtn.oadr20b.store.tables import VENS
from vtn.wire.enumerations import ObjectType

ROOT = Path(__file__).parents[2]
READY_S = 60.0
CODE = re.compile(rb"<ei:responseCode>(\d+)<")
EVENT = re.compile(rb"<ei:eventID>([^<]+)</ei:eventID><ei:modificationNumber>(\d+)<")
PATH = "/OpenADR2/Simple/2.0b"


class Fleet:
    """Certificates of all VENs, written into a folder."""

    def __init__(self, folder: Path, count: int) -> None:
        self.authority = Authority(folder)
        self.folder = folder
        self.servers = [
            self.authority.issue(f"server-{kind}", server=True, both=True, kind=kind) for kind in ("rsa", "ecc")
        ]
        keys: list[Any] = [rsa.generate_private_key(65_537, 2048), ec.generate_private_key(ec.SECP256R1())]
        self.key_files = []
        for number, key in enumerate(keys):
            path = folder / f"key-{number}.pem"
            private, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            path.write_bytes(key.private_bytes(serialization.Encoding.PEM, private, plain))
            self.key_files.append(path)
        self.vens = [self._issue(number, keys[number % 2]) for number in range(count)]

    def _issue(self, number, key):
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"ven-{number}")])
        made = self.authority._builder(name, key.public_key(), timedelta(days=1))
        pem = made.sign(self.authority._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        path = self.folder / f"ven-{number}.pem"
        path.write_bytes(pem)
        return path, self.key_files[number % 2], certificate_fingerprint(pem)


async def provision(folder: Path, fleet: Fleet) -> None:
    """Every VEN, provisioned and registered."""
    registered = datetime.now(UTC)
    rows = []
    for number, (_, _, fingerprint) in enumerate(fleet.vens):
        ven = VenProvision(f"ven-{number}", f"ven-{number}", fingerprint, targets=("all",))
        state = VenRegistration(f"reg-{number}", registered)
        rows.append(
            {
                "ven_id": ven.ven_id,
                "ven_name": ven.ven_name,
                "fingerprint": fingerprint,
                "provision": _PROVISION.dump_json(ven).decode(),
                "state": _REGISTRATION.dump_json(state).decode(),
            }
        )
    async with opened(f"sqlite:///{folder / '20b.db'}") as store:
        await store.write(store.put(VENS, rows))


@contextlib.contextmanager
def running(command, environ, log: Path, ready: str, core: int | None):
    """A program of ours that runs for the length of a block; where it answers."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    with log.open("w") as errors:
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=errors, text=True)
    os.sched_setaffinity(0, before)
    try:
        assert process.stdout
        until = time.monotonic() + READY_S
        for line in process.stdout:
            if found := re.search(rf"{ready} (\S+)", line):
                yield process, found[1]
                return
            if time.monotonic() > until:
                break
        raise SystemExit(f"{command[1:]} did not become ready: {log.read_text()[-800:]}")
    finally:
        process.terminate()
        process.wait(20)


class Measured:
    """What came of it."""

    def __init__(self) -> None:
        self.took_s: list[float] = []
        self.codes: collections.Counter[str] = collections.Counter()
        self.events = self.answers = 0


class Ven:
    """One VEN: signs, polls, acknowledges."""

    def __init__(self, number: int, fleet: Fleet, url: str, measured: Measured) -> None:
        certificate, key, _ = fleet.vens[number]
        self.ven_id = f"ven-{number}"
        self._writer = MessageWriter(certificate, key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(fleet.authority.file)
        context.load_cert_chain(certificate, key)
        self._tls, self._url, self._measured = context, url, measured
        self._chance = random.Random(number)

    async def run(self, options: argparse.Namespace, until_s: float, measure_from_s: float) -> None:
        """Poll until an instant; the VENs connect one after the other."""
        loop, every_s = asyncio.get_running_loop(), options.every_s
        await asyncio.sleep(self._chance.uniform(0, options.ramp_s))
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=1, keepalive_timeout=600)
        async with aiohttp.ClientSession(connector=connector, headers={"Content-Type": "application/xml"}) as session:
            while loop.time() < until_s:
                began_s = loop.time()
                content = await self._send(session, "OadrPoll", "oadrPoll", ven_id=self.ven_id)
                if began_s >= measure_from_s:
                    self._measured.took_s.append(loop.time() - began_s)
                for event_id, modification in EVENT.findall(content):
                    self._measured.events += 1
                    said = EventResponse(event_id.decode(), int(modification), "optIn", "r")
                    await self._send(
                        session,
                        "EiEvent",
                        "oadrCreatedEvent",
                        response=response_values(EiResponse(request_id="r")),
                        event_responses=[event_response_values(said)],
                        ven_id=self.ven_id,
                    )
                    self._measured.answers += 1
                await asyncio.sleep(max(0.0, began_s + every_s * self._chance.uniform(0.9, 1.0) - loop.time()))

    async def _send(self, session: aiohttp.ClientSession, service: str, kind: str, **values: object) -> bytes:
        body = self._writer.write(kind, datetime.now(UTC), **values)
        async with session.post(f"{self._url}/{service}", data=body) as answer:
            content = await answer.read()
        for code in CODE.findall(content) or [f"HTTP {answer.status}".encode()]:
            self._measured.codes[code.decode()] += 1
        return content


async def load(options: argparse.Namespace, fleet: Fleet, url: str, vtn: Client) -> Measured:
    """All VENs at once; the event comes when each has polled once."""
    loop, measured = asyncio.get_running_loop(), Measured()
    vens = [Ven(number, fleet, url, measured) for number in range(len(fleet.vens))]
    began_s = loop.time()
    measure_from_s = began_s + options.ramp_s + options.every_s
    until_s = measure_from_s + options.seconds
    tasks = [asyncio.create_task(ven.run(options, until_s, measure_from_s)) for ven in vens]
    await asyncio.sleep(options.ramp_s + options.every_s * 1.5)
    program = await vtn.create(ObjectType.PROGRAM, {"programName": "all", "targets": ["all"]})
    period = {"start": datetime.now(UTC).isoformat(), "duration": "PT1H"}
    intervals = [{"id": 0, "payloads": [{"type": "DISPATCH_SETPOINT", "values": [5]}]}]
    content = {"programID": program["id"], "intervalPeriod": period, "intervals": intervals}
    await vtn.create(ObjectType.EVENT, content)
    await asyncio.gather(*tasks)
    return measured


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--vens", type=int, default=2_000)
    parser.add_argument("--every-s", type=float, default=10.0)
    parser.add_argument("--ramp-s", type=float, default=40.0, help="seconds in which the VENs connect")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--no-pin", dest="pin", action="store_false")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    server_core = cores[0] if options.pin and len(cores) > 1 else None
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(measure(options, Path(name), server_core, cores)))  # noqa: T201 - it is what it is for


def measure(options: argparse.Namespace, folder: Path, server_core: int | None, cores: list[int]) -> dict[str, object]:
    """One run."""
    fleet = Fleet(folder, options.vens)
    var = folder / "vtn"
    secrets = {name: add_client(var, name, role) for name, role in (("bl", "BL"), ("c1", "VEN"))}
    environ = os.environ | {"PYTHONPATH": str(ROOT), "EVTN_SERVER__VAR": str(var), "EVTN_SERVER__PORT": "0"}
    environ |= {"EVTN_MQTT__MODE": "off"}
    load_core = cores[-1] if server_core is not None else None
    with contextlib.ExitStack() as stack:
        command = [sys.executable, "-m", "vtn", "serve"]
        _, vtn_url = stack.enter_context(running(command, environ, folder / "vtn.log", "ready at", load_core))
        settings = {
            "VTN__URL": vtn_url,
            "VTN__CLIENT_ID": "bl",
            "VTN__CLIENT_SECRET": secrets["bl"],
            "REPORTS_CLIENT_ID": "c1",
            "REPORTS_CLIENT_SECRET": secrets["c1"],
            "VAR": str(folder / "20b"),
            "SIGNATURES": "required",
            "SIGN": "true",
            "SERVER__PORT": "0",
            "SERVER__CERTIFICATE": str(fleet.servers[0].pem),
            "SERVER__PRIVATE_KEY": str(fleet.servers[0].key_file),
            "SERVER__ECC_CERTIFICATE": str(fleet.servers[1].pem),
            "SERVER__ECC_PRIVATE_KEY": str(fleet.servers[1].key_file),
            "SERVER__CLIENT_CA": str(fleet.authority.file),
            "SERVER__CONNECTIONS__UNPROVEN_OF_ONE_ADDRESS": "4000",
        }
        (folder / "20b").mkdir(mode=0o700)
        asyncio.run(provision(folder / "20b", fleet))
        bridge = environ | {f"OADR20B_VTN_{key}": value for key, value in settings.items()}
        command = [sys.executable, "-m", "vtn", "20b", "serve"]
        process, url = stack.enter_context(running(command, bridge, folder / "20b.log", "ready at", server_core))
        if load_core is not None:
            os.sched_setaffinity(0, {load_core})
        before_s, began_s, load_s = cpu_s(process.pid), time.monotonic(), time.process_time()

        async def go() -> Measured:
            async with Client(vtn_url, "bl", secrets["bl"]) as client:
                return await load(options, fleet, url, client)

        found = asyncio.run(go())
        spent_s, lasted_s = cpu_s(process.pid) - before_s, time.monotonic() - began_s
        messages = sum(found.codes.values()) + found.events
        quantiles = statistics.quantiles(found.took_s, n=100)
        return {
            "vens": options.vens,
            "messages": messages,
            "polls_per_s": round(len(found.took_s) / options.seconds, 1),
            "p50_ms": round(statistics.median(found.took_s) * 1_000, 1),
            "p99_ms": round(quantiles[98] * 1_000, 1),
            "longest_ms": round(max(found.took_s) * 1_000, 1),
            "codes": dict(found.codes),
            "events_delivered": found.events,
            "events_acknowledged": found.answers,
            "cpu_share": round(spent_s / lasted_s, 3),
            "load_cpu_share": round((time.process_time() - load_s) / lasted_s, 3),
            "cpu_ms_per_message": round(spent_s / messages * 1_000, 2),
            "memory_mb": memory_mb(process.pid),
        }


def cpu_s(pid: int) -> float:
    """Processor time of a process (proc(5): fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> int:
    """Resident memory of a process."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) // 1_024 if found else 0


if __name__ == "__main__":
    main()
