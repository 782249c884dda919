"""Drives python-oa3-client against a VTN: every public member, as BL and as VEN, with webhooks, MQTT and discovery.

Reads the facts as JSON from standard input: `url`, `secrets`, `spec` (an OpenAPI file or null), and `open` with its
`open_secrets`: another VTN whose broker admits everybody. See drive_parts for what it prints.
"""

import functools
import json
import sys
import uuid
from collections.abc import Callable
from typing import Any

import openadr3_client
import pendulum
import zeroconf
from drive_oa3_channels import closed_broker, open_broker, subscription, webhooks
from drive_parts import Drive, Receiver, members_of_modules, public_members
from openadr3.api import OpenADRClient
from openadr3_client import BlClient, VenClient
from openadr3_client.discovery import DiscoveredVTN, advertise_vtn, discover_vtns, resolve_url
from openadr3_client.ven import extract_topics

BROWSE_S = 4.0
ROLES = ("bl", "ven")
INTERVALS = [{"id": 0, "payloads": [{"type": "PRICE", "values": [0.17]}]}]
EXCUSED = {
    "detect_lan_ip": "looks at the addresses of this machine and speaks to nobody",
    "NotificationChannel": "a protocol, which both channels follow",
}
ONLY_BL = {"refused": 403, "why": "programs and events are written by Business Logic only (SCO-O01..O45)"}
ONLY_VEN = {"refused": 403, "why": "reports are written by VENs only (SCO-O01..O45)"}
READS_BL = {"refused": 403, "why": "needs read_bl, which VENs cannot have (SCO-O01..O45)"}


def fresh(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def has(wanted: str) -> Callable[[Any], bool]:
    """A check that a list, of documents in an answer or of objects, contains an id."""

    def check(found: Any) -> bool:
        items = found if isinstance(found, list) else found.json()
        return wanted in [item.id if hasattr(item, "id") else item["id"] for item in items]

    return check


def clients(drive: Drive, facts: dict[str, Any]) -> None:
    """Both clients, with their tokens fetched from the VTN's own issuer."""
    for role, client_id, kind in (("bl", "bl", BlClient), ("ven", "c1", VenClient)):
        who = {"client_id": client_id, "client_secret": facts["secrets"][client_id]}
        drive.roles[role] = kind(url=facts["url"], spec_path=facts["spec"], **who)
        drive.do(f"{role}.start")
        drive.do(f"{role}.api", check=lambda it: isinstance(it, OpenADRClient))
        drive.do(f"{role}.get_auth_server", check=lambda it: it.json()["tokenURL"] == f"{facts['url']}/auth/token")
        drive.do(f"{role}.fetch_token", *who.values(), check=lambda it: it.count(".") == 2)
        drive.do(f"{role}.all_routes", check=lambda it: not facts["spec"] or "/programs" in it)
        drive.do(f"{role}.endpoint_scopes", "/events", "post", check=lambda it: it == ["write_events"] * len(it))
        drive.do(f"{role}.authorized", "/vens", "post", check=lambda it: it is True)


def reads(drive: Drive, kind: str, made_id: str, **narrowed: str) -> None:
    """Both roles read, as documents and as objects."""
    for role in ROLES:
        drive.do(f"{role}.get_{kind}s", **narrowed, skip=0, limit=50, check=has(made_id))
        drive.do(f"{role}.get_{kind}_by_id", made_id, check=lambda it: it.json()["id"] == made_id)
        drive.do(f"{role}.{kind}s", **narrowed, check=has(made_id))
        drive.do(f"{role}.{kind}", made_id, check=lambda it: it.id == made_id)


def written(drive: Drive, role: str, kind: str, body: dict[str, Any], **refusal: Any) -> str:
    """Create and replace an object, unless it is refused; its id."""
    made = drive.do(f"{role}.create_{kind}", body, **refusal)
    made_id = made.json().get("id", "unknown")
    drive.do(f"{role}.update_{kind}", made_id, body, **refusal)
    return made_id


def programs(drive: Drive) -> tuple[str, str]:
    """A program that Business Logic writes: its name and id."""
    name = fresh("program")
    made_id = written(drive, "bl", "program", {"programName": name})
    written(drive, "ven", "program", {"programName": fresh("program")}, **ONLY_BL)
    drive.do("ven.delete_program", made_id, **ONLY_BL)
    reads(drive, "program", made_id)
    for role in ROLES:
        drive.do(f"{role}.find_program_by_name", name, check=lambda it: it.id == made_id)
    drive.do("ven.resolve_program_id", name, check=lambda it: it == made_id)
    return name, made_id


def vens(drive: Drive) -> str:
    """Each role makes one and deletes it; then the VEN registers, twice, and has one ven."""
    bodies = {
        "bl": {"objectType": "BL_VEN_REQUEST", "venName": fresh("ven"), "clientID": "c2", "targets": ["west"]},
        "ven": {"objectType": "VEN_VEN_REQUEST", "venName": fresh("ven")},
    }
    for role, body in bodies.items():
        drive.do(f"{role}.delete_ven", written(drive, role, "ven", body))
    name = fresh("ven")
    drive.do("ven.register", name)
    made_id = drive.do("ven.ven_id")
    drive.do("ven.register", name, check=lambda it: it.ven_id == made_id)
    drive.do("ven.ven_name", check=lambda it: it == name)
    for role in ROLES:
        drive.do(f"{role}.find_ven_by_name", name, check=lambda it: it.id == made_id)
    reads(drive, "ven", made_id)
    return made_id


def resources(drive: Drive, ven_id: str) -> None:
    bodies = {
        "bl": {"objectType": "BL_RESOURCE_REQUEST", "clientID": "c1", "targets": ["west"]},
        "ven": {"objectType": "VEN_RESOURCE_REQUEST"},
    }
    for role, body in bodies.items():
        made_id = written(drive, role, "resource", {**body, "resourceName": fresh("meter"), "venID": ven_id})
        reads(drive, "resource", made_id, venID=ven_id)
        drive.do(f"{role}.delete_resource", made_id)


def events(drive: Drive, program_name: str, program_id: str) -> str:
    start = pendulum.now("UTC").to_iso8601_string()
    period = {"start": start, "duration": "PT1H", "randomizeStart": "PT5M"}
    body = {"programID": program_id, "eventName": "e", "intervalPeriod": period, "intervals": INTERVALS}
    made_id = written(drive, "bl", "event", body)
    written(drive, "ven", "event", body, **ONLY_BL)
    drive.do("ven.delete_event", made_id, **ONLY_BL)
    reads(drive, "event", made_id, programID=program_id)
    drive.do("ven.poll_events", program_name, check=has(made_id))
    return made_id


def reports(drive: Drive, event_id: str) -> None:
    part = {"resourceName": "meter", "intervals": [{"id": 0, "payloads": [{"type": "USAGE", "values": [1.25]}]}]}
    described = [{"objectType": "REPORT_PAYLOAD_DESCRIPTOR", "payloadType": "USAGE", "units": "KWH"}]
    body = {"eventID": event_id, "clientName": "c1", "payloadDescriptors": described, "resources": [part]}
    made_id = written(drive, "ven", "report", body)
    written(drive, "bl", "report", body, **ONLY_VEN)
    reads(drive, "report", made_id, eventID=event_id)
    drive.do("bl.delete_report", made_id, **ONLY_VEN)
    drive.do("ven.delete_report", made_id)


def subscriptions(drive: Drive, program_id: str) -> None:
    receiver = Receiver()
    for role in ROLES:
        made_id = written(drive, role, "subscription", subscription(program_id, receiver.url))
        for reader in (role, "bl"):
            drive.do(f"{reader}.get_subscriptions", programID=program_id, check=has(made_id))
            drive.do(f"{reader}.get_subscription_by_id", made_id)
            drive.do(f"{reader}.subscriptions", check=has(made_id))
            drive.do(f"{reader}.subscription", made_id, check=lambda it: it.object_operations[0].objects == ["EVENT"])
        drive.do(f"{role}.delete_subscription", made_id)


def topics(drive: Drive, program_id: str, ven_id: str) -> None:
    of_bl = ("events", "reports", "subscriptions", "vens", "resources")
    of_ven = ("ven", "ven_events", "ven_programs", "ven_resources")
    for role, refusal in (("bl", {}), ("ven", READS_BL)):
        drive.do(f"{role}.get_notifiers", check=lambda it: it.json()["WEBHOOK"] is True)
        drive.do(f"{role}.get_mqtt_topics_programs")
        drive.do(f"{role}.get_mqtt_topics_program", program_id)
        answer = drive.do(f"{role}.get_mqtt_topics_program_events", program_id)
        drive.run(extract_topics, answer, check=lambda it: len(it) == 4)
        for name in of_bl:
            drive.do(f"{role}.get_mqtt_topics_{name}", **refusal)
        for name in of_ven:
            drive.do(f"{role}.get_mqtt_topics_{name}", *([ven_id] if role == "bl" else []))


def discovery(drive: Drive, facts: dict[str, Any]) -> None:
    """Found by mDNS, on the loopback interface only."""
    zeroconf.Zeroconf = functools.partial(zeroconf.Zeroconf, interfaces=["127.0.0.1"])
    name = fresh("vtn")
    where = {"host": "127.0.0.1", "port": 443, "local_url": facts["url"], "name": name}
    with drive.run(advertise_vtn, **where):
        found = drive.run(discover_vtns, BROWSE_S, check=lambda all_: any(one.name.startswith(name) for one in all_))
        ours = next(one for one in found if one.name.startswith(name))
        drive.on(ours, "url", check=lambda it: it == facts["url"])
        drive.run(resolve_url, "require_local", None, BROWSE_S, check=lambda it: it.startswith("http"))
    info = zeroconf.ServiceInfo("_openadr3._tcp.local.", "x._openadr3._tcp.local.", port=80, server="x.local.")
    drive.on(DiscoveredVTN, "from_service_info", info, check=lambda it: it.url == "http://x.local:80")
    who = {"client_id": "c1", "client_secret": facts["secrets"]["c1"]}
    with VenClient(url=ours.url, **who) as ven:
        drive.claim("VenClient: works at a discovered URL", ours.url, ok=ven.get_programs().status_code == 200)


def surface(drive: Drive) -> set[str]:
    """What the library offers: the members of both clients, delegated ones too, and those of its modules."""
    delegated = public_members(OpenADRClient, "openadr3")
    names = {
        f"{role}.{name}"
        for role in ROLES
        for name in delegated | public_members(type(drive.roles[role]), "openadr3_client")
    }
    others = members_of_modules(openadr3_client, lambda _module: False)
    clients_own = {name for name in others if name.split(".")[0] in {"BaseClient", "BlClient", "VenClient"}}
    protocol = {name for name in others if name.startswith("NotificationChannel.")}
    return names | others - clients_own - protocol | {"NotificationChannel"}


def main() -> None:
    facts, drive = json.load(sys.stdin), Drive()
    clients(drive, facts)
    program = programs(drive)
    ven_id = vens(drive)
    resources(drive, ven_id)
    event_id = events(drive, *program)
    reports(drive, event_id)
    subscriptions(drive, program[1])
    topics(drive, program[1], ven_id)
    webhooks(drive, program)
    closed_broker(drive)
    open_broker(drive, facts)
    discovery(drive, facts)
    drive.do("bl.delete_event", event_id)
    drive.do("bl.delete_program", program[1])
    for role in ROLES:
        drive.do(f"{role}.close")
        drive.do(f"{role}.stop")
    drive.finish(surface(drive), EXCUSED)


if __name__ == "__main__":
    main()
