"""The mesh of the demo: a gateway, a sidecar for each version, two applications.

Its configuration is the YAML beside this file, on free ports where the ones in the
files are taken.
"""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from kit import ports
from kit.envoy import Envoy, die_with_parent
from kit.files import replace

VERSIONS = ("blue", "green")
SECONDS = 20

# What runs: copies of the files beside this one.
RUN = ROOT / "target/demo"
# The routes that Envoy watches, and the copy for people to change.
LIVE_ROUTES = RUN / "live/routes.yaml"
ROUTES = RUN / "routes.yaml"

GATEWAY_PORT = 18080
APP_PORTS = {"blue": 18086, "green": 18087}


class Mesh:
    """All of it, from `with` until the block's end; `url` is the gateway's."""

    def __init__(self) -> None:
        """Copies the configuration, on free ports."""
        self._stack = ExitStack()
        self._apps: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = _ports()
        for file in HERE.glob("*.yaml"):
            (RUN / file.name).parent.mkdir(parents=True, exist_ok=True)
            (RUN / file.name).write_text(self._rendered(file))
        replace(LIVE_ROUTES, ROUTES.read_text())

    def __enter__(self) -> Self:
        """Starts everything."""
        try:
            for version in VERSIONS:
                self.start_app(version)
                self._stack.callback(self.stop_app, version)
                sidecar = Envoy(RUN / f"sidecar-{version}.yaml", f"demo-{version}")
                self._stack.enter_context(sidecar)
            gateway = Envoy(RUN / "gateway.yaml", "demo-gateway")
            self.gateway = self._stack.enter_context(gateway)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops everything."""
        self._stack.close()

    @property
    def url(self) -> str:
        """Where the gateway listens."""
        return f"http://{ports.LOOPBACK}:{self._ports[GATEWAY_PORT]}"

    @property
    def json_url(self) -> str:
        """The page's data, short enough for a line with curl's options."""
        return f"{self.url.removeprefix('http://')}/json"

    @property
    def admin_url(self) -> str:
        """Where the gateway's admin listens."""
        return f"http://{ports.LOOPBACK}:{self.gateway.admin_port}"

    def plain_gateway(self) -> Envoy:
        """A second gateway, Istio alone: the same one without the filter."""
        config = yaml.safe_load((RUN / "gateway.yaml").read_text())
        listener = config["static_resources"]["listeners"][0]
        listener["address"]["socket_address"]["port_value"] = 0
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        del manager["http_filters"][0]
        del config["admin"]
        return Envoy(config, "demo-istio-alone")

    def start_app(self, version: str) -> None:
        """Starts a version's application, and waits until it listens."""
        port = self._ports[APP_PORTS[version]]
        command = [sys.executable, HERE / "app.py", version, str(port)]
        app = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 (one system call)
        )
        self._apps[version] = app
        wait(lambda: ports.listens(port), f"the {version} application")

    def stop_app(self, version: str) -> None:
        """Stops a version's application; its sidecar stays."""
        self._apps[version].terminate()
        self._apps[version].wait(SECONDS)

    def shift(self, green: int, pins: bool = True) -> None:
        """Gives green so many percent, as `kubectl apply` of a VirtualService would."""
        content = yaml.safe_load(ROUTES.read_text())
        routes = content["resources"][0]["virtual_hosts"][0]["routes"]
        blue_cluster, green_cluster = routes[-1]["route"]["weighted_clusters"][
            "clusters"
        ]
        blue_cluster["weight"], green_cluster["weight"] = 100 - green, green
        if not pins:
            del routes[:-1]
        if not self.apply(content):
            raise RuntimeError(f"Envoy refused the routes; {self.gateway.tail()}")

    def apply(self, routes: str | dict[str, Any]) -> bool:
        """Gives Envoy new routes, and waits: whether it took them."""
        return self.gateway.update("rds", lambda: replace(LIVE_ROUTES, routes))

    def _rendered(self, file: Path) -> str:
        text = file.read_text().replace(
            "examples/local/routes.yaml", str(LIVE_ROUTES.relative_to(ROOT))
        )
        text = text.replace("path: examples/local/", f"path: {RUN.relative_to(ROOT)}/")
        return re.sub(
            r"(port_value: )(\d+)", lambda m: m[1] + str(self._ports[int(m[2])]), text
        )


def wait(holds: Callable[[], bool], what: str) -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {SECONDS} s")
        time.sleep(0.02)


def _ports() -> dict[int, int]:
    """The ports in the files, each with itself or with a free one in its place."""
    texts = [file.read_text() for file in HERE.glob("*.yaml")]
    wanted = {int(n) for text in texts for n in re.findall(r"port_value: (\d+)", text)}
    taken = [port for port in sorted(wanted) if not ports.is_free(port)]
    others = dict(zip(taken, ports.free(len(taken)), strict=True))
    return {port: others.get(port, port) for port in wanted}
