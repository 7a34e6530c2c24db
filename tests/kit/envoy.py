"""Real Envoys: found, started, watched, and stopped for certain."""

import atexit
import ctypes
import json
import os
import re
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from kit import ports

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "target/bluegreen.wasm"
RUNS = ROOT / "target/runs"

START_SECONDS = 60
STOP_SECONDS = 5
UPDATE_SECONDS = 30
POLL_SECONDS = 0.05

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class EnvoyError(Exception):
    """An Envoy is missing, did not start, or ended by itself."""


def oldest() -> str:
    """The oldest version that we support."""
    return _version("ENVOY_OLDEST")


def newest() -> str:
    """The newest version that we support."""
    return _version("ENVOY_NEWEST")


def versions() -> list[str]:
    """The versions to test: the oldest and the newest, or ENVOY alone."""
    return ["ENVOY"] if os.environ.get("ENVOY") else [oldest(), newest()]


def module() -> Path:
    """The filter that `make build` left."""
    if not MODULE.is_file():
        raise EnvoyError(f"no filter at {MODULE}: `make build` makes it")
    return MODULE


def binary(version: str) -> Path:
    """The program of `version`; with ENVOY=PATH in the environment, PATH."""
    if chosen := os.environ.get("ENVOY"):
        path = Path(chosen).resolve()
        hint = "ENVOY must be the path of an envoy program"
    else:
        path = ROOT / f"target/envoy/{version}/envoy/_bin/envoy"
        hint = f"`make target/envoy/{version}/.installed` installs it"
    if not path.is_file():
        raise EnvoyError(f"no Envoy at {path}: {hint}")
    return path


class Envoy:
    """One Envoy process, from its start until the end of the `with` block.

    `bootstrap` is Envoy's configuration or the YAML file that holds it. The admin
    listens on a free port unless the bootstrap says which. A listener may ask for
    port 0: `port(NAME)` tells which one it got. `under` is the command line of a
    program that runs it, such as valgrind. It ends also when the thread that started
    it does, so start it from one that lasts.
    """

    def __init__(
        self,
        bootstrap: dict[str, Any] | Path,
        name: str,
        version: str | None = None,
        log_level: str = "warning",
        options: tuple[str, ...] = (),
        workers: int = 2,
        under: tuple[str, ...] = (),
        start_seconds: int = START_SECONDS,
    ) -> None:
        """Starts it and returns once it serves; raises EnvoyError otherwise."""
        self.name = name
        self.folder = RUNS / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "envoy.log"
        self._start_seconds = start_seconds
        self._admin = self.folder / "admin-address"
        self._admin.unlink(missing_ok=True)

        command = [
            *(*under, binary(version or newest())),
            *("--config-path", self._write(bootstrap)),
            *("--admin-address-path", self._admin, "--log-level", log_level),
            *("--concurrency", str(workers), "--disable-hot-restart", *options),
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 (one system call)
            )
        atexit.register(self.stop)
        try:
            self._wait_until_it_serves()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        """Nothing: it runs already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops it."""
        self.stop()

    @property
    def admin_port(self) -> int:
        """Where the admin listens, on loopback."""
        return int(self._admin.read_text().rpartition(":")[2])

    def admin(self, path: str, method: str = "GET") -> str:
        """What the admin answers to `path`, such as `/stats`."""
        url = f"http://{ports.LOOPBACK}:{self.admin_port}{path}"
        request = urllib.request.Request(url, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.read().decode()

    def stats(self, pattern: str = "") -> dict[str, int]:
        """The counters and gauges whose names match the regex `pattern`."""
        found = {}
        query = urllib.parse.urlencode({"filter": pattern})
        for line in self.admin(f"/stats?{query}").splitlines():
            name, _, value = line.rpartition(": ")
            if value.isdigit():
                found[name] = int(value)
        return found

    def updates(self, service: str) -> tuple[int, int]:
        """How many updates it took and refused, of a discovery service such as rds."""
        stats = self.stats(rf"{service}.*\.update_(success|rejected|failure)$")
        taken = sum(n for name, n in stats.items() if name.endswith("success"))
        return taken, sum(stats.values()) - taken

    def update(self, service: str, change: Callable[[], None]) -> bool:
        """Makes a change that this service brings, and waits: whether it was taken."""
        before = self.updates(service)
        change()
        deadline = time.monotonic() + UPDATE_SECONDS
        while (now := self.updates(service)) == before:
            if time.monotonic() > deadline:
                raise EnvoyError(f"{self.name}: no update by {service}; {self.tail()}")
            time.sleep(POLL_SECONDS)
        return now[0] > before[0]

    def port(self, listener: str) -> int:
        """The port of the listener of that name."""
        try:
            return self.ports()[listener]
        except KeyError:
            raise EnvoyError(f"{self.name} has no listener {listener!r}") from None

    def ports(self) -> dict[str, int]:
        """The ports of all listeners, by their names."""
        statuses = json.loads(self.admin("/listeners?format=json"))["listener_statuses"]
        return {
            status["name"]: status["local_address"]["socket_address"]["port_value"]
            for status in statuses
        }

    def running(self) -> bool:
        """Whether the process lives."""
        return self.process.poll() is None

    def tail(self, lines: int = 30) -> str:
        """The path of the log and its last lines."""
        last = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"{self.log}:", *last])

    def stop(self) -> None:
        """Ends the process and what it started. May be called again."""
        atexit.unregister(self.stop)
        if not self.running():
            return
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _write(self, bootstrap: dict[str, Any] | Path) -> Path:
        if isinstance(bootstrap, Path):
            bootstrap = yaml.safe_load(bootstrap.read_text())
        bootstrap.setdefault("admin", {"address": address(0)})
        path = self.folder / "envoy.json"
        path.write_text(json.dumps(bootstrap, indent=1))
        return path

    def _wait_until_it_serves(self) -> None:
        deadline = time.monotonic() + self._start_seconds
        while not self._serves():
            if not self.running():
                raise EnvoyError(f"{self.name} ended by itself; {self.tail()}")
            if time.monotonic() > deadline:
                wait = f"{self._start_seconds} s"
                raise EnvoyError(f"{self.name} not ready after {wait}; {self.tail()}")
            time.sleep(POLL_SECONDS)

    def _serves(self) -> bool:
        # "All listeners are warm" and "the workers accept" are two things.
        try:
            self.admin("/ready")
            return self.stats("^listener_manager.workers_started$").popitem()[1] == 1
        except (OSError, ValueError, KeyError):
            return False


def address(port: int) -> dict[str, Any]:
    """An Envoy address on loopback."""
    return {"socket_address": {"address": ports.LOOPBACK, "port_value": port}}


def _version(name: str) -> str:
    if version := os.environ.get(name):
        return version
    makefile = (ROOT / "Makefile").read_text()
    found = re.search(rf"^export {name} := (\S+)$", makefile, re.MULTILINE)
    if not found:
        raise EnvoyError(f"{name} is neither in the environment nor in the Makefile")
    return found[1]


def die_with_parent() -> None:
    """Ends a child with its parent, also when no handler of the parent's runs."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
