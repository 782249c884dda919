"""What a registry takes up from an earlier life, and what it hands to the store."""

import dataclasses

from directive_cases import accepted, at, desire, reading, seen, sent

from ven_adapters.contract import Certainty, ChargeState, DirectiveKind, DirectiveState, DirectiveStatus, Snapshot
from ven_adapters.ven.directives.car_directives import CarDirectives, cancel_directive
from ven_adapters.ven.directives.directive_rows import held_of, row_of
from ven_adapters.ven.directives.lifecycle import DriverSettings, SettingsLeft
from ven_adapters.ven.directives.reconcile import MAX_STOPS, MIN_DWELL_S, Do, reconcile
from ven_adapters.ven.directives.registry import DirectiveRegistry
from ven_adapters.ven.store.database import DirectiveRow, HistoryRow, WearRow, print_at

S = DirectiveState


def restored(*held, wear=(), at_s=600):
    registry = DirectiveRegistry()
    registry.restore([row_of(one) for one in held], wear, at(at_s))
    return registry


def revised(revision, **more):
    return accepted(directive_id=f"d-{revision}", key=f"k-{revision}", revision=revision, **more)


def test_the_newest_revision_is_held_after_a_restart_however_early_it_ends():
    older, newer = revised(1, end_s=7200), revised(2, end_s=1800)
    car = restored(newer, older).car("car")
    assert car.held.directive.revision == 2
    assert [one.directive.revision for one in car.older] == [1]


def test_everything_that_was_sent_is_read_after_a_restart_before_anything_else():
    for held in (accepted(), sent()):
        registry = restored(held)
        assert registry.unread() == ["car"]
        for wanted in (desire(), desire(DirectiveKind.CHARGE), None):
            assert reconcile(wanted, registry.car("car"), None, at(600)).do is Do.READ


def test_what_never_left_is_not_read():
    registry = restored(dataclasses.replace(sent(), sent_at=None, attempts=0))
    assert registry.unread() == []
    assert reconcile(desire(), registry.car("car"), None, at(600)).do is Do.SUBMIT


def test_only_what_is_seen_after_the_restart_proves_a_command_whose_answer_was_lost():
    assert restored(sent(at_s=0), at_s=600).car("car").held.sent_at == at(600)
    assert restored(accepted(at_s=0), at_s=600).car("car").held.sent_at == at(0)


def test_dwell_and_stops_survive_a_restart():
    row = WearRow(vehicle_ref="car", flipped_at=print_at(at(500)), stops=MAX_STOPS)
    car = restored(wear=[row]).car("car")
    assert reconcile(desire(), car, None, at(500 + MIN_DWELL_S - 1)).do is Do.NOTHING
    assert reconcile(desire(), car, None, at(500 + MIN_DWELL_S)).do is Do.NOTHING, "it was stopped too often"
    rested = restored(wear=[row.model_copy(update={"stops": 0})]).car("car")
    assert reconcile(desire(), rested, None, at(500 + MIN_DWELL_S)).do is Do.SUBMIT


def test_wear_is_handed_to_the_store_when_it_changes():
    registry = DirectiveRegistry()
    registry.put("car", CarDirectives(accepted(), flipped_at=at(1), stops=2))
    registry.put("car", CarDirectives(accepted(), flipped_at=at(1), stops=2))
    (wear,) = [row.values for row in registry.drain() if row.model is WearRow]
    assert wear == {"vehicle_ref": "car", "flipped_at": print_at(at(1)), "stops": 2}
    assert [row for row in registry.drain() if row.model is WearRow] == []


def test_a_refusal_for_good_is_not_repeated_after_a_restart():
    refused = dataclasses.replace(sent(), state=S.REJECTED)
    registry = DirectiveRegistry()
    registry.leave_alone([row_of(refused)], at(600))
    assert reconcile(desire(), registry.car("car"), None, at(600)).do is Do.NOTHING
    assert reconcile(desire(DirectiveKind.CHARGE), registry.car("car"), None, at(600)).do is Do.SUBMIT


def test_a_cancel_that_was_decided_is_made_after_a_restart_whatever_is_wanted_then():
    registry = restored(dataclasses.replace(accepted(), ending_at=at(100)))
    (ref,) = registry.unread()
    car = registry.car(ref)
    read = dataclasses.replace(car, held=dataclasses.replace(car.held, unread=False))
    assert reconcile(desire(), read, None, at(600)).do is Do.CANCEL


def test_every_state_of_a_directive_is_one_row_of_history():
    registry = DirectiveRegistry()
    registry.put("car", CarDirectives(sent()))
    registry.taken_up("car", sent(), at(1))
    registry.put("car", CarDirectives(accepted()), (accepted(),))
    for at_s in (20, 80, 140):
        registry.observe(seen(at_s, power_w=0.0), at(at_s))
    registry.age(at(3600))
    states = [row.values["state"] for row in registry.drain() if row.model is HistoryRow]
    assert states == ["REQUESTED", "ACCEPTED", "IN_FORCE", "RELEASED"]


def test_a_car_that_is_given_back_keeps_its_drivers_settings_for_the_next_time():
    before = DriverSettings(80.0, None, ChargeState.CHARGING)
    held = dataclasses.replace(accepted(), before=before)
    car, _ = cancel_directive(CarDirectives(held), held, at(900))
    assert car.left == SettingsLeft(before, at(900))
    ours = Snapshot("car", limit_soc_pct=reading(50.0, 890), charge_state=reading(ChargeState.STOPPED, 890))
    again = reconcile(desire(end_s=7200), car, ours, at(900 + MIN_DWELL_S))
    assert again.target.before == before


def test_all_that_is_known_of_a_directive_comes_back_from_the_store():
    full = dataclasses.replace(
        accepted(),
        why="SIMPLE_LEVEL",
        level_pct=51.5,
        action="act-1",
        source="meter",
        woken_at=at(3),
        ending_at=at(4),
        unread=True,
    )
    assert held_of(DirectiveRow(**row_of(full).model_dump())) == full


def test_what_the_backend_pushes_of_a_doubtful_command_wears_the_car_like_any_answer():
    registry, held = DirectiveRegistry(), dataclasses.replace(sent(vehicle_ref="car"), in_doubt=True)
    registry.put("car", CarDirectives(held), (held,))
    taken = DirectiveStatus(held.directive.directive_id, "car", DirectiveState.ACCEPTED, Certainty.ACCEPTED)
    assert registry.told(taken, at(5)) is DirectiveState.ACCEPTED
    assert (registry.car("car").flipped_at, registry.car("car").stops) == (at(5), 1)


def states_written(rows):
    return [row.values["state"] for row in rows if row.model is DirectiveRow]


def test_what_is_sent_and_what_is_over_is_written_at_once_and_the_rest_may_wait():
    registry = DirectiveRegistry()
    registry.taken_up("car", accepted(), at(1))
    registry.put("car", CarDirectives(sent()), (sent(),))
    assert states_written(registry.drain(most=0)) == ["REQUESTED"]
    registry.put("car", CarDirectives(accepted()), (accepted(),))
    assert states_written(registry.drain(most=0)) == []
    registry.observe(seen(20, power_w=0.0), at(20))
    assert states_written(registry.drain(most=1)) == ["IN_FORCE"]
    assert states_written(registry.drain()) == []
    registry.put("car", CarDirectives(accepted()), (accepted(),))
    registry.age(at(3600))
    assert states_written(registry.drain(most=0)) == ["EXPIRED"]
    assert states_written(registry.drain()) == []


def test_a_stop_that_was_not_written_down_before_the_end_counts_after_the_restart():
    row = WearRow(vehicle_ref="car", flipped_at=print_at(at(-900)), stops=2)
    car = restored(accepted(at_s=5), wear=[row]).car("car")
    assert (car.flipped_at, car.stops) == (at(5), 3)
    known = row.model_copy(update={"flipped_at": print_at(at(6)), "stops": 3})
    car = restored(accepted(at_s=5), wear=[known]).car("car")
    assert (car.flipped_at, car.stops) == (at(6), 3)
    charging = restored(accepted(DirectiveKind.CHARGE, at_s=5), wear=[row]).car("car")
    assert (charging.flipped_at, charging.stops) == (at(-900), 2)


def test_that_a_directive_is_to_be_taken_back_is_written_before_what_may_wait():
    registry, held = DirectiveRegistry(), accepted(vehicle_ref="car")
    registry.put("car", CarDirectives(held), (held,))
    registry.ending("car", held, at(5))
    (row,) = [row.values for row in registry.drain(most=0) if row.model is DirectiveRow]
    assert held_of(DirectiveRow(**row)).ending_at == at(5)
