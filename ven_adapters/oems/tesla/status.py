"""What Tesla says of a car's set-up, in one sentence each and with what to do next. Pure.

`fleet_status` tells of each car whether our key is paired, whether the car takes signed commands only, its software and
the telemetry client in it; `fleet_telemetry_config` whether it has taken what it is to stream. A car of which nothing
is told has no fault that we could name.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ven_adapters.contract import SetupFault
from ven_adapters.oems.tesla.fields import WANTED
from ven_adapters.transport.readings.vocabulary import shown

# Software from which cars stream; older Model S and X from 2025.20 on.
TELEMETRY_FROM = (2024, 26)
MOST_KEYS = 20
# Tesla's own hosts take no unsigned command for a car that wants signed ones.
TESLA_HOST = re.compile(r"https://fleet-api\.[a-z.]*\.cloud\.tesla\.(com|cn)")
POLLED = "until then it is read by calls, each of which costs"
# Why Tesla leaves a car out of a telemetry configuration.
SKIPPED: Mapping[str, str] = {
    "missing_key": f"streams nothing, because our key is not in it: its owner adds it; {POLLED}",
    "unsupported_hardware": "streams nothing, because its computer cannot: it is read by calls, each of which costs",
    "unsupported_firmware": f"streams nothing, because its software is old: its owner installs the update; {POLLED}",
    "max_configs": f"streams nothing to us, because other apps have all its places: its owner removes one; {POLLED}",
}
LIMIT_REACHED = SKIPPED["max_configs"]


@dataclasses.dataclass(frozen=True, slots=True)
class CarSetup:
    """What `fleet_status` told of one car; None where it told nothing."""

    paired: bool | None = None
    signed_only: bool | None = None
    software: str = ""
    keys: int | None = None
    streams: bool | None = None
    streaming_allowed: bool | None = None
    discounted: bool = False


def setup_of(raw: Mapping[str, Any], vin: str) -> CarSetup:
    """One car in the answer of `fleet_status`."""
    info = (raw.get("vehicle_info") or {}).get(vin)
    info = info if isinstance(info, dict) else {}
    paired, unpaired = (vin in (raw.get(name) or ()) for name in ("key_paired_vins", "unpaired_vins"))
    version = info.get("fleet_telemetry_version")
    return CarSetup(
        paired=True if paired else False if unpaired else None,
        signed_only=_flag(info, "vehicle_command_protocol_required"),
        software=str(info.get("firmware_version") or ""),
        keys=info["total_number_of_keys"] if isinstance(info.get("total_number_of_keys"), int) else None,
        streams=version is not None if "fleet_telemetry_version" in info else None,
        streaming_allowed=_flag(info, "safety_screen_streaming_toggle_enabled"),
        discounted=info.get("discounted_device_data") is True,
    )


def command_fault(setup: CarSetup, url: str, domain: str) -> str | None:
    """Why a car takes no command, and what to do next; None when nothing is known against it."""
    if not setup.signed_only:
        return None
    if setup.paired is False and setup.keys is not None and setup.keys >= MOST_KEYS:
        return f"takes no command, because it holds {setup.keys} keys: its owner removes one, then {_pair(domain)}"
    if setup.paired is False:
        return f"takes no command until our key is in it: its owner {_pair(domain)}"
    if TESLA_HOST.match(url):
        return "takes signed commands only: let url name Tesla's command proxy, and ca who vouches for it"
    return None


def telemetry_fault(setup: CarSetup) -> str | None:
    """Why a car streams nothing, and what to do next; None when nothing is known against it."""
    if setup.streaming_allowed is False:
        asked = 'its owner allows "Third-Party App Data Streaming" on the Safety screen of the car'
        return f"streams nothing: {asked}; {POLLED}"
    number = release(setup.software)
    if number is not None and number < TELEMETRY_FROM:
        told = ".".join(map(str, TELEMETRY_FROM))
        return (
            f"streams nothing with its software {shown_release(number)}: its owner installs {told} or later; {POLLED}"
        )
    if setup.streams is False:
        return f"streams nothing, because its software has no telemetry: its owner installs the update; {POLLED}"
    return None


def faults_of(ref: str, setup: CarSetup, url: str, domain: str, *, streamed: bool) -> Iterator[SetupFault]:
    """Everything that is missing at one car; `streamed`: whether it is to stream at all."""
    if (sentence := command_fault(setup, url, domain)) is not None:
        yield SetupFault(ref, sentence, takes_no_command=True)
    if streamed and (sentence := telemetry_fault(setup)) is not None:
        yield SetupFault(ref, sentence)


def domain_fault(domain: str, public_key: Any) -> SetupFault | None:
    """Whether Tesla has a public key of the domain; without one no owner can add it to a car."""
    if isinstance(public_key, str) and public_key:
        return None
    todo = f"POST /api/1/partner_accounts for {domain} with a partner token, once in each region"
    return SetupFault(None, f"takes no key of ours: {domain} is not registered with Tesla here; {todo}")


def release(software: str) -> tuple[int, int] | None:
    """Year and week of a car's software, such as 2024.26.7; None for another text."""
    found = re.match(r"(\d{4})\.(\d{1,2})(?!\d)", software)
    return None if found is None else (int(found[1]), int(found[2]))


def shown_release(number: tuple[int, int]) -> str:
    """The same as the car writes it."""
    return f"{number[0]}.{number[1]}"


def wanted_config(hostname: str, port: int, ca: str | None) -> dict[str, Any]:
    """What a car is to stream, and where to."""
    fields = {name: rate.plain() for name, rate in WANTED.items()}
    return {"hostname": hostname, "port": port, **({"ca": ca} if ca else {}), "fields": fields}


def has_config(told: Any, wanted: Mapping[str, Any]) -> bool:
    """Whether a car's configuration is the one that we want; Tesla may add members of its own."""
    if not isinstance(told, dict) or not isinstance(told.get("fields"), dict):
        return False
    if told.get("hostname") != wanted["hostname"] or told.get("port", wanted["port"]) != wanted["port"]:
        return False
    if str(told.get("ca") or "").strip() != wanted.get("ca", ""):
        return False
    fields: Mapping[str, Any] = told["fields"]
    same = (
        isinstance(fields.get(name), dict) and rate.items() <= fields[name].items()
        for name, rate in wanted["fields"].items()
    )
    return fields.keys() == wanted["fields"].keys() and all(same)


def error_sentence(name: Any) -> str:
    """An error that a car reported when it tried to stream."""
    return f"streams nothing and reports {shown(name)}: see `tools/check_server_cert.sh` of Tesla's server; {POLLED}"


def _flag(info: Mapping[str, Any], name: str) -> bool | None:
    return info[name] if isinstance(info.get(name), bool) else None


def _pair(domain: str) -> str:
    return f"opens https://tesla.com/_ak/{domain or 'YOUR-DOMAIN'} on his phone"
