"""One client sends mixed bad bodies while another polls: what does the other notice? `make flood`.

The server, the flood and the poller are processes of their own on this machine. Before the flood the poller polls
alone, so that its figures are held against this machine as it is. Writes `var/flood/summary.json` and a table; the exit
code is 0 when 99 of 100 polls during the flood were answered within the bound.
"""

import argparse
import asyncio
import collections
import gzip
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from vtn_process import Party, Vtn, add_client, fresh

EXAMPLE = "example: python tests/bench/bad_bodies.py --requests 2000"
JSON = {"Content-Type": "application/json"}
GZIP = {"Content-Encoding": "gzip"}
MEBIBYTE = 1_048_576
AT_ONCE = 16
POLL_EVERY_S = 0.01
Json = dict[str, Any]


def bodies() -> list[tuple[bytes, dict[str, str]]]:
    """The mixture: mostly small, some as large and as wrong as may be."""
    objects = b'{"programID":"x","intervals":[' + b"{}," * 12_000 + b"{}]}"
    lists = b'{"programID":1,"x":[' + b"[]," * 300_000 + b"[]]}"
    small = [b"{}", b"[]", b"{", b'{"programID":7}', b'{"programID":"x","intervals":[{"id":"a"}]}', b"\xff" * 200]
    plain = [*small * 15, objects, b'{"x":"' + b"y" * 1_000_000 + b'"}']
    packed = [gzip.compress(one, 6) for one in (objects, lists, b"[" * 200_000)]
    return [(body, {}) for body in plain] + [(body, GZIP) for body in packed]


async def flood(url: str, token: str, requests: int) -> Json:
    """Send bad bodies as fast as they are answered; how many there were of each status, and in what time."""
    mixture, numbers = bodies(), iter(range(requests))
    statuses: collections.Counter[str] = collections.Counter()
    headers = {"Authorization": f"Bearer {token}", **JSON}

    async def send(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            body, more = mixture[number % len(mixture)]
            try:
                own = {**headers, **more}
                async with session.post(f"{url}/events", data=io.BytesIO(body), headers=own) as answer:
                    await answer.read()
                    statuses[str(answer.status)] += 1
            except aiohttp.ClientError as error:
                statuses[type(error).__name__] += 1

    began_s = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(send(session) for _ in range(AT_ONCE)))
    return {"seconds": time.perf_counter() - began_s, "statuses": dict(statuses)}


async def polls(party: Party, until: asyncio.Event) -> list[float]:
    """How long each poll took, in milliseconds, until an event."""
    took = []
    while not until.is_set():
        began_s = time.perf_counter()
        (await party.get("/events")).shows(200)
        took.append((time.perf_counter() - began_s) * 1e3)
        await asyncio.sleep(POLL_EVERY_S)
    return took


async def measure(vtn: Vtn, options: argparse.Namespace) -> Json:
    """Poll alone, then during the flood."""
    async with aiohttp.ClientSession() as session:
        bl, poller = (Party(session, vtn.url, vtn.token(name)) for name in ("bl", "poller"))
        program = (await bl.made("/programs", {"programName": fresh()}))["id"]
        for _ in range(5):
            await bl.made("/events", {"programID": program, "intervals": [{"id": 0, "payloads": []}]})
        alone = await _polled(poller, asyncio.sleep(options.alone_s))
        arguments = ("--flood", vtn.url, vtn.token("rubbish"), "--requests", str(options.requests))
        process = await asyncio.create_subprocess_exec(sys.executable, __file__, *arguments, stdout=subprocess.PIPE)
        during = await _polled(poller, process.wait())
        assert process.stdout
        sent = json.loads(await process.stdout.read())
    return {"alone": figures(alone), "during": figures(during), "flood": sent, "most_ms": options.most_ms}


async def _polled(poller: Party, meanwhile: Any) -> list[float]:
    over = asyncio.Event()
    polling = asyncio.create_task(polls(poller, over))
    try:
        await meanwhile
    finally:
        over.set()
    return await polling


def figures(took_ms: list[float]) -> Json:
    """The usual ones."""
    cuts = statistics.quantiles(took_ms, n=100)
    return {"polls": len(took_ms), "p50_ms": cuts[49], "p99_ms": cuts[98], "longest_ms": max(took_ms)}


def table(found: Json) -> Table:
    """What the poller noticed."""
    made = Table(
        title=f"Polls of one client while another sends {sum(found['flood']['statuses'].values()):,} bad bodies"
    )
    for name in ("", "polls", "p50 ms", "p99 ms", "longest ms"):
        made.add_column(name, justify="left" if not name else "right")
    for name in ("alone", "during"):
        one = found[name]
        made.add_row(name, f"{one['polls']:,}", *(f"{one[key]:.1f}" for key in ("p50_ms", "p99_ms", "longest_ms")))
    answers = ", ".join(f"{count:,} x {status}" for status, count in sorted(found["flood"]["statuses"].items()))
    made.caption = f"{answers} in {found['flood']['seconds']:.1f} s"
    return made


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--alone-s", type=float, default=5.0)
    parser.add_argument("--most-ms", type=float, default=100.0, help="what 99 of 100 polls may take")
    parser.add_argument("--out", type=Path, default=Path("var/flood/summary.json"))
    parser.add_argument("--flood", nargs=2, metavar=("URL", "TOKEN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.flood:
        sys.stdout.write(json.dumps(asyncio.run(flood(*options.flood, options.requests))))  # type: ignore[call-arg]
        return 0
    with tempfile.TemporaryDirectory() as folder:
        var = Path(folder) / "var"
        roles = {"bl": "BL", "rubbish": "BL", "poller": "VEN"}
        secrets = {name: add_client(var, name, role) for name, role in roles.items()}
        with Vtn(var, {}, secrets) as vtn:
            found = asyncio.run(measure(vtn, options))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=2) + "\n")
    Console().print(table(found))
    return 0 if found["during"]["p99_ms"] <= options.most_ms else 1


if __name__ == "__main__":
    sys.exit(main())
