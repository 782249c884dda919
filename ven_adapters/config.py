"""What can be set for one adapter process: one automaker, one VTN, its zones. Read by `vtn.settings.load`.

The `[backend]` table is handed to the automaker's file as it stands: only that file knows what its backend needs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from vtn.clock import Clock, parse_clock
from vtn.settings import Section, load

Seconds = Annotated[float, pydantic.Field(gt=0)]
Name = Annotated[str, pydantic.Field(min_length=1, max_length=128)]

PREFIX = "VEN_ADAPTER"


class VtnSettings(Section):
    """The VTN and our client there; `ca` is a file of certificates to trust besides the system's."""

    url: Annotated[str, pydantic.Field(pattern=r"^https?://")]
    client_id: Name
    client_secret: str = pydantic.Field(repr=False)
    scope: str = ""
    ca: Path | None = None


class WakeSettings(Section):
    """What makes us poll early. Polling each `poll_s` real seconds goes on whatever the mode."""

    mode: Literal["mqtt", "webhook", "timer"] = "mqtt"
    poll_s: Seconds = 30.0
    first_retry_s: Seconds = 0.5
    longest_retry_s: Seconds = 60.0
    webhook_host: str = "127.0.0.1"
    webhook_port: Annotated[int, pydantic.Field(ge=0, le=65535)] = 0
    webhook_url: str | None = None


class ZoneSettings(Section):
    """One zone; a zone with too few cars joins its parent, or without one the zone with the most cars."""

    parent: str | None = None


class AdapterSettings(Section):
    """All of it. `cycle_s`, `margin_s` and `lead_s` count in the clock's seconds, which may be fast."""

    oem: Name
    client_name: Name
    vtn: VtnSettings
    backend: dict[str, Any] = pydantic.Field(repr=False)
    enrolments: Annotated[tuple[Path, ...], pydantic.Field(min_length=1)]
    zones: dict[Name, ZoneSettings] = pydantic.Field(default_factory=dict)
    wake: WakeSettings = WakeSettings()
    smallest_group: Annotated[int, pydantic.Field(ge=1)] = 10
    cycle_s: Annotated[float, pydantic.Field(ge=10)] = 300.0
    margin_s: Annotated[float, pydantic.Field(ge=0)] = 1800.0
    lead_s: Annotated[float, pydantic.Field(ge=0)] = 300.0
    plans_per_s: Annotated[float, pydantic.Field(gt=0, le=50)] = 4.0
    calls_at_once: Annotated[int, pydantic.Field(ge=1, le=1000)] = 64
    seed: int = 0
    clock: str = "real"
    var: Path = Path("var")
    store_url: str | None = pydantic.Field(None, repr=False)

    @pydantic.field_validator("clock")
    @classmethod
    def _clock_is_readable(cls, text: str) -> str:
        parse_clock(text)
        return text

    @pydantic.field_validator("zones")
    @classmethod
    def _parents_are_zones(cls, zones: dict[str, ZoneSettings]) -> dict[str, ZoneSettings]:
        for name, zone in zones.items():
            if zone.parent is not None and zone.parent not in zones:
                raise ValueError(f"{name}.parent: {zone.parent!r} is not a zone of this file")
        return zones

    @property
    def folder(self) -> Path:
        """Where this adapter keeps its own files."""
        return self.var / self.oem

    def store(self) -> str:
        """The store's SQLAlchemy URL: as set, or SQLite in our folder."""
        return self.store_url or f"sqlite+aiosqlite:///{self.folder / 'adapter.sqlite'}"

    def shared_clock(self) -> Clock:
        """The clock that the settings name."""
        return parse_clock(self.clock)


def read_settings(path: Path | None, environ: Mapping[str, str]) -> AdapterSettings:
    """The adapter's settings file, overridden by VEN_ADAPTER_... variables; ConfigError says what is wrong."""
    return load(AdapterSettings, path, prefix=PREFIX, environ=environ)
