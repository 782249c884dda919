"""Requests by the thousand, made up from the server's own OpenAPI document: `python tests/interop/fuzz.py`.

A real server, two clients of it (Business Logic and a VEN), each in a process of its own (`fuzz_party`). Wanted: no
5xx, no status and no media type that the document does not name, no answer that breaks its schema, nothing invalid
taken and nothing valid refused. The summary goes to `var/fuzz/summary.json`; the exit code says whether any failed.
"""

import argparse
import contextlib
import copy
import dataclasses
import http.server
import json
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from vtn_process import V310, V311, Vtn, add_client, fresh  # noqa: E402 - found through the path above

PARTY = HERE / "fuzz_party.py"
SUMMARY = HERE.parents[1] / "var" / "fuzz" / "summary.json"
ROLES = {"bl": "BL", "c1": "VEN"}
BOUNDARIES = 8500  # about as many requests does it take to walk along all boundaries with both clients
Json = dict[str, Any]

# Rules of this server that a JSON schema cannot say; a valid request may be refused by them (400).
REFUSALS = [
    {"says": r"^must be (BL|VEN)_(VEN|RESOURCE)_REQUEST for this client$", "reason": "a shape of the other role"},
    {"says": r"^must be (an https URL with a host|a well-formed URL)$", "reason": "callbacks are https"},
    {"says": r"^echo challenge failed", "reason": "callbacks must echo a challenge"},
    {"says": r"^must be the clientID of the ven; it may be left out$", "reason": "a resource has the owner of its ven"},
    {"says": r"^must hold no NUL", "reason": "a name is text that every database can hold"},
    {"says": r"^must be an integer$", "reason": "1.0 is an integer to JSON Schema and none to OpenAPI 3.0"},
]


class Echo(http.server.BaseHTTPRequestHandler):
    """A callback receiver that echoes every challenge and takes every notification."""

    def do_GET(self) -> None:
        """Echo."""
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        self._answer(query.get("echo", [""])[0].encode())

    def do_POST(self) -> None:
        """Take."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        with contextlib.suppress(OSError):  # the server may have been stopped meanwhile
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def echo_receiver() -> Iterator[str]:
    """The URL of a receiver on this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hook"
    finally:
        server.shutdown()
        server.server_close()


@dataclasses.dataclass(frozen=True)
class Target:
    """The server under test and what stands in it from the beginning."""

    vtn: Vtn
    callback: str

    def call(self, who: str, path: str, body: Json | None = None) -> Any:
        """One request that must succeed."""
        headers = {"Authorization": f"Bearer {self.vtn.token(who)}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.vtn.url + path, data, headers)  # noqa: S310 - our own server
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)

    def seeds(self) -> dict[str, dict[str, list[str]]]:
        """Objects of every kind that last, by client and by the name of their id."""
        made: dict[str, dict[str, list[str]]] = {who: {} for who in ROLES}

        def make(who: str, collection: str, body: Json) -> str:
            one: str = self.call(who, f"/{collection}", body)["id"]
            name = f"{collection.removesuffix('s')}ID"
            for each in ROLES if who == "bl" and collection in {"programs", "events"} else {who, "bl"}:
                made[each].setdefault(name, []).append(one)
            return one

        program = make("bl", "programs", {"programName": fresh("lasting")})
        ven = make("c1", "vens", {"objectType": "VEN_VEN_REQUEST", "venName": fresh("lasting")})
        make("c1", "resources", {"objectType": "VEN_RESOURCE_REQUEST", "resourceName": fresh("lasting"), "venID": ven})
        for who in ROLES:
            event = make("bl", "events", {"programID": program})
            make("c1", "reports", {"eventID": event, "clientName": "lasting", "resources": []})
            entry = {"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": self.callback}
            make(who, "subscriptions", {"clientName": "lasting", "programID": program, "objectOperations": [entry]})
        return made


def own_document(url: str) -> Json:
    """The document that the server publishes at a base URL."""
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=30) as answer:  # noqa: S310 - our own server
        found: Json = json.load(answer)
    return found


def jobs(target: Target, requests: int, seed: int, documents: Mapping[str, Json], known: Sequence[Json]) -> list[Json]:
    """What each party has to do; Business Logic begins at one base URL, the VEN at the other."""
    seeds = target.seeds()
    return [
        {
            "urls": [target.vtn.root + base for base in bases],
            "document": copy.deepcopy(documents[who]),
            "token": target.vtn.token(who),
            "requests": -(-requests // len(ROLES)),
            "seed": seed * 1000 + place * 100,
            "ids": seeds[who],
            "callback": target.callback,
            "share": min(1.0, requests / BOUNDARIES),
            "known": list(known),
            "refusals": REFUSALS,
        }
        for place, (who, bases) in enumerate(zip(ROLES, ((V310, V311), (V311, V310)), strict=True))
    ]


def _as_written(value: Any) -> str:
    """A date that YAML has read, as the text that it was."""
    return f"{value.isoformat()}Z"


class Party:
    """A running `fuzz_party`."""

    def __init__(self, job: Json) -> None:
        self.done = 0
        self.last_words: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, str(PARTY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin
        self._process.stdin.write(json.dumps(job, default=_as_written))
        self._process.stdin.close()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            if line.strip().isdecimal():
                self.done = int(line)
            else:
                self.last_words = [*self.last_words[-40:], line]

    def result(self) -> Json:
        """What it came to."""
        with self._process:
            assert self._process.stdout
            text = self._process.stdout.read()
            self._listener.join()
        code = self._process.returncode
        if code:
            raise RuntimeError("".join(self.last_words))
        found: Json = json.loads(text)
        return found


def together(parts: Sequence[Json], server_log: str) -> Json:
    """One summary of several results."""
    by_operation: dict[str, dict[str, int]] = {}
    excused: dict[str, int] = {}
    for part in parts:
        for name, counts in part["by_operation"].items():
            held = by_operation.setdefault(name, {})
            for status, number in counts.items():
                held[status] = held.get(status, 0) + number
        for reason, number in part["excused"].items():
            excused[reason] = excused.get(reason, 0) + number
    failures = [failure for part in parts for failure in part["failures"]]
    if "Traceback" in server_log:
        failures.append({"operation": "the server", "check": "its log", "message": server_log[-4000:], "count": 1})
    return {
        "requests": sum(part["requests"] for part in parts),
        "by_operation": dict(sorted(by_operation.items())),
        "excused": excused,
        "failures": failures,
    }


@contextlib.contextmanager
def target(settings: Mapping[str, str] | None = None) -> Iterator[Target]:
    """A fresh server with both clients, and a receiver for its callbacks."""
    with tempfile.TemporaryDirectory() as folder, echo_receiver() as callback:
        var = Path(folder) / "var"
        secrets = {name: add_client(var, name, role, settings=settings) for name, role in ROLES.items()}
        with Vtn(var, {"mqtt.mode": "bundled", "mqtt.port": "0", **(settings or {})}, secrets) as vtn:
            yield Target(vtn, callback)


def fuzz(
    requests: int,
    seed: int,
    *,
    document: Json | None = None,
    known: Sequence[Json] = (),
    settings: Mapping[str, str] | None = None,
    progress: bool = False,
) -> Json:
    """Ask at least this often, by the server's own document or another one; the summary."""
    with target(settings) as under_test:
        documents = {
            who: document or own_document(under_test.vtn.root + base)
            for who, base in zip(ROLES, (V310, V311), strict=True)
        }
        parties = [Party(job) for job in jobs(under_test, requests, seed, documents, known)]
        stop = threading.Event()
        if progress:
            threading.Thread(target=_tell, args=(parties, requests, stop), daemon=True).start()
        try:
            results = [party.result() for party in parties]
        finally:
            stop.set()
        return together(results, under_test.vtn.log)


def _tell(parties: Sequence[Party], requests: int, stop: threading.Event) -> None:
    while not stop.wait(2):
        sys.stderr.write(f"\r{sum(party.done for party in parties)} of {requests} requests ")
        sys.stderr.flush()


def main() -> int:
    """Run, write the summary, and say in a few lines what it says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=24_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--summary", type=Path, default=SUMMARY)
    asked = parser.parse_args()
    summary = fuzz(asked.requests, asked.seed, progress=True)
    asked.summary.parent.mkdir(parents=True, exist_ok=True)
    asked.summary.write_text(json.dumps(summary, indent=1))
    operations, failures = summary["by_operation"], summary["failures"]
    sys.stderr.write(f"\r{summary['requests']} requests to {len(operations)} operations, {len(failures)} failures\n")
    for failure in failures:
        sys.stderr.write(
            f"{failure['operation']}: {failure['check']} ({failure['count']})\n{failure['message'][:600]}\n"
        )
    sys.stderr.write(f"{asked.summary}\n")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
