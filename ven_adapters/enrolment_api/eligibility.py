"""Who may join which programme: pure judgements over the rules of the settings. Knows no cars and no storage."""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from ven_adapters.config import ProgramRules
from ven_adapters.enrolment_api.models import UNKNOWN, Agreement, Question, RequestFault, Verdict

LONGEST_WHY = 1_000
Rules = Mapping[str, ProgramRules]
_FIELDS = (("model", "models"), ("region", "regions"), ("utility", "utilities"), ("tariff", "tariffs"))


def reasons(rules: ProgramRules, car: Question) -> tuple[str, ...]:
    """Every rule of a programme that a car does not meet."""
    return tuple(
        f"{field}: must match one of {', '.join(getattr(rules, allowed))}"
        for field, allowed in _FIELDS
        if not any(fnmatchcase(getattr(car, field), pattern) for pattern in getattr(rules, allowed))
    )


def verdicts(programs: Rules, car: Question) -> tuple[Verdict, ...]:
    """Each programme's answer, or that of the one asked for."""
    return tuple(
        Verdict(program=name, kind=rules.kind, eligible=not (why := reasons(rules, car)), reasons=why)
        for name, rules in programs.items()
        if car.program in {None, name}
    )


def joining(programs: Rules, wanted: Iterable[str], car: Question) -> Iterator[RequestFault]:
    """What is wrong with joining these programmes together: unknown, not eligible, two of one kind."""
    kinds: dict[str, str] = {}
    for place, name in enumerate(wanted):
        path = f"$.programs[{place}]"
        rules = programs.get(name)
        if rules is None:
            yield RequestFault(path=path, rule=f"{name!r} is not a programme of this adapter")
            continue
        for why in reasons(rules, car):
            yield RequestFault(path=path, rule=f"{name}: {why}")
        if rules.kind in kinds:
            yield RequestFault(
                path=path, rule=f"one programme of a kind: {kinds[rules.kind]!r} is of kind {rules.kind} too"
            )
        kinds.setdefault(rules.kind, name)


def question_of(car: Agreement) -> Question | None:
    """What an agreement says of a car; None for a car of a file: whoever took it in vouched for it."""
    if {car.model, car.region, car.utility} == {UNKNOWN}:
        return None
    return Question(model=car.model, region=car.region, utility=car.utility, tariff=car.tariff)


def remaining(programs: Rules, joined: Iterable[str], car: Question | None) -> tuple[tuple[str, ...], str]:
    """Of the programmes that a car is in, those that it may stay in, and why not in the others; None: any car may.

    A programme that is gone is left; of two that are now of one kind, the one that was named first stays.
    """
    kept: list[str] = []
    left: list[str] = []
    kinds: set[str] = set()
    for name in joined:
        rules = programs.get(name)
        why = ("is no programme any more",) if rules is None else () if car is None else reasons(rules, car)
        if rules is not None and rules.kind in kinds:
            why = (
                *why,
                f"another programme of kind {rules.kind} stays",
            )
        if why:
            left.append(f"{name}: {'; '.join(why)}")
        elif rules is not None:
            kept.append(name)
            kinds.add(rules.kind)
    return tuple(kept), " | ".join(left)[:LONGEST_WHY]


def discharges(programs: Rules, names: Iterable[str]) -> bool:
    """Whether one of these programmes takes energy from batteries."""
    return any(programs[name].discharge for name in names if name in programs)
