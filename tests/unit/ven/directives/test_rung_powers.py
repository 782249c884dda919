"""What asked powers became: a cap that only a pause could answer is seen as one."""

import dataclasses

from directive_cases import at, sent

from ven_adapters.contract import Ack, DirectiveKind, DirectiveState, Rung, Setting
from ven_adapters.ven.directives.car_directives import CarDirectives
from ven_adapters.ven.directives.lifecycle import apply_ack
from ven_adapters.ven.directives.registry import DirectiveRegistry
from ven_adapters.ven.directives.rung_powers import RungPowers


def taken(kind, asked_w, setting):
    asked = sent(kind, asked_w)
    return apply_ack(asked, Ack(asked.directive.directive_id, DirectiveState.ACCEPTED, setting), at(1))


def test_powers_are_counted_by_the_rung_that_answers_them():
    achieved = RungPowers()
    achieved.take(taken(DirectiveKind.CAP, 3_500, Setting(Rung.CURRENT, 3_360, current_a=14)))
    achieved.take(taken(DirectiveKind.CAP, 3_500, Setting(Rung.PAUSE, 0)))
    achieved.take(taken(DirectiveKind.SETPOINT, -5_000, Setting(Rung.POWER, -5_000)))
    achieved.take(taken(DirectiveKind.CURTAIL, None, Setting(Rung.PAUSE, 0)))
    assert achieved.plain() == {
        "CURRENT": {"directives": 1, "asked_w": 3_500, "achieved_w": 3_360},
        "PAUSE": {"directives": 1, "asked_w": 3_500, "achieved_w": 0},
        "POWER": {"directives": 1, "asked_w": 5_000, "achieved_w": 5_000},
    }


def test_a_directive_is_counted_once_however_often_it_is_told_of():
    registry = DirectiveRegistry()
    asked = sent(DirectiveKind.CAP, 3_500)
    accepted = apply_ack(
        asked, Ack(asked.directive.directive_id, DirectiveState.ACCEPTED, Setting(Rung.PAUSE, 0)), at(1)
    )
    for held in (asked, accepted, dataclasses.replace(accepted, confirmed_at=at(2)), accepted):
        registry.put(held.ref, CarDirectives(held), (held,))
    assert registry.achieved.plain() == {"PAUSE": {"directives": 1, "asked_w": 3_500, "achieved_w": 0}}
