"""The worst body of each kind, legal or not, on either version: the event loop serves others, and memory stays small.

The server is a process of its own that watches its loop (`bounded_child.py`) and takes off what it waited for a
processor. Beside every figure it tells how long a fixed piece of work takes; a slower machine has so much more time.
"""

import dataclasses
import gzip
import json
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest
from vtn_process import PATIENCE_S, Party, Vtn, add_client, environment, fresh

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="the server's memory is read from /proc")
CHILD = Path(__file__).with_name("bounded_child.py")
MEBIBYTE = 1_048_576
HELD_S = 0.1
REFERENCE_S = 0.006
"""What the fixed piece of work takes where nothing else runs, on a machine of two slow cores."""
TRIES = 3
MOST_GROWTH = 64 * MEBIBYTE
SMALL_CACHES = {
    "bounds.caches.answers_bytes": str(4 * MEBIBYTE),
    "bounds.caches.views_bytes": str(4 * MEBIBYTE),
    "bounds.caches.versions_bytes": str(4 * MEBIBYTE),
    "bounds.caches.notices_bytes": str(4 * MEBIBYTE),
    "bounds.body.refusals_per_minute": "1000000",
    "auth.tokens_per_minute": "100000",
    "auth.tokens_per_minute_and_address": "100000",
}
V301 = "/openadr3/3.0.1"
INTERVAL = b'{"id":0,"payloads":[{"type":"PRICE","values":[0.170]}]}'


class Watched(Vtn):
    """A server that tells how its loop fared."""

    def start(self):
        self.var.mkdir(parents=True, exist_ok=True)
        with (self.var / "stderr.log").open("a") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(CHILD)],
                env=environment(self.var, self.settings),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                bufsize=1,
            )
        self.url = self._wait_until_ready(time.monotonic() + PATIENCE_S)
        return self

    def _end(self, how):
        if self._process is not None:
            self._process.stdin.close()  # type: ignore[attr-defined]
        return super()._end(how)

    def told(self):
        """What the loop has seen since the last call."""
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def full(head, item, tail, most=1_000_000):
    """A body of as many items as fit into the bound of bytes, or as `most`."""
    count = min(most, (MEBIBYTE - len(head) - len(tail)) // (len(item) + 1))
    return head + b",".join([item] * count) + tail


@dataclasses.dataclass(frozen=True)
class World:
    """What bodies of this run point at."""

    program: str
    event: str
    ven: str

    def heads(self, kind):
        """How a body of each kind begins, its heaviest list open, and what an item of it looks like."""
        program, event, ven = self.program.encode(), self.event.encode(), self.ven.encode()
        name = fresh("x").encode()
        return {
            "programs": (b'{"programName":"%s","attributes":[' % name, b'{"type":"A","values":["x"]}', b"]}", 1_000),
            "events": (b'{"programID":"%s","targets":["g1","secret"],"intervals":[' % program, INTERVAL, b"]}", 18_000),
            "reports": (
                b'{"eventID":"%s","clientName":"c","programID":"%s","resources":[{"resourceName":"r","intervals":['
                % (event, program),
                INTERVAL,
                b"]}]}",
                18_000,
            ),
            "subscriptions": (
                b'{"clientName":"c","programID":"%s","objectOperations":[' % program,
                b'{"objects":["EVENT"],"operations":["CREATE"],"callbackUrl":"https://192.0.2.1/"}',
                b"]}",
                0,
            ),
            "vens": (
                b'{"objectType":"VEN_VEN_REQUEST","venName":"%s","attributes":[' % name,
                b'{"type":"A","values":["x",1.50]}',
                b"]}",
                1_000,
            ),
            "resources": (
                b'{"objectType":"VEN_RESOURCE_REQUEST","resourceName":"%s","venID":"%s","attributes":[' % (name, ven),
                b'{"type":"A","values":["x",1.50]}',
                b"]}",
                1_000,
            ),
        }[kind]

    def bad(self, kind):
        """Bodies that are refused, each for what is heaviest about it."""
        head, item, tail, _ = self.heads(kind)
        yield "empty objects", full(head, b"{}", tail)
        yield "fewer empty objects", full(head, b"{}", tail, 15_000)
        yield "numbers for objects", full(head, b"1", tail, 49_000)
        yield "faults deep inside", full(head, item.replace(b"[", b"[{},null,[],", 1), tail, 9_000)
        yield "odd numbers", full(head, b"1.00e1", tail, 49_000)
        yield "an extension of lists", full(b'{"x":[', b"[]", b"]}", 49_000)
        yield "a text of commas", b'{"x":"' + b',[{"'.replace(b'"', b"") * 300_000 + b'"}'
        yield "no end", full(head, item, b"")
        yield "half pairs", b'{"x":"' + b"\\ud800" * 170_000 + b'"}'

    def good(self, kind):
        """Bodies that are taken, as heavy as may be."""
        head, item, tail, most = self.heads(kind)
        if most:
            yield "many items", full(head, item, tail, most)
        if kind == "events":
            program = self.program.encode()
            start = b'{"programID":"%s","targets":["g1","secret"],' % program
            period = b'"intervalPeriod":{"start":"2026-01-01T00:00:00Z","duration":"PT1H"}'
            yield "intervals without payloads", full(head, b'{"id":0,"payloads":[]}', tail, 19_000)
            values = head + b'{"id":0,' + period + b',"payloads":[{"type":"PRICE","values":['
            yield "packed values", full(values, b"0.170", b"]}]}" + tail, 20_000)
            yield "points", full(values.replace(b"PRICE", b"CURVE"), b'{"x":1,"y":1.50}', b"]}]}" + tail, 40_000)
            day = b",".join(INTERVAL.replace(b":0,", b":%d," % number, 1) for number in range(96))
            yield "an endless day", start + b'"duration":"P9999Y",' + period + b',"intervals":[' + day + b"]}"
            names = b",".join(b'"%05d%s"' % (number, b"t" * 100) for number in range(4_900))
            yield "many targets", b'{"programID":"%s","targets":["g1",%s]}' % (program, names)


@pytest.fixture(scope="module")
def vtn(tmp_path_factory):
    var = tmp_path_factory.mktemp("bounded") / "var"
    secrets = {"bl": add_client(var, "bl", "BL"), "c1": add_client(var, "c1", "VEN")}
    with Watched(var, SMALL_CACHES, secrets) as server:
        yield server


@pytest.fixture
async def session():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as made:
        yield made


@pytest.fixture
def bl(session, vtn):
    return Party(session, vtn.url, vtn.token("bl"))


@pytest.fixture
def c1(session, vtn):
    return Party(session, vtn.url, vtn.token("c1"))


@pytest.fixture
async def world(vtn, bl, c1):
    """A program, an event that a report is of, and the ven of c1, which is granted g1; gone afterwards."""
    program = (await bl.made("/programs", {"programName": fresh("p")}))["id"]
    event = (await bl.made("/events", {"programID": program}))["id"]
    ven = {"objectType": "BL_VEN_REQUEST", "venName": fresh("v"), "clientID": "c1", "targets": ["g1"]}
    made = World(program, event, (await bl.made("/vens", ven))["id"])
    vtn.told()
    yield made
    (await bl.delete(f"/programs/{program}")).shows(200)
    (await bl.delete(f"/vens/{made.ven}")).shows(200)


async def quietly(vtn, statuses, ask):
    """The answer to a request that holds the loop no longer than it may, and takes no more memory than it may.

    A hold that is not seen again was the machine's; what creates is told 409 then, or creates another.
    """
    seen, allowed = [], statuses
    before = vtn.told()["most_bytes"]
    for _ in range(TRIES):
        answer = await ask()
        told = vtn.told()
        assert answer.status in allowed, (answer.status, answer.content[:300])
        assert told["most_bytes"] - before < MOST_GROWTH
        seen.append(told["held_s"] / max(1.0, told["reference_s"] / REFERENCE_S))
        if seen[-1] < HELD_S:
            return answer
        allowed = statuses | {404, 409}
    raise AssertionError(f"the loop was held for {min(seen):.3f} s, {len(seen)} times")


KINDS = ("programs", "events", "reports", "subscriptions", "vens", "resources")


def path_of(kind, version, world):
    return f"/vens/{world.ven}/resources" if version == V301 and kind == "resources" else f"/{kind}"


def writer(kind, bl, c1):
    return bl if kind in {"programs", "events"} else c1


@pytest.mark.parametrize("version", ["/openadr3/3.1.0", V301])
@pytest.mark.parametrize("kind", KINDS)
async def test_the_worst_bad_bodies_hold_up_nobody(vtn, bl, c1, world, kind, version):
    party = writer(kind, bl, c1).at(vtn.root + version)
    path = path_of(kind, version, world)
    for number, (_, body) in enumerate(world.bad(kind)):
        packed = number % 2 == 1
        raw, headers = (gzip.compress(body, 1), {"Content-Encoding": "gzip"}) if packed else (body, {})
        for method, where in (("POST", path), ("PUT", f"{path}/nothing")):
            await quietly(
                vtn,
                {400, 413},
                lambda m=method, w=where, r=raw, h=headers: party.send(m, w, raw=r, headers=h),
            )


@pytest.mark.parametrize("version", ["/openadr3/3.1.0", V301])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "subscriptions"])
async def test_the_worst_good_bodies_and_every_read_of_them_hold_up_nobody(vtn, bl, c1, world, kind, version):
    party = writer(kind, bl, c1)
    if kind == "vens":
        (await bl.delete(f"/vens/{world.ven}")).shows(200)
    for _, body in world.good(kind):
        made = await quietly(vtn, {201, 409}, lambda b=body: party.send("POST", f"/{kind}", raw=b))
        own = (await party.get(f"/{kind}", ("limit", "50"))).json if made.status == 409 else [made.json]
        one = own[-1]["id"]
        await quietly(vtn, {200}, lambda b=body, o=one: party.send("PUT", f"/{kind}/{o}", raw=b))
        path = path_of(kind, version, world)
        for reader in (party.at(vtn.root + version), c1.at(vtn.root + version)):
            if kind == "resources" and version == V301:
                path = f"/vens/{world.ven}/resources"
            for where in (f"{path}/{one}", path, f"{path}?active=true", f"{path}?targets=g1&targets=x"):
                await quietly(vtn, {200, 404}, lambda r=reader, w=where: r.send("GET", w))
        again = await party.at(vtn.root + version).get(f"{path}/{one}")
        if again.status == 200 and len(again.content) <= MEBIBYTE:
            put = f"{path}/{one}"
            sent = again.content if version == V301 else body
            await quietly(vtn, {200}, lambda r=sent, w=put: party.at(vtn.root + version).send("PUT", w, raw=r))
        for found in (await party.get(f"/{kind}", ("limit", "50"))).json:
            if found["id"] not in {world.event, world.program, world.ven}:
                await quietly(vtn, {200, 404}, lambda o=found["id"]: party.delete(f"/{kind}/{o}"))
    if kind == "vens":
        ven = {"objectType": "BL_VEN_REQUEST", "venName": fresh("v"), "clientID": "c1", "targets": ["g1"]}
        object.__setattr__(world, "ven", (await bl.made("/vens", ven))["id"])


async def test_fifty_endless_tariffs_read_on_301_hold_up_nobody(vtn, bl, c1, world):
    period = {"start": "2026-01-01T00:00:00Z", "duration": "PT15M"}
    day = [{"id": number, "payloads": [{"type": "PRICE", "values": [number / 100]}]} for number in range(96)]
    for _ in range(49):
        tariff = {"programID": world.program, "duration": "P9999Y", "intervalPeriod": period, "intervals": day}
        await bl.made("/events", tariff)
    for party in (bl, c1):
        old = party.at(vtn.root + V301)
        found = (await quietly(vtn, {200}, lambda o=old: o.get("/events"))).json
        assert sorted(len(one["intervals"]) >= 7 * 96 for one in found) == [False, *[True] * 49]


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
FORMS = {
    "a long secret": b"grant_type=client_credentials&client_id=bl&client_secret=" + b"x" * 900_000,
    "very many fields": b"&".join(b"f%d=x" % number for number in range(100_000)),
    "escapes": b"grant_type=" + b"%25" * 300_000,
    "no form": b"\xff" * 1_000_000,
}


@pytest.mark.parametrize("form", FORMS)
async def test_the_worst_token_requests_hold_up_nobody(vtn, session, form):
    nobody = Party(session, vtn.url, None)
    for raw, headers in ((FORMS[form], {}), (gzip.compress(FORMS[form], 1), {"Content-Encoding": "gzip"})):
        await quietly(
            vtn,
            {400, 413},
            lambda r=raw, h=headers: nobody.send("POST", "/auth/token", raw=r, headers={**FORM, **h}),
        )


@pytest.mark.parametrize("version", ["/openadr3/3.1.0", V301])
@pytest.mark.parametrize(
    "query",
    [
        "targets=" + "&targets=".join(f"t{number}" for number in range(600)),
        "targetType=T&targetValues=" + "&targetValues=".join(f"t{number}" for number in range(400)),
        "targets=" + "x" * 7_000,
        "&".join(f"x{number}=" for number in range(1_200)),
        "skip=2147483647&limit=0",
    ],
    ids=["targets", "typed", "long", "unknown", "far"],
)
async def test_the_worst_queries_hold_up_nobody(vtn, bl, c1, world, query, version):
    for party in (bl, c1):
        for kind in ("programs", "events", "vens"):
            where = f"/{kind}?{query}"
            await quietly(vtn, {200, 400}, lambda p=party, w=where: p.at(vtn.root + version).send("GET", w))


async def test_a_ven_that_asks_for_every_subset_of_targets_makes_the_server_no_larger(vtn, bl, c1, world):
    """Ten events of 60 kB with eight targets, of which the VEN holds all: 255 views of each, 150 MB in all."""
    labels = [f"h{number}" for number in range(8)]
    ven = (await bl.get(f"/vens/{world.ven}")).json
    grown = {key: ven[key] for key in ("venName", "clientID")} | {"objectType": "BL_VEN_REQUEST", "targets": labels}
    (await bl.put(f"/vens/{world.ven}", grown)).shows(200)
    for _ in range(10):
        body = {"programID": world.program, "targets": [*labels, "secret"], "x": ["y" * 1_000] * 60}
        await bl.made("/events", body)
    before = vtn.told()["most_bytes"]
    for number in range(1, 256, 2):
        asked = [("targets", label) for bit, label in enumerate(labels) if number >> bit & 1]
        found = (await c1.get("/events", *asked)).shows(200).json
        assert [sorted(one["targets"]) for one in found] == [sorted(label for _, label in asked)] * 10
    assert vtn.told()["most_bytes"] - before < MOST_GROWTH
