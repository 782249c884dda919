"""What both bridges can be told: the VTN, the store, and how long messages are kept. Read by `vtn.settings.load`."""

from pathlib import Path
from typing import Annotated

import pydantic

from vtn.clock import parse_clock
from vtn.settings import Section

Days = Annotated[int, pydantic.Field(ge=1, le=3_650)]
OWN_FILES = ("20b.db*",)


class Vtn(Section):
    """The OpenADR 3 VTN, and the Business Logic client that a bridge is."""

    url: str = pydantic.Field(description="the VTN, up to and with the version: http://127.0.0.1:8080/openadr3/3.1.0")
    client_id: str = pydantic.Field(description="a Business Logic client of it")
    client_secret: str = pydantic.Field(repr=False, description="its secret")
    ca: Path | None = pydantic.Field(None, description="authorities that its certificate is checked against")


class BridgeSettings(Section):
    """What is the same for both directions."""

    vtn: Vtn
    var: Path = pydantic.Field(Path("var"), description="folder of the store, for this user alone")
    storage: str | None = pydantic.Field(None, description="URL of the store; without one, SQLite in `var`")
    journal_days: Days = pydantic.Field(90, description="days for which messages are kept as they were on the wire")
    clock: str = pydantic.Field("real", description="`real`, or a simulated clock that other programs share")

    @pydantic.field_validator("clock")
    @classmethod
    def _a_clock_that_can_be_read(cls, text: str) -> str:
        parse_clock(text)
        return text

    def store(self) -> str:
        """The URL of the store."""
        return self.storage or f"sqlite:///{self.var / '20b.db'}"
