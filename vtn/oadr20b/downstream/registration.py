"""EiRegisterParty: who may register, and with which ids.

A VEN is provisioned before it comes. With TLS its certificate says which one it is, whatever it calls itself;
without, its venID or its name does, which is for this machine alone. A VEN that registers again keeps its
registrationID.
"""

from typing import Any
from urllib.parse import urlsplit

from vtn.oadr20b.codec.messages import Code, OadrMessage
from vtn.oadr20b.downstream.context import Answer, DownstreamContext, MessageRefused, answered
from vtn.oadr20b.downstream.vens import ServedVen, VenRegistration
from vtn.settings import is_loopback

LONGEST_ID = 128


async def query(context: DownstreamContext, ven: ServedVen | None, message: OadrMessage) -> Answer:
    """What we are; and, to a VEN that is known, which ids it has."""
    return _created(context, message, ven if ven is not None and ven.registered else None)


async def create(context: DownstreamContext, ven: ServedVen | None, message: OadrMessage) -> Answer:
    """Register a provisioned VEN. 463 for any other, 452 for ids that are not its own, 459 for transports."""
    said = message.registration
    if ven is None or said is None:
        raise MessageRefused(
            Code.NOT_REGISTERED, "this VEN is not provisioned here; give your fingerprint to the operator"
        )
    if message.ven_id and message.ven_id != ven.ven_id:
        raise MessageRefused(Code.INVALID_ID, "the venID is not the one of this certificate")
    held = ven.registration
    if ven.registered and message.registration_id and message.registration_id != held.registration_id:
        raise MessageRefused(Code.INVALID_ID, "the registrationID is not the one that was given out")
    if said.profile != "2.0b" or said.transport != "simpleHttp":
        raise MessageRefused(Code.COMPLIANCE_ERROR, "the profile 2.0b over simpleHttp is spoken here, and nothing else")
    address = None if said.pull else _push_address(ven, said.transport_address)
    # A VEN whose registration was lost here brings the registrationID that it has, and keeps it.
    same = (held.registration_id or (message.registration_id or "")[:LONGEST_ID]) if not ven.cancel_due else None
    registration = VenRegistration(
        same or context.ids(), context.clock.now(), said.xml_signature, said.report_only, address
    )
    await context.registry.register(ven, registration)
    return _created(context, message, ven)


async def cancel(context: DownstreamContext, ven: ServedVen, message: OadrMessage) -> Answer:
    """End a registration because the VEN says so."""
    if message.registration_id != ven.registration.registration_id:
        raise MessageRefused(Code.INVALID_ID, "the registrationID is not the one that was given out")
    registration_id = ven.registration.registration_id
    await context.registry.register(ven, VenRegistration())
    return Answer(
        "oadrCanceledPartyRegistration",
        {"response": answered(message), "registration_id": registration_id, "ven_id": ven.ven_id},
    )


async def cancelled(context: DownstreamContext, ven: ServedVen, _message: OadrMessage) -> Answer | None:
    """The VEN says that its registration has ended, as it was told to."""
    if ven.cancel_due:
        await context.registry.register(ven, VenRegistration())
    return None


def _push_address(ven: ServedVen, address: str | None) -> str:
    """Where a VEN that does not poll is sent messages to."""
    if not ven.provision.push:
        raise MessageRefused(Code.NOT_ALLOWED, "this VEN is provisioned to poll, not to be sent messages")
    try:
        found = urlsplit(address or "")
        host = found.hostname
    except ValueError:
        host = None
    else:
        if found.scheme == "https" or (found.scheme == "http" and is_loopback(host)):
            return str(address).rstrip("/")
    raise MessageRefused(Code.INVALID_DATA, "oadrTransportAddress must be an https URL")


def _created(context: DownstreamContext, message: OadrMessage, ven: ServedVen | None) -> Answer:
    values: dict[str, Any] = {
        "response": answered(message),
        "vtn_id": context.settings.vtn_id,
        "poll_freq": context.settings.poll,
        "registration_id": ven.registration.registration_id if ven is not None else None,
        "ven_id": ven.ven_id if ven is not None else None,
    }
    return Answer("oadrCreatedPartyRegistration", values)
