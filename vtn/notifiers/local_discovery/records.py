"""What a VTN at a customer's site tells its own network of itself, as mDNS and DNS-SD have it (DISC-01..14, TR-101).

Pure; `announcer` sends it. The order and the spelling of the keys are the standard's.
"""

import dataclasses
import ipaddress
from collections.abc import Callable, Iterable, Sequence

from vtn.config import Settings

EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - how it is written, not where we listen
SERVICE = "_openadr3._tcp.local."
LONGEST_TEXT_BYTES = 255


@dataclasses.dataclass(frozen=True, slots=True)
class ServicePlace:
    """Where this VTN answers: its `.local` name without that suffix, the real port, the path before the endpoints."""

    name: str
    port: int
    base_path: str
    secure: bool
    requires_auth: bool

    @property
    def url(self) -> str:
        """How its clients on this network reach it (DISC-08); the scheme is the one it speaks."""
        return f"{'https' if self.secure else 'http'}://{self.name}.local:{self.port}/{self.base_path}"


def place(settings: Settings, port: int, base_path: str) -> ServicePlace:
    """Where a VTN with these settings answers, on this port."""
    secure = settings.server.certificate is not None
    return ServicePlace(settings.discovery.name, port, base_path.strip("/"), secure, not settings.auth.anonymous_read)


def text_record(here: ServicePlace, program_names: Iterable[str]) -> dict[str, str]:
    """The TXT record, key by key (DISC-06..11); each `key=value` has at most 255 bytes (RFC 6763, 6.1)."""
    fixed = {
        "version": here.base_path.rpartition("/")[2],
        "base_path": here.base_path,
        "local_url": here.url,
        "program_names": _names_that_fit(program_names),
        "requires_auth": str(here.requires_auth),
        "openapi_url": f"{here.url}/openapi.json",
    }
    return {key: value for key, value in fixed.items() if len(f"{key}={value}".encode()) <= LONGEST_TEXT_BYTES}


def _names_that_fit(names: Iterable[str]) -> str:
    """The names with commas between; one that holds a comma could not be told apart, one too many would not fit."""
    text = ""
    for name in names:
        longer = f"{text},{name}" if text else name
        if name and "," not in name and len(f"program_names={longer}".encode()) <= LONGEST_TEXT_BYTES:
            text = longer
    return text


def local_addresses(settings: Settings, found: Callable[[], Sequence[str]]) -> list[str]:
    """The addresses to announce: those set, the one listened on, or of those `found` what others can reach, sorted."""
    if settings.discovery.addresses:
        return [str(address) for address in settings.discovery.addresses]
    if settings.server.host not in EVERYWHERE:
        return ["127.0.0.1" if settings.server.host == "localhost" else settings.server.host]
    every = {ipaddress.ip_address(text) for text in found()}
    return sorted(str(one) for one in every if not (one.is_loopback or one.is_link_local))
