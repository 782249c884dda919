"""Mutations of lists: filters, paging, order, activity."""

import random

from breaking import mutant, on_query, wrap

from vtn import errors
from vtn.endpoints import objects as http_objects
from vtn.endpoints import paging
from vtn.service import objects
from vtn.storage.read_model import ReadModel


@mutant("PAG-03")
def limits_are_clamped(patch):
    """limit=51 is answered with 50 objects."""
    on_query(patch, lambda q: q.update(limit="50") if q.get("limit", "").isdigit() and int(q["limit"]) > 50 else None)


@mutant("PAG-04")
def a_limit_of_zero_means_none(patch):
    """limit=0 is answered with a full page."""
    on_query(patch, lambda query: query.popall("limit") if query.get("limit") == "0" else None)


@mutant("PAG-01")
def skip_is_ignored(patch):
    """Every page is the first one."""
    on_query(patch, lambda query: query.popall("skip", None) if query.get("skip", "x").isdigit() else None)


@mutant("PAG-07")
def the_order_changes(patch):
    """Lists are in another order at each request."""
    chance = random.Random(3)
    candidates = ReadModel._candidates

    def shuffled(*args):
        keys = list(candidates(*args))
        return chance.sample(keys, len(keys))

    patch.setattr(ReadModel, "_candidates", shuffled)


@mutant("EVT-12")
def active_forgets_the_future(patch):
    """active=true drops what has not begun."""
    patch.setattr(ReadModel, "_transpired", lambda *_: True)


@mutant("EVT-15")
def active_is_ignored(patch):
    """active=true lists finished events."""
    patch.setattr(ReadModel, "_transpired", lambda *_: False)


@mutant("GEN-33")
def names_match_by_their_beginning(patch):
    """A filter by name finds longer names too."""

    def passes(self, entry, narrow):
        return narrow.name is None or (entry.record.name or "").startswith(narrow.name)

    patch.setattr(ReadModel, "_passes", passes)


@mutant("FLT-01")
def filters_are_alternatives(patch):
    """Two filters combine with OR."""
    patch.setattr(ReadModel, "_passes", lambda *_: True)

    async def reports(core_, principal, query):
        found: dict[str, bytes] = {}
        for part in ("event_id", "program_id", "client_name"):
            if value := getattr(query, part):
                alone = type(query)(**{part: value}, limit=query.limit)
                found |= {record.id: record.body for record in await core_.store.reports(alone)}
        return objects.json_list(list(found.values()))

    patch.setattr(http_objects, "search_reports", reports)


@mutant("FLT-03")
def a_filter_that_finds_nothing_is_an_error(patch):
    """An unknown id in a filter is answered 404."""

    def change(search):
        async def altered(*args):
            found = await search(*args)
            if found == b"[]" and args[-1].program_id:
                raise errors.NotFound("nothing found")
            return found

        return altered

    wrap(patch, objects, "search", change)


@mutant("FLT-06")
def one_counts_as_true(patch):
    """active=1 is taken for true."""
    patch.setitem(paging.BOOLEANS, "1", True)


@mutant("TGT-17", settings={"protocol": {"split_commas": True}})
def commas_separate_targets(_patch):
    """targets=a,b is taken for two targets."""


@mutant("TGT-18")
def targets_match_in_any_case(patch):
    """targets=G1 finds g1."""

    def change(query):
        wanted = query.popall("targets", [])
        query.extend(("targets", one.lower()) for one in wanted)

    on_query(patch, change)
