"""Every row of tests/scenarios.yaml on real Envoys.

The oldest and the newest Envoy, the plugin in the listener (static) and found by
discovery (ecds), requests over HTTP/1.1 and HTTP/2. An Envoy starts when the first
row needs it, so one row alone is quick: pytest tests/envoy -k a_pin_cookie_pins
"""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from kit import client, istio, ports, scenario
from kit.envoy import RUNS, Envoy, module, versions
from kit.files import replace
from kit.istio import Json
from kit.scenario import Row
from kit.upstream import Headers, Upstream

ROWS = scenario.rows()
PROTOCOLS = {"http1": client.http1, "http2": client.http2}
MODES = ["static", "ecds"]

PLAIN = "inbound|8080||"
DEAD = "dead.example"

# Which applications may get the request; by default the one that the row names.
SERVED = {
    "any": [["blue"], ["green"]],
    "plain": [["blue"]],
    "dead-blue": [[]],
    "dead-green": [[]],
    "local": [[]],
}

RESPONSES = re.compile(
    r"wasmcustom\.bg_rollout=\.=(.+);\.;bg_version=\.=(.+);\.;bg_source=\.=(.+);\.;"
    r"bluegreen_responses_total"
)
REJECTED = re.compile(r"wasmcustom\.bg_reason=\.=(.+);\.;bluegreen_rejected_total")


class Fleet:
    """The Envoys of one version and mode, in front of blue and green."""

    def __init__(self, version: str, mode: str, stack: ExitStack) -> None:
        self.version = version
        self.mode = mode
        self.stack = stack
        self.apps = [stack.enter_context(Upstream(name)) for name in ("blue", "green")]
        self.dead_port = stack.enter_context(ports.refusing())
        self.envoys: dict[str, Envoy] = {}

    def envoy(self, row: Row) -> Envoy:
        """The row's proxy, with a listener for each kind of row that it has."""
        proxy = proxy_of(row)
        if proxy not in self.envoys:
            name = f"scenarios-{self.version}-{self.mode}-{len(self.envoys)}"
            listeners = [
                istio.listener(
                    first.slug, first.direction, routes(first), self.plugin(first, name)
                )
                for first in FIRST.values()
                if proxy_of(first) == proxy
            ]
            bootstrap = istio.bootstrap(
                row.node, row.labels, listeners, self.clusters()
            )
            envoy = Envoy(bootstrap, name, self.version)
            self.envoys[proxy] = self.stack.enter_context(envoy)
        return self.envoys[proxy]

    def plugin(self, row: Row, envoy: str) -> Json:
        """The plugin with the row's configuration, in place or in a file."""
        wasm = istio.wasm(module(), row.config)
        if self.mode == "static":
            return istio.plugin(wasm)
        path = RUNS / envoy / f"{row.slug}.json"
        replace(path, istio.discovery_response(wasm))
        return istio.discovered(path)

    def clusters(self) -> list[Json]:
        """Each version alive and dead, and one cluster without a subset."""
        clusters = [istio.cluster(PLAIN, self.apps[0].port)]
        for app in self.apps:
            clusters += [
                istio.cluster(istio.subset_cluster(app.name), app.port),
                istio.cluster(istio.subset_cluster(app.name, DEAD), self.dead_port),
            ]
        return clusters

    def requests(self) -> list[tuple[str, Headers]]:
        """What the applications got since the last look, and which of them."""
        found = [(app.name, request) for app in self.apps for request in app.requests]
        for app in self.apps:
            app.requests.clear()
        return found


@pytest.fixture(
    scope="module",
    params=[(version, mode) for version in versions() for mode in MODES],
    ids=lambda param: "-".join(param),
)
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Envoys of one version and mode, started as rows need them."""
    with ExitStack() as stack:
        yield Fleet(*request.param, stack)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.slug)
def test_row(fleet: Fleet, row: Row, protocol: str) -> None:
    envoy = fleet.envoy(row)
    for app in fleet.apps:
        app.answer = row.answer_of(app.name)
    fleet.requests()

    before = counters(envoy)
    response = PROTOCOLS[protocol](envoy.port(FIRST[needs_of(row)].slug), row.request)
    counts = grown(before, counters(envoy))
    requests = fleet.requests()

    wrong = judge(row, response.headers, requests, counts)
    if wrong:
        pytest.fail(
            report(row, wrong, response.headers, requests, counts, envoy), pytrace=False
        )


def judge(
    row: Row,
    response: Headers,
    requests: list[tuple[str, Headers]],
    counts: dict[str, int],
) -> list[str]:
    """A line for each expectation of the row that does not hold."""
    served = [app for app, _ in requests]
    values = row.placeholders((served or ["none"])[0], response)
    wrong = scenario.differences("client", row.client, response, values)
    for app, request in requests:
        wrong += scenario.differences("upstream", row.upstream, request, values)
        if (due := version_due(row, request)) and app != due:
            wrong.append(f"served: {app}, but the routes say {due}")
    allowed = SERVED.get(row.served, [[row.served]])
    if served not in allowed:
        wrong.append(f"served: expected one of {allowed}, received {served}")
    expected = scenario.filled_counts(row.counts, values)
    if counts != expected:
        wrong.append(f"counts: expected {expected}, received {counts}")
    return wrong


def version_due(row: Row, request: Headers) -> str | None:
    """The version that pin and bucket of a request choose; None is Envoy's dice."""
    if row.served == "plain":
        return None
    pins = scenario.all_of(row.pin_header, request)
    if row.pins and pins in ([b"blue"], [b"green"]):
        return pins[0].decode()
    match scenario.all_of(row.bucket_header, request):
        case [value] if value.isdigit():
            return row.version_of(int(value))
        case _:
            return None


def report(
    row: Row,
    wrong: list[str],
    response: Headers,
    requests: list[tuple[str, Headers]],
    counts: dict[str, int],
    envoy: Envoy,
) -> str:
    """What a reader needs to see why a row failed."""
    lines = [row.name, *wrong, "", "sent:", *shown(row.request)]
    for app, request in requests:
        lines += [f"{app} received:", *shown(request)]
    lines += ["client received:", *shown(response), f"counters: {counts}"]
    lines += [f"configuration: {json.dumps(row.config)}"]
    return "\n".join([*lines, "", envoy.tail(10)])


def shown(headers: Headers) -> list[str]:
    """Headers to read, one a line, odd bytes escaped."""
    return [f"  {name}: {repr(value)[2:-1]}" for name, value in headers]


def routes(row: Row) -> list[Json]:
    """The routes of the row's listener."""
    match row.served:
        case "local":
            return [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]
        case "plain":
            return [{"match": {"prefix": "/"}, "route": {"cluster": PLAIN}}]
        case "dead-blue":
            blue, green, weights = DEAD, istio.HOST, (100, 0)
        case "dead-green":
            blue, green, weights = istio.HOST, DEAD, (0, 100)
        case _:
            blue, green, weights = istio.HOST, istio.HOST, row.weights
    clusters = {
        "blue": istio.subset_cluster("blue", blue),
        "green": istio.subset_cluster("green", green),
    }
    pins = [istio.pin_route(row.pin_header, *each) for each in clusters.items()]
    weighted = dict(zip(clusters.values(), weights, strict=True))
    return [
        *(pins if row.pins else []),
        istio.weighted_route(weighted, row.bucket_header),
    ]


def proxy_of(row: Row) -> str:
    """What an Envoy is started with: rows that agree in it share one."""
    return json.dumps([row.node, row.labels])


def needs_of(row: Row) -> str:
    """What the row's proxy and listener are made of: rows that agree share them."""
    return json.dumps([proxy_of(row), row.direction, row.config, routes(row)])


# The first row that needs a listener; its name is the listener's.
FIRST = {needs_of(row): row for row in reversed(ROWS)}


def counters(envoy: Envoy) -> dict[str, int]:
    """The filter's counters by the names that the table uses."""
    found = {}
    for stat, value in envoy.stats("bluegreen_").items():
        if responses := RESPONSES.fullmatch(stat):
            rollout, version, source = responses.groups()
            name = f"{version} {source}"
            found[name if rollout == "myapp" else f"{rollout} {name}"] = value
        elif rejected := REJECTED.fullmatch(stat):
            found[rejected[1]] = value
        else:
            found[stat] = value
    return found


def grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """By how much each counter grew, of those that did."""
    growth = {name: value - before.get(name, 0) for name, value in after.items()}
    return {name: by for name, by in growth.items() if by}
