"""What good, wrong, new and deleted configurations do to a real Envoy (contract 4).

A wrong one is never refused to Envoy, and no order of them costs a request: one is
asked after the other all the while.
"""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from kit import client, envoy_filter, istio, ports
from kit.envoy import RUNS, Envoy, address, module, versions
from kit.files import replace
from kit.istio import Json
from kit.scenario import all_of
from kit.upstream import Headers

SECONDS = 20
ECDS = "extension_config_discovery"
REJECTED = "wasmcustom.bluegreen_config_rejected_total"
INERT = "the filter is inert, traffic flows as if it were not there"
KEPT = "the last good one stays in force"

# The plugins by the names of their filters, which the EnvoyFilter knows. Their own
# names differ, so that each has a gauge.
FILTERS = {
    "first": istio.PLUGIN,
    "second": "extensions.istio.io/wasmplugin/istio-system.bluegreen-outbound",
}


def good(cookie: str, **fields: object) -> Json:
    """A configuration that shows by its cookie that it is in force."""
    return {"role": "gateway", "identity": {"cookie": {"name": cookie}}, **fields}


def wrong(role: str = "edge") -> Json:
    """One with two mistakes; another role is another configuration."""
    return {"role": role, "rolouts": []}


def wasm_of(plugin: str, config: Json | str) -> Json:
    """The filter's configuration for a plugin of this name."""
    name = f"extensions.istio.io/wasmplugin/istio-system.{plugin}{istio.TRANSLATED}"
    return istio.wasm(module(), config, name)


def gauge_of(plugin: str) -> str:
    """The gauge of a plugin: 1 while its configuration is wrong."""
    label = f"bg_plugin=.=istio-system.{plugin};.;"
    return f"wasmcustom.{label}bluegreen_config_wrong"


def gateway_listener(name: str, filters: list[Json], port: int = 0) -> Json:
    """A listener with one route of ours to the application."""
    route = istio.weighted_route({istio.subset_cluster("blue"): 1})
    listener = istio.listener(name, "outbound", [route], filters)
    listener["address"] = address(port)
    # Of several connections at once each worker gets some: see `reach_all_workers`.
    listener["connection_balance_config"] = {"exact_balance": {}}
    return envoy_filter.listener(listener, envoy_filter.GATEWAY)


def bootstrap(listeners: list[Json], app_port: int) -> Json:
    """A gateway with these listeners, and the application behind it."""
    app = istio.application("blue", app_port)
    cluster = istio.cluster(istio.subset_cluster("blue"), app_port)
    return istio.bootstrap("router~t", {}, [app, *listeners], [cluster])


def ask(port: int, **headers: str) -> Headers:
    """The headers of a response to a new connection, which must be 200."""
    request = [(":method", b"GET"), (":path", b"/"), (":authority", b"shop.example")]
    request += [(k.replace("_", "-"), v.encode()) for k, v in headers.items()]
    response = client.http1(port, request)
    assert response.headers[0] == (":status", b"200"), response
    return response.headers


def reach_all_workers(port: int) -> None:
    """Waits until each worker has done what Envoy told it to do until now.

    A worker does so before it serves the second of two requests that come later.
    """
    request = [(":method", b"GET"), (":path", b"/"), (":authority", b"shop.example")]
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection((ports.LOOPBACK, port)))
            for _ in range(6)
        ]
        for _ in range(2):
            for connection in connections:
                connection.sendall(client.http1_bytes(request))
            for connection in connections:
                assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def cookies(port: int) -> set[str]:
    """The names of the cookies that a new user gets: the configurations in force."""
    lines = all_of("set-cookie", ask(port))
    return {line.partition(b"=")[0].decode() for line in lines}


def told(envoy: Envoy) -> list[str]:
    """What the filter wrote to the log, without the heads of lines."""
    return re.findall(r"wasm log.*?: bluegreen: (.*)", envoy.log.read_text())


def until(envoy: Envoy, observe: Callable[[], object], expected: object) -> None:
    """Waits until something is observed; a miss shows what was, and the log."""
    deadline = time.monotonic() + SECONDS
    while (seen := observe()) != expected:
        if time.monotonic() > deadline:
            pytest.fail(f"expected {expected}, seen {seen}\n{envoy.tail()}", False)
        time.sleep(0.02)


@contextmanager
def traffic(port: int) -> Iterator[None]:
    """One request after the other until the end; each must be answered with 200."""
    failures: list[tuple[float, Exception]] = []
    over = threading.Event()

    def run() -> None:
        while not over.is_set() and not failures:
            began = time.monotonic()
            try:
                ask(port)
            except Exception as error:  # noqa: BLE001 (whatever it was, it failed)
                failures.append((time.monotonic() - began, error))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert not failures, failures


@pytest.fixture(params=versions())
def version(request: pytest.FixtureRequest) -> str:
    """The oldest Envoy and the newest."""
    return request.param


class Gateway:
    """An Envoy whose plugins come, change and go while it runs.

    They are found by discovery of their own (ecds), or stand in the listener, which
    is replaced as a whole (lds).
    """

    def __init__(
        self, version: str, mode: str, plugins: list[str], name: str, drain_seconds: int
    ) -> None:
        self.mode = mode
        # Envoy watches the folder, in which its own log must not stand.
        self.folder = RUNS / name / "watched"
        self.configs: dict[str, Json | str | None] = dict.fromkeys(plugins)
        [self.port, self.app_port] = ports.free(2)
        replace(self.listeners, self.rendered())
        # How long a plugin that was deleted lives on, for connections that are open.
        drain = ("--drain-time-s", str(drain_seconds), "--drain-strategy", "immediate")
        whole = bootstrap([], self.app_port)
        source = {"path_config_source": {"path": str(self.listeners)}}
        whole["dynamic_resources"] = {
            "lds_config": source | {"resource_api_version": "V3"}
        }
        self.envoy = Envoy(whole, name, version, options=drain)
        until(self.envoy, lambda: cookies(self.port), set())

    @property
    def listeners(self) -> Path:
        """The file of the listener."""
        return self.folder / "listeners.json"

    def rendered(self) -> Json:
        """The listener with the plugins that are there."""
        filters = []
        for plugin, config in self.configs.items():
            if config is None:
                continue
            if self.mode == "ecds":
                path = self.folder / f"{plugin}.json"
                each = istio.discovered(path, FILTERS[plugin])
            else:
                each = istio.plugin(wasm_of(plugin, config))
            filters.append({**each, "name": FILTERS[plugin]})
        listener = gateway_listener("gateway", filters, self.port)
        return {"resources": [{"@type": istio.LISTENER, **listener}]}

    def apply(self, plugin: str, config: Json | str | None) -> None:
        """Gives a plugin a configuration, or deletes it. Envoy takes each of them."""
        before = self.configs[plugin]
        self.configs[plugin] = config
        service = "lds"
        if self.mode == "ecds" and config is not None:
            path = self.folder / f"{plugin}.json"
            wasm = wasm_of(plugin, config)
            response = istio.discovery_response(wasm, FILTERS[plugin])
            if before is not None:
                taken = self.envoy.update(ECDS, lambda: replace(path, response))
                assert taken, self.envoy.tail()
                return
            replace(path, response)
        if config is None and before is None:
            return
        rendered = self.rendered()
        taken = self.envoy.update(service, lambda: replace(self.listeners, rendered))
        assert taken, self.envoy.tail()

    def shows(self, observe: Callable[[], object], expected: object) -> None:
        """Waits until something is observed, and stays when all workers are there."""
        until(self.envoy, observe, expected)
        reach_all_workers(self.port)
        assert observe() == expected, self.envoy.tail()

    def rejected(self) -> int | None:
        """How many wrong configurations there were; None while there is no module."""
        return self.envoy.stats(f"^{REJECTED}$").get(REJECTED)

    def gauge(self, plugin: str) -> int | None:
        """Whether the plugin's configuration is wrong."""
        name = gauge_of(plugin)
        return self.envoy.stats(f"{plugin};.;bluegreen_config_wrong$").get(name)

    def told(self) -> int:
        """How many wrong ones the log tells of."""
        lines = told(self.envoy)
        return sum(line.startswith("the configuration is wrong") for line in lines)


@pytest.fixture
def start(
    version: str, request: pytest.FixtureRequest
) -> Iterator[Callable[[str, list[str]], Gateway]]:
    """Starts a gateway, with its plugins still to come."""
    started: list[Gateway] = []

    def gateway(mode: str, plugins: list[str], drain_seconds: int = 60) -> Gateway:
        name = re.sub(r"\W+", "-", request.node.name)
        started.append(Gateway(version, mode, plugins, name, drain_seconds))
        return started[-1]

    yield gateway
    for each in started:
        each.envoy.stop()


class Due:
    """What the plugin `first` is due to show, step by step."""

    def __init__(self, gateway: Gateway, beside: bool) -> None:
        self.gateway = gateway
        self.beside = beside
        # The configuration that it has now, and the last good one; None: there is none.
        self.config: Json | None = None
        self.good: str | None = None
        self.rejected = 0
        self.told = 0

    def apply(self, config: Json | None) -> None:
        """The next configuration; None: the plugin is deleted."""
        # Envoy drops an update that changes nothing.
        is_news = config != self.config
        self.config = config
        self.gateway.apply("first", config)
        if config is None and not self.beside:
            # The last VM goes, and all that was known.
            self.good, self.rejected = None, 0
        elif config and "rolouts" in config and is_news:
            self.rejected += 1
            self.told += 1
        elif config and "rolouts" not in config:
            self.good = config["identity"]["cookie"]["name"]
        self.gateway.shows(self.shown, self.due())

    def due(self) -> object:
        """What must be seen."""
        is_there = self.config is not None
        in_force = {self.good} - {None} if is_there else set()
        rejected = self.rejected if is_there or self.beside else None
        gauge = int("rolouts" in self.config) if is_there else None
        return in_force, rejected, gauge, self.told

    def shown(self) -> object:
        """What is seen: who sets a cookie, counter, gauge and log."""
        in_force = cookies(self.gateway.port) - {"second"}
        gauge = self.gateway.gauge("first") if self.config is not None else None
        return in_force, self.gateway.rejected(), gauge, self.gateway.told()


def config_of(step: str, number: int | None) -> Json | None:
    """A and B are good, X and Y wrong; - deletes. A number makes the bytes differ."""
    if step == "-":
        return None
    if step in "XY":
        return wrong(f"edge-{step}-{number}")
    config = good(step)
    if number is not None:
        config["identity"]["cookie"]["maxAgeSeconds"] = number
    return config


def every_order(kinds: str, length: int) -> str:
    """The shortest steps that have each order of so many kinds in them (de Bruijn)."""
    steps: list[str] = []
    words = [0] * len(kinds) * length

    def lyndon(at: int, period: int) -> None:
        if at > length:
            if length % period == 0:
                steps.extend(kinds[word] for word in words[1 : period + 1])
            return
        words[at] = words[at - period]
        lyndon(at + 1, period)
        for word in range(words[at - period] + 1, len(kinds)):
            words[at] = word
            lyndon(at + 1, at)

    lyndon(1, 1)
    return "".join(steps + steps[: length - 1])


@pytest.mark.parametrize("mode", ["ecds", "lds"])
def test_no_order_of_configurations_costs_a_request(
    start: Callable[..., Gateway], mode: str
) -> None:
    gateway = start(mode, ["second", "first"])
    # With another plugin the VMs live on, and all that they share.
    gateway.apply("second", good("second"))
    due = Due(gateway, beside=True)
    steps = every_order("ABXY-", 2) + every_order("AXY", 3)
    with traffic(gateway.port):
        for number, step in enumerate(steps):
            # While an old listener drains, Envoy does not say the same bytes again.
            due.apply(config_of(step, number if mode == "lds" else None))


@pytest.mark.parametrize("mode", ["ecds", "lds"])
def test_the_only_plugin_may_be_deleted_and_come_back_wrong(
    start: Callable[..., Gateway], mode: str
) -> None:
    # Well above the time that a module takes to load: Envoy's timer starts before it.
    gateway = start(mode, ["first"], drain_seconds=4)
    due = Due(gateway, beside=False)
    with traffic(gateway.port):
        for number, step in enumerate("AX-XYA"):
            due.apply(config_of(step, number if mode == "lds" else None))


def test_each_plugin_has_its_own_last_good_one(start: Callable[..., Gateway]) -> None:
    gateway = start("ecds", ["first", "second"])

    def shown() -> object:
        gauges = gateway.gauge("first"), gateway.gauge("second")
        return cookies(gateway.port), *gauges, gateway.rejected(), gateway.told()

    steps: list[tuple[str, Json, object]] = [
        ("first", good("a"), ({"a"}, 0, None, 0, 0)),
        # Nothing to go on with: what `first` had is not its own.
        ("second", wrong(), ({"a"}, 0, 1, 1, 1)),
        # The same bytes, and another plugin.
        ("first", wrong(), ({"a"}, 1, 1, 2, 2)),
        ("second", good("b"), ({"a", "b"}, 1, 0, 2, 2)),
        ("second", wrong(), ({"a", "b"}, 1, 1, 3, 3)),
        ("first", good("c"), ({"c", "b"}, 0, 1, 3, 3)),
        ("second", good("c"), ({"c"}, 0, 0, 3, 3)),
        ("second", good("d"), ({"c", "d"}, 0, 0, 3, 3)),
    ]
    with traffic(gateway.port):
        for plugin, config, due in steps:
            gateway.apply(plugin, config)
            gateway.shows(shown, due)


@pytest.fixture
def static(version: str) -> Iterator[Callable[..., Envoy]]:
    """Starts a gateway whose plugins stand in its listeners, one in each."""
    started: list[Envoy] = []

    def gateway(
        node: str = "router~t", labels: dict[str, str] | None = None, **plugins: Json
    ) -> Envoy:
        [app_port] = ports.free(1)
        listeners = [
            gateway_listener(name, [{**istio.plugin(wasm), "name": istio.PLUGIN}])
            for name, wasm in plugins.items()
        ]
        whole = bootstrap(listeners, app_port)
        whole["node"] |= {"id": node, "metadata": {"LABELS": labels or {}}}
        started.append(Envoy(whole, f"configuration-{version}", version))
        return started[-1]

    yield gateway
    for envoy in started:
        envoy.stop()


def test_a_wrong_first_configuration_touches_nothing(
    static: Callable[..., Envoy],
) -> None:
    envoy = static(first=wasm_of("first", wrong()))
    headers = dict(ask(envoy.port("first"), x_version_pin="Purple"))
    assert "set-cookie" not in headers
    assert "x-version-pin" not in headers
    assert "x-served-version" not in headers
    assert told(envoy) == [
        f"the configuration is wrong; {INERT}",
        'role: "edge" is not one of auto, outbound, gateway, client, server',
        (
            'rolouts: "rolouts" is not a field here '
            "(role, routes, bucketHeader, routeHeader, baggage, identity, pin, tag, rollouts)"
        ),
    ]
    counted = envoy.stats("bluegreen_")
    assert counted == {REJECTED: 1, gauge_of("first"): 1}, "once, not once a worker"


def test_an_empty_configuration_is_a_good_one(static: Callable[..., Envoy]) -> None:
    absent = wasm_of("absent", "")
    del absent["config"]["configuration"]
    plugins = {"empty": wasm_of("empty", ""), "object": wasm_of("object", "{}")}
    plugins["absent"] = absent
    envoy = static(**plugins)
    for name in plugins:
        assert cookies(envoy.port(name)) == {"bluegreen-id"}
    assert told(envoy) == []
    gauges = {gauge_of(name): 0 for name in plugins}
    assert envoy.stats("bluegreen_config") == {REJECTED: 0, **gauges}


def test_of_many_mistakes_the_first_50_are_told_and_how_many_more(
    static: Callable[..., Envoy],
) -> None:
    unknown = {f"x{number:05}": 1 for number in range(60_000)}
    envoy = static(first=wasm_of("first", unknown))
    assert cookies(envoy.port("first")) == set()
    lines = told(envoy)
    assert lines[0] == f"the configuration is wrong; {INERT}"
    assert lines[1].startswith('x00000: "x00000" is not a field here')
    assert lines[50].startswith('x00049: "x00049" is not a field here')
    assert lines[51:] == ["and 59950 more"]


def test_a_wrong_one_says_in_the_log_that_the_last_good_one_goes_on(
    start: Callable[..., Gateway],
) -> None:
    gateway = start("ecds", ["first"])
    gateway.apply("first", good("a"))
    until(gateway.envoy, lambda: cookies(gateway.port), {"a"})
    gateway.apply("first", "{")
    until(gateway.envoy, gateway.told, 1)
    assert told(gateway.envoy)[0] == f"the configuration is wrong; {KEPT}"
    assert "pluginConfig: is not JSON" in told(gateway.envoy)[1]
    assert cookies(gateway.port) == {"a"}


def test_a_module_is_replaced_and_keeps_what_was_good(
    start: Callable[..., Gateway], version: str
) -> None:
    another = RUNS / f"another-{version}.wasm"
    # The same module with other bytes: a custom section at its end.
    another.write_bytes(module().read_bytes() + b"\0\x08\x07another")
    gateway = start("ecds", ["first"])
    gateway.apply("first", good("a"))
    until(gateway.envoy, lambda: cookies(gateway.port), {"a"})
    with traffic(gateway.port):
        path = gateway.folder / "first.json"
        for number, code in enumerate([another, module(), another], 1):
            wasm = wasm_of("first", wrong(f"edge-{number}"))
            wasm["config"]["vm_config"]["code"]["local"]["filename"] = str(code)
            response = istio.discovery_response(wasm, FILTERS["first"])
            assert gateway.envoy.update(ECDS, lambda: replace(path, response))  # noqa: B023
            gateway.shows(
                lambda: (cookies(gateway.port), gateway.gauge("first"), gateway.told()),
                ({"a"}, 1, number),
            )


def test_a_missing_label_is_told_once(static: Callable[..., Envoy]) -> None:
    wasm = wasm_of("first", {"role": "server"})
    envoy = static("sidecar~t", {"app": "shop"}, first=wasm)
    assert "x-served-version" not in dict(ask(envoy.port("first")))
    assert told(envoy) == ['the pod has no label "version"; a server says no version']
