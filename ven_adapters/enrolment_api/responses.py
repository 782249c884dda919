"""What the automaker's app hears back: cars, histories, journals and news. No field has room for whose car it is."""

from typing import Annotated

import pydantic

from ven_adapters.enrolment_api.models import Agreement, Choice, Instant, Model, Scope


class CarView(Model):
    """A car as its automaker's app sees it; `skips_left`: tokens of the present season that are not spent."""

    agreement: Agreement
    choices: tuple[Choice, ...] = ()
    skips_left: int = 0


class CarPage(Model):
    """Some cars, in the order of their refs; `next` goes into `after` for more."""

    cars: tuple[Agreement, ...]
    next: str | None = None


class ConsentEntry(Model):
    """One line of a car's consent history, which is never rewritten."""

    number: int
    scope: Annotated[Scope, pydantic.Field(strict=False)]
    version: str
    agreed: bool
    at: Instant
    recorded_at: Instant
    terms_sha256: str
    terms: str | None
    valid_until: Instant | None = None


class History(Model):
    """A car's consents, oldest first."""

    consents: tuple[ConsentEntry, ...]


class JournalLine(Model):
    """One line of a car's journal; `detail` names the event of an opt-out, or why the car left a programme."""

    number: int
    type: str
    at: Instant
    detail: str = ""


class Changes(Model):
    """What happened to one car since its driver enrolled it, oldest first; `next` goes into `after` for more."""

    changes: tuple[JournalLine, ...]
    next: int | None = None


class Why(Model):
    """Why a car did what it did at an instant, in one paragraph."""

    vehicle_ref: str
    at: Instant
    why: str


class EnrolmentWebhook(JournalLine):
    """A signed webhook to the automaker: something changed; the number orders them and never repeats."""

    vehicle_ref: str
