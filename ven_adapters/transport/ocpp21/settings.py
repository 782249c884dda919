"""The table `[backend]` of a central system: where stations connect, who they are, whose cars they charge."""

import functools
from collections.abc import Iterator, Mapping
from typing import Annotated, Self

import pydantic

from ven_adapters.transport.ocpp21.stations.charging_points import ChargedCar, RegisteredPoint
from ven_adapters.transport.settings import LOOPBACK_HOST, AnswerSeconds, BackendTable, FilePath, Port, StrictSection
from vtn.bounds import ConnectionBounds
from vtn.errors import CannotStart, Fault
from vtn.settings import is_loopback
from vtn.tls import ServerTls

STATIONS_PORT = 9310
BASIC_IN_CLEAR, BASIC_IN_TLS, CLIENT_CERTIFICATE = 1, 2, 3
SHORTEST_PASSWORD, LONGEST_PASSWORD = 16, 64  # OCPP 2.1, BasicAuthPassword
FILES = {BASIC_IN_TLS: ("certificate", "private_key"), CLIENT_CERTIFICATE: ("certificate", "private_key", "client_ca")}
Identity = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9*\-_=:+|@.]{1,48}$")]  # OCPP 2.1, identifierString
WholeSeconds = Annotated[int, pydantic.Field(gt=0, le=7 * 86_400)]


class StationSettings(StrictSection):
    """One station, by its identity."""

    password: str | None = pydantic.Field(None, repr=False)


class CentralSettings(BackendTable):
    """All of it. `offline_limit_s` is how long a station out of touch may go on with what it was told."""

    host: str = LOOPBACK_HOST
    port: Port = pydantic.Field(STATIONS_PORT, description="0: one that is free")
    security_profile: Annotated[int, pydantic.Field(ge=BASIC_IN_CLEAR, le=CLIENT_CERTIFICATE)] = BASIC_IN_CLEAR
    certificate: FilePath | None = None
    private_key: FilePath | None = pydantic.Field(None, description="of that certificate")
    client_ca: FilePath | None = None
    offline_limit_s: WholeSeconds = 300
    heartbeat_s: WholeSeconds = pydantic.Field(300, description="how often a station says that it is there")
    answer_s: AnswerSeconds = 20.0
    ping_s: AnswerSeconds = 20.0
    frame_bytes: Annotated[int, pydantic.Field(ge=1024, le=16_777_216)] = 65_536
    listening: ConnectionBounds = ConnectionBounds()
    state: FilePath | None = None
    stations: dict[Identity, StationSettings] = pydantic.Field(default_factory=dict)
    vehicles: dict[str, ChargedCar] = pydantic.Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> Self:
        if faults := [*self._faults_of_profile(), *self._faults_of_passwords(), *self._faults_of_places()]:
            raise ValueError(*faults)
        return self

    def _faults_of_profile(self) -> Iterator[Fault]:
        profile = self.security_profile
        if profile == BASIC_IN_CLEAR and not is_loopback(self.host):
            yield Fault("security_profile", "1 sends passwords in the clear and is for loopback addresses only")
        needed = FILES.get(profile, ())
        missing = [key for key in needed if getattr(self, key) is None]
        yield from (Fault(key, f"is required by security profile {profile}") for key in missing)
        if not missing:
            try:
                self.tls()
            except CannotStart as error:
                yield Fault(" or ".join(needed), str(error))

    def _faults_of_passwords(self) -> Iterator[Fault]:
        for station, password in self.passwords.items():
            if self.security_profile != CLIENT_CERTIFICATE and not (
                SHORTEST_PASSWORD <= len(password or "") <= LONGEST_PASSWORD
            ):
                rule = f"must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters"
                yield Fault(f"stations.{station}.password", rule)

    def _faults_of_places(self) -> Iterator[Fault]:
        taken = set[tuple[str, int]]()
        for ref, car in self.vehicles.items():
            if car.station not in self.stations:
                yield Fault(f"vehicles.{ref}.station", "is not one of stations")
            if (car.station, car.evse) in taken:
                yield Fault(f"vehicles.{ref}.evse", "is taken by another car")
            taken.add((car.station, car.evse))

    @functools.cached_property
    def passwords(self) -> Mapping[str, str | None]:
        """Of each station by its identity; None where only its certificate counts."""
        return {name: station.password for name, station in self.stations.items()}

    @functools.cached_property
    def places(self) -> tuple[RegisteredPoint, ...]:
        """Every car's charging point."""
        return tuple(RegisteredPoint(ref=ref, **car.model_dump()) for ref, car in self.vehicles.items())

    def tls(self) -> ServerTls | None:
        """The TLS of the security profile, 1.2 at least; None for profile 1. CannotStart names the file that is bad."""
        if self.security_profile == BASIC_IN_CLEAR or self.certificate is None or self.private_key is None:
            return None
        own = self.security_profile == CLIENT_CERTIFICATE
        return ServerTls(self.certificate, self.private_key, self.client_ca if own else None, must=own)
