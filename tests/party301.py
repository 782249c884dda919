"""A client of the 3.0.1 face. Every answer that it gets is held against the 3.0.1 schema, where that lies beside us."""

import re
from typing import Any

import openadr_spec
from vtn_process import Answer, Party

V301 = "/openadr3/3.0.1"
SCHEMAS = {
    "programs": "program",
    "events": "event",
    "reports": "report",
    "subscriptions": "subscription",
    "vens": "ven",
    "resources": "resource",
}
ADDED_BY_31 = {"clientID", "duration", "reportIntervals"}
HTTP_WORDS = {"GET": "READ", "POST": "CREATE", "PUT": "UPDATE"}


def faults(schema: str, content: Any) -> list[str]:
    """What the 3.0.1 schema finds wrong; nothing where it is not to be had."""
    return openadr_spec.faults(schema, content, "3.0.1") if openadr_spec.FOLDER.is_dir() else []


def in_the_schemas_words(content: Any) -> Any:
    """A subscription written in HTTP's words, which a client in use speaks, in those that the schema lists."""
    entries = content.get("objectOperations", ())
    told = [{**one, "operations": [HTTP_WORDS.get(word, word) for word in one["operations"]]} for one in entries]
    return {**content, "objectOperations": told} if told else content


class Party301(Party):
    """One client at the 3.0.1 base path of a server's root."""

    def __init__(self, party: Party, root: str) -> None:
        super().__init__(party._session, root + V301, party.token)

    async def send(self, method: str, path: str, **rest: Any) -> Answer:
        """One request, its answer checked."""
        answer = await super().send(method, path, **rest)
        collection = re.sub(r"\?.*", "", path).split("/")[1:]
        name = "resources" if "resources" in collection else collection[0]
        if answer.status >= 400:
            assert faults("problem", answer.json) == []
        elif name in SCHEMAS and answer.content:
            content = answer.json
            for one in content if isinstance(content, list) else [content]:
                assert faults(SCHEMAS[name], in_the_schemas_words(one)) == [], (method, path, one)
                assert not ADDED_BY_31 & one.keys()
        return answer
