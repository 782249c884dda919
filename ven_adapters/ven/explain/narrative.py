"""An explanation in one paragraph of plain English. Pure; every sentence rests on one stored fact, instants in UTC."""

import itertools
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ven_adapters.contract import FINAL_STATES, DirectiveState, DriverChoice, ErrorCode
from ven_adapters.ven.directives import history
from ven_adapters.ven.directives.lifecycle import DirectiveRecord
from ven_adapters.ven.explain import code_texts
from ven_adapters.ven.explain.explanation import DirectiveTrace, Explanation, HistoryStep
from ven_adapters.ven.planning.discharge_permits import WORDS as MISSING
from ven_adapters.ven.planning.discharge_permits import MissingPermit
from ven_adapters.ven.planning.flexibility.shortfall import WORDS as OBSTACLES
from ven_adapters.ven.planning.flexibility.shortfall import Obstacle
from ven_adapters.ven.planning.guardrails import Reason
from ven_adapters.ven.store.database import parse_at


def paragraph(told: Explanation) -> str:
    """The whole of it in one paragraph; instants in UTC."""
    sentences = [
        _asked(told),
        *_able(told.asked),
        *_broken(told.asked),
        *_passed_over(told),
        *map(_chose, told.choices),
        *_set_up(told),
        *_did(told),
        *_pace(told),
    ]
    return " ".join(sentences)


def _set_up(told: Explanation) -> Iterator[str]:
    """What was missing at the automaker's, as it was last found."""
    if told.set_up is not None:
        for sentence in told.set_up.facts["missing"]:
            yield f"At {_print(told.set_up.at)} it was found that it {sentence}."


def _pace(told: Explanation) -> Iterator[str]:
    if told.pace:
        yield f"Departures of this car are planned with the pace that it showed: it was {told.pace}."
    if told.habit:
        yield f"{told.habit} It is planned to be ready as much earlier."


def _asked(told: Explanation) -> str:
    begins = f"At {_print(told.at)} car {told.ref} was in zone {told.zone or 'unknown'}"
    requests = [one for one in told.asked.get("asks", ()) if one["end"] is None or parse_at(one["end"]) > told.at]
    if not requests:
        acted_on = " that was acted on" if any(_passed_over(told)) else ""
        return f"{begins}, of which no event asked anything{acted_on}."
    return f"{begins}, of which {' and '.join(map(_ask, requests))}; {_ruling(told.asked)}."


def _passed_over(told: Explanation) -> Iterator[str]:
    """What was asked of the zone and moved no car: it was not understood, or it was for cars in other programs."""
    for name, how in (("not_understood", "was not understood"), ("not_for_these_cars", "was not for these cars")):
        for one in told.asked.get(name, ()):
            yield f"What event {one['event_id']} asked as {one['payload_type']} {how}: {one['why']}."


def _ask(one: Mapping[str, Any]) -> str:
    rank = "" if one["priority"] is None else f", priority {one['priority']}"
    until = "" if one["end"] is None else f" until {_print(parse_at(one['end']))}"
    origin = f"event {one['event']} of programme {one['program']} (interval {one['interval']}{rank})"
    return f"{origin} asked {one['type'] or one['what']} {one['value']:g}{until}"


def _ruling(asked: Mapping[str, Any]) -> str:
    if asked.get("asked_kw") is None:
        return "no figure in kW followed from it"
    return f"the plan aimed at {asked['asked_kw']:.1f} kW for the zone and expected {asked['planned_kw']:.1f} kW"


def _able(asked: Mapping[str, Any]) -> Iterator[str]:
    """What the zone could do, and what kept its cars from following."""
    able = asked.get("able")
    if able is None or not asked.get("asks"):
        return
    yield f"The zone could draw {able['least_kw']:.1f} kW at the least and {able['most_kw']:.1f} kW at the most."
    if able["shortfall_kw"]:
        binds = "; ".join(_binding(one) for one in able["binds"]) or "no cause is known"
        yield f"Of what event {able['event']} asked {abs(able['shortfall_kw']):.1f} kW were short: {binds}."


def _broken(asked: Mapping[str, Any]) -> Iterator[str]:
    """The limits below the zone that the plan could not keep."""
    for one in asked.get("limits", {}).get("broken_nodes", ()):
        yield (
            f"The limit of {one['kind']} {one['node']} was broken by necessity: "
            f"{one['planned_kw']:.1f} kW of {one['limit_kw']:.1f} kW."
        )


def _binding(one: Mapping[str, Any]) -> str:
    cars = f"{one['cars']} {'car' if one['cars'] == 1 else 'cars'} " if one["cars"] else ""
    return f"{cars}{OBSTACLES[Obstacle(one['obstacle'])]} ({one['obstacle']}, {one['kw']:.1f} kW)"


def _chose(one: HistoryStep) -> str:
    until = one.facts.get("until")
    for_how_long = f" until {_print(parse_at(until))}" if until else ""
    if one.what == history.LEFT_OUT:
        return f"The driver took no part in event {one.facts['event']}{for_how_long}."
    return f"The driver {code_texts.CHOSE[DriverChoice(one.facts['choice'])]} at {_print(one.at)}{for_how_long}."


def _did(told: Explanation) -> Iterator[str]:
    """What was asked of the car and how that went, or why nothing was."""
    story, left = told.story, told.left_alone
    alone = left is not None and (story is None or (not story.live and left.at >= story.until[0].at))
    if story is not None:
        yield _wanted(story)
        yield from _went(story)
        yield _stood(story)
        yield from _later(story)
    if left is not None and alone:
        yield _left(left)
    elif story is None or not story.live:
        yield "At that instant nothing was asked of the car, which did as its driver had set it."


def _left(left: HistoryStep) -> str:
    reason = Reason[left.facts["reason"]]
    refused = left.facts.get("refusal")
    missing = f"; no discharge was asked for want of {MISSING[MissingPermit[refused]]} ({refused})" if refused else ""
    if reason is Reason.NONE:
        return f"From {_print(left.at)} on nothing was asked of the car, for no guard or event called for it{missing}."
    because = code_texts.BECAUSE[reason]
    return f"From {_print(left.at)} on the car was left alone, because {because} ({reason.name}){missing}."


def _wanted(story: DirectiveTrace) -> str:
    held, named = story.held, story.held.directive
    does = code_texts.DOES[named.kind].format(power_w=named.power_w)
    window = f"from {_print(named.start)} to {_print(named.end)}"
    event = (
        "no event" if named.origin is None else f"event {named.origin.event_id} (interval {named.origin.interval_id})"
    )
    because = code_texts.BECAUSE[Reason[held.why]] if held.why else "the plan decided so"
    because = f"the limit of {held.limited_by} asked for it" if held.limited_by else because
    code = f" ({held.why})" if held.why else ""
    return (
        f"Directive {named.directive_id}, for {event}, told it {does} {window}, because {because}{code}{_need(held)}."
    )


def _need(held: DirectiveRecord) -> str:
    named = held.directive
    parts = (
        ("battery at {:g} %", held.level_pct),
        ("target {:g} %", named.target_soc_pct),
        ("reserve {:g} %", named.reserve_soc_pct),
        ("at most {:g} Wh to be given", named.max_energy_wh),
    )
    known = [text.format(value) for text, value in parts if value is not None]
    known += [] if named.ready_by is None else [f"ready by {_print(named.ready_by)}"]
    return f"; {', '.join(known)}" if known else ""


def _went(story: DirectiveTrace) -> Iterator[str]:
    """Every step until the instant, one sentence each; repetitions are passed over, and sends that were held back."""
    last = ""
    before: HistoryStep | None = None
    known = (*story.until, *story.after)
    for one, then in itertools.zip_longest(story.until, known[1 : len(story.until) + 1]):
        if one.state is DirectiveState.REQUESTED and then is not None and then.what == history.UNSENT:
            continue
        sentence = _happened(one, before, story.held)
        if sentence and sentence != last:
            yield sentence
        last, before = sentence, one


def _happened(one: HistoryStep, before: HistoryStep | None, held: DirectiveRecord) -> str:
    when = _print(one.at)
    plain = {
        history.UNSENT: f"At {when} it was held back unsent: not written down, too late, or the driver had left.",
        history.WOKEN: f"At {when} the sleeping car was called, once.",
        history.ENDING: f"At {when} it was decided to take it back.",
    }
    if one.what == history.RESTORED:
        return _restored(one)
    return plain[one.what] if one.what in plain else _stepped(one, before, held)


def _stepped(one: HistoryStep, before: HistoryStep | None, held: DirectiveRecord) -> str:
    """A directive's step: into a state, or within it."""
    if one.state is DirectiveState.REQUESTED:
        return _sent(one, before)
    if "from" not in one.facts and one.state not in FINAL_STATES:
        return _noticed(one, before)
    when, why = _print(one.at), _why(one)
    if one.state is DirectiveState.ACCEPTED:
        how = f", to be kept {code_texts.BY[held.setting.rung]}" if held.setting is not None else ""
        return f"Its backend took it at {when}{_of(one.facts, ' as {action}')}{how}."
    if one.state is DirectiveState.IN_FORCE:
        return f"It counted as in force from {when}, {_proof(one.facts)}."
    if one.state is DirectiveState.INTERRUPTED:
        return f"It was interrupted at {when}{why}."
    ended = code_texts.ENDED[one.state] if one.state is not None else ""
    return f"At {when} it {ended}{why} ({one.state})."


def _sent(one: HistoryStep, before: HistoryStep | None) -> str:
    """It went out, or its call came back without having been taken."""
    when, facts = _print(one.at), one.facts
    sends = before.facts.get("attempts", 0) if before is not None else 0
    if facts.get("attempts", 0) > sends:
        return f"It was written down and sent at {when} (call {facts['attempts']})."
    doubt = "; what became of it was to be read before anything else" if facts.get("in_doubt") else ""
    again = f"; it was to be tried again from {_print(parse_at(facts['retry_at']))}" if facts.get("retry_at") else ""
    return f"By {when} it had not been taken{_why(one)}{doubt}{again}."


def _why(one: HistoryStep) -> str:
    code = one.facts.get("error")
    return f", because {code_texts.FAILED[ErrorCode(code)]} ({code})" if code else ""


def _of(facts: Mapping[str, Any], text: str) -> str:
    return text.format(**facts) if facts.get("action") else ""


def _noticed(one: HistoryStep, before: HistoryStep | None) -> str:
    """A step that changed no state: the car contradicted, its cable seemed to be out, or its effect became surer."""
    if "contradicted_at" in one.facts:
        return f"At {_print(parse_at(one.facts['contradicted_at']))} the car was seen doing something else."
    if "unplugged_at" in one.facts:
        return f"At {_print(parse_at(one.facts['unplugged_at']))} its cable was said to be out, which was not sure."
    if one.facts.get("unread"):
        return f"At {_print(one.at)} the adapter had been started anew, and its backend was to be asked."
    if before is not None and one.certainty > before.certainty:
        return f"At {_print(one.at)} it became surer, {_proof(one.facts)}."
    return ""


def _proof(facts: Mapping[str, Any]) -> str:
    if facts.get("confirmed_at") and facts.get("source"):
        at = _print(parse_at(facts["confirmed_at"]))
        return f"shown by {facts['evidence']}, observed at {at} (source: {facts['source']})"
    return f"on the backend's word ({facts['evidence']})" if facts.get("evidence") else "on the backend's word"


def _restored(one: HistoryStep) -> str:
    before, after = one.facts["before"], one.facts["after"]
    limits = ("limit_soc_pct", "limit_current_a")
    other = [
        name for name in limits if after[name] is not None and before[name] is not None and after[name] != before[name]
    ]
    if other:
        changed = ", ".join(f"{name} {after[name]:g} instead of {before[name]:g}" for name in other)
        return f"At {_print(one.at)} the car was seen NOT to be set as its driver had it: {changed}."
    told = ", ".join(f"{name} {value}" for name, value in after.items() if value is not None)
    return f"At {_print(one.at)} the car was seen given back to its driver's settings ({told})."


def _stood(story: DirectiveTrace) -> str:
    sure = f"certainty {story.certainty.name}: {code_texts.SURE[story.certainty]}"
    last = next((one for one in reversed(story.until) if one.what == history.STEP), None)
    seen = last.facts if story.live and last is not None else {}
    but = next((words for fact, words in code_texts.OTHERWISE.items() if fact in seen), "")
    return f"So at that instant it stood as {story.state}{but}, {sure}."


def _later(story: DirectiveTrace) -> Iterator[str]:
    """How it ended, when it did after the instant."""
    end = next((one for one in story.after if one.state in FINAL_STATES and one.what == history.STEP), None)
    if end is not None and story.live:
        yield f"Later: {_stepped(end, None, story.held)}"


def _print(at: datetime) -> str:
    """An instant to the second."""
    return f"{at:%Y-%m-%d %H:%M:%SZ}"
