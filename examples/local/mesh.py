"""The mesh of the demo: gateways, two sidecars, and three applications.

Its configuration is the YAML beside this file, on free ports where the ones in the
files are taken.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from kit import ports
from kit.client import http1, http1_bytes
from kit.envoy import Envoy, die_with_parent
from kit.files import replace
from kit.upstream import Headers

VERSIONS = ("blue", "green")
STOCK_VERSIONS = ("stock-blue", "stock-green")
# Every host but these is shop's.
STOCK = "stock.localhost"
DOCS = "docs.localhost"
SECONDS = 20

# What runs: copies of the files beside this one.
RUN = ROOT / "target/demo"
# The routes that Envoy watches, and the copy for people to change.
LIVE_ROUTES = RUN / "live/routes.yaml"
ROUTES = RUN / "routes.yaml"

GATEWAY_PORT = 18080
EDGE_PORT = 18092
# Of the second gateway, in the place of the first one's.
SECOND_PORTS = {"18080": "18090", "18081": "18091"}
APP_PORTS = {
    "blue": 18086,
    "green": 18087,
    "stock-blue": 18088,
    "stock-green": 18089,
    "docs": 18094,
}

# What the EnvoyFilter adds to what Istio makes by itself.
ENVOY_FILTER = {
    "early_header_mutation_extensions",
    "header_name",
    "response_headers_to_add",
    "typed_per_filter_config",
}


@dataclass(frozen=True)
class Edge:
    """An edge gateway: its URL, its Envoy, and those of the gateways behind it."""

    url: str
    gateway: Envoy
    behind: tuple[Envoy, Envoy]


class Mesh:
    """All of it, from `with` until the block's end; `url` is the gateway's."""

    def __init__(self) -> None:
        """Copies the configuration, on free ports."""
        self._stack = ExitStack()
        self._apps: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = _ports()
        RUN.mkdir(parents=True, exist_ok=True)
        for file in HERE.glob("*.yaml"):
            (RUN / file.name).write_text(self._rendered(file.read_text()))
        second = (HERE / "gateway.yaml").read_text()
        for port, other in SECOND_PORTS.items():
            second = second.replace(port, other)
        (RUN / "second-gateway.yaml").write_text(self._rendered(second))
        replace(LIVE_ROUTES, ROUTES.read_text())

    def __enter__(self) -> Self:
        """Starts everything."""
        try:
            for version in APP_PORTS:
                self._stack.callback(self.stop_app, version)
                self.start_app(version)
            for version in VERSIONS:
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
        return f"http://{self.authority()}"

    def authority(self, host: str = ports.LOOPBACK) -> str:
        """The gateway's port under a host's name, such as `docs.localhost:18080`."""
        return f"{host}:{self._ports[GATEWAY_PORT]}"

    def ask(self, header: str, host: str) -> tuple[list[str], list[str]]:
        """Asks the gateway for /json; returns the lines of the request and the answer."""
        name, _, value = header.partition(": ")
        request: Headers = [
            (":method", b"GET"),
            (":path", b"/json"),
            (":authority", self.authority(host).encode()),
            (name, value.encode()),
        ]
        response = http1(self._ports[GATEWAY_PORT], request)
        (_, status), *headers = response.headers
        answer = [
            f"HTTP/1.1 {status.decode()}",
            *(f"{name}: {value.decode()}" for name, value in headers),
            *response.body.decode().splitlines(),
        ]
        return http1_bytes(request).decode().splitlines(), answer

    @property
    def admin_url(self) -> str:
        """Where the gateway's admin listens."""
        return f"http://{ports.LOOPBACK}:{self.gateway.admin_port}"

    def plain_gateway(self) -> Envoy:
        """A gateway of Istio alone: neither the EnvoyFilter nor the WasmPlugin."""
        config = yaml.safe_load((RUN / "gateway.yaml").read_text())
        listener = config["static_resources"]["listeners"][0]
        listener["address"]["socket_address"]["port_value"] = 0
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        # The router alone.
        del manager["http_filters"][:-1]
        del manager["rds"]
        routes = yaml.safe_load(ROUTES.read_text())["resources"][0]
        del routes["@type"]
        manager["route_config"] = routes
        del config["admin"]
        config = json.loads(json.dumps(config), object_hook=_istio_alone)
        return Envoy(config, "demo-istio-alone")

    @contextmanager
    def edge(self) -> Iterator[Edge]:
        """An edge gateway in front of the gateway and of a second one."""
        with (
            Envoy(RUN / "second-gateway.yaml", "demo-second-gateway") as second,
            Envoy(RUN / "edge.yaml", "demo-edge") as edge,
        ):
            url = f"http://{ports.LOOPBACK}:{self._ports[EDGE_PORT]}"
            yield Edge(url, edge, (self.gateway, second))

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
        """Stops a version's application, if it runs; a sidecar stays."""
        if app := self._apps.pop(version, None):
            app.terminate()
            app.wait(SECONDS)

    def shift(self, green: int) -> None:
        """Gives shop's green so many percent, as `kubectl apply` would."""
        content = yaml.safe_load(ROUTES.read_text())
        shop = content["resources"][0]["virtual_hosts"][0]
        weighted = shop["routes"][-1]["route"]["weighted_clusters"]["clusters"]
        for cluster, weight in zip(weighted, (100 - green, green), strict=True):
            cluster["weight"] = weight
        if not self.apply(content):
            raise RuntimeError(f"Envoy refused the routes; {self.gateway.tail()}")

    def apply(self, routes: str | dict[str, Any]) -> bool:
        """Gives Envoy new routes, and waits: whether it took them."""
        return self.gateway.update("rds", lambda: replace(LIVE_ROUTES, routes))

    def _rendered(self, text: str) -> str:
        live = str(LIVE_ROUTES.relative_to(ROOT))
        text = text.replace("examples/local/routes.yaml", live)
        text = text.replace("path: examples/local/", f"path: {RUN.relative_to(ROOT)}/")
        return re.sub(
            r"(port_value: )(\d+)", lambda m: m[1] + str(self._ports[int(m[2])]), text
        )


def _istio_alone(fields: dict[str, Any]) -> dict[str, Any]:
    """A mapping of Envoy's configuration without what the EnvoyFilter adds to it."""
    return {name: value for name, value in fields.items() if name not in ENVOY_FILTER}


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
    found = [n for text in texts for n in re.findall(r"port_value: (\d+)", text)]
    wanted = {int(n) for n in (*found, *SECOND_PORTS.values())}
    taken = [port for port in sorted(wanted) if not ports.is_free(port)]
    others = dict(zip(taken, ports.free(len(taken)), strict=True))
    return {port: others.get(port, port) for port in wanted}
