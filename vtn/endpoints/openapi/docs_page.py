"""`/docs`: the OpenAPI document as one page to read, made on the server from the document and nothing else.

The page needs no other file and no network, and it cannot load any: its style and its script (which only searches) are
in it, and the answer's Content-Security-Policy allows these two and forbids the rest.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from markupsafe import Markup, escape

from vtn.pages import rendered

Json = Mapping[str, Any]
HERE = "#/components/schemas/"
STYLE = resources.files(__package__).joinpath("docs_page.css").read_text()
SCRIPT = resources.files(__package__).joinpath("docs_page.js").read_text()
METHODS = frozenset({"get", "post", "put", "delete"})
CODE = re.compile(r"`([^`]+)`")
BOUNDS: Mapping[str, Markup] = {
    "minLength": Markup("at least <code>{}</code> characters"),
    "maxLength": Markup("at most <code>{}</code> characters"),
    "minimum": Markup("at least <code>{}</code>"),
    "maximum": Markup("at most <code>{}</code>"),
    "default": Markup("<code>{}</code> when left out"),
    "pattern": Markup("like <code>{}</code>"),
}


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src {_digest(STYLE)}; script-src {_digest(SCRIPT)};"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def page(document: Json) -> str:
    """The whole page."""
    by_tag: dict[str, list[tuple[str, str, Json]]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method in METHODS:
                by_tag[operation["tags"][0]].append((method.upper(), path, operation))
    return rendered(
        "vtn.endpoints.openapi/docs_page.html",
        document=document,
        sections=[(tag, by_tag[tag["name"]]) for tag in document["tags"]],
        style=Markup(STYLE),  # noqa: S704 - a file of ours
        script=Markup(SCRIPT),  # noqa: S704 - a file of ours
        prose=_prose,
        who=_who,
        referred=_referred,
        type_words=type_words,
        example_text=lambda value: json.dumps(value, indent=2),
    )


def _prose(text: str) -> Markup:
    """A sentence; what stands in back-ticks is code."""
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def _who(security: Sequence[Json]) -> Markup:
    """Who may call an operation, in a sentence."""
    if not security:
        return Markup("Open to everybody.")
    scopes = [scope for way in security for scope in way.get("oAuth2ClientCredentials", ())]
    allowed = Markup(" or ").join(Markup("<code>{}</code>").format(scope) for scope in scopes)
    nobody = " Without a token too, as somebody without targets." if {} in security else ""
    return (Markup("With {}.").format(allowed) if allowed else Markup("With any access token.")) + nobody


def _referred(given: Json, components: Json) -> Json:
    """A parameter or an answer itself, where the document only refers to it."""
    return components[given["$ref"].rpartition("/")[2]] if "$ref" in given else given


def type_words(schema: Json) -> Markup:
    """A schema in a few words, as HTML; objects of a name are links."""
    if "$ref" in schema:
        return Markup("<a href='#schema-{0}'>{0}</a>").format(schema["$ref"].removeprefix(HERE))
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return Markup(" or ").join(type_words(option) for option in schema[choice])
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return Markup(", ").join(Markup("<code>{}</code>").format(json.dumps(value)) for value in values)
    types = schema.get("type", "anything")
    names = [types] if isinstance(types, str) else list(types)
    if "array" in names:
        return Markup("list of {}{}").format(
            type_words(schema["items"]), "".join(f" or {name}" for name in names if name != "array")
        )
    words = " or ".join(names) + (f", {schema['format']}" if "format" in schema else "")
    return Markup(", ").join([words, *(BOUNDS[key].format(schema[key]) for key in BOUNDS if key in schema)])
