"""Ten minutes of messages that are almost right, at a real `vtn 20b serve`: `make bridges`, or alone with --seconds.

Messages of every kind are cut, doubled, renamed, filled with other bytes, numbers and depths. The process must live,
answer each of them with 200, 400, 413 or 415 and never with 500, hold its memory, and go on serving a VEN that does
nothing wrong.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "unit"), str(Path(__file__).parent)]

import oadr20b_cases as cases  # noqa: E402 - the folders of tests are no package
from oadr20b_cases import PLAIN  # noqa: E402
from peers20b import RawVen  # noqa: E402
from rigs20b import downstream_settings, serving  # noqa: E402

from vtn.oadr20b.codec.encode import opt_values, response_values  # noqa: E402
from vtn.oadr20b.codec.messages import EiOpt, EiResponse, OadrReport, OptWindow, ReportPoint  # noqa: E402
from vtn.oadr20b.downstream.vens import VenProvision  # noqa: E402

FINE = {200, 400, 413, 415}
SERVICES = ("OadrPoll", "EiEvent", "EiReport", "EiOpt", "EiRegisterParty")
JUNK = (
    b"",
    b"<",
    b">",
    b"&",
    b"\x00",
    b"\xff",
    b"]]>",
    b"-1",
    b"1e309",
    b"NaN",
    b"9" * 400,
    b"P" * 50,
    b"true",
    b"\xe2\x80\xae",
)
SLOWEST_S, GROWS_MB = 2.0, 64


class NoVtn:
    """A server whose VTN is never there: what VENs send is judged all the same."""

    url, secrets = "http://127.0.0.1:9/openadr3/3.1.0", {"bl": "s", "c1": "s"}


def seeds() -> list[bytes]:
    """A right message of every kind that a VEN sends."""
    now = cases.NOON
    response = response_values(EiResponse())
    points = tuple(ReportPoint(f"r{number}", now, 1.0) for number in range(20))
    opt = EiOpt("o", "optOut", "economic", now, None, 0, None, (OptWindow(now, cases.HOUR),))
    return [
        cases.poll(),
        cases.registered_reports(cases.metadata(cases.description("r1", item=cases.POWER))),
        cases.distributed(cases.event()),
        PLAIN.write("oadrUpdateReport", now, request_id="r", ven_id="ven",
                    reports=[OadrReport("q", "s", "TELEMETRY_USAGE", points, now)]),
        PLAIN.write("oadrCreateOpt", now, **opt_values(opt, "r"), ven_id="ven"),
        PLAIN.write("oadrCancelOpt", now, opt_id="o", request_id="r", ven_id="ven"),
        PLAIN.write("oadrRequestEvent", now, request_id="r", ven_id="ven", reply_limit=1),
        PLAIN.write("oadrCreatedReport", now, response=response, pending_reports=[], ven_id="ven"),
        PLAIN.write("oadrQueryRegistration", now, request_id="r"),
        PLAIN.write("oadrCanceledPartyRegistration", now, response=response, registration_id="x", ven_id="ven"),
    ]  # fmt: skip


def spoilt(body: bytes, chance: random.Random) -> bytes:
    """A message with one to four things wrong with it."""
    for _ in range(chance.randint(1, 4)):
        at, end = sorted(chance.randrange(len(body) + 1) for _ in range(2))
        end = min(end, at + chance.choice((1, 4, 40, 400)))
        way = chance.randrange(6)
        if way == 0:
            body = body[:at] + body[end:]
        elif way == 1:
            body = body[:at] + body[at:end] * chance.choice((2, 2, 50)) + body[end:]
        elif way == 2:
            body = body[:at] + chance.choice(JUNK) + body[end:]
        elif way == 3:
            body = body[:at] + chance.randbytes(end - at) + body[end:]
        elif way == 4:
            names = [b"oadrPoll", b"venID", b"value", b"dtstart", b"duration", b"eiTarget", b"oadrReport", b"date-time"]
            body = body.replace(chance.choice(names), chance.choice(names), chance.choice((1, 2, -1)))
        else:
            body = body[:at] + b"<a>" * chance.choice((1, 30, 3_000)) + body[at:]
        body = body[:2_000_000] or b"<"
    return body


async def fuzz(seconds: float, seed: int) -> dict[str, object]:
    """Send spoilt messages for so long; what came of it. AssertionError names the message that broke a claim."""
    chance, found = random.Random(seed), seeds()
    with tempfile.TemporaryDirectory() as folder:
        settings = downstream_settings(NoVtn, Path(folder) / "var")
        (Path(folder) / "var").mkdir(mode=0o700)
        async with serving(settings, VenProvision("ven", "ven")) as at, RawVen(at.url) as ven, RawVen(at.url) as good:
            await good.register("ven")
            good.ven_id, statuses, sent, slowest_s = "ven", {}, 0, 0.0
            before_mb, until_s = memory_mb(), time.monotonic() + seconds
            while time.monotonic() < until_s:
                body = spoilt(chance.choice(found), chance)
                status, content = await ven.post(chance.choice(SERVICES), body)
                assert status in FINE, (status, content[:300], body[:2_000])
                statuses[status] = statuses.get(status, 0) + 1
                sent += 1
                if sent % 50 == 0:
                    began_s = time.monotonic()
                    reply = await good.say("OadrPoll", "oadrPoll", at=datetime.now(UTC))
                    assert reply.kind in {"oadrResponse", "oadrRequestReregistration", "oadrCreateReport"}, reply.kind
                    slowest_s = max(slowest_s, time.monotonic() - began_s)
                if sent == 2_000:
                    before_mb = memory_mb()  # what is compiled and cached once is there by now
            grown_mb = memory_mb() - before_mb
    assert slowest_s < SLOWEST_S, slowest_s
    assert grown_mb < GROWS_MB, grown_mb
    return {"messages": sent, "statuses": statuses, "slowest_good_ms": round(slowest_s * 1_000), "grown_mb": grown_mb}


def memory_mb() -> int:
    """Resident memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(one.split()[1]) for one in lines if one.startswith("VmRSS")) // 1_024


def main() -> None:
    """Fuzz, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    sys.stdout.write(f"seed {options.seed}: {asyncio.run(fuzz(options.seconds, options.seed))}\n")


if __name__ == "__main__":
    main()
