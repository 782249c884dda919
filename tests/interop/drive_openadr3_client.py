"""Drives ElaadNL's openadr3-client in its 3.1 mode against a VTN: every public member, as BL and as VEN.

Reads the facts (url, ca, secrets) as JSON from standard input; see drive_parts for what it prints.
"""

import json
import sys
from pathlib import Path
from typing import Any

import openadr3_client
from drive_openadr3_mqtt import mqtt, mqtt_by_certificate
from drive_openadr3_objects import events, programs, reports, resources, subscriptions, vens
from drive_parts import Drive, members_of_modules, public_members
from openadr3_client.bl.http_factory import BusinessLogicHttpClientFactory
from openadr3_client.extensions.resource_group import NewResourceGroup, ResourceGroupClientFactory, ResourceGroupUpdate
from openadr3_client.oadr310._vtn.interfaces.filters import PaginationFilter
from openadr3_client.oadr310.models.ven.ven import NewVenVenRequest
from openadr3_client.ven.http_factory import VirtualEndNodeHttpClientFactory
from openadr3_client.version import OADRVersion

PACKAGE = "openadr3_client"
MODE = OADRVersion.OADR_310
NOT_OURS = "resource groups are no objects of OpenADR 3.1.1, so there is none to name or to change"
LOCAL = "validators that an integrator registers; they judge models before anything is sent"
EXCUSED = {
    "ResourceGroup.name": NOT_OURS,
    "ExistingResourceGroup.update": NOT_OURS,
    "ValidatorInfo.validate": LOCAL,
    "ValidatorPlugin.get_model_validators": LOCAL,
    "ValidatorPlugin.register_field_validator": LOCAL,
    "ValidatorPlugin.register_model_validator": LOCAL,
    "ValidatorPlugin.register_validator": LOCAL,
    "ValidatorPlugin.setup": LOCAL,
    "ValidatorPluginRegistry.clear_plugins": LOCAL,
    "ValidatorPluginRegistry.get_model_validators": LOCAL,
    "ValidatorPluginRegistry.register_plugin": LOCAL,
}
NEEDS_TOKEN = "without a token nobody writes, and reads untargeted objects where the operator says so (SCO-O01..O45)"
NO_GROUPS = "/resource_groups is an extension of NLFlex and no path of OpenADR 3.1.1"
ONE_OBJECT = "notifierOperationsTopics: CREATE is not provided for a specific object ID, the library demands it"
FIRST_FIFTY = PaginationFilter(skip=0, limit=50)


def clients(drive: Drive, facts: dict[str, Any]) -> None:
    """Log in as BL and as VEN, with the token endpoint discovered and with it named, and as nobody."""
    where = {"vtn_base_url": facts["url"], "verify_vtn_tls_certificate": Path(facts["ca"]), "version": MODE}
    token_url = f"{facts['url']}/auth/token"
    for role, client_id, factory, make in (
        ("bl", "bl", BusinessLogicHttpClientFactory, "create_http_bl_client"),
        ("ven", "c1", VirtualEndNodeHttpClientFactory, "create_http_ven_client"),
    ):
        who = {"client_id": client_id, "client_secret": facts["secrets"][client_id]}
        drive.roles[role] = drive.on(factory, make, **where, **who)
        scopes = {"bl": ["read_all", "write_vens_bl"], "ven": ["read_targets", "write_vens_ven"]}[role]
        named = drive.on(factory, make, **where, **who, token_url=token_url, scopes=scopes)
        drive.roles["scoped"] = named
        drive.do("scoped.programs.get_programs", target=None, pagination=None)
        nobody = drive.on(factory, make.replace("create_http", "create_anonymous_http"), **where)
        drive.roles["nobody"] = nobody
        drive.do("nobody.programs.get_programs", target=None, pagination=FIRST_FIFTY, refused=401, why=NEEDS_TOKEN)
        drive.do(f"{role}.auth.get_auth_server", check=lambda server: server.token_url == token_url)


def scopes_of_the_readme(drive: Drive, facts: dict[str, Any]) -> None:
    """The library's own example of a VEN asks for read_all, and gets in."""
    drive.roles["readme"] = VirtualEndNodeHttpClientFactory.create_http_ven_client(
        vtn_base_url=facts["url"],
        client_id="readme",
        client_secret=facts["secrets"]["readme"],
        token_url=f"{facts['url']}/auth/token",
        scopes=["read_all", "write_reports", "read_targets", "read_ven_objects"],
        version=MODE,
    )
    drive.do("readme.events.get_events", target=None, pagination=None, program_id=None)


def guests(drive: Drive, facts: dict[str, Any]) -> None:
    """Clients without credentials, where the operator lets them read."""
    drive.roles["guest"] = VirtualEndNodeHttpClientFactory.create_anonymous_http_ven_client(
        vtn_base_url=facts["certified"], version=MODE
    )
    drive.do("guest.programs.get_programs", target=None, pagination=FIRST_FIFTY, check=lambda all_: all_ == ())
    drive.do("guest.vens.create_ven", NewVenVenRequest(ven_name="guest"), refused=401, why=NEEDS_TOKEN)


def topics(drive: Drive, program: Any, ven: Any) -> None:
    """All topic names, for each role."""
    everything = lambda it: it.topics.create.endswith("/create") and it.topics.all  # noqa: E731 - a check of many uses
    of_bl = {"refused": 403, "why": "needs read_bl, which VENs cannot have (SCO-O01..O45)"}
    one = {"broken": "CREATE", "why": ONE_OBJECT}
    for role, others in (("bl", {"check": everything}), ("ven", of_bl)):
        drive.do(f"{role}.notifiers.get_notifiers", check=lambda it: it.webhook and it.mqtt.uris)
        drive.do(f"{role}.notifiers.get_program_topics", check=everything)
        drive.do(f"{role}.notifiers.get_program_topics_for_id", program.id, **one)
        drive.do(f"{role}.notifiers.get_event_topics_for_program", program.id, check=everything)
        for name in ("event", "report", "subscription", "ven", "resource"):
            drive.do(f"{role}.notifiers.get_{name}_topics", **others)
        drive.do(f"{role}.notifiers.get_ven_topics_for_id", ven.id, **one)
        for name in ("event", "program", "resource"):
            drive.do(f"{role}.notifiers.get_{name}_topics_for_ven", ven.id, check=everything)


def extension(drive: Drive, facts: dict[str, Any]) -> None:
    """Resource groups, which OpenADR does not have."""
    for role, client_id in (("bl", "bl"), ("ven", "c1")):
        drive.roles[f"{role}_groups"] = drive.on(
            ResourceGroupClientFactory,
            f"create_{role}_client",
            vtn_base_url=facts["url"],
            client_id=client_id,
            client_secret=facts["secrets"][client_id],
            token_url=f"{facts['url']}/auth/token",
            verify_vtn_tls_certificate=Path(facts["ca"]),
        )
        drive.do(f"{role}_groups.get_resource_groups", refused=404, why=NO_GROUPS)
        drive.do(f"{role}_groups.get_resource_group_by_id", "x", refused=404, why=NO_GROUPS)
    new, update = NewResourceGroup(resource_group_name="x"), ResourceGroupUpdate(resource_group_name="x")
    drive.do("bl_groups.create_resource_group", new, refused=404, why=NO_GROUPS)
    drive.do("bl_groups.update_resource_group_by_id", "x", update, refused=404, why=NO_GROUPS)
    drive.do("bl_groups.delete_resource_group_by_id", "x", refused=404, why=NO_GROUPS)


def surface(drive: Drive) -> set[str]:
    """What the library offers: the members of the interfaces of each client, and those of its public modules."""
    names = {
        f"{role}.{part}.{name}"
        for role in ("bl", "ven")
        for part in public_members(type(drive.roles[role]), PACKAGE)
        for name in public_members(type(getattr(drive.roles[role], part)), PACKAGE)
    }
    names |= {
        f"{role}.{name}"
        for role in ("bl_groups", "ven_groups")
        for name in public_members(type(drive.roles[role]), PACKAGE)
    }
    return names | members_of_modules(openadr3_client, elsewhere)


def elsewhere(module: str) -> bool:
    """Modules that are not for here: the other mode has its own drive, pandas is another extra."""
    return "oadr301" in module or "pandas" in module


def main() -> None:
    facts, drive = json.load(sys.stdin), Drive()
    clients(drive, facts)
    scopes_of_the_readme(drive, facts)
    guests(drive, facts)
    program, ven = programs(drive), vens(drive)
    resources(drive, ven)
    event = events(drive, program)
    reports(drive, program, event)
    subscriptions(drive, program)
    topics(drive, program, ven)
    mqtt(drive, facts, program, ven)
    mqtt_by_certificate(drive, facts)
    extension(drive, facts)
    drive.do("bl.events.delete_event_by_id", event.id, check=lambda it: it.id == event.id)
    drive.do("bl.vens.delete_ven_by_id", ven.id, check=lambda it: it.id == ven.id)
    drive.do("bl.programs.delete_program_by_id", program.id, check=lambda it: it.id == program.id)
    drive.finish(surface(drive), EXCUSED)


if __name__ == "__main__":
    main()
