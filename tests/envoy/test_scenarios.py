"""Every row of tests/scenarios.yaml on real Envoys.

The oldest and the newest Envoy, the plugin in the listener (static) and found by
discovery (ecds), requests over HTTP/1.1 and HTTP/2. An Envoy starts when the first
row needs it, so one row alone is quick: pytest tests/envoy -k a_pin_cookie_pins

The routes are patched as in a sidecar, also at gateways: there Envoy removes a
stranger's bucket before the filter sees it (tests/envoy/test_edge.py).
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from kit import bucket, client, envoy_filter, istio, ports, scenario
from kit.envoy import RUNS, Envoy, module, versions
from kit.files import replace
from kit.istio import Json
from kit.relay import Relay
from kit.scenario import APPS, Row
from kit.tokens import Made
from kit.upstream import Headers, Upstream

ROWS = scenario.rows()
PROTOCOLS = {"http1": client.http1, "http2": client.http2}
MODES = ["static", "ecds"]

PLAIN = "inbound|8080||"
DEAD = "dead.svc.cluster.local"
EDGE = "edge.edge.svc.cluster.local"

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
    r"bg_code=\.=(.+);\.;bluegreen_responses_total"
)
REJECTED = re.compile(
    r"wasmcustom\.bg_rollout=\.=(.+);\.;bg_reason=\.=(.+);\.;bluegreen_rejected_total"
)


@dataclass(frozen=True)
class Part:
    """A listener of a proxy: what rows need of it. Rows that agree share it."""

    node: str
    labels: dict[str, str]
    direction: str
    config: Json
    routes: list[Json]
    envoy_headers: bool
    # What differs from the shipped EnvoyFilter; None: it is not there at all.
    patched: dict[str, str] | None

    @property
    def process(self) -> str:
        """What tells the proxy from others."""
        return json.dumps([self.node, self.labels])

    @property
    def key(self) -> str:
        """What tells the listener from others."""
        needs = [self.direction, self.config, self.routes, self.patched]
        needs.append(self.envoy_headers)
        return json.dumps([self.process, needs])


def own_part(row: Row) -> Part:
    """What the row needs of its own proxy."""
    patched = {
        "x-bluegreen-bucket": row.bucket_header,
        "x-bluegreen-route": row.route_header,
    }
    if row.route == "no-metadata":
        patched[" %METADATA(ROUTE:istio:config)%"] = ""
    return Part(
        row.node,
        row.labels,
        row.direction,
        row.config,
        routes(row),
        row.envoy_headers,
        None
        if row.route in ("unmarked", "named") or row.served == "plain"
        else patched,
    )


def front_part(row: Row) -> Part | None:
    """What the row needs of the proxy in front."""
    if row.front is None:
        return None
    clusters = {app: istio.subset_cluster(app, EDGE) for app in APPS}
    weights = dict(zip(clusters.values(), row.weights, strict=True))
    return Part(
        "router~front",
        {},
        "outbound",
        row.front,
        [
            *istio.pin_routes(row.pin_header, clusters, "edge.edge"),
            istio.weighted_route(weights, rollout="edge.edge"),
        ],
        True,
        {},
    )


def routes(row: Row) -> list[Json]:
    """The routes of the row's listener, as Istio makes them of a VirtualService, or of
    HTTPRoutes."""
    name = row.route_name.decode("latin-1")
    match row.served:
        case "local" if row.route == "named":
            return [istio.route(name, {"direct_response": {"status": 200}})]
        case "local":
            # Only a route without weights may answer by itself.
            return [istio.route("bluegreen-pin", {"direct_response": {"status": 200}})]
        case "plain":
            return [istio.route("default", {"route": {"cluster": PLAIN}})]
        case "dead-blue":
            dead, weights = {"blue"}, (100, 0)
        case "dead-green":
            dead, weights = {"green"}, (0, 100)
        case _:
            dead, weights = set(), row.weights
    clusters = {app: cluster_of(app, row.backends, app in dead) for app in APPS}
    weighted = dict(zip(clusters.values(), weights, strict=True))
    if row.route == "named":
        alive = [row.version(app) for app in APPS if app not in dead]
        rules = istio.version_routes(alive) if row.pins else []
        return [*rules, istio.stating_route(name, weighted)]
    found = [
        *(istio.pin_routes(row.pin_header, clusters) if row.pins else []),
        istio.weighted_route(weighted),
    ]
    if row.route == "unnamed":
        found = [{**route, "name": f"shop-{n}"} for n, route in enumerate(found)]
    return found


def cluster_of(app: str, backends: str, dead: bool) -> str:
    """The cluster of an application, as a subset or as a Service."""
    domain = DEAD if dead else istio.DOMAIN
    if backends == "services":
        return istio.service_cluster(f"shop-{app}", domain)
    return istio.subset_cluster(app, f"shop.{domain}")


# The listeners that the rows need; a listener's place is its name.
PARTS = {
    part.key: part for row in ROWS for part in (own_part(row), front_part(row)) if part
}
NAMES = {key: str(place) for place, key in enumerate(PARTS)}


class Fleet:
    """The Envoys of one version and mode, in front of blue and green."""

    def __init__(self, version: str, mode: str, stack: ExitStack) -> None:
        self.version = version
        self.mode = mode
        self.stack = stack
        self.apps = [stack.enter_context(Upstream(name)) for name in APPS]
        self.relay = stack.enter_context(Relay("relay"))
        self.dead_port = stack.enter_context(ports.refusing())
        self.envoys: dict[str, Envoy] = {}
        self.ports: dict[str, int] = {}
        self.counted: dict[str, Counter[str]] = {}

    def port(self, part: Part) -> int:
        """The port of a listener; starts its proxy if it does not run yet."""
        if part.process not in self.envoys:
            self.start(part)
        return self.ports[part.key]

    def start(self, part: Part) -> None:
        """Starts the proxy of a listener, with all listeners that it will need."""
        name = f"scenarios-{self.version}-{self.mode}-{len(self.envoys)}"
        parts = [each for each in PARTS.values() if each.process == part.process]
        bootstrap = istio.bootstrap(
            part.node,
            part.labels,
            [self.listener(each, name) for each in parts],
            self.clusters(),
        )
        envoy = self.stack.enter_context(Envoy(bootstrap, name, self.version))
        self.envoys[part.process] = envoy
        found = envoy.ports()
        self.ports |= {each.key: found[NAMES[each.key]] for each in parts}

    def listener(self, part: Part, envoy: str) -> Json:
        """The listener, with the plugin's configuration in place or in a file."""
        wasm = istio.wasm(module(), part.config)
        if self.mode == "static":
            plugin = istio.plugin(wasm)
        else:
            path = RUNS / envoy / f"{NAMES[part.key]}.json"
            replace(path, istio.discovery_response(wasm))
            plugin = istio.discovered(path)
        name = NAMES[part.key]
        filters, routes = [plugin], part.routes
        listener = istio.listener(
            name, part.direction, routes, filters, part.envoy_headers
        )
        if part.patched is None:
            return listener
        return envoy_filter.listener(listener, envoy_filter.SIDECAR, part.patched)

    def clusters(self) -> list[Json]:
        """Each version alive and dead, two ways to the relay, and the plain one."""
        clusters = [istio.cluster(PLAIN, self.apps[0].port)]
        for app in self.apps:
            edge = istio.subset_cluster(app.name, EDGE)
            clusters.append(istio.cluster(edge, self.relay.port))
            for backends in ("subsets", "services"):
                alive = cluster_of(app.name, backends, dead=False)
                clusters.append(istio.cluster(alive, app.port))
                dead = cluster_of(app.name, backends, dead=True)
                clusters.append(istio.cluster(dead, self.dead_port))
        return clusters

    def counts(self, parts: list[Part]) -> Counter[str]:
        """By how much the counters of these proxies grew since the last look."""
        growth: Counter[str] = Counter()
        for process in (part.process for part in parts):
            now = counters(self.envoys[process])
            growth += now - self.counted.get(process, Counter())
            self.counted[process] = now
        return growth

    def forget(self) -> None:
        """Forgets what was received until now."""
        for server in (*self.apps, self.relay):
            server.requests.clear()


@pytest.fixture(
    scope="module",
    params=[(version, mode) for version in versions() for mode in MODES],
    ids=lambda param: "-".join(param),
)
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Envoys of one version and mode, started as rows need them."""
    with ExitStack() as stack:
        yield Fleet(*request.param, stack)


@dataclass
class Outcome:
    """What a row led to."""

    client: Headers
    between: list[Headers]
    # The applications that got the request, and what they got.
    upstream: list[tuple[str, Headers]]
    counts: dict[str, int]
    # What was sent, and the token in it.
    request: Headers
    token: Made

    @property
    def served(self) -> list[str]:
        """The applications that got the request."""
        return [app for app, _ in self.upstream]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.slug)
def test_row(fleet: Fleet, row: Row, protocol: str) -> None:
    own, front = own_part(row), front_part(row)
    port = fleet.relay.target = fleet.port(own)
    if front:
        port = fleet.port(front)
    parts = [part for part in (own, front) if part]
    for app in fleet.apps:
        app.answer = row.answer_of(app.name)
    fleet.forget()

    token = row.token.made()
    request = [(name, token.fill(value)) for name, value in row.request]
    response = PROTOCOLS[protocol](port, request)
    outcome = Outcome(
        response.headers,
        list(fleet.relay.requests),
        [(app.name, request) for app in fleet.apps for request in app.requests],
        dict(fleet.counts(parts)),
        request,
        token,
    )
    if wrong := judge(row, outcome):
        envoys = [fleet.envoys[part.process] for part in parts]
        pytest.fail(report(row, wrong, outcome, envoys), pytrace=False)


def judge(row: Row, outcome: Outcome) -> list[str]:
    """A line for each expectation of the row that does not hold."""
    served = outcome.served
    version = row.version(served[0]) if served else "none"
    values = row.placeholders(version, outcome.client, outcome.token)
    wrong = scenario.differences("client", row.client, outcome.client, values)
    for request in outcome.between:
        wrong += scenario.differences("between", row.between, request, values)
    for app, request in outcome.upstream:
        wrong += scenario.differences("upstream", row.upstream, request, values)
        if (due := version_due(row, request)) and app != due:
            wrong.append(f"served: {app}, but the routes say {due}")
    if len(outcome.between) != (0 if row.front is None else 1):
        wrong.append(f"between: {len(outcome.between)} requests")
    allowed = SERVED.get(row.served, [[row.served]])
    if served not in allowed:
        wrong.append(f"served: expected one of {allowed}, received {served}")
    expected = scenario.filled_counts(row.counts, values)
    if outcome.counts != expected:
        wrong.append(f"counts: expected {expected}, received {outcome.counts}")
    return wrong


def version_due(row: Row, request: Headers) -> str | None:
    """The application that pin and bucket of a request choose; None is Envoy's dice."""
    if row.served == "plain":
        return None
    if row.route == "named":
        asked = scenario.all_of("x-bluegreen-version", request)
        due = [app for app in APPS if asked == [row.version(app).encode()]]
        return due[0] if due and row.pins else None
    pins = scenario.all_of(row.pin_header, request)
    if row.pins and pins in ([b"blue"], [b"green"]):
        return pins[0].decode()
    match scenario.all_of(row.bucket_header, request):
        case [value] if value.isdigit() and row.route in ("marked", "no-metadata"):
            weights = dict(zip(APPS, row.weights, strict=True))
            return bucket.picked(int(value), weights)
        case _:
            return None


def report(row: Row, wrong: list[str], outcome: Outcome, envoys: list[Envoy]) -> str:
    """What a reader needs to see why a row failed."""
    lines = [row.name, *wrong, "", "sent:", *shown(outcome.request)]
    for request in outcome.between:
        lines += ["went on from the front:", *shown(request)]
    for app, request in outcome.upstream:
        lines += [f"{app} received:", *shown(request)]
    lines += ["client received:", *shown(outcome.client)]
    lines += [f"counters: {outcome.counts}"]
    lines += [f"configuration: {json.dumps(row.config)}", ""]
    return "\n".join(lines + [envoy.tail(10) for envoy in envoys])


def shown(headers: Headers) -> list[str]:
    """Headers to read, one a line, odd bytes escaped."""
    return [f"  {name}: {repr(value)[2:-1]}" for name, value in headers]


def counters(envoy: Envoy) -> Counter[str]:
    """The filter's counters of a proxy, by the names of the table."""
    stats = envoy.stats("bluegreen_")
    return Counter({words_of(stat): value for stat, value in stats.items()})


def words_of(stat: str) -> str:
    """The table's words for a counter."""
    if responses := RESPONSES.fullmatch(stat):
        rollout, *words, code = responses.groups()
        words += [] if code == "2xx" else [code]
    elif rejected := REJECTED.fullmatch(stat):
        rollout, *words = rejected.groups()
    else:
        return stat
    return " ".join(words if rollout == "shop.shop" else [rollout, *words])
