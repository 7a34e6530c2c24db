"""Who takes part, and what Envoy itself keeps apart, by the shipped EnvoyFilter.

The route's name switches the filter on. Whoever answers, the route header does not
leave the proxy; and a stranger's bucket goes at a gateway, on every route, also while
the module is missing (contract, section 2).
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

import pytest
from kit import client, envoy_filter, istio, ports
from kit.envoy import RUNS, Envoy, module, versions
from kit.files import replace
from kit.istio import Json
from kit.scenario import all_of
from kit.upstream import Headers, Upstream

NAMED = [
    *("bluegreen", "bluegreen-2", "bluegreen-3", "bluegreen-mirror"),
    *("bluegreen-pin", *(f"bluegreen-pin-{number}" for number in range(2, 9))),
]
OTHERS = [
    *("", "shop", "bluegreen.of-a-match", "bluegreen-pin.of-a-match"),
    *("bluegreen-4", "bluegreen-pin-1", "bluegreen-pin-9", "Bluegreen", "a-bluegreen"),
]

# How Istio calls the filter of the plugin bluegreen-outbound in istio-system: of a
# WasmPlugin since 1.30, of one before, and of a TrafficExtension.
PLUGIN = "istio-system.bluegreen-outbound"
FILTER_NAMES = [
    istio.PLUGIN,
    f"extensions.istio.io/wasmplugin/{PLUGIN}",
    f"extensions.istio.io/trafficextension/{PLUGIN}",
]

# What Istio's agent puts in the place of a plugin whose module it could not fetch:
# with FAIL_OPEN, and otherwise.
OPEN = {"@type": istio.RBAC}
CLOSED = {"@type": istio.RBAC, "rules": {}}

CLUSTER = istio.subset_cluster("blue")
DEAD = istio.subset_cluster("dead")
TO_BLUE = {"route": {"cluster": CLUSTER}}


class Start(Protocol):
    """Starts a gateway with these listeners."""

    def __call__(self, name: str, *listeners: Json) -> Envoy:
        """Its process."""


@pytest.fixture(params=versions())
def version(request: pytest.FixtureRequest) -> str:
    """The oldest Envoy and the newest."""
    return request.param


@pytest.fixture
def app() -> Iterator[Upstream]:
    """The upstream, which claims to be of another route."""
    forged = [("x-bluegreen-route", b"via_upstream outbound|80|green|a.b -")]
    with Upstream("blue", forged) as upstream:
        yield upstream


@pytest.fixture
def start(version: str, app: Upstream) -> Iterator[Start]:
    """Starts a gateway with these listeners, in front of the application."""
    with ExitStack() as stack:
        dead_port = stack.enter_context(ports.refusing())

        def gateway(name: str, *listeners: Json) -> Envoy:
            clusters = [
                istio.cluster(CLUSTER, app.port),
                istio.cluster(DEAD, dead_port),
            ]
            bootstrap = istio.bootstrap("router~t", {}, list(listeners), clusters)
            return stack.enter_context(Envoy(bootstrap, f"{name}-{version}", version))

        yield gateway


def ask(envoy: Envoy, listener: str, path: str = "/", **headers: str) -> Headers:
    """The headers of a response."""
    request = [(":method", b"GET"), (":path", path.encode()), (":authority", b"a.b")]
    request += [(k.replace("_", "-"), v.encode()) for k, v in headers.items()]
    return client.http1(envoy.port(listener), request).headers


def weighted(name: str) -> Json:
    """A weighted route, all of it blue."""
    return istio.weighted_route({CLUSTER: 1}, name)


def at(path: str, route: Json) -> Json:
    """The route, for one path."""
    return {**route, "match": {"path": path}}


def gateway_listener(name: str, routes: list[Json], filters: list[Json]) -> Json:
    """A gateway's listener with all patches."""
    listener = istio.listener(name, "outbound", routes, filters)
    return envoy_filter.listener(listener, envoy_filter.GATEWAY)


def our_filter(name: str = istio.PLUGIN) -> Json:
    """The filter by one of its names in Istio."""
    return istio.plugin(istio.wasm(module(), {}, name))


def counted(envoy: Envoy) -> int:
    """How many responses the filter counted."""
    return sum(envoy.stats("bluegreen_responses_total").values())


def test_only_the_names_of_ours_switch_the_filter_on(
    start: Start, app: Upstream
) -> None:
    routes = [
        at(f"/{number}", weighted(name)) for number, name in enumerate(NAMED + OTHERS)
    ]
    by_filter = dict(zip("abc", FILTER_NAMES, strict=True))
    envoy = start(
        "names",
        *(gateway_listener(n, routes, [our_filter(f)]) for n, f in by_filter.items()),
    )
    for listener, filter_name in by_filter.items():
        before = counted(envoy)
        for number, name in enumerate(NAMED):
            headers = dict(ask(envoy, listener, f"/{number}"))
            assert headers["x-served-version"] == b"blue", (filter_name, name)
            assert "set-cookie" in headers
        assert counted(envoy) - before == len(NAMED)
        app.requests.clear()
        for number, name in enumerate(OTHERS, len(NAMED)):
            answer = ask(envoy, listener, f"/{number}", x_version_pin="Purple")
            ours = [n for n, _ in answer if n.startswith("x-") and "envoy" not in n]
            # Nobody removes there what an application sends.
            assert ours == ["x-bluegreen-route"], (filter_name, name)
            assert not all_of("set-cookie", answer)
        assert counted(envoy) - before == len(NAMED)
        for request in app.requests:
            assert all_of("x-version-pin", request) == [b"Purple"]
            assert not all_of("cookie", request)


def test_the_route_header_never_leaves(start: Start, version: str) -> None:
    kind = f"{istio.FILTERS}.http.fault.v3.HTTPFault"
    always = {"numerator": 100}
    fault = {
        "name": "fault",
        "typed_config": {
            "@type": kind,
            "abort": {"http_status": 418, "percentage": always},
            "headers": [{"name": "abort", "present_match": True}],
        },
    }
    answers = [
        at("/upstream", istio.route("bluegreen-pin", TO_BLUE)),
        at("/dead", istio.route("bluegreen-pin", {"route": {"cluster": DEAD}})),
        at(
            "/direct",
            istio.route("bluegreen-pin", {"direct_response": {"status": 204}}),
        ),
        at(
            "/moved",
            istio.route("bluegreen-pin", {"redirect": {"https_redirect": True}}),
        ),
        weighted("bluegreen"),
    ]
    in_place = {
        "module": istio.wasm(module(), {}),
        "open": OPEN,
        "closed": CLOSED,
        # By a name of its own, for which there was no good configuration.
        "wrong": istio.wasm(module(), {"role": "edge"}, "wrong"),
    }
    listeners = []
    for name, config in in_place.items():
        path = RUNS / f"route-header-{version}" / f"{name}.json"
        replace(path, istio.discovery_response(config))
        filters = [fault, istio.discovered(path)]
        listeners.append(gateway_listener(name, answers, filters))
    # So that the test can fail: without its first filter Envoy does tell it.
    tells = gateway_listener("tells", answers, [fault, our_filter()])
    del istio.manager_of(tells)["http_filters"][0]
    envoy = start("route-header", *listeners, tells)

    for path, headers, status in [
        ("/", {}, b"200"),
        ("/", {"abort": "1"}, b"418"),
        ("/upstream", {}, b"200"),
        ("/dead", {}, b"503"),
        ("/direct", {}, b"204"),
        ("/moved", {}, b"301"),
    ]:
        assert all_of("x-bluegreen-route", ask(envoy, "tells", path, **headers)), path
        for name in in_place:
            answer = ask(envoy, name, path, **headers)
            due = b"403" if name == "closed" and "abort" not in headers else status
            assert dict(answer)[":status"] == due, (name, path, headers)
            assert not all_of("x-bluegreen-route", answer), (name, path, headers)
            if name != "module" or headers:
                assert not all_of("set-cookie", answer)
                assert not all_of("x-served-version", answer)


def test_a_stranger_s_bucket_goes_on_every_route(
    start: Start, app: Upstream, version: str
) -> None:
    routes = [
        at("/named", weighted("bluegreen")),
        at("/pin", istio.route("bluegreen-pin", TO_BLUE)),
        istio.route("shop", TO_BLUE),
    ]
    path = RUNS / f"bucket-{version}" / "missing.json"
    replace(path, istio.discovery_response(OPEN))
    envoy = start(
        "bucket",
        gateway_listener("module", routes, [our_filter()]),
        gateway_listener("missing", routes, [istio.discovered(path)]),
        gateway_listener("none", routes, []),
    )
    stranger = {"x_bluegreen_bucket": "99", "cookie": "bluegreen-id=00c0ffee00c0ffee"}
    for listener in ("module", "missing", "none"):
        for path in ("/named", "/pin", "/"):
            app.requests.clear()
            ask(envoy, listener, path, **stranger)
            buckets = all_of("x-bluegreen-bucket", app.requests[0])
            if listener == "module" and path != "/":
                assert buckets and buckets != [b"99"], (listener, path)
            else:
                assert buckets == [], (listener, path)


STRANGERS_BAGGAGE = [
    ([], []),
    (["team=shop;p=1 , a=%20b;\xff"], ["team=shop;p=1 , a=%20b;\xff"]),
    (["a=1", "bluegreen-pin=green, b=2"], ["a=1,stranger-pin=green, b=2"]),
    (["Bluegreen-Bucket=3"], ["stranger-Bucket=3"]),
    (["%62luegreen%2Dpin=a,+bluegreen-pin=a"], ["stranger-pin=a,+stranger-pin=a"]),
    (["%2562luegreen%252dpin=a"], ["stranger-pin=a"]),
    (
        ["\xa0bluegreen-pin=a,bluegreen-pin\xa0=a"],
        ["\xa0stranger-pin=a,stranger-pin\xa0=a"],
    ),
    (["x=" + "y" * 8189], ["x=" + "y" * 8189]),
    (["x=" + "y" * 8190], []),
    ([""], []),
]


def test_a_stranger_s_baggage_pins_nothing_on_any_route(
    start: Start, app: Upstream, version: str
) -> None:
    routes = [at("/named", weighted("bluegreen")), istio.route("shop", TO_BLUE)]
    path = RUNS / f"baggage-{version}" / "missing.json"
    replace(path, istio.discovery_response(OPEN))
    on = istio.plugin(istio.wasm(module(), {"baggage": {}}))
    filters = {"module": [on], "missing": [istio.discovered(path)], "none": []}
    listeners = []
    for name, of_listener in filters.items():
        listener = gateway_listener(name, routes, of_listener)
        strangers = {"file": envoy_filter.STRANGERS}
        listeners.append(
            envoy_filter.listener(listener, envoy_filter.GATEWAY, **strangers)
        )
    cheap = gateway_listener("cheap", routes, [on])
    gateway = envoy_filter.GATEWAY
    listeners.append(envoy_filter.listener(cheap, gateway, file=envoy_filter.WITHOUT))
    # So that the test can fail: without the file it comes to the application.
    listeners.append(gateway_listener("without", routes, [on]))
    envoy = start("baggage", *listeners)
    ours = b"bluegreen-bucket=12194550004181602153"
    for listener in filters:
        for path, added in [("/", []), ("/named", [ours])]:
            for sent, expected in STRANGERS_BAGGAGE:
                due = [line.encode("latin-1") for line in expected]
                if listener == "module" and added:
                    parts = [part.strip() for line in due for part in line.split(b",")]
                    is_full = len(b",".join(parts)) > 8100
                    due = due if is_full else [b",".join([*parts, *added])]
                app.requests.clear()
                request = [(":method", b"GET"), (":path", path.encode())]
                request += [(":authority", b"shop.example")]
                request += [("cookie", b"bluegreen-id=00c0ffee00c0ffee")]
                request += [("baggage", line.encode("latin-1")) for line in sent]
                answer = client.http1(envoy.port(listener), request).headers
                assert dict(answer)[":status"] == b"200"
                got = all_of("baggage", app.requests[0])
                assert got == due, (listener, path, sent)
    for path, due in [("/", []), ("/named", [ours])]:
        cookie = "bluegreen-id=00c0ffee00c0ffee"
        sent = {"baggage": "team=shop,bluegreen-pin=green", "cookie": cookie}
        request = [(":method", b"GET"), (":path", path.encode())]
        request += [(":authority", b"shop.example")]
        request += [(name, value.encode()) for name, value in sent.items()]
        client.http1(envoy.port("cheap"), request)
        assert all_of("baggage", app.requests[-1]) == due
    ask(envoy, "without", baggage="bluegreen-pin=green")
    assert all_of("baggage", app.requests[-1]) == [b"bluegreen-pin=green"]


def test_without_the_module_no_stranger_chooses_a_version(
    start: Start, version: str
) -> None:
    # The dead half answers 503; all strangers say the bucket of the other half.
    path = RUNS / f"dice-{version}" / "missing.json"
    replace(path, istio.discovery_response(OPEN))
    halves = istio.weighted_route({CLUSTER: 50, DEAD: 50})
    envoy = start(
        "dice", gateway_listener("missing", [halves], [istio.discovered(path)])
    )
    statuses = {
        dict(ask(envoy, "missing", x_bluegreen_bucket="0"))[":status"]
        for _ in range(100)
    }
    assert statuses == {b"200", b"503"}, "Envoy rolls dice"
