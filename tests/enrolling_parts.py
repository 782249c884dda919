"""Cars to enrol, and an app that enrols them over HTTP: what the tests of the enrolment room share."""

import contextlib
import json
import time
from datetime import UTC, datetime, timedelta

import aiohttp
from aiohttp import web

from ven_adapters.config import AdapterSettings
from ven_adapters.enrolment_api.serve import opened, running
from ven_adapters.transport.http import signatures
from vtn.clock import RealClock

NOW = datetime.now(UTC).replace(microsecond=0)
APP_SECRET = "what-the-app-signs-with"
WEBHOOK_SECRET = "what-the-adapter-signs-with"
KEY = "the-apps-bearer-key"
VIN = "WBA3A5C50CF256789"
LATITUDE, LONGITUDE = 37.774929, -122.419416
ACCOUNT, HOLDER, ADDRESS = "ACCT-4711-0815", "Ada Quill", "12 Hidden Valley Lane"
PERSONAL = (VIN, str(LATITUDE), str(LONGITUDE), ACCOUNT, HOLDER, ADDRESS)
PROGRAMS = {
    "evening": {"kind": "V1G", "models": ["i4*", "iX*"], "regions": ["CA", "TX"], "utilities": ["pge"]},
    "morning": {"kind": "V1G"},
    "give-back": {"kind": "V2G", "discharge": True, "tariffs": ["E-*"], "cars_per_account": 2, "most_cars": 3},
}
OPEN_PROGRAMS = {"evening": {"kind": "V1G"}, "give-back": {"kind": "V2G", "discharge": True}}
DAY = {"ready_by": "07:30", "target_soc_pct": 80.0, "reserve_soc_pct": 30.0}
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def instant(**ahead):
    return (NOW + timedelta(**ahead)).isoformat()


def consent(scope="charging", **more):
    return {
        "scope": scope,
        "version": "2026-01",
        "agreed": True,
        "at": instant(days=-1),
        "terms": f"I agree to managed {scope}.",
        **more,
    }


def papers(**more):
    period = {"valid_from": instant(days=-10), "valid_until": instant(days=300)}
    return {
        "interconnection": {"interconnection_id": "IC-1", **period},
        "export_limit": {"export_limit_w": 7000, **period},
        "inverter_listing": {"inverter_listing": "UL1741-SB", **period},
        **more,
    }


def home(**more):
    place = {"latitude": LATITUDE, "longitude": LONGITUDE, "address": ADDRESS}
    return {"zone": "bay", "region": "CA", "timezone": "America/Los_Angeles", "place": place, **more}


def car(ref="bmw-9001", **more):
    given = {
        "vehicle_ref": ref,
        "vin": VIN,
        "model": "i4 eDrive40",
        "account": {"account_id": ACCOUNT, "utility": "pge", "tariff": "E-TOU", "holder": HOLDER},
        "home": home(),
        "programs": ["evening", "give-back"],
        "preferences": dict.fromkeys(DAYS, DAY),
        "consents": [consent(), consent("discharge")],
        "permissions": papers(),
        "discharge_budget": {"max_event_wh": 12_000, "max_year_wh": 600_000, "max_year_cycles": 50},
    }
    return json.loads(json.dumps({**given, **more}))


def vin(number):
    """Another car's VIN."""
    return f"{VIN[:-5]}{number:05d}"


def settings(folder, store_url=None, **enrolling):
    given = {
        "oem": "bmw",
        "client_name": "adapter",
        "vtn": {"url": "http://127.0.0.1:1", "client_id": "c1", "client_secret": "s"},
        "backend": {},
        "var": str(folder),
        "enrolling": {"port": 0, "store_url": store_url, "app_secret": APP_SECRET, "programs": PROGRAMS, **enrolling},
    }
    return AdapterSettings.model_validate_json(json.dumps(given))


class App:
    """The automaker's app."""

    def __init__(self, http, url, key=KEY) -> None:
        self._http = http
        self.url = url
        self.headers = {"Authorization": f"Bearer {key}"}

    async def send(self, method, path, body=None, *, raw=None, **headers):
        """An answer's status and JSON."""
        data = raw if raw is not None else (None if body is None else json.dumps(body).encode())
        given = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with self._http.request(method, self.url + path, data=data, headers=given) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def post(self, path, body=None, **more):
        return await self.send("POST", path, body, **more)

    async def get(self, path):
        return await self.send("GET", path)

    async def enrol(self, ref="bmw-9001", **more):
        status, answer = await self.post("/v1/cars", car(ref, **more))
        assert status == 201, answer
        return answer

    async def act(self, path, body=None, ref="bmw-9001", **more):
        status, answer = await self.post(f"/v1/cars/{ref}/{path}", body, **more)
        assert status in {200, 201}, answer
        return answer


@contextlib.asynccontextmanager
async def served(given, clock=None, explain=None):
    """The API at work, and its app."""
    now = clock or RealClock()
    async with opened(given) as store, store.write(now.now()) as write:
        await write.put_key("app", KEY)
    async with running(given, now, explain) as url, aiohttp.ClientSession() as http:
        yield App(http, url)


def line_as_enrolment(line, number, at):
    """A car of an enrolment file as the app enrols it, with a person behind it; and all that is personal."""
    papers, consents = line["permission"], [("charging", line["charging_consent"])]
    consents += [("discharge", line["discharge_consent"])] if line["discharge_consent"] else []
    period = {"valid_from": at, "valid_until": papers["valid_until"]} if papers else {}
    wishes = {name: line["preferences"][name] for name in ("target_soc_pct", "reserve_soc_pct")}
    person = {"account_id": f"ACCT-{number:05d}-77", "holder": f"Ada Quill the {number}th"}
    place = {
        "latitude": 37.123400 + number / 1e5,
        "longitude": -122.567800 - number / 1e5,
        "address": f"{number} Elm Row",
    }
    body = {
        "vehicle_ref": line["vehicle_ref"],
        "vin": vin(number),
        "model": "i4",
        "account": {**person, "utility": "pge"},
        "home": {"zone": line["zone"], "region": "CA", "timezone": line["timezone"], "place": place},
        "programs": [*OPEN_PROGRAMS],
        "preferences": {day: {"ready_by": line["preferences"]["ready_by"][day], **wishes} for day in DAYS},
        "consents": [
            {"scope": scope, "version": one["version"], "agreed": True, "at": one["agreed_at"], "terms": "Yes."}
            for scope, one in consents
        ],
        "permissions": {
            "interconnection": {"interconnection_id": papers["interconnection_id"], **period},
            "export_limit": {"export_limit_w": papers["export_limit_w"], **period},
            "inverter_listing": {"inverter_listing": papers["inverter_listing"], **period},
        }
        if papers and papers["valid_until"] > at
        else {},
        "discharge_budget": line["discharge_budget"],
    }
    return body, [vin(number), *person.values(), *map(str, place.values())]


@contextlib.asynccontextmanager
async def receiver(refuse=()):
    """A webhook receiver that refuses some notices as often as is said; its URL and what it took."""
    heard, refusals = [], dict(refuse)

    async def take(request):
        body, headers = await request.read(), request.headers
        stamp, signature = headers["X-Timestamp"], headers["X-Signature"]
        assert signatures.verify(WEBHOOK_SECRET, stamp, signature, body, now_s=time.time()) is None
        told = json.loads(body)
        if refusals.get(told.get("event_id"), 0):
            refusals[told["event_id"]] -= 1
            return web.Response(status=503)
        heard.append(told)
        return web.Response()

    application = web.Application()
    application.router.add_post("/hook", take)
    runner = web.AppRunner(application, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", heard
    finally:
        await runner.cleanup()
