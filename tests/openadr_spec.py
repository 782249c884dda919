"""The specification itself, read where it lies beside the repository; nothing of it is copied into the project.

`openadr3.yaml` is used as it is, but for two things that readings.md lists as slips: discriminators that name no schema
(TR-32) are left out, and `default: null          -` is null (TR-24).
"""

import functools
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

FOLDER = Path(__file__).parents[2] / "shared" / "openadr" / "3.1"
HERE = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the specification is not beside the repository ({FOLDER})")


BLOCK = re.compile(r"^```(\w*)[ \t]*\n(.*?)^```[ \t]*\n([^`]{0,200})", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    """A JSON block of the User Guide: its number, the method and collection of the request before it, and its text."""

    name: str
    method: str
    collection: str
    content: Any


@functools.cache
def document(version: str = "3.1") -> dict[str, Any]:
    """The OpenAPI document of a version."""
    import yaml

    found: dict[str, Any] = yaml.safe_load((FOLDER.with_name(version) / "openadr3.yaml").read_text())
    _mend(found)
    return found


def _mend(node: Any) -> None:
    if isinstance(node, dict):
        if isinstance(node.get("discriminator"), dict):
            del node["discriminator"]
        if isinstance(node.get("default"), str) and node["default"].startswith("null "):
            node["default"] = None
        for child in node.values():
            _mend(child)
    elif isinstance(node, list):
        for child in node:
            _mend(child)


def faults(name: str, content: Any, version: str = "3.1") -> list[str]:
    """What the schema of this name finds wrong, formats included; empty when valid."""
    from openapi_schema_validator import OAS30Validator, oas30_format_checker

    root = {"$ref": f"#/components/schemas/{name}", "components": document(version)["components"]}
    found = OAS30Validator(root, format_checker=oas30_format_checker).iter_errors(content)
    return [f"{error.json_path}: {error.message[:120]}" for error in found]


@functools.cache
def examples() -> tuple[Example, ...]:
    """Every JSON block of the User Guide that is JSON."""
    text = (FOLDER / "User_Guide.md").read_text()
    found = []
    call = ""
    for language, body, rest in re.findall(
        r"^```(\w*)[ \t]*\n(.*?)^```[ \t]*\n([^`]{0,200})", text, re.MULTILINE | re.DOTALL
    ):
        if language == "shell":
            call = body
        elif language == "json":
            title = re.search(r"Example ([\d.]+-\d+)", rest)
            method, collection = _of(call, body)
            try:
                content = json.loads(body)
            except ValueError:
                continue
            found.append(Example(title[1] if title else "?", method, collection, content))
            call = ""
    return tuple(found)


def _of(call: str, body: str) -> tuple[str, str]:
    """The method and collection of the curl command before a block; a block without one is judged by its look."""
    method = re.search(r"-X (\w+)", call)
    path = re.search(r"/(programs|events|reports|subscriptions|vens|resources)\b", call)
    if path:
        return method[1] if method else "GET", path[1]
    return ("POST", "events") if '"programID"' in body else ("", "")
