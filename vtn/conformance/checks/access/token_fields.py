"""The fields of /auth/server, of token requests and of what is answered (rows AUTH-F01..F13)."""

import dataclasses
import functools
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from vtn.checking.verdict import Failed, expect
from vtn.conformance.check import ConformanceCheck, register
from vtn.conformance.checks.access.authentication import ERRORS, own_tokens, refused
from vtn.conformance.kit import Kit
from vtn.conformance.parties.exchange import HttpAnswer, Json
from vtn.conformance.requirements import every

LONGEST = 4096
Judge = Callable[[Any], bool]


def scope_of(length: int) -> str:
    """Scopes of a VEN, in a text of exactly this length (at least 143)."""
    short, long = len("read_targets "), len("write_reports ")
    many = next(n for n in range(short) if (length + 1 - n * long) % short == 0)
    return ("write_reports " * many + "read_targets " * ((length + 1 - many * long) // short)).rstrip()


# --- requests --------------------------------------------------------------------------------------------------------


async def _grant_type(kit: Kit) -> None:
    await own_tokens(kit)
    for value in (None, "", "x"):
        refused(await kit.ven2.ask_token({"grant_type": value}))
    (await kit.ven2.ask_token({"grant_type": "client_credentials"})).shows(200)


async def _credential(name: str, kit: Kit) -> None:
    """A client_id or client_secret that is missing, empty, too long or wrong is refused."""
    await own_tokens(kit)
    for value in (None, "", "x" * (LONGEST + 1), "x" * LONGEST):
        refused(await kit.ven2.ask_token({name: value}))


async def _scope(kit: Kit) -> None:
    await own_tokens(kit)
    (await kit.ven2.ask_token({"scope": None})).shows(200)
    refused(await kit.ven2.ask_token({"scope": scope_of(LONGEST + 1)}))
    _long_enough(await kit.ven2.ask_token({"scope": scope_of(LONGEST)}))


def _long_enough(answer: HttpAnswer) -> None:
    """Scopes may not be wanted so often, but their length is no fault."""
    if answer.status != 200:  # noqa: PLR2004 - OK
        refused(answer)


# --- answers ---------------------------------------------------------------------------------------------------------


def _uri(value: Any) -> bool:
    parts = urlsplit(value) if isinstance(value, str) else urlsplit("")
    return bool(parts.scheme and (parts.netloc or parts.path)) and 2 <= len(value) <= 8000  # noqa: PLR2004 - of the schema


def _text(shortest: int, longest: int = LONGEST) -> Judge:
    return lambda value: isinstance(value, str) and shortest <= len(value) <= longest


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


async def _told(kit: Kit) -> list[Json]:
    return [(await kit.nobody.get("/auth/server")).shows(200).object]


async def _granted(kit: Kit) -> list[Json]:
    return [(await party.ask_token({})).shows(200).object for party in (kit.bl, kit.ven2)]


async def _refusals(kit: Kit) -> list[Json]:
    await own_tokens(kit)
    changes: tuple[dict[str, str | None], ...]
    changes = ({"grant_type": "x"}, {"client_secret": None}, {"client_secret": kit.name("secret")})
    return [(await kit.ven2.ask_token(one)).shows(400, 401).object for one in changes]


@dataclasses.dataclass(frozen=True, slots=True)
class TokenField:
    """A field of an answer: where it comes from, whether it is always there, and what it may be."""

    answers: Callable[[Kit], Awaitable[list[Json]]]
    name: str
    always: bool
    right: Judge

    async def obeyed(self, kit: Kit) -> None:
        """Failed when an answer lacks the field though it must be there, or has it wrong."""
        for answer in await self.answers(kit):
            if self.name not in answer:
                if self.always:
                    raise Failed(f"the answer should have {self.name}")
                continue
            expect(self.right(answer[self.name]), f"{self.name} breaks its schema: {str(answer[self.name])[:40]!r}")


ROWS: dict[str, Callable[[Kit], Awaitable[None]]] = {
    "AUTH-F01": TokenField(_told, "tokenURL", always=True, right=_uri).obeyed,
    "AUTH-F02": _grant_type,
    "AUTH-F03": functools.partial(_credential, "client_id"),
    "AUTH-F04": functools.partial(_credential, "client_secret"),
    "AUTH-F05": _scope,
    "AUTH-F06": TokenField(_granted, "access_token", always=True, right=_text(1)).obeyed,
    "AUTH-F07": TokenField(_granted, "token_type", always=True, right=lambda value: bool(value == "Bearer")).obeyed,
    "AUTH-F08": TokenField(_granted, "expires_in", always=False, right=_whole).obeyed,
    "AUTH-F09": TokenField(_granted, "refresh_token", always=False, right=_text(1)).obeyed,
    "AUTH-F10": TokenField(_granted, "scope", always=False, right=_text(0)).obeyed,
    "AUTH-F11": TokenField(_refusals, "error", always=False, right=lambda value: value in ERRORS).obeyed,
    "AUTH-F12": TokenField(_refusals, "error_description", always=False, right=_text(0, 1_000_000)).obeyed,
    "AUTH-F13": TokenField(_refusals, "error_uri", always=False, right=_uri).obeyed,
}
for _id, _run in ROWS.items():
    _row = every()[_id]
    _name = _row.text.partition("`")[2].partition("`")[0].replace(".", "_")
    register(ConformanceCheck(f"{_name}_follows_its_schema", _row.text, (_id,), _row.level, (), _run))
