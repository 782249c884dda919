"""Read a settings file strictly: one TOML file, overridden by environment variables, into one frozen model.

An unknown key refuses to start and names its line, because a misspelt security setting that is silently ignored is
worse than no server. This module knows how settings are read; what they are stands in `config.py`.
"""

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import pydantic
from pydantic_core import ErrorDetails

from vtn.errors import ConfigError

M = TypeVar("M", bound=pydantic.BaseModel)
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_RULES = {
    "extra_forbidden": "is not a setting",
    "missing": "is required",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "int_parsing_size": "must be a smaller number",
    "path_type": "must be a path",
    "tuple_type": "must be a list",
    "zoneinfo_str": "must be the name of a time zone, such as America/Los_Angeles",
}


def is_loopback(host: str | None) -> bool:
    """Whether a host or an address means this machine itself: `localhost`, 127.0.0.0/8, ::1, or one of these mapped."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return host == "localhost"
    return bool((getattr(address, "ipv4_mapped", None) or address).is_loopback)


class Section(pydantic.BaseModel):
    """The base of every group of settings: frozen, and closed to unknown keys."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


def require_writable(*paths: Path | None) -> None:
    """Whether files can be written, before the work whose results they get; ConfigError names the first that cannot."""
    for path in paths:
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.open("ab").close()
            except OSError as error:
                raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None


def load(model: type[M], path: Path | None, *, prefix: str, environ: Mapping[str, str]) -> M:
    """Build `model` from the file (if any) and from variables PREFIX_SECTION__KEY; ConfigError says what is wrong."""
    text = _read(path) if path else ""
    values = _parse(text, path)
    overrides = _environment(prefix, environ)
    try:
        return model.model_validate(_merge(values, overrides))
    except pydantic.ValidationError as error:
        raise ConfigError(_explain(error, text, path, overrides, prefix)) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None


def _parse(text: str, path: Path | None) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from None


def _environment(prefix: str, environ: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, raw in sorted(environ.items()):
        if name.startswith(f"{prefix}_"):
            *sections, key = name.removeprefix(f"{prefix}_").lower().split("__")
            node = tree
            for section in sections:
                node = node.setdefault(section, {})
                if not isinstance(node, dict):
                    raise ConfigError(f"environment: {name}: {section} is set to a single value already")
            node[key] = _scalar(raw)
    return tree


def _scalar(raw: str) -> Any:
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        merged[key] = _merge(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged


def _explain(
    error: pydantic.ValidationError, text: str, path: Path | None, overrides: Mapping[str, Any], prefix: str
) -> str:
    first = error.errors(include_url=False)[0]
    keys = [str(part) for part in first["loc"]]
    reason = rule_of(first)
    if path is None or (keys and _holds(overrides, keys)):
        return f"environment: {prefix}_{'__'.join(keys).upper()}: {reason}"
    line = _line_of(text, keys)
    return f"{path}{f':{line}' if line else ''}: {'.'.join(keys)}: {reason}"


def rule_of(fault: ErrorDetails) -> str:
    """The rule that a setting breaks, without the value, which may be a secret."""
    return _RULES.get(fault["type"]) or re.sub(r"^\w+ should ", "must ", fault["msg"].removeprefix("Value error, "))


def _holds(tree: Mapping[str, Any], keys: list[str]) -> bool:
    node: Any = tree
    for key in keys:
        if not isinstance(node, Mapping) or key not in node:
            return False
        node = node[key]
    return True


def _line_of(text: str, keys: list[str]) -> int | None:
    """The line that sets `keys`, found by reading headers and keys; None when the key is missing rather than wrong."""
    section = ""
    wanted = ".".join(keys)
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[+([^\]]+)\]+", line):
            section = header[1].strip() + "."
            if section == f"{wanted}.":
                return number
        elif (pair := re.match(r"\s*([\w.\-\"]+)\s*=", line)) and wanted.startswith(section + pair[1].strip('"')):
            return number
    return None
