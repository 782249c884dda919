"""In whose words a subscriber is told: those of 3.1, or those of OpenADR 3.0.1 when it subscribed there.

Which of them is in the side data of the subscription's record. This module knows nothing of delivery.
"""

import dataclasses
from datetime import datetime

from vtn.rules import recipients
from vtn.rules.compat30 import objects, side
from vtn.rules.compat30.objects import Around
from vtn.rules.privacy import Lens, Viewer
from vtn.rules.recipients import SubscriptionView, Telling
from vtn.wire import document
from vtn.wire.enumerations import ObjectType

OF_NO_PROGRAM = frozenset({ObjectType.VEN, ObjectType.RESOURCE})


def speaks_301(remembered: str | None) -> bool:
    """Whether a subscription with this side data wants to hear 3.0.1."""
    return remembered is not None and side.read(remembered).version == side.V301


def viewer_on(viewer: Viewer, remembered: str | None) -> Viewer:
    """A subscriber as its version's privacy rules see it: on 3.0.1 Business Logic sees vens of no client too."""
    return dataclasses.replace(viewer, sees_ownerless=True) if speaks_301(remembered) else viewer


def subscriber_on(who: SubscriptionView, remembered: str | None) -> SubscriptionView:
    """A subscriber as its version has it: 3.0.1 must name a program, which cannot narrow what belongs to none."""
    return dataclasses.replace(who, anywhere=OF_NO_PROGRAM) if speaks_301(remembered) else who


def rendered(told: Telling, viewer: Viewer, lens: Lens, now: datetime, *, on_301: bool) -> bytes:
    """A notification's bytes for one viewer, in the words of 3.1 or of 3.0.1."""
    message = recipients.notification(told, viewer, lens)
    if on_301:
        message = objects.notification(message, side.read(told.state.side), Around(now, told.state.program_id))
    return document.render(message)
