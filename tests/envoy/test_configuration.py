"""What wrong, new and deleted configurations do to the traffic of a real Envoy."""

import itertools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kit import client, istio, ports
from kit.envoy import RUNS, Envoy, address, module, versions
from kit.files import replace
from kit.istio import Json
from kit.upstream import Headers

SECONDS = 30
ECDS = "extension_config_discovery"
REJECTED = "wasmcustom.bluegreen_config_rejected_total"
INERT = "the filter is inert, traffic flows as if it were not there"
KEPT = "the previous one stays in force"


def good(**fields: object) -> Json:
    """A configuration of a gateway."""
    rollouts = [{"name": "myapp", "versions": ["blue", "green"]}]
    return {"role": "gateway", "rollouts": rollouts, **fields}


def bad(role: str = "edge") -> Json:
    """One with two mistakes; another role is another configuration."""
    return good(role=role, rolouts=[])


def until(holds: Callable[[], bool], what: str, envoy: Envoy) -> None:
    """Waits for a condition; a miss shows the proxy's log."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {SECONDS} s: {what}\n{envoy.tail()}", False)
        time.sleep(0.05)


class Gateway:
    """An Envoy that answers by itself, with the plugin found by discovery."""

    def __init__(self, envoy: Envoy, file: Path) -> None:
        self.envoy = envoy
        self.file = file

    def configure(self, config: Json | str) -> bool:
        """Gives it a configuration; whether Envoy took it, as istiod would see it."""
        response = istio.discovery_response(istio.wasm(module(), config))
        return self.envoy.update(ECDS, lambda: replace(self.file, response))

    def ask(self, **headers: str) -> Headers:
        """The headers of a response, which must be 200."""
        return ask(self.envoy, "gateway", **headers)

    def serves(self) -> bool:
        """Whether the filter does its job: a new user gets a cookie."""
        return b"bluegreen-id" in dict(self.ask()).get("set-cookie", b"")

    def rejected(self) -> int:
        """The filter's own count."""
        return self.envoy.stats(f"^{REJECTED}$").get(REJECTED, 0)

    def told(self) -> list[str]:
        """What the filter wrote to the log."""
        return re.findall(r"bluegreen: (.*)", filter_log(self.envoy))


def filter_log(envoy: Envoy) -> str:
    """The lines of the log that the filter wrote, without their heads."""
    lines = envoy.log.read_text(errors="replace").splitlines()
    return "\n".join(
        line.split("wasm log ", 1)[1].split(": ", 1)[1]
        for line in lines
        if "wasm log " in line
    )


def ask(envoy: Envoy, listener: str, **headers: str) -> Headers:
    """The headers of a response to a new connection, which must be 200."""
    request = [(":method", b"GET"), (":path", b"/"), (":authority", b"shop.example")]
    request += [(k.replace("_", "-"), v.encode()) for k, v in headers.items()]
    response = client.http1(envoy.port(listener), request)
    assert response.headers[0] == (":status", b"200"), envoy.tail()
    return response.headers


def direct() -> list[Json]:
    """Routes that Envoy answers itself, with the request's headers that matter."""
    echo = [
        {"header": {"key": f"got-{name}", "value": f"%REQ({name})%"}}
        for name in ("x-version-pin", "x-bluegreen-bucket")
    ]
    return [
        {
            "match": {"prefix": "/"},
            "direct_response": {"status": 200},
            "response_headers_to_add": echo,
        }
    ]


@pytest.fixture(params=versions())
def version(request: pytest.FixtureRequest) -> str:
    """The oldest Envoy and the newest."""
    return request.param


@pytest.fixture
def start(version: str) -> Iterator[Callable[[Json | str], Gateway]]:
    """Starts a gateway with a first configuration."""
    started: list[Envoy] = []

    def gateway(first: Json | str) -> Gateway:
        name = f"configuration-{version}"
        file = RUNS / name / "plugin.json"
        replace(file, istio.discovery_response(istio.wasm(module(), first)))
        listener = istio.listener(
            "gateway", "outbound", direct(), istio.discovered(file)
        )
        bootstrap = istio.bootstrap("router~t", {}, [listener], [])
        started.append(Envoy(bootstrap, name, version))
        return Gateway(started[0], file)

    yield gateway
    for envoy in started:
        envoy.stop()


def test_a_wrong_first_configuration_touches_nothing(
    start: Callable[[Json | str], Gateway],
) -> None:
    gateway = start(bad())
    headers = dict(gateway.ask(x_version_pin="purple", x_bluegreen_bucket="7"))
    assert headers["got-x-version-pin"] == b"purple"
    assert headers["got-x-bluegreen-bucket"] == b"7"
    assert "x-version-pin" not in headers
    assert "set-cookie" not in headers
    assert gateway.told() == [
        f"the configuration is wrong; {INERT}",
        'role: "edge" is not one of auto, outbound, gateway, client, server',
        (
            'rolouts: "rolouts" is not a field here '
            "(role, bucketHeader, identity, pin, tag, rollouts)"
        ),
    ]
    assert gateway.rejected() == 1, "once, not once a worker"

    assert gateway.configure(good())
    assert gateway.serves(), "the next good one is taken"


def test_a_wrong_update_is_refused(start: Callable[[Json | str], Gateway]) -> None:
    gateway = start(good())
    assert not gateway.configure(bad())
    assert gateway.serves(), "the old one keeps serving"
    assert gateway.rejected() == 1
    assert gateway.told()[0] == f"the configuration is wrong; {KEPT}"

    gateway.configure(good(role="client"))
    until(lambda: not gateway.serves(), "the next good one", gateway.envoy)


def test_a_mistake_that_comes_back_hurts_nobody(
    start: Callable[[Json | str], Gateway],
) -> None:
    # Envoy remembers that it was taken once, and asks the workers only.
    gateway = start(bad())
    gateway.configure(good())
    for _ in range(2):
        assert gateway.configure(bad())
        assert gateway.serves(), "the good one stays in force"
        assert gateway.configure(good())
        assert gateway.serves()
    assert not gateway.configure(bad(role="rim"))
    assert gateway.configure(good(bucketHeader="x-other"))
    assert gateway.serves()


@pytest.mark.parametrize("empty", ["", "{}", "null", '{"rollouts": []}'])
def test_a_configuration_without_rollouts_is_wrong(
    start: Callable[[Json | str], Gateway], empty: str
) -> None:
    gateway = start(empty)
    assert not gateway.serves()
    assert gateway.rejected() == 1


def test_a_static_wrong_configuration_touches_nothing(version: str) -> None:
    plugin = istio.plugin(istio.wasm(module(), bad()))
    listener = istio.listener("gateway", "outbound", direct(), plugin)
    bootstrap = istio.bootstrap("router~t", {}, [listener], [])
    with Envoy(bootstrap, f"static-{version}", version) as envoy:
        assert "set-cookie" not in dict(ask(envoy, "gateway"))
        assert envoy.stats(REJECTED) == {REJECTED: 1}


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "beside another"])
def test_a_deleted_plugin_may_come_back_wrong(version: str, alone: bool) -> None:
    # The listener is replaced as a whole, as istiod does without discovery.
    name = f"deleted-{version}"
    file = RUNS / name / "listeners.json"
    [port] = ports.free(1)

    def listeners(config: Json | None) -> Json:
        plugins = [] if config is None else [istio.wasm(module(), config)]
        listener = istio.listener("gateway", "outbound", direct(), {})
        listener["address"] = address(port)
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager["http_filters"][:1] = [istio.plugin(wasm) for wasm in plugins]
        kind = "type.googleapis.com/envoy.config.listener.v3.Listener"
        return {"resources": [{"@type": kind, **listener}]}

    # With another plugin the VM lives on, and all that its VMs share.
    other = istio.wasm(module(), good())
    other["config"]["name"] = other["config"]["root_id"] = "other"
    others = [istio.listener("other", "outbound", direct(), istio.plugin(other))]
    replace(file, listeners(good()))
    bootstrap = istio.bootstrap("router~t", {}, [] if alone else others, [])
    source = {"path_config_source": {"path": str(file)}, "resource_api_version": "V3"}
    bootstrap["dynamic_resources"] = {"lds_config": source}
    quick = ("--drain-time-s", "1", "--drain-strategy", "immediate")
    with Envoy(bootstrap, name, version, options=quick) as envoy:

        def sticky() -> bool:
            return "set-cookie" in dict(ask(envoy, "gateway"))

        until(sticky, "the first plugin", envoy)
        replace(file, listeners(None))
        until(lambda: not sticky(), "the plugin is gone", envoy)
        # The old filter chain drains, and its plugin serves until then.
        draining = "listener_manager.total_(filter_chains|listeners)_draining$"
        until(
            lambda: not any(envoy.stats(draining).values()),
            "the old filter chain is gone",
            envoy,
        )
        # Alone it is taken at once. Beside another plugin it is refused for some seconds;
        # Envoy knows again what was refused, so each try is another one.
        roles = (
            itertools.repeat("edge") if alone else map("edge-{}".format, range(1000))
        )

        def inert() -> bool:
            if INERT not in envoy.log.read_text():
                replace(file, listeners(bad(role=next(roles))))
            return INERT in envoy.log.read_text()

        until(inert, "the wrong one is taken", envoy)
        assert not sticky()
        assert alone or "set-cookie" in dict(ask(envoy, "other"))
        replace(file, listeners(good()))
        until(sticky, "the good one", envoy)


def test_two_plugins_touch_their_own_requests_only(version: str) -> None:
    plugins = []
    for app in ("shop", "blog"):
        rollout = {
            "name": app,
            "hosts": [f"{app}.example"],
            "versions": ["blue", "green"],
        }
        config = good(rollouts=[rollout], tag={"header": f"x-{app}-version"})
        config["identity"] = {"cookie": {"name": f"{app}-id"}}
        wasm = istio.wasm(module(), config)
        wasm["config"]["name"] = wasm["config"]["root_id"] = app
        plugins.append({**istio.plugin(wasm), "name": app})
    listener = istio.listener("gateway", "outbound", direct(), plugins[0])
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"].insert(1, plugins[1])
    bootstrap = istio.bootstrap("router~t", {}, [listener], [])
    with Envoy(bootstrap, f"two-{version}", version) as envoy:
        for app in ("shop", "blog"):
            request = [(":method", b"GET"), (":path", b"/")]
            request.append((":authority", f"{app}.example".encode()))
            response = client.http1(envoy.port("gateway"), request)
            cookies = [v for name, v in response.headers if name == "set-cookie"]
            assert len(cookies) == 1
            assert cookies[0].startswith(f"{app}-id=".encode())


def test_a_missing_label_is_told_once(version: str) -> None:
    plugin = istio.plugin(istio.wasm(module(), good(role="server")))
    listener = istio.listener("inbound", "inbound", direct(), plugin)
    bootstrap = istio.bootstrap("sidecar~t", {"app": "shop"}, [listener], [])
    with Envoy(bootstrap, f"label-{version}", version) as envoy:
        assert "x-served-version" not in dict(ask(envoy, "inbound"))
        told = 'bluegreen: the pod has no label "version"; a server says no version'
        assert filter_log(envoy) == told
