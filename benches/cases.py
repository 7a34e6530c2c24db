"""What is measured: the proxies, the requests, and the rows of the table."""

import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kit import envoy, istio
from kit.envoy import ROOT, address
from kit.istio import FILTERS, Json

BENCH = ROOT / "target/bench"
HERE = ROOT / "benches"

VERSIONS = ("blue", "green")
ROLLOUT = {"name": "myapp", "versions": list(VERSIONS)}
BUCKET = "x-bluegreen-bucket"
PIN = "x-version-pin"

# Each as long as shop.example, so that nobody but the filter sees a difference.
HOSTS = [f"h{i:03}.example" for i in range(256)]
BY_HOST = [
    {"name": f"r{i:03}", "hosts": [host], "versions": list(VERSIONS)}
    for i, host in enumerate(HOSTS)
]

# -- Requests ------------------------------------------------------------------

BROWSER = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101"
    " Firefox/140.0",
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-language": "de,en-US;q=0.7,en;q=0.3",
    "accept-encoding": "gzip, deflate, br, zstd",
    "referer": "https://shop.example/items",
    "upgrade-insecure-requests": "1",
    "sec-fetch-dest": "document",
    "sec-fetch-mode": "navigate",
    "sec-fetch-site": "same-origin",
}
IDENTITY = "bluegreen-id=00c0ffee00c0ffee"
OTHERS = ("theme=dark", "session=0123456789abcdef0123456789", "consent=yes", "lang=de")
BEHIND_OTHERS = "; ".join([*OTHERS[:3], IDENTITY, OTHERS[3]])
EIGHT_KB = "; ".join(f"cookie{i:03}=0123456789abcdef0123456789" for i in range(215))

# What a request adds to the browser's headers. With `host` these are 11 headers,
# but 10 for a user without any cookie.
REQUESTS: dict[str, dict[str, str]] = {
    "returning": {"cookie": BEHIND_OTHERS},
    "new": {},
    "new, others": {"cookie": "; ".join(OTHERS)},
    "identity": {"x-user-id": "1234567890", "cookie": "; ".join(OTHERS)},
    "pinned": {PIN: "green", "cookie": "; ".join([*OTHERS, IDENTITY])},
    "8 KB": {"cookie": f"{EIGHT_KB}; {IDENTITY}"},
    "40 headers": {
        **{f"x-header-of-a-mesh-{n}": "0123456789abcdef" for n in range(29)},
        "cookie": BEHIND_OTHERS,
    },
    "bucket": {BUCKET: "56", "cookie": "; ".join([*OTHERS, IDENTITY])},
}
# The upstream tags what it answers below the one, and not below the other.
TAGGED, SILENT = "/tagged/item?page=2", "/silent/item?page=2"
PINS = "/tagged/item?version-pin=green"


def headers(case: "Case") -> dict[str, str]:
    """The headers of a case's request, `host` apart."""
    return BROWSER | REQUESTS[case.request]


def request(case: "Case") -> bytes:
    """The request of a case as HTTP/1.1 writes it."""
    fields = {"host": case.host} | headers(case)
    lines = [f"GET {case.path} HTTP/1.1", *(f"{n}: {v}" for n, v in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


# -- Proxies -------------------------------------------------------------------


@dataclass(frozen=True)
class Proxy:
    """One Envoy process: its node and, by listener, the filters before the router."""

    name: str
    listeners: dict[str, list[Json]]
    node: str = "router~t"


def module() -> Path:
    """The filter to measure: MODULE in the environment, or what `make build` left."""
    path = Path(os.environ.get("MODULE") or envoy.module()).resolve()
    if not path.is_file():
        raise envoy.EnvoyError(f"no filter at {path}, which MODULE says")
    return path


def ours(name: str, *listeners: str, node: str = "router~t", **config: object) -> Proxy:
    """A proxy with our filter on its listeners (default: outbound)."""
    return filtered(name, ours_with(**config), *listeners, node=node)


def ours_with(**config: object) -> Json:
    """Our filter with this configuration."""
    wasm = istio.wasm(module(), {"rollouts": [ROLLOUT]} | config)
    return istio.plugin(wasm)


def filtered(name: str, plugin: Json, *listeners: str, node: str = "router~t") -> Proxy:
    """A proxy with one filter on its listeners (default: outbound)."""
    return Proxy(name, {each: [plugin] for each in listeners or ["outbound"]}, node)


def other(name: str, configuration: str = "") -> Json:
    """A module that ours is compared with."""
    return istio.plugin(istio.wasm(BENCH / f"{name}.wasm", configuration))


def lua() -> Json:
    """The job of a gateway in Lua."""
    kind = f"{FILTERS}.http.lua.v3.Lua"
    source = {"filename": str(HERE / "same-job.lua")}
    return {
        "name": "lua",
        "typed_config": {"@type": kind, "default_source_code": source},
    }


def header_mutation() -> Json:
    """Envoy's own filter, with as many edits as ours makes for a returning user."""
    bucket = {"header": {"key": BUCKET, "value": "56"}}
    tag = {"header": {"key": "x-served-version", "value": "green"}}
    return {
        "name": "header_mutation",
        "typed_config": {
            "@type": f"{FILTERS}.http.header_mutation.v3.HeaderMutation",
            "mutations": {
                "request_mutations": [
                    {"append": bucket | {"append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
                ],
                "response_mutations": [
                    {"append": tag | {"append_action": "ADD_IF_ABSENT"}}
                ],
            },
        },
    }


SIDECAR = "sidecar~t"

# By the words of benches/calls, which makes them in this order.
CALLS = [
    "none",
    "all",
    "absent",
    "present",
    "property",
    "cluster",
    "set",
    "set set-another",
    "absent-response",
    "all-response",
    "tag",
    "absent-response set-response",
    # What a returning user's request cannot do without, but a counter.
    "all set all-response",
]


@cache
def proxies() -> dict[str, Proxy]:
    """All of them, by name."""
    native = Proxy(
        "native",
        {
            "outbound": [],
            "alone": [],
            "inbound": [],
            "hash": [],
            "mutation": [header_mutation()],
            "lua": [lua()],
        },
    )
    every = [
        native,
        Proxy("router", {"outbound": []}),
        filtered("empty", other("empty")),
        filtered("empty-cut", other("empty-cut")),
        ours("gateway", "outbound", "alone", role="gateway"),
        ours("gateway-header", role="gateway", identity={"header": "x-user-id"}),
        ours("gateway-query", role="gateway", pin={"query": "version-pin"}),
        ours("by-host-1", role="gateway", rollouts=BY_HOST[:1]),
        ours("by-host-256", role="gateway", rollouts=BY_HOST),
        ours("client", node=SIDECAR, role="outbound"),
        ours("server", "inbound", node=SIDECAR, role="server"),
        ours("auto", "outbound", "inbound", node=SIDECAR),
    ]
    for each in CALLS:
        calls = other("calls-cut", each)
        every.append(filtered(f"calls {each}", calls, "outbound", "inbound"))
    return {proxy.name: proxy for proxy in every}


def bootstrap(proxy: Proxy, upstream: int) -> Json:
    """A proxy's configuration, with both versions at the port of the upstream."""
    listeners = []
    for name, filters in proxy.listeners.items():
        direction = name if name == "inbound" else "outbound"
        listener = istio.listener(name, direction, routes(name), {})
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager["http_filters"][:1] = filters
        listeners.append(listener)
    names = [istio.subset_cluster(version) for version in VERSIONS]
    clusters = [istio.cluster(name, upstream) for name in [*names, "inbound|80||"]]
    if "hash" in proxy.listeners:
        hashing = [istio.cluster(hash_cluster(each), upstream) for each in VERSIONS]
        clusters += [each | {"lb_policy": "RING_HASH"} for each in hashing]
    labels = {"app": "shop", "version": "green"}
    config = istio.bootstrap(proxy.node, labels, listeners, clusters)
    # Nothing but requests is to be counted.
    config["stats_flush_on_admin"] = True
    return config


def hash_cluster(version: str) -> str:
    """A cluster that asks for the hash, without which Envoy sets no cookie for it."""
    return istio.subset_cluster(version, "hash.example")


def routes(listener: str) -> list[Json]:
    """Those of a sidecar's inbound side, or those of a VirtualService.

    A request header that is set makes Envoy look for the route anew, so each pin
    route above the weighted one costs; `alone` has none.
    """
    if listener == "inbound":
        return [
            {"match": {"prefix": "/"}, "route": {"cluster": "inbound|80||"}},
        ]
    subset = hash_cluster if listener == "hash" else istio.subset_cluster
    clusters = {version: subset(version) for version in VERSIONS}
    pins = [istio.pin_route(PIN, *each) for each in clusters.items()]
    weights = {clusters["blue"]: 70, clusters["green"]: 30}
    weighted = istio.weighted_route(weights, BUCKET)
    if listener == "hash":
        action = weighted["route"]
        del action["weighted_clusters"]["header_name"]
        action["weighted_clusters"]["use_hash_policy"] = True
        cookie = {"name": "bluegreen-id", "ttl": "604800s", "path": "/"}
        action["hash_policy"] = [{"cookie": cookie}]
    return [weighted] if listener == "alone" else [*pins, weighted]


def upstream() -> Json:
    """Envoy's configuration of the application: it answers at once."""
    tag = {"header": {"key": "x-served-version", "value": "green"}}
    answer = {"status": 200, "body": {"inline_string": "ok\n"}}
    tagged = {
        "match": {"prefix": "/tagged/"},
        "direct_response": answer,
        "response_headers_to_add": [tag],
    }
    silent = {"match": {"prefix": "/"}, "direct_response": answer}
    listener = istio.listener("app", "inbound", [tagged, silent], {})
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"][:1] = []
    return istio.bootstrap("app~t", {}, [{**listener, "address": address(0)}], [])


# -- The rows ------------------------------------------------------------------


@dataclass(frozen=True)
class Limit:
    """What a row may add at most."""

    # Parts of the router-only cost, or of what another row adds.
    parts: float
    of: str = ""


@dataclass(frozen=True)
class Case:
    """One row: a request through one listener of a proxy."""

    key: str
    title: str
    proxy: str
    request: str = "returning"
    listener: str = "outbound"
    host: str = "shop.example"
    path: str = TAGGED
    # By what our filter counts the response; None: it counts nothing.
    source: str | None = None
    # Whether the response brings a cookie.
    sets_cookie: bool = False
    limit: Limit | None = None
    # Whether the quick table has it.
    main: bool = False
    # Whether no table has it unless it is named.
    asked: bool = False

    @property
    def base(self) -> "Case":
        """The same request on such routes, with nothing but the router."""
        plain = self.listener in ("inbound", "alone")
        listener = self.listener if plain else "outbound"
        title = f"{listener}: {self.request}, {self.path}"
        key = slug(f"router {title}")
        return Case(key, title, "native", self.request, listener, path=self.path)


COOKIE, MINTED = "identity-cookie", "minted"


def native(key: str, title: str, listener: str, request: str = "returning") -> Case:
    """A row of Envoy's own means."""
    new = request.startswith("new") and listener != "mutation"
    return Case(key, title, "native", request, listener, sets_cookie=new)


def gateway(
    key: str,
    title: str,
    limit: float | None = None,
    source: str | None = COOKIE,
    **how: object,
) -> Case:
    """A row of our filter as gateway."""
    allowed = Limit(limit) if limit else how.pop("allowed", None)
    cookie = source in (MINTED, "pin-query")
    given = {"proxy": "gateway"} | how
    return Case(key, title, source=source, sets_cookie=cookie, limit=allowed, **given)


def slug(words: str) -> str:
    """A text as one word, such as a file may have as its name."""
    return "-".join(re.findall(r"\w+", words))


def calling(calls: str, listener: str) -> Case:
    """A row of benches/calls, which is measured only when it is asked for."""
    key = slug(f"call {listener} {calls}")
    title = f"{listener}: {calls}"
    proxy = f"calls {calls}"
    return Case(key, title, proxy, listener=listener, asked=True)


GROUPS = {
    "Envoy's own means": [
        native("hash-returning", "use_hash_policy, returning user", "hash"),
        native("hash-new", "use_hash_policy, new user", "hash", "new"),
        native("mutation", "header_mutation", "mutation"),
        native("lua-returning", "Lua, returning user", "lua"),
        native("lua-new", "Lua, new user", "lua", "new"),
        native(
            "lua-new-others", "Lua, new user with other cookies", "lua", "new, others"
        ),
        native("lua-pinned", "Lua, pinned by header", "lua", "pinned"),
        native("lua-8kb", "Lua, 8 KB of cookies", "lua", "8 KB"),
    ],
    "An empty module of the SDK": [
        Case("empty", "all callbacks", "empty", main=True),
        Case("empty-cut", "the callbacks of ours", "empty-cut", main=True),
    ],
    "Gateway": [
        gateway("returning", "returning user", 0.18, main=True),
        gateway(
            "returning-alone", "the same without pin routes", 0.18, listener="alone"
        ),
        gateway("silent", "upstream does not tag", 0.26, path=SILENT, main=True),
        gateway("new", "new user", 0.195, MINTED, request="new", main=True),
        gateway(
            *("new-others", "new user with other cookies", 0.25, MINTED),
            request="new, others",
            main=True,
        ),
        gateway(
            *("identity", "identity by header", None, "identity-header"),
            proxy="gateway-header",
            request="identity",
        ),
        gateway(
            *("pinned", "pinned by header", 0.175, "pin-header"),
            request="pinned",
            main=True,
        ),
        gateway("query-on", "pins by query are on", proxy="gateway-query"),
        gateway(
            *("query", "pinned by query", None, "pin-query"),
            proxy="gateway-query",
            path=PINS,
        ),
        gateway(
            *("8kb", "8 KB of cookies"),
            request="8 KB",
            allowed=Limit(0.12, "lua-8kb"),
        ),
        gateway("headers-40", "40 request headers", request="40 headers"),
        gateway("hosts-1", "1 rollout by host", proxy="by-host-1", host=HOSTS[0]),
        gateway(
            *("hosts-256-first", "256 rollouts by host, first"),
            proxy="by-host-256",
            host=HOSTS[0],
        ),
        gateway(
            *("hosts-256-last", "256 rollouts by host, last"),
            proxy="by-host-256",
            host=HOSTS[-1],
            allowed=Limit(1.1, "hosts-1"),
        ),
        gateway(
            *("none-1", "no rollout matches, of 1", 0.11, None),
            proxy="by-host-1",
            main=True,
        ),
        gateway(
            *("none-256", "no rollout matches, of 256", 0.11, None),
            proxy="by-host-256",
        ),
    ],
    "Sidecar": [
        Case(
            *("client", "client, bucket of the caller", "client", "bucket"),
            source="bucket-header",
            main=True,
        ),
        Case("client-cookie", "client, cookie", "client", source=COOKIE),
        Case(
            *("server", "server", "server"),
            listener="inbound",
            path=SILENT,
            limit=Limit(0.085),
            main=True,
        ),
        Case(
            *("auto-outbound", "auto, outbound", "auto", "bucket"),
            source="bucket-header",
        ),
        Case(
            *("auto-inbound", "auto, inbound", "auto"),
            listener="inbound",
            path=SILENT,
        ),
    ],
    # A header that is read by name makes Envoy index all of them, if no route has
    # done so: with `inbound` there is none that does.
    "Calls of a module that does nothing else": [
        calling(each, listener)
        for listener in ("outbound", "inbound")
        for each in CALLS
    ],
}


def cases() -> list[Case]:
    """All rows of the table."""
    return [case for group in GROUPS.values() for case in group]
