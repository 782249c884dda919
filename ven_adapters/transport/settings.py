"""How an automaker's file reads its table `[backend]`: one model a vendor, and one place that tells what is wrong.

A value is never told, for it may be a secret; of whatever names a car only our own name is.
"""

import itertools
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

import pydantic

from ven_adapters.contract import BackendError, ErrorCode
from vtn.clock import Clock, RealClock, parse_clock
from vtn.errors import CannotStart, Fault
from vtn.settings import Section, rule_of
from vtn.tls import trusting

M = TypeVar("M", bound=pydantic.BaseModel)
LOOPBACK_HOST = "127.0.0.1"
MOST_FAULTS, LONGEST_FAULT = 20, 300


def _clock(given: Any) -> Clock:
    return given if hasattr(given, "real_seconds_until") else parse_clock(str(given))


def _http_address(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return url


def _authorities(ca: Any) -> ssl.SSLContext:
    try:
        return trusting(Path(ca))
    except (CannotStart, TypeError):
        raise ValueError("is no file of certificates") from None


SharedClock = Annotated[Clock, pydantic.PlainValidator(_clock)]
HttpAddress = Annotated[str, pydantic.AfterValidator(_http_address)]
Authorities = Annotated[ssl.SSLContext, pydantic.PlainValidator(_authorities)]
FilePath = Annotated[Path, pydantic.Field(strict=False)]
Port = Annotated[int, pydantic.Field(ge=0, le=65_535)]
Seed = Annotated[int, pydantic.Field(ge=-(2**63), le=2**63 - 1)]
AnswerSeconds = Annotated[float, pydantic.Field(gt=0, le=3600)]


class StrictSection(Section):
    """A table in which no text stands for a number and no number for a truth value; what is None was left out.

    Keys that are `passed_over` are taken and not read, where the model has no such field.
    """

    model_config = pydantic.ConfigDict(strict=True)
    passed_over: ClassVar[frozenset[str]] = frozenset()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _leave_out(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        unread = cls.passed_over - cls.model_fields.keys()
        return {key: value for key, value in given.items() if value is not None and key not in unread}


class BackendTable(StrictSection):
    """The base of every vendor's table."""

    clock: SharedClock = pydantic.Field(
        default_factory=RealClock, description="or START@REAL_START_S*SPEED: whose time counts, for demonstrations"
    )

    def in_time_of(self, outer: "BackendTable") -> Self:
        """The same by the clock of the table that it stands in, unless it names one itself."""
        return self if "clock" in self.model_fields_set else self.model_copy(update={"clock": outer.clock})


def read_table(model: type[M], settings: Mapping[str, Any], inner: str | None = None) -> M:
    """The table `[backend]`, or the one `inner` of it alone; INVALID_REQUEST names each key that is wrong and why."""
    table = settings if inner is None else settings.get(inner)
    if not isinstance(table, Mapping):
        rule = f"settings.{inner}: is required: the table that says how owners' cars are read"
        raise BackendError(ErrorCode.INVALID_REQUEST, rule)
    try:
        return model.model_validate(dict(table))
    except pydantic.ValidationError as error:
        within = "settings" if inner is None else f"settings.{inner}"
        faults = itertools.islice(_faults(error), MOST_FAULTS)
        told = "; ".join(f"{within}.{fault.path}: {fault.rule}"[:LONGEST_FAULT] for fault in faults)
        raise BackendError(ErrorCode.INVALID_REQUEST, told) from None


def _faults(error: pydantic.ValidationError) -> Iterator[Fault]:
    """Each fault with its key; a validator that looks at several keys raises ValueError with a Fault for each."""
    for one in error.errors(include_url=False, include_input=False):
        keys = [str(key) for key in one["loc"] if key != "[key]"]
        raised = getattr(one.get("ctx", {}).get("error"), "args", ())
        several = [fault for fault in raised if isinstance(fault, Fault)]
        for fault in several or [Fault("", rule_of(one))]:
            yield Fault(".".join([*keys, fault.path] if fault.path else keys), fault.rule)
