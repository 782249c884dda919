"""A second make of MQTT broker (amqtt) as a child process, which asks the VTN who may connect and listen, and a gate.

The gate stands between the VTN and the broker, so that a test decides when the VTN finds a broker that has restarted.
"""

import asyncio
import base64
import contextlib
import json
import logging
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import fork_server
from pwdlib.hashers.argon2 import Argon2Hasher

HTTP_PLUGIN = "amqtt.contrib.http."
PATIENCE_S = 90.0
HOST = "127.0.0.1"
OWN_USER, OWN_PASSWORD, HOOK_PASSWORD = "evtn", "publisher-password", "hook-password"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


def asking(vtn_port: int, mode: str = "json") -> dict[str, object]:
    """amqtt plug-ins that ask the VTN at this port, as mosquitto-go-auth does."""
    common = {
        "host": f"broker:{HOOK_PASSWORD}@{HOST}",
        "port": vtn_port,
        "request_method": "post",
        "params_mode": mode,
        "response_mode": "status" if mode == "form" else "json",
    }
    return {
        "amqtt.contrib.http.UserAuthHttpPlugin": {**common, "user_uri": "/mqtt/mosquitto/user"},
        "amqtt.contrib.http.TopicAuthHttpPlugin": {**common, "topic_uri": "/mqtt/mosquitto/acl"},
    }


def knowing(folder: Path, **users: str) -> dict[str, object]:
    """An amqtt plug-in that knows its users from a file."""
    folder.mkdir(parents=True, exist_ok=True)
    passwords = folder / "passwords"
    passwords.write_text("".join(f"{name}:{Argon2Hasher().hash(word)}\n" for name, word in users.items()))
    return {"amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(passwords)}}


class ExternalBroker:
    """One amqtt process; `start` and `stop` may be repeated, on the same port."""

    def __init__(
        self, folder: Path, plugins: dict[str, object], port: int | None = None, tls: tuple[Path, Path] | None = None
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self._process: fork_server.Fork | None = None
        folder.mkdir(parents=True, exist_ok=True)
        listener: dict[str, object] = {"type": "tcp", "bind": f"{HOST}:{self.port}"}
        if tls is not None:
            listener |= {"ssl": True, "certfile": str(tls[0]), "keyfile": str(tls[1])}
        self._scheme = "mqtt" if tls is None else "mqtts"
        listeners = {"default": listener}
        (folder / "amqtt.json").write_text(json.dumps({"listeners": listeners, "plugins": plugins}))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"{self._scheme}://{HOST}:{self.port}"

    def start(self) -> Self:
        """Start, and return when it listens."""
        with (self.folder / "amqtt.log").open("a") as log:
            config = str(self.folder / "amqtt.json")
            self._process = fork_server.start(__file__, config, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=1):
                return self
            time.sleep(0.02)
        raise AssertionError((self.folder / "amqtt.log").read_text())

    def stop(self) -> None:
        """End it, as a crash would."""
        process, self._process = self._process, None
        if process:
            process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE_S)


class Gate:
    """A way to a port of this machine that can be shut; shutting it cuts what goes through."""

    def __init__(self, to: int) -> None:
        self.to = to
        self.open = True
        self.port = 0
        self._cut: set[asyncio.StreamWriter] = set()

    @contextlib.asynccontextmanager
    async def standing(self) -> AsyncIterator[Self]:
        """The gate, for the length of a block."""
        server = await asyncio.start_server(self._pass, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.shut()
            server.close()
            await server.wait_closed()

    def shut(self) -> None:
        """Cut everything, and let nothing through."""
        self.open = False
        for writer in tuple(self._cut):
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.open:
            writer.transport.abort()
            return
        try:
            there, here = await asyncio.open_connection(HOST, self.to)
        except OSError:
            writer.transport.abort()
            return
        self._cut |= {writer, here}
        await asyncio.gather(self._carry(reader, here), self._carry(there, writer))
        self._cut -= {writer, here}

    @staticmethod
    async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


def basic(password: str) -> dict[str, str]:
    """The head by which a broker shows the hook password."""
    return {"Authorization": "Basic " + base64.b64encode(f"broker:{password}".encode()).decode()}


async def serve(settings: dict[str, Any]) -> None:
    """The child process: amqtt until killed. Its own command line cannot read the choices of its HTTP plug-ins."""
    from amqtt.broker import Broker
    from amqtt.contrib.http import ParamsMode, RequestMethod, ResponseMode

    for name, options in settings["plugins"].items():
        if name.startswith(HTTP_PLUGIN):
            options["request_method"] = RequestMethod(options["request_method"])
            options["params_mode"] = ParamsMode(options["params_mode"])
            options["response_mode"] = ResponseMode(options["response_mode"])
    logging.basicConfig(level=logging.INFO)
    await Broker(settings).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text())))
