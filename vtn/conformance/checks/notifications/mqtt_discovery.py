"""What /notifiers and the twelve topic endpoints answer (section MQTT); delivery is in `mqtt_delivery`."""

import asyncio
import dataclasses
import functools
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import aiomqtt

from vtn.checking.verdict import Failed, Skipped, expect
from vtn.conformance.check import ConformanceCheck, Need, check, register
from vtn.conformance.kit import HIDDEN, NO_WEBHOOKS, Kit
from vtn.conformance.parties.exchange import Json, Party
from vtn.conformance.parties.listener import Login, connected, listening
from vtn.conformance.requirements import Level, every
from vtn.conformance.stage import Fixtures, staged

MQTT = (Need.MQTT,)
METHODS = {"ANONYMOUS", "OAUTH2_BEARER_TOKEN", "CERTIFICATE"}
LOGIN_WITHIN_S = 10.0
ANY, BL_ONLY, OWNER = "any", "bl", "owner"
ENDPOINTS: Mapping[str, str] = {
    "programs": ANY,
    "programs/{P}": ANY,
    "events": BL_ONLY,
    "programs/{P}/events": ANY,
    "reports": BL_ONLY,
    "subscriptions": BL_ONLY,
    "vens": BL_ONLY,
    "vens/{V}": OWNER,
    "resources": BL_ONLY,
    "vens/{V}/events": OWNER,
    "vens/{V}/programs": OWNER,
    "vens/{V}/resources": OWNER,
}
TOPICS = "/notifiers/mqtt/topics"


async def offered(party: Party) -> Json:
    """The MQTT binding as this party is told of it."""
    binding = (await party.get("/notifiers")).shows(200).object.get("MQTT")
    if not isinstance(binding, dict):
        raise Failed(f"{party.who} should be told of an MQTT binding, as Business Logic is")
    return binding


async def method(party: Party, wanted: str | None = None) -> Json:
    """How to log in; Skipped when a certain method is wanted and this broker has another."""
    authentication: Json = (await offered(party))["authentication"]
    if wanted is not None and authentication.get("method") != wanted:
        raise Skipped(f"this broker's method is {authentication.get('method')}, not {wanted}")
    return authentication


async def login(kit: Kit, party: Party) -> Login:
    """How this party logs in."""
    return await kit.login(await offered(party), party)


async def gets_in(how: Login, **options: Any) -> bool:
    """Whether the broker lets somebody in; Failed when it does not answer."""
    try:
        async with asyncio.timeout(LOGIN_WITHIN_S), connected(how, **options):
            return True
    except aiomqtt.MqttError:
        return False
    except TimeoutError:
        raise Failed(f"the broker did not answer within {LOGIN_WITHIN_S:g} s") from None


def path_of(endpoint: str, stage: Fixtures, program: str = "P0", ven: str = "V1") -> str:
    """The path of a topic endpoint for fixtures."""
    return endpoint.format(
        P=stage.id(program) if "{P}" in endpoint else "", V=stage.id(ven) if "{V}" in endpoint else ""
    )


# --- what is offered -------------------------------------------------------------------------------------------------


@check("MQTT-01", "MQTT-02", "MQTT-03")
async def notifiers_are_listed(kit: Kit) -> None:
    """GET /notifiers answers an object with WEBHOOK true, and with MQTT as an object or not at all."""
    for party in (kit.bl, kit.ven):
        found = (await party.get("/notifiers")).shows(200).object
        expect(found.get("WEBHOOK") is True, f"WEBHOOK should be true, is {found.get('WEBHOOK')}", NO_WEBHOOKS)
        expect(
            "MQTT" not in found or isinstance(found["MQTT"], dict), f"MQTT should be an object, is {found.get('MQTT')}"
        )


@check("MQTT-04", "MQTT-05", "MQTT-06", "MQTT-10", needs=MQTT)
async def a_binding_says_where_and_how(kit: Kit) -> None:
    """Every client is told URIS, the serialization JSON and one of three methods, and gets in with what it is told."""
    for party in (kit.bl, kit.ven, kit.ven2):
        binding = await offered(party)
        expect(binding.get("URIS") and isinstance(binding["URIS"], list), "URIS should be a list of URIs")
        expect(
            binding.get("serialization") == "JSON", f"serialization should be JSON, is {binding.get('serialization')}"
        )
        expect(binding["authentication"].get("method") in METHODS, f"the method is {binding['authentication']}")
        expect(await gets_in(await login(kit, party)), f"the broker should let {party.who} in as /notifiers says")


@check("MQTT-07", needs=MQTT)
async def anonymous_login_needs_nothing_more(kit: Kit) -> None:
    """With ANONYMOUS the authentication has no more than its method, and targeted events are heard by nobody."""
    told = await method(kit.ven, "ANONYMOUS")
    expect(told.keys() == {"method"}, f"ANONYMOUS should say nothing more, but says {sorted(told)}")
    program = await kit.program()
    topics = await kit.topics(kit.ven, f"programs/{program['id']}/events")
    how = dataclasses.replace(await login(kit, kit.ven), client_id="", token=None)
    async with listening(how, topics["CREATE"], "#") as ear:
        hidden, open_to_all = await kit.event(program, targets=[kit.name("t")]), await kit.event(program)
        await ear.until("CREATE", open_to_all)
        await ear.never(hidden)


@check("MQTT-08", needs=MQTT)
async def the_token_is_the_password(kit: Kit) -> None:
    """A client gets in with its clientID (or the given name) and its token, and with no other name or password."""
    told = await method(kit.ven, "OAUTH2_BEARER_TOKEN")
    expect(isinstance(told.get("username"), str) and told["username"], f"username should be a text, is {told}")
    how = await login(kit, kit.ven)
    expect(await gets_in(how), "the client should get in with its token")
    wrong: list[dict[str, Any]] = [{"password": "garbage"}, {"password": ""}, {"password": f"{how.token}x"}]
    if "{clientID}" in told["username"]:
        wrong += [{"password": await kit.ven2.token()}, {"username": kit.ven2.client_id}, {"username": kit.name("x")}]
    for other in wrong:
        expect(not await gets_in(how, **other), f"the broker let somebody in with a wrong {next(iter(other))}")
    expect(not await gets_in(how, username=None, password=None), "the broker let somebody in without a name")


@check("MQTT-09", needs=MQTT)
async def certificates_are_each_clients_own(kit: Kit) -> None:
    """With CERTIFICATE two clients are told different keys, in answers that are not stored, and get in with them."""
    first, second = [await method(party, "CERTIFICATE") for party in (kit.ven, kit.ven2)]
    for name in ("clientCert", "clientKey"):
        expect(first.get(name) and first[name] != second.get(name), f"each client should have a {name} of its own")
    kept = (await kit.ven.get("/notifiers")).headers.get("Cache-Control", "")
    expect("no-store" in kept, f"an answer with a private key should be no-store, but is {kept!r}")
    expect(await gets_in(await login(kit, kit.ven)), "the client should get in with its certificate")


@check("MQTT-11", "SEC-13", needs=(Need.MQTT, Need.TLS))
async def the_broker_is_reached_over_tls(kit: Kit) -> None:
    """Every URI of the broker is mqtts."""
    for uri in (await offered(kit.bl))["URIS"]:
        expect(urlsplit(uri).scheme == "mqtts", f"the broker's URI should be mqtts, is {uri}")


@check("MQTT-12", needs=MQTT)
async def the_broker_speaks_mqtt_3_1_1_or_later(kit: Kit) -> None:
    """A client gets in with MQTT 3.1.1 or with 5.0."""
    how = await login(kit, kit.ven)
    versions = (aiomqtt.ProtocolVersion.V311, aiomqtt.ProtocolVersion.V5)
    expect(any([await gets_in(how, protocol=version) for version in versions]), "neither 3.1.1 nor 5.0 is spoken")


@check("MQTT-12", level=Level.SHOULD, needs=MQTT)
async def the_broker_speaks_mqtt_5(kit: Kit) -> None:
    """A client gets in with MQTT 5.0."""
    got_in = await gets_in(await login(kit, kit.ven), protocol=aiomqtt.ProtocolVersion.V5)
    expect(got_in, "the broker does not speak MQTT 5.0")


@check("MQTT-15")
async def without_mqtt_there_are_no_topics(kit: Kit) -> None:
    """A VTN without MQTT answers 404 (or 501) with a problem document at all topic endpoints."""
    if kit.mqtt is not None:
        raise Skipped("this VTN offers MQTT")
    stage = await staged(kit, "P0", "V1")
    for endpoint in ENDPOINTS:
        (await kit.bl.get(f"{TOPICS}/{path_of(endpoint, stage)}")).problem(404, 501)


# --- the topic endpoints ---------------------------------------------------------------------------------------------


@check("MQTT-14", "MQTT-16", "MQTT-17", needs=MQTT)
async def all_twelve_topic_endpoints_name_their_topics(kit: Kit) -> None:
    """Each answers UPDATE and DELETE, CREATE for collections only, perhaps ALL, and all of them different texts."""
    stage = await staged(kit, "P0", "V1")
    for endpoint, who in ENDPOINTS.items():
        named(await kit.topics(kit.bl, path_of(endpoint, stage)), endpoint)
        if who == OWNER:
            named(await kit.topics(kit.ven, path_of(endpoint, stage)), endpoint)


def named(topics: Mapping[str, Any], endpoint: str) -> None:
    """Failed unless these are the topics of an endpoint."""
    wanted = {"UPDATE", "DELETE"} | (set() if endpoint.endswith("}") else {"CREATE"})
    expect(topics.keys() - {"ALL"} == wanted, f"topics/{endpoint} should name {wanted}, names {sorted(topics)}")
    texts = all(isinstance(topic, str) and topic for topic in topics.values())
    expect(texts and len(set(topics.values())) == len(topics), f"the topics should be different texts: {dict(topics)}")


async def _endpoint(endpoint: str, kit: Kit) -> None:
    """One endpoint: who is told topics, and who is refused how."""
    stage = await staged(kit, "P0", "P9", "V1", "V2")
    named(await kit.topics(kit.bl, path_of(endpoint, stage)), endpoint)
    if ENDPOINTS[endpoint] == BL_ONLY:
        (await kit.ven.get(f"{TOPICS}/{endpoint}")).problem(403)
        return
    if not await _kept_to_bl(kit, endpoint, stage):
        named(await kit.topics(kit.ven, path_of(endpoint, stage)), endpoint)
    hidden = path_of(endpoint, stage, "P9", "V2")
    if hidden != endpoint:
        (await kit.ven.get(f"{TOPICS}/{hidden}")).problem(*HIDDEN)
    unknown = endpoint.format(P="no-such-id", V="no-such-id")
    if unknown != endpoint:
        (await kit.bl.get(f"{TOPICS}/{unknown}")).problem(404)


async def _kept_to_bl(kit: Kit, endpoint: str, stage: Fixtures) -> bool:
    """Whether the topics of programs are told to Business Logic only: the standard's scope, read literally (SCO-11)."""
    answer = await kit.ven.get(f"{TOPICS}/{path_of(endpoint, stage)}")
    return ENDPOINTS[endpoint] == ANY and answer.status == HTTPStatus.FORBIDDEN


for _number, _endpoint_path in enumerate(ENDPOINTS, start=20):
    _row = every()[f"MQTT-{_number}"]
    _name = _endpoint_path.replace("/{P}", "_of_one").replace("/{V}", "_of_one").replace("/", "_")
    _run = functools.partial(_endpoint, _endpoint_path)
    register(ConformanceCheck(f"mqtt_topics_{_name}", _row.text, (_row.id,), _row.level, MQTT, _run))


@check("MQTT-32", needs=MQTT)
async def a_program_has_no_topics_of_reports_and_subscriptions(kit: Kit) -> None:
    """Topic endpoints for a program's reports or subscriptions do not exist."""
    program = await kit.program()
    for kind in ("reports", "subscriptions", "resources"):
        (await kit.bl.get(f"{TOPICS}/programs/{program['id']}/{kind}")).problem(404)


@check("MQTT-44", needs=MQTT)
async def ids_in_topic_paths_are_checked_like_those_of_reads(kit: Kit) -> None:
    """Ids with foreign characters are refused (400, 404), and hidden ones in the same words as unknown ones."""
    stage = await staged(kit, "P9")
    for path in ("programs/bad%21id", "programs/%23/events", "vens/%2B/events", "vens/bad%20id"):
        (await kit.bl.get(f"{TOPICS}/{path}")).problem(400, 404)
    words = []
    for path in (f"programs/{stage.id('P9')}", "programs/no-such-id"):
        content = (await kit.ven.get(f"{TOPICS}/{path}")).problem(404).object
        words.append({name: value for name, value in content.items() if name != "instance"})
    expect(words[0] == words[1], "a hidden program is refused in other words than an unknown one")


# --- the fields ------------------------------------------------------------------------------------------------------


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _uris(value: Any) -> bool:
    return isinstance(value, list) and all(
        _text(one) and urlsplit(one).scheme and urlsplit(one).netloc for one in value
    )


def _shape(value: Any) -> bool:
    wanted = {
        "ANONYMOUS": set(),
        "OAUTH2_BEARER_TOKEN": {"username"},
        "CERTIFICATE": {"caCert", "clientCert", "clientKey"},
    }
    return isinstance(value, dict) and value.get("method") in wanted and wanted[value["method"]] <= value.keys()


async def _answers(kit: Kit) -> list[Json]:
    return [(await party.get("/notifiers")).shows(200).object for party in (kit.bl, kit.ven)]


async def _bindings(kit: Kit) -> list[Json]:
    return [await offered(party) for party in (kit.bl, kit.ven)]


def _methods(name: str) -> Callable[[Kit], Awaitable[list[Json]]]:
    async def found(kit: Kit) -> list[Json]:
        return [await method(party, name) for party in (kit.bl, kit.ven)]

    return found


async def _topic_sets(kit: Kit) -> list[Json]:
    stage = await staged(kit, "P0", "V1")
    paths = [path_of(endpoint, stage) for endpoint in ENDPOINTS]
    return [{"topics": await kit.topics(kit.bl, path)} for path in paths]


async def _topics_of_all(kit: Kit) -> list[Json]:
    return [one["topics"] for one in await _topic_sets(kit)]


@dataclasses.dataclass(frozen=True, slots=True)
class DiscoveryField:
    """A field of what is answered: where it is found, whether it is always there, and what it may be."""

    found: Callable[[Kit], Awaitable[list[Json]]]
    name: str
    right: Callable[[Any], bool]
    always: bool = True
    needs: tuple[Need, ...] = MQTT

    async def obeyed(self, kit: Kit) -> None:
        """Failed when it is missing though it must be there, or wrong."""
        for content in await self.found(kit):
            missing = self.name not in content
            expect(not (missing and self.always), f"{self.name} is missing")
            expect(
                missing or self.right(content[self.name]), f"{self.name} breaks its schema: {content.get(self.name)!r}"
            )


FIELDS = (
    DiscoveryField(_answers, "WEBHOOK", lambda value: isinstance(value, bool), needs=()),
    DiscoveryField(_answers, "MQTT", lambda value: isinstance(value, dict), always=False, needs=()),
    DiscoveryField(_bindings, "URIS", _uris),
    DiscoveryField(_bindings, "serialization", lambda value: bool(value == "JSON")),
    DiscoveryField(_bindings, "authentication", _shape),
    DiscoveryField(_methods("ANONYMOUS"), "method", _text),
    DiscoveryField(_methods("OAUTH2_BEARER_TOKEN"), "method", _text),
    DiscoveryField(_methods("OAUTH2_BEARER_TOKEN"), "username", _text),
    *(DiscoveryField(_methods("CERTIFICATE"), name, _text) for name in ("method", "caCert", "clientCert", "clientKey")),
    DiscoveryField(_topics_of_all, "CREATE", _text, always=False),
    DiscoveryField(_topics_of_all, "UPDATE", _text),
    DiscoveryField(_topics_of_all, "DELETE", _text),
    DiscoveryField(_topics_of_all, "ALL", _text, always=False),
    DiscoveryField(_topic_sets, "topics", lambda value: isinstance(value, dict)),
)
for _number, _field in enumerate(FIELDS, start=1):
    _row = every()[f"MQTT-F{_number:02}"]
    _name = _row.text.partition("`")[2].partition("`")[0].replace(".", "_")
    register(
        ConformanceCheck(
            f"{_name}_follows_its_schema",
            _row.text,
            (_row.id,),
            _row.level,
            _field.needs,
            functools.partial(DiscoveryField.obeyed, _field),
        )
    )
