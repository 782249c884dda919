"""`/docs`: the OpenAPI document as one page to read, made on the server from the document and nothing else.

The page needs no other file and no network, and it cannot load any: its style and its script (which only searches) are
in it, and the answer's Content-Security-Policy allows these two and forbids the rest.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

Json = Mapping[str, Any]
HERE = "#/components/schemas/"
STYLE = resources.files(__package__).joinpath("docs_page.css").read_text()
SCRIPT = resources.files(__package__).joinpath("docs_page.js").read_text()
CODE = re.compile(r"`([^`]+)`")
BOUNDS = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "default": "{} when left out",
    "pattern": "like {}",
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
    info = document["info"]
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(info['title'])}</title><style>{STYLE}</style></head><body>",
            _contents(document),
            f"<main><header><h1>{escape(info['title'])}</h1><p class=version>Version {escape(info['version'])}</p>",
            f"<p>{_prose(info['description'])}</p>{_servers(document['servers'])}{_scopes(document)}</header>",
            *_sections(document),
            "<section><h2 id=schemas>Objects and their parts</h2>",
            *(_schema(name, schema) for name, schema in document["components"]["schemas"].items()),
            f"</section></main><script>{SCRIPT}</script></body></html>",
        )
    )


def _prose(text: str) -> str:
    """A sentence; what stands in back-ticks is code."""
    return CODE.sub(r"<code>\1</code>", escape(text))


def _operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method in {"get", "post", "put", "delete"}:
                yield method.upper(), path, operation


def _contents(document: Json) -> str:
    """The list at the side, and the field that searches it."""
    entries: dict[str, list[str]] = {tag["name"]: [] for tag in document["tags"]}
    for method, path, operation in _operations(document):
        link = f"<a href='#{operation['operationId']}'>{_badge(method)} {escape(operation['summary'])}</a>"
        entries.setdefault(operation["tags"][0], []).append(
            f"<li data-words='{_words(method, path, operation)}'>{link}"
        )
    parts = "".join(f"<h3>{escape(tag)}</h3><ul>{''.join(links)}</ul>" for tag, links in entries.items())
    field = "<input id=search type=search placeholder='Search operations and objects' aria-label=Search autofocus>"
    rest = "<h3><a href='#schemas'>objects</a></h3><p><a href='openapi.json'>openapi.json</a></p>"
    return f"<nav>{field}{parts}{rest}</nav>"


def _words(method: str, path: str, operation: Json) -> str:
    return escape(f"{method} {path} {operation['operationId']} {operation['summary']}".lower(), quote=True)


def _badge(method: str) -> str:
    return f"<b class={method.lower()}>{method}</b>"


def _servers(servers: Sequence[Json]) -> str:
    links = "".join(f"<li><code>{escape(server['url'])}</code>" for server in servers)
    return f"<h2>Base URLs</h2><ul>{links}</ul>"


def _scopes(document: Json) -> str:
    flow = document["components"]["securitySchemes"]["oAuth2ClientCredentials"]["flows"]["clientCredentials"]
    rows = "".join(f"<tr><td><code>{escape(n)}</code><td>{_prose(w)}" for n, w in flow["scopes"].items())
    token = f"<p>Tokens come from <code>POST {escape(flow['tokenUrl'])}</code> by client credentials.</p>"
    return f"<h2>Access</h2>{token}<table><tr><th>Scope<th>What it opens{rows}</table>"


def _sections(document: Json) -> Iterator[str]:
    for tag in document["tags"]:
        yield f"<section><h2>{escape(tag['name'])}</h2><p>{_prose(tag['description'])}</p>"
        for method, path, operation in _operations(document):
            if operation["tags"][0] == tag["name"]:
                yield _operation(method, path, operation, document["components"])
        yield "</section>"


def _operation(method: str, path: str, operation: Json, components: Json) -> str:
    head = f"{_badge(method)} <code>{escape(path)}</code> <span>{escape(operation['summary'])}</span>"
    return "".join(
        (
            f"<details id='{operation['operationId']}' data-words='{_words(method, path, operation)}'>",
            f"<summary>{head}</summary>{_who(operation['security'])}",
            _parameters(operation.get("parameters", ()), components),
            _body(operation.get("requestBody")),
            _responses(operation["responses"], components),
            "</details>",
        )
    )


def _who(security: Sequence[Json]) -> str:
    if not security:
        return "<p class=who>Open to everybody.</p>"
    scopes = [scope for way in security for scope in way.get("oAuth2ClientCredentials", ())]
    allowed = " or ".join(f"<code>{escape(scope)}</code>" for scope in scopes)
    nobody = " Without a token too, as somebody without targets." if {} in security else ""
    return f"<p class=who>{f'With {allowed}.' if allowed else 'With any access token.'}{nobody}</p>"


def _parameters(parameters: Sequence[Json], components: Json) -> str:
    """A table of what goes into path, query and head."""
    rows = []
    for given in parameters:
        one = components["parameters"][given["$ref"].rpartition("/")[2]] if "$ref" in given else given
        many = ", may be repeated" if one["schema"].get("type") == "array" else ""
        shape = type_words(one["schema"].get("items", one["schema"]))
        place = f"<code>{escape(one['name'])}</code><td>{one['in']}{many}"
        rows.append(f"<tr><td>{place}<td>{shape}<td>{_prose(one.get('description', ''))}")
    return f"<h4>Parameters</h4><table>{''.join(rows)}</table>" if rows else ""


def _body(body: Json | None) -> str:
    if body is None:
        return ""
    found = []
    for media_type, content in body["content"].items():
        found.append(f"<h4>Body</h4><p><code>{escape(media_type)}</code>: {type_words(content['schema'])}</p>")
        for name, example in content.get("examples", {}).items():
            text = escape(json.dumps(example["value"], indent=2))
            found.append(f"<figure><figcaption>{escape(name)}</figcaption><pre>{text}</pre></figure>")
    return "".join(found)


def _responses(responses: Json, components: Json) -> str:
    rows = []
    for status, given in responses.items():
        one = components["responses"][given["$ref"].rpartition("/")[2]] if "$ref" in given else given
        shapes = [type_words(content["schema"]) for content in one.get("content", {}).values()]
        rows.append(f"<tr><td><b class=s{status[0]}>{status}</b><td>{_prose(one['description'])}<td>{''.join(shapes)}")
    return f"<h4>Answers</h4><table>{''.join(rows)}</table>"


def _schema(name: str, schema: Json) -> str:
    required = set(schema.get("required", ()))
    rows = "".join(
        f"<tr><td><code>{escape(key)}</code><td>{'required' if key in required else ''}<td>{type_words(value)}"
        f"<td>{_prose(value.get('description', ''))}"
        for key, value in schema.get("properties", {}).items()
    )
    said = schema.get("description", "")
    words = escape(" ".join((name, said, *schema.get("properties", ()))).lower(), quote=True)
    return (
        f"<details id='schema-{escape(name)}' data-words='{words}'>"
        f"<summary><code>{escape(name)}</code> <span>{_prose(said)}</span></summary><table>{rows}</table></details>"
    )


def type_words(schema: Json) -> str:
    """A schema in a few words, as HTML; objects of a name are links."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(HERE))
        return f"<a href='#schema-{name}'>{name}</a>"
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return " or ".join(type_words(option) for option in schema[choice])
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"<code>{escape(json.dumps(value))}</code>" for value in values)
    types = schema.get("type", "anything")
    names = [types] if isinstance(types, str) else list(types)
    if "array" in names:
        rest = "".join(f" or {name}" for name in names if name != "array")
        return f"list of {type_words(schema['items'])}{rest}"
    words = " or ".join(names) + (f", {schema['format']}" if "format" in schema else "")
    bounds = [BOUNDS[key].format(f"<code>{escape(str(schema[key]))}</code>") for key in BOUNDS if key in schema]
    return f"{escape(words)}{''.join(f', {bound}' for bound in bounds)}"
