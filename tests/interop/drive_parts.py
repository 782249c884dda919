"""What both drives share. Members are used by name, and one JSON line says how each use went.

Runs in a library's own environment: the standard library only. A use goes as expected when the library returns (and
`check` agrees), when our server refuses with the status `refused`, or when the library itself fails with the words
`broken`: the last for faults of a library on answers that the standard wants. `why` says which clause.
"""

import http.server
import importlib
import inspect
import json
import pkgutil
import queue
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

Check = Callable[[Any], object]


class Drive:
    """Uses members of a library and remembers which; `roles` are clients whose members are named with their role."""

    def __init__(self, **roles: object) -> None:
        self.roles = roles
        self.used: set[str] = set()

    def do(self, path: str, *args: Any, **how: Any) -> Any:
        """Use a member of a role, such as `bl.events.create_event`."""
        role, *names = path.split(".")
        subject = self.roles[role]
        for name in names[:-1]:
            subject = getattr(subject, name)
        return self._perform(path, lambda: getattr(subject, names[-1]), args, how)

    def on(self, subject: object, name: str, *args: Any, **how: Any) -> Any:
        """Use a member of an object or a class; it is named with the class that defines it."""
        lineage = inspect.getmro(subject if isinstance(subject, type) else type(subject))
        owner = next(one for one in lineage if name in vars(one))
        return self._perform(f"{owner.__name__}.{name}", lambda: getattr(subject, name), args, how)

    def run(self, function: Callable[..., Any], *args: Any, **how: Any) -> Any:
        """Use a function of a module."""
        return self._perform(function.__name__, lambda: function, args, how)

    def _perform(self, name: str, member: Callable[[], Any], args: Iterable[Any], how: dict[str, Any]) -> Any:
        expected = {word: how.pop(word, None) for word in ("check", "refused", "broken", "why")}
        self.used.add(name)
        outcome: Any
        try:
            found = member()
            outcome = found(*args, **how) if callable(found) else found
        except Exception as error:  # noqa: BLE001 - whatever a library raises is what is reported
            outcome = error
        ok, detail = judged(outcome, **expected)
        self.claim(name, detail, ok=ok)
        return outcome

    def claim(self, name: str, detail: str, *, ok: bool) -> None:
        """Say how something went that no single member stands for."""
        _print({"method": name, "ok": ok, "detail": detail})

    def finish(self, surface: Iterable[str], excused: Mapping[str, str]) -> None:
        """Say what of the library's surface was left out without an excuse, and which excuses excuse nothing."""
        left_out = set(surface) - self.used - set(excused)
        idle = {name for name in excused if name in self.used or name not in set(surface)}
        _print({"left_out": sorted(left_out), "idle_excuses": sorted(idle), "used": len(self.used)})


def _print(line: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def judged(
    outcome: Any, *, check: Check | None, refused: int | None, broken: str | None, why: str | None
) -> tuple[bool, str]:
    """Whether a use went as expected, and what happened in words."""
    response = getattr(outcome, "response", outcome)
    status = getattr(response, "status_code", None)
    said = f"{status} {response.text[:300]}" if status else repr(outcome)[:600]
    if broken is not None:
        return isinstance(outcome, Exception) and broken in str(outcome), f"the library fails: {said} ({why})"
    if refused is not None:
        return status == refused, f"{said} ({why})"
    if isinstance(outcome, Exception) or (status or 200) >= 300:
        return False, said
    return check is None or bool(check(outcome)), said


def public_members(kind: type, package: str) -> set[str]:
    """The public methods and properties that classes of this package give a class."""
    return {
        name
        for one in inspect.getmro(kind)
        if one.__module__.partition(".")[0] == package
        for name, member in vars(one).items()
        if not name.startswith("_") and is_member(member)
    }


def members_of_modules(package: ModuleType, skip: Callable[[str], bool]) -> set[str]:
    """The public functions, and the public members of classes, that the public modules of a package define.

    Validators and other hooks of pydantic models are left out: they run by themselves.
    """
    found = set()
    for _, name, _ in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if skip(name) or any(part.startswith("_") for part in name.split(".")):
            continue
        own = {thing for thing in vars(importlib.import_module(name)).values() if _is_of(thing, name)}
        found |= {thing.__name__ for thing in own if inspect.isfunction(thing) and not thing.__name__.startswith("_")}
        for kind in (one for one in own if inspect.isclass(one) and not one.__name__.startswith("_")):
            decorated = getattr(kind, "__pydantic_decorators__", None)
            validators = {*decorated.field_validators, *decorated.model_validators} if decorated else set()
            mine = {one for one, member in vars(kind).items() if not one.startswith("_") and is_member(member)}
            found |= {f"{kind.__name__}.{one}" for one in mine - validators - {"model_post_init"}}
    return found


def _is_of(thing: object, module: str) -> bool:
    return (inspect.isclass(thing) or inspect.isfunction(thing)) and thing.__module__ == module


def is_member(member: object) -> bool:
    """A method or a property."""
    return isinstance(member, (property, staticmethod, classmethod)) or inspect.isfunction(member)


class Receiver(http.server.ThreadingHTTPServer):
    """A callback that echoes challenges, as the standard wants, and hands every notification to `taken`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Callback)
        self.taken: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        self.url = f"http://127.0.0.1:{self.server_port}/hook"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Callback(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_GET(self) -> None:
        echo = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["echo"][0]
        self._answer(echo.encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.put((dict(self.headers), body))
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
