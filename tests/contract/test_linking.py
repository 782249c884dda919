"""Owners let us in: consent pages, device codes and hosted pages, each against a vendor's server on this machine."""

import asyncio
import hashlib
import itertools
import json
from base64 import urlsafe_b64encode
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
from aiohttp import web
from external_broker import free_port
from public_rigs import usual
from recorded import EnodeCloud, ReadOnlyCloud, SmartcarCloud, TeslaCloud, hurried
from typer.testing import CliRunner

from ven_adapters.__main__ import app
from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.linking.link import Ways, link, unlink
from ven_adapters.linking.returns import pasted
from ven_adapters.transport import consent
from ven_adapters.transport.grants.grants import Folder, fetch
from vtn.errors import ConfigError

SECRETS = ("hush", "refresh_token-", "access_token-", "id_token-", "SYNTHETICVIN")


class Consents:
    """What a vendor's authorisation server adds to its recorded cloud: a page, codes good once, device codes."""

    def setup(self):
        self.numbers = itertools.count(1)
        self.codes = {}
        self.says = "yes"
        self.polls = []
        self.slept = []

    async def handle(self, request):
        if request.path == "/authorize":
            return self.page(request.query)
        if request.path == "/device":
            form = dict(await request.post())
            assert form["code_challenge_method"] == "S256"
            self.codes["device"] = form["code_challenge"]
            told = {"device_code": "device", "user_code": "ABCD-1", "verification_uri": f"{self.url}/me"}  # type: ignore[attr-defined]
            return web.json_response(told | {"interval": 3, "expires_in": 600})
        return await super().handle(request)

    def page(self, query):
        back = query["redirect_uri"]
        if self.says == "no":
            told = {"error": "access_denied", "error_description": "<b>hush</b>"}
        else:
            code = f"code-{next(self.numbers)}"
            self.codes[code] = query.get("code_challenge")
            told = {"code": code}
        raise web.HTTPFound(f"{back}?{urlencode({**told, 'state': query['state']})}")

    def token(self, form):
        if form["grant_type"] == "authorization_code":
            challenge = self.codes.pop(form["code"], "gone")
            if self.says == "expired" or challenge not in {None, hashed(form.get("code_verifier", ""))}:
                return 400, {}, {"error": "invalid_grant"}
        if "device_code" in form:
            assert hashed(form["code_verifier"]) == self.codes["device"]
            answer = self.polls.pop(0) if self.polls else None
            if answer is not None:
                return 503 if answer == "away" else 400, {}, {"error": answer}
        return super().token(form)


def hashed(verifier):
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


class Tesla(Consents, TeslaCloud):
    pass


class Ford(Consents, ReadOnlyCloud):
    pass


class Bmw(Consents, ReadOnlyCloud):
    def answer(self, request, body):
        if request.path.endswith("/containers"):
            self.container = body
            return 201, {}, {"containerId": "c-77", "state": "ACTIVE"}
        return super().answer(request, body)


class Smartcar(Consents, SmartcarCloud):
    """A car comes when its owner has agreed on the page."""

    def answer(self, request, body):
        return (204, {}, None) if request.method == "DELETE" else super().answer(request, body)

    def page(self, query):
        assert (query["mode"], query["user"], query["client_id"]) == ("live", "owner-1", "us")
        self.cars["veh-synthetic-3"] = self.cars["veh-synthetic-1"]
        return super().page(query)


class Enode(Consents, EnodeCloud):
    def answer(self, request, body):
        if request.method == "DELETE":
            return 204, {}, None
        if request.path == "/users/owner-1/link":
            self.session = body
            query = {"redirect_uri": body["redirectUri"].partition("?")[0]}
            query |= {name: values[0] for name, values in parse_qs(urlsplit(body["redirectUri"]).query).items()}
            return 200, {}, {"linkUrl": f"{self.url}/authorize?{urlencode(query)}", "linkToken": "hush-link"}
        if request.path == "/users/owner-1/vehicles":
            return 200, {}, {"data": [self.vehicle(car) for car in self.cars.values()], "pagination": {}}
        return super().answer(request, body)


class Stage:
    """A vendor, its settings, an owner with a browser, and everything that the command showed."""

    def __init__(self, oem, cloud, settings) -> None:
        self.oem, self.cloud, self.settings = oem, cloud, settings
        self.shown = []
        self.port = free_port()
        self.table()["consent"] = {
            "authorize_url": f"{cloud.url}/authorize",
            "device_url": f"{cloud.url}/device",
            "redirect_uri": f"http://127.0.0.1:{self.port}/back",
        }

    def table(self):
        return self.settings.get({"bmw": "cardata", "ford": "query"}.get(self.oem), self.settings)

    def address(self):
        return next(line for text in self.shown for line in text.split() if line.startswith("http"))

    async def until_shown(self):
        async with asyncio.timeout(60):
            while not self.shown:  # noqa: ASYNC110 - the command's own pace
                await asyncio.sleep(0.01)
        return self.address()

    async def browser(self, address=None, **changes):
        """Go where the owner is sent; the page that he ends on. `changes` replace fields of the return."""
        async with aiohttp.ClientSession() as http:
            async with http.get(address or await self.until_shown(), allow_redirects=False) as answer:
                back = urlsplit(answer.headers["Location"])
            query = {name: values[0] for name, values in parse_qs(back.query).items()} | changes
            url = back._replace(query=urlencode(query)).geturl()
            async with asyncio.timeout(60):
                while True:
                    try:
                        async with http.get(url) as answer:
                            return answer.status, await answer.text()
                    except aiohttp.ClientConnectorError:
                        await asyncio.sleep(0.01)

    def link(self, account="owner-1", **ways):
        again = ways.pop("again", False)
        given = Ways(self.shown.append, **ways)
        return link(self.oem, self.settings, account, given, again=again)

    async def linked(self, account="owner-1", **ways):
        """The command beside an owner who goes through with it."""
        cars, _ = await asyncio.gather(self.link(account, **ways), self.browser())
        return cars

    async def fails(self, work):
        with pytest.raises(BackendError) as caught:
            await work
        return caught.value


def stage_of(oem, cloud_class, tmp_path):
    """Made inside a test: the cloud is opened by the fixture."""
    clock = hurried(1.0)
    cloud = cloud_class(clock) if oem not in ("bmw", "ford") else cloud_class(oem, clock)
    cloud.setup()
    return clock, cloud


@pytest.fixture(params=[("tesla", Tesla)], ids=["tesla"])
async def stage(request, tmp_path):
    async for made in staged(*request.param, tmp_path):  # type: ignore[call-arg]
        yield made


async def staged(oem, cloud_class, tmp_path):
    clock, cloud = stage_of(oem, cloud_class, tmp_path)
    async with cloud.open():
        settings = usual(cloud, clock, tmp_path)
        named = {name: f"car-{number}" for number, name in enumerate(cloud.cars)} if cloud.cars else {}
        settings["vehicles"] = named
        if oem in ("bmw", "ford"):
            settings = {"url": "http://x", "token": "t", {"bmw": "cardata", "ford": "query"}[oem]: settings}
        yield Stage(oem, cloud, settings)


def quiet(stage):
    return not [secret for secret in SECRETS if secret in "\n".join(stage.shown)]


async def test_an_owner_who_agrees_leaves_a_grant_and_his_cars_are_named(stage, tmp_path):
    assert await stage.linked() == ["car-0", "car-1"]
    assert fetch(tmp_path / "grants" / "owner-1.json").refresh_token == "refresh_token-1"
    assert "2 car(s) came" in "\n".join(stage.shown)
    assert "_ak/" in stage.shown[-1]
    assert quiet(stage)


async def test_the_address_carries_what_the_vendor_wants_and_no_secret(stage):
    await stage.linked()
    query = parse_qs(urlsplit(stage.address()).query)
    assert query["client_id"] == ["us"]
    assert "vehicle_charging_cmds" in query["scope"][0].split()
    assert "code_challenge" not in query


async def test_a_return_to_localhost_is_caught_on_every_address_that_this_machine_has_for_it(stage):
    stage.settings["consent"]["redirect_uri"] = f"http://localhost:{stage.port}/back"
    assert await stage.linked() == ["car-0", "car-1"]


async def test_pkce_is_used_where_the_vendor_has_it(stage):
    stage.settings["consent"]["pkce"] = True
    assert await stage.linked() == ["car-0", "car-1"]
    assert parse_qs(urlsplit(stage.address()).query)["code_challenge_method"] == ["S256"]


async def test_an_owner_who_says_no_is_named_and_nothing_is_kept(stage, tmp_path):
    stage.cloud.says = "no"
    error, page = await asyncio.gather(stage.fails(stage.link()), stage.browser())
    assert error.code is ErrorCode.CONSENT_REVOKED
    assert "begin again" in error.detail
    assert "hush" not in error.detail
    assert page[0] == 200
    assert Folder(tmp_path / "grants").names() == ()


async def test_a_return_with_another_state_is_not_taken_and_the_right_one_still_is(stage):
    linking = asyncio.create_task(stage.link())
    status, text = await stage.browser(state="another")
    assert (status, "does not belong" in text) == (400, True)
    assert not linking.done()
    await stage.browser()
    assert await linking == ["car-0", "car-1"]


async def test_a_code_that_is_too_old_says_what_to_do(stage, tmp_path):
    stage.cloud.says = "expired"
    error, _ = await asyncio.gather(stage.fails(stage.link()), stage.browser())
    assert error.code is ErrorCode.REAUTH_REQUIRED
    assert "Begin again" in error.detail
    assert Folder(tmp_path / "grants").names() == ()


async def test_nobody_who_comes_back_is_waited_for_without_end(stage):
    error = await stage.fails(stage.link(patience_s=0.05))
    assert "run the command again" in error.detail


async def test_an_account_is_linked_once_at_a_time(stage):
    first = asyncio.create_task(stage.link())
    await stage.until_shown()
    error = await stage.fails(stage.link())
    assert "under way" in error.detail
    await stage.browser()
    assert await first == ["car-0", "car-1"]


async def test_another_account_on_the_same_port_is_told_so(stage):
    first = asyncio.create_task(stage.link())
    async with aiohttp.ClientSession() as http, asyncio.timeout(60):
        while True:
            try:
                async with http.get(f"http://127.0.0.1:{stage.port}/back"):
                    break
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.01)
    error = await stage.fails(stage.link("owner-2"))
    assert "is another link under way" in error.detail
    await stage.browser()
    await first


async def test_a_grant_is_replaced_only_when_asked(stage, tmp_path):
    await stage.linked()
    error = await stage.fails(stage.link())
    assert "--again" in error.detail
    stage.shown.clear()
    await stage.linked(again=True)
    assert fetch(tmp_path / "grants" / "owner-1.json").refresh_token != "refresh_token-1"


async def pasting(stage, **changes):
    """The address that the browser ends on, as the owner pastes it."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(await stage.until_shown(), allow_redirects=False) as answer,
    ):
        back = urlsplit(answer.headers["Location"])
    query = {name: values[0] for name, values in parse_qs(back.query).items()} | changes
    return back._replace(query=urlencode(query)).geturl()


async def test_a_returned_address_may_be_pasted(stage):
    stage.settings["consent"]["redirect_uri"] = "https://ours.example/back"
    assert await stage.link(paste=lambda: pasting(stage)) == ["car-0", "car-1"]


@pytest.mark.parametrize(
    ("paste", "says"), [({"state": "x"}, "another consent"), (None, "paste the whole address")], ids=["state", "empty"]
)
async def test_a_pasted_address_of_another_consent_is_refused(stage, paste, says):
    async def given():
        return await pasting(stage, **paste) if paste else "nothing"

    assert says in (await stage.fails(stage.link(paste=given))).detail


async def test_a_return_that_is_not_on_this_machine_must_be_pasted(stage):
    stage.settings["consent"]["redirect_uri"] = "https://ours.example/back"
    assert "--paste" in (await stage.fails(stage.link())).detail


async def test_a_grant_whose_cars_cannot_be_listed_is_kept_all_the_same(stage, tmp_path):
    stage.cloud.fail("/vehicles", "internal_500", times=9)
    assert await stage.linked() == []
    assert "could not be listed" in stage.shown[-1]
    assert Folder(tmp_path / "grants").holds("owner-1")


@pytest.mark.parametrize(("key", "value"), [("scope", 1), ("nowhere", "x"), ("authorize_url", "ftp://x")])
async def test_a_wrong_setting_is_named(stage, key, value):
    stage.settings["consent"][key] = value
    error = await stage.fails(stage.link())
    assert f"settings.consent.{key}" in error.detail


async def test_what_an_owner_granted_can_be_erased(stage, tmp_path):
    await stage.linked()
    await unlink("tesla", stage.settings, "owner-1")
    assert Folder(tmp_path / "grants").names() == ()
    assert "has no grant" in (await stage.fails(unlink("tesla", stage.settings, "owner-1"))).detail


@pytest.mark.parametrize(
    ("oem", "cloud", "path"),
    [("enode", "Enode", "/users/owner-1/authorization"), ("smartcar", "Smartcar", "/users/owner-1")],
)
async def test_a_grant_that_the_vendor_keeps_is_ended_there(oem, cloud, path, tmp_path):
    async for stage in staged(oem, globals()[cloud], tmp_path):
        await unlink(oem, stage.settings, "owner-1")
        assert ("DELETE", path) in stage.cloud.requests


# --- device codes -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def bmw(tmp_path, monkeypatch):
    slept = []

    async def sleep(wait_s):
        slept.append(wait_s)

    async for made in staged("bmw", Bmw, tmp_path):
        made.cloud.slept = slept
        given = consent.DeviceConsent.__init__.__defaults__
        monkeypatch.setattr(consent.DeviceConsent.__init__, "__defaults__", (*given[:-1], sleep))
        yield made


async def test_a_device_code_is_confirmed_elsewhere_and_asked_for_patiently(bmw, tmp_path):
    bmw.cloud.polls = ["authorization_pending", "slow_down"]
    cars = await bmw.link()
    assert len(cars) == 1
    assert "ABCD-1" in bmw.shown[1]
    assert [wait_s for wait_s in bmw.cloud.slept if wait_s] == [3.0, 3.0, 8.0]
    grant = fetch(tmp_path / "grants" / "owner-1.json")
    assert (grant.id_token, bool(grant.subject)) == ("id_token-1", True)
    assert quiet(bmw)


async def test_who_has_no_container_of_readings_gets_one(bmw):
    await bmw.link()
    assert 'container = "c-77"' in bmw.shown[-1]
    assert "vehicle.body.chargingPort.status" in bmw.cloud.container["technicalDescriptors"]


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        ("access_denied", ErrorCode.CONSENT_REVOKED, "consent again"),
        ("expired_token", ErrorCode.REAUTH_REQUIRED, "begin again"),
        ("invalid_client", ErrorCode.REAUTH_REQUIRED, "invalid_client"),
    ],
)
async def test_a_device_code_that_comes_to_nothing_says_why(bmw, answer, code, says):
    bmw.cloud.polls = ["authorization_pending", answer]
    error = await bmw.fails(bmw.link())
    assert (error.code, says in error.detail) == (code, True)


async def test_a_server_that_is_away_for_a_moment_is_asked_again(bmw):
    bmw.cloud.polls = ["away", "authorization_pending"]
    assert len(await bmw.link()) == 1


# --- pages that vendors host ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("oem", "cloud", "cars"), [("smartcar", Smartcar, 1), ("enode", Enode, 2), ("ford", Ford, 1)])
async def test_an_owner_comes_back_from_the_vendors_own_page_and_his_cars_are_named(oem, cloud, cars, tmp_path):
    async for stage in staged(oem, cloud, tmp_path):
        assert len(await stage.linked()) == cars
        assert f"{cars} car(s) came" in "\n".join(stage.shown)
        assert quiet(stage)


async def test_an_owner_who_says_no_on_a_hosted_page_is_named(tmp_path):
    async for stage in staged("enode", Enode, tmp_path):
        stage.cloud.says = "no"
        error, _ = await asyncio.gather(stage.fails(stage.link()), stage.browser())
        assert error.code is ErrorCode.CONSENT_REVOKED
        assert stage.cloud.session["vendorType"] == "vehicle"


# --- the command ------------------------------------------------------------------------------------------------------


def config(tmp_path, oem):
    path = tmp_path / "adapter.toml"
    vtn = {"url": "http://127.0.0.1:1", "client_id": "c", "client_secret": "s"}
    lines = [f'oem = "{oem}"', 'client_name = "a"', 'enrolments = ["x"]', "[vtn]"]
    path.write_text("\n".join([*lines, *(f"{key} = {json.dumps(value)}" for key, value in vtn.items()), "[backend]"]))
    return str(path)


@pytest.mark.parametrize(
    ("oem", "name", "says"),
    [
        ("bmw", "tesla", "oem: is 'bmw'"),
        ("honda", "honda", "needs no owner's consent"),
        ("bmw", "bmw", "settings.cardata: is required"),
        ("tesla", "tesla", "settings.url: is required"),
    ],
)
def test_a_link_that_cannot_begin_is_one_sentence(tmp_path, oem, name, says):
    done = CliRunner().invoke(app, ["link", name, "--account", "owner-1", "--config", config(tmp_path, oem)])
    assert isinstance(done.exception, ConfigError)
    assert says in str(done.exception)


def test_an_executors_settings_file_serves_as_well(tmp_path):
    path = tmp_path / "executor.toml"
    path.write_text('oem = "honda"\n[queue]\nurl = "nats://127.0.0.1:4222"\n[backend]\n')
    done = CliRunner().invoke(app, ["link", "honda", "--account", "owner-1", "--config", str(path)])
    assert "needs no owner's consent" in str(done.exception)


@pytest.mark.parametrize("text", ["http://[::1/?state=s", "http://localhost/?state=\udcff"])
def test_a_pasted_text_that_is_no_address_is_one_sentence(text):
    with pytest.raises(BackendError):
        pasted(text, "s")
