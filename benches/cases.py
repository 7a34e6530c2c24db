"""What is measured: the proxies, the requests, and the rows of the table."""

import os
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from kit import envoy, envoy_filter, istio, tokens
from kit.envoy import ROOT
from kit.istio import FILTERS, TRANSLATED, Json

BENCH = ROOT / "target/bench"
HERE = ROOT / "benches"

VERSIONS = ("blue", "green")
SERVICES = tuple(f"shop-{version}" for version in VERSIONS)
BUCKET = "x-bluegreen-bucket"
PIN = "x-version-pin"

# Each as long as shop.example, so that nobody but the filter sees a difference.
HOSTS = [f"h{i:03}.example" for i in range(256)]

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

# It stands for a token of the key that the request's name says.
TOKEN = "${token}"

# What a request adds to the browser's headers. With `host` these are 11 headers,
# but 10 for a user without any cookie.
REQUESTS: dict[str, dict[str, str]] = {
    "returning": {"cookie": BEHIND_OTHERS},
    "new": {},
    "new, others": {"cookie": "; ".join(OTHERS)},
    "identity": {"x-user-id": "1234567890", "cookie": "; ".join(OTHERS)},
    "pinned": {PIN: "green", "cookie": "; ".join([*OTHERS, IDENTITY])},
    **{
        f"signed {each}": {PIN: TOKEN, "cookie": "; ".join([*OTHERS, IDENTITY])}
        for each in ("es", "rs")
    },
    "8 KB": {"cookie": f"{EIGHT_KB}; {IDENTITY}"},
    "40 headers": {
        **{f"x-header-of-a-mesh-{n}": "0123456789abcdef" for n in range(29)},
        "cookie": BEHIND_OTHERS,
    },
    "bucket": {
        BUCKET: "12345678901234567890",
        "cookie": "; ".join([*OTHERS, IDENTITY]),
    },
    "returning, baggage": {
        "cookie": BEHIND_OTHERS,
        "baggage": "team=shop,tenant=0815",
    },
    "bucket, ours": {
        BUCKET: "12345678901234567890",
        "cookie": "; ".join([*OTHERS, IDENTITY]),
        "baggage": "bluegreen-bucket=12345678901234567890",
    },
    "ours": {
        "cookie": "; ".join(OTHERS),
        "baggage": "bluegreen-bucket=12345678901234567890",
    },
    "ours, pinned": {
        "cookie": "; ".join(OTHERS),
        "baggage": "bluegreen-pin=green,bluegreen-bucket=12345678901234567890",
    },
    "nothing": {"cookie": "; ".join(OTHERS)},
}
# The upstream tags what it answers below the one, and not below the other.
TAGGED, SILENT = "/tagged/item?page=2", "/silent/item?page=2"
PINS = "/silent/item?version-pin=green"


def headers(case: "Case") -> dict[str, str]:
    """The headers of a case's request, `host` apart."""
    return BROWSER | REQUESTS[case.request]


def requests(case: "Case") -> list[bytes]:
    """The requests of a case as HTTP/1.1 writes them, in turn: one for each token."""
    fields = {"host": case.host} | headers(case)
    lines = [f"GET {case.path} HTTP/1.1", *(f"{n}: {v}" for n, v in fields.items())]
    text = "\r\n".join([*lines, "", ""])
    key = case.request.removeprefix("signed ")
    made = [token(key, n) for n in range(case.tokens)] or [""]
    return [text.replace(TOKEN, each).encode() for each in made]


@cache
def token(key: str, number: int) -> str:
    """A signed pin, one of many."""
    return tokens.signed("bluegreen:shop.example:green", key, jti=str(number))


# -- Proxies -------------------------------------------------------------------

GATEWAY = "router~10.0.0.1~gateway-1.ingress~ingress.svc.cluster.local"
SIDECAR = "sidecar~10.0.0.2~front-1.shop~shop.svc.cluster.local"


@dataclass(frozen=True)
class Proxy:
    """One Envoy process: its node and, by listener, the filters before the router."""

    name: str
    listeners: dict[str, list[Json]]
    node: str = GATEWAY
    # The context of Istio's whose patches of the shipped EnvoyFilter it has; None: it
    # has none of them.
    patches: str | None = None
    # What stands in that file in the place of another text.
    renamed: dict[str, str] = field(default_factory=dict)
    # What its connection managers have in the place of what they had.
    manager: Json = field(default_factory=dict)


def module() -> Path:
    """The filter to measure: MODULE in the environment, or what `make build` left."""
    path = Path(os.environ.get("MODULE") or envoy.module()).resolve()
    if not path.is_file():
        raise envoy.EnvoyError(f"no filter at {path}, which MODULE says")
    return path


def plugin(role: str = "outbound", side: str = "outbound", **config: object) -> Json:
    """The plugin of this side of the mesh, as Istio names it."""
    name = f"extensions.istio.io/trafficextension/istio-system.bluegreen-{side}"
    wasm = istio.wasm(module(), {"role": role} | config, name + TRANSLATED)
    return istio.plugin(wasm)


def gateway_proxy(name: str, *listeners: str, **config: object) -> Proxy:
    """A gateway with our filter and all patches (default: one listener, outbound)."""
    filters = [plugin(**config)]
    with_filter = dict.fromkeys(listeners or ["outbound"], filters)
    return Proxy(name, with_filter, patches=envoy_filter.GATEWAY)


def other(name: str, module: str, configuration: str = "", *listeners: str) -> Proxy:
    """A proxy with a module that ours is compared with, which is on everywhere."""
    wasm = istio.wasm(BENCH / f"{module}.wasm", configuration, "other")
    return Proxy(name, {each: [istio.plugin(wasm)] for each in listeners})


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


def early_mutation() -> Json:
    """What the shipped EnvoyFilter has a gateway do before it looks for a route."""
    bare = istio.listener("bare", "outbound", [], [])
    manager = istio.manager_of(envoy_filter.listener(bare, envoy_filter.GATEWAY))
    name = "early_header_mutation_extensions"
    return {name: manager[name]}


def strangers() -> Json:
    """The filters that keep strangers' baggage apart, and the router."""
    router = {"name": "router", "typed_config": {"@type": istio.ROUTER}}
    bare = istio.listener("bare", "outbound", [], [])
    istio.manager_of(bare)["http_filters"] = [router]
    of_gateways = (envoy_filter.GATEWAY, None, envoy_filter.STRANGERS)
    patched = envoy_filter.listener(bare, *of_gateways)
    return {"http_filters": istio.manager_of(patched)["http_filters"]}


# By the words of benches/calls, which makes them in this order.
CALLS = [
    "none",
    "all",
    "property",
    "metadata",
    "set",
    "set set-another",
    "add",
    "all-response",
    "set-response",
    "set-response another-response",
    "add-response",
    # What a returning user's request cannot do without, but a counter.
    "all set all-response set-response",
]


@cache
def proxies() -> dict[str, Proxy]:
    """All of them, by name."""
    router = {"name": "router", "typed_config": {"@type": istio.ROUTER}}
    sidecar = envoy_filter.SIDECAR
    # Envoy's own part of the routes that take part.
    header = {
        "patches": sidecar,
        # Without the filter that removes the route header.
        "manager": {"http_filters": [router]},
    }
    two_parts = {" %METADATA(ROUTE:istio:config)%": ""}
    by_host = {each.partition(".")[0]: {"hosts": [each]} for each in HOSTS}
    first = dict([*by_host.items()][:1])
    named = plugin(side="named", routes="named")
    keys = [
        {"name": key, "publicKey": tokens.pem(f"{key}.pub")} for key in ("es", "rs")
    ]
    every = [
        Proxy(
            "native",
            {
                "outbound": [],
                "alone": [],
                "inbound": [],
                "hash": [],
                "named": [],
                "mutation": [header_mutation()],
            },
        ),
        Proxy("lua", {"outbound": [lua()]}, patches=envoy_filter.GATEWAY),
        Proxy("router", {"outbound": []}),
        Proxy("early", {"outbound": []}, manager=early_mutation()),
        Proxy("without-module", {"outbound": []}, patches=sidecar),
        Proxy("header", {"outbound": []}, **header),
        Proxy("header-of-two", {"outbound": []}, renamed=two_parts, **header),
        other("empty", "empty", "", "outbound"),
        other("empty-cut", "empty-cut", "", "outbound"),
        gateway_proxy("gateway", "outbound", "alone", "outside"),
        # A gateway but for the early mutation.
        Proxy("outside", {"outside": [plugin()]}, patches=sidecar),
        gateway_proxy("gateway-header", identity={"header": "x-user-id"}),
        gateway_proxy("gateway-query", pin={"query": "version-pin"}),
        gateway_proxy("chain", baggage={}),
        gateway_proxy("chain-pins", baggage={"bucket": None}),
        Proxy("chain-client", {"outbound": [plugin(baggage={})]}, SIDECAR, sidecar),
        Proxy("strangers", {"outbound": []}, manager=strangers()),
        gateway_proxy("gateway-signed", pin={"query": "version-pin", "keys": keys}),
        gateway_proxy("by-host-1", rollouts=first),
        gateway_proxy("by-host-256", rollouts=by_host),
        Proxy("named", {each: [named] for each in ("named", "outside")}),
        Proxy("named-client", {"named": [named]}, SIDECAR),
        Proxy("client", {"outbound": [plugin()]}, SIDECAR, sidecar),
        Proxy("server", {"inbound": [plugin("server", "server")]}, SIDECAR, sidecar),
        Proxy(
            "auto",
            {each: [plugin("auto")] for each in ("outbound", "inbound")},
            SIDECAR,
            sidecar,
        ),
    ]
    for each in CALLS:
        every.append(other(f"calls {each}", "calls-cut", each, "outbound", "inbound"))
    return {proxy.name: proxy for proxy in every}


def bootstrap(proxy: Proxy, upstream: int) -> Json:
    """A proxy's configuration, with both versions at the port of the upstream."""
    listeners = []
    for name, filters in proxy.listeners.items():
        is_inbound = name == "inbound"
        direction = "inbound" if is_inbound else "outbound"
        listener = istio.listener(name, direction, routes(name), filters)
        if proxy.patches and not is_inbound:
            listener = envoy_filter.listener(listener, proxy.patches, proxy.renamed)
        istio.manager_of(listener).update(proxy.manager)
        listeners.append(listener)
    names = [istio.subset_cluster(version) for version in VERSIONS]
    names += map(istio.service_cluster, SERVICES)
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
    """Those of a sidecar's inbound side, of HTTPRoutes, or of a VirtualService.

    A request header that is set makes Envoy look for the route anew, so each pin
    route above the weighted one costs; `alone` has none. The routes of `outside` do
    not take part.
    """
    if listener == "named":
        services = map(istio.service_cluster, SERVICES)
        weights = dict(zip(services, (70, 30), strict=True))
        name = "bluegreen.shop-blue-70.shop-green-30"
        return [*istio.version_routes(SERVICES), istio.stating_route(name, weights)]
    if listener == "inbound":
        return [istio.route("default", {"route": {"cluster": "inbound|80||"}})]
    subset = hash_cluster if listener == "hash" else istio.subset_cluster
    clusters = {version: subset(version) for version in VERSIONS}
    pins = istio.pin_routes(PIN, clusters)
    weights = {clusters["blue"]: 70, clusters["green"]: 30}
    weighted = istio.weighted_route(weights)
    if listener == "hash":
        action = weighted["route"]
        action["weighted_clusters"]["use_hash_policy"] = True
        cookie = {"name": "bluegreen-id", "ttl": "604800s", "path": "/"}
        action["hash_policy"] = [{"cookie": cookie}]
    found = [weighted] if listener == "alone" else [*pins, weighted]
    if listener == "outside":
        found = [{**route, "name": f"shop-{n}"} for n, route in enumerate(found)]
    return found


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
    listener = istio.listener("app", "inbound", [tagged, silent], [])
    return istio.bootstrap("app~t", {}, [listener], [])


# -- The rows ------------------------------------------------------------------


@dataclass(frozen=True)
class Limit:
    """What a row may add at most."""

    # Parts of the router-only cost, or of what another row adds.
    parts: float
    of: str = ""
    # A row to whose cost they are added.
    beside: str = ""


@dataclass(frozen=True)
class Case:
    """One row: a request through one listener of a proxy."""

    key: str
    title: str
    proxy: str
    request: str = "returning"
    listener: str = "outbound"
    host: str = "shop.example"
    path: str = SILENT
    # By what our filter counts the response; None: it counts nothing.
    source: str | None = None
    # Whether the response has a tag; None: it may.
    tag: bool | None = None
    # Whether the response brings a cookie.
    sets_cookie: bool = False
    # Whether the response says that no cache may keep it.
    is_private: bool = False
    # Whether the route header leaves the proxy.
    shows_route: bool = False
    limit: Limit | None = None
    # How many tokens its requests have in turn. A worker knows 64: of more it knows none.
    tokens: int = 0
    # Whether the quick table has it.
    main: bool = False
    # Whether no table has it unless it is named.
    asked: bool = False

    @property
    def base(self) -> "Case":
        """The same request on such routes, with nothing but the router."""
        plain = self.listener in ("inbound", "alone", "named")
        listener = self.listener if plain else "outbound"
        title = f"{listener}: {self.request}, {self.path}"
        key = slug(f"router {title}")
        how = {"path": self.path, "tokens": min(self.tokens, 1)}
        return Case(key, title, "native", self.request, listener, **how)


@dataclass(frozen=True)
class Sum:
    """A row that adds up others: what a request costs that goes through all of them."""

    title: str
    of: tuple[str, ...]
    # In parts of the router-only cost, each row of its own.
    limit: float


COOKIE, MINTED = "identity-cookie", "minted"


def native(key: str, title: str, listener: str, request: str = "returning") -> Case:
    """A row of Envoy's own means."""
    new = request.startswith("new") and listener != "mutation"
    return Case(key, title, "native", request, listener, sets_cookie=new)


def in_lua(key: str, title: str, request: str = "returning") -> Case:
    """A row of the job in Lua."""
    new, pinned = request.startswith("new"), request == "pinned"
    how = {"tag": True, "sets_cookie": new, "is_private": pinned}
    return Case(f"lua-{key}", f"Lua, {title}", "lua", request, **how)


def gateway(
    key: str,
    title: str,
    source: str = COOKIE,
    **how: object,
) -> Case:
    """A row of our filter as gateway."""
    expected = {
        "source": source,
        "tag": True,
        "sets_cookie": source in (MINTED, "pin-query"),
        "is_private": source.startswith("pin-"),
    }
    return Case(key, title, **({"proxy": "gateway"} | expected | how))


def signed(key: str, title: str, by: str, many: int, limit: float) -> Case:
    """A row of a gateway where pins have to be signed."""
    return gateway(
        *(key, title, "pin-header"),
        proxy="gateway-signed",
        request=f"signed {by}",
        tokens=many,
        limit=Limit(limit, beside="pinned"),
    )


def client(
    key: str, title: str, source: str, proxy: str = "client", **how: object
) -> Case:
    """A row of our filter as client."""
    return Case(key, title, proxy, source=source, tag=True, **how)


def named(
    key: str,
    title: str,
    source: str = COOKIE,
    request: str = "returning",
    limit: float | None = None,
    path: str = SILENT,
) -> Case:
    """A row of our filter as gateway, where routes state their weights."""
    return gateway(
        *(key, title, source),
        proxy="named",
        listener="named",
        request=request,
        path=path,
        limit=limit and Limit(limit),
    )


def outside(key: str, title: str, proxy: str, **how: object) -> Case:
    """A row of a route that does not take part."""
    return Case(key, title, proxy, tag=False, main=True, **how)


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
    "Routes that do not take part, at a gateway": [
        outside(
            *("outside", "without the early mutation", "outside"),
            listener="outside",
            limit=Limit(0.003),
        ),
        outside(
            *("early", "the early mutation alone", "early"),
            limit=Limit(0.008),
        ),
        outside(
            *("outside-all", "with all that is installed", "gateway"),
            listener="outside",
        ),
    ],
    "Envoy's own means": [
        native("hash-returning", "use_hash_policy, returning user", "hash"),
        native("hash-new", "use_hash_policy, new user", "hash", "new"),
        native("mutation", "header_mutation", "mutation"),
        Case(
            *("without-module", "routes that take part, without a module"),
            "without-module",
        ),
        in_lua("returning", "returning user"),
        in_lua("new", "new user", "new"),
        in_lua("new-others", "new user with other cookies", "new, others"),
        in_lua("pinned", "pinned by header", "pinned"),
        in_lua("8kb", "8 KB of cookies", "8 KB"),
    ],
    "An empty module of the SDK": [
        Case("empty", "all callbacks", "empty", main=True),
        Case("empty-cut", "the callbacks of ours", "empty-cut", main=True),
    ],
    "Gateway": [
        gateway("returning", "returning user", limit=Limit(0.28), main=True),
        gateway(
            *("returning-alone", "the same without pin routes"),
            limit=Limit(0.28),
            listener="alone",
        ),
        gateway("tagged", "the upstream tags", path=TAGGED, main=True),
        gateway("new", "new user", MINTED, request="new", main=True),
        gateway(
            *("new-others", "new user with other cookies", MINTED),
            request="new, others",
            limit=Limit(0.34),
            main=True,
        ),
        gateway(
            *("identity", "identity by header", "identity-header"),
            proxy="gateway-header",
            request="identity",
        ),
        gateway(
            *("pinned", "pinned by header", "pin-header"),
            request="pinned",
            limit=Limit(0.30),
            main=True,
        ),
        gateway("query-on", "pins by query are on", proxy="gateway-query"),
        gateway("signed-on", "pins have to be signed", proxy="gateway-signed"),
        signed("signed", "a signed pin by header, known", "es", 1, 0.04),
        signed("signed-rs", "a signed pin by header, new, RS256", "rs", 100, 1.9),
        signed("signed-es", "a signed pin by header, new, ES256", "es", 100, 3.8),
        gateway(
            *("query", "pinned by query", "pin-query"),
            proxy="gateway-query",
            path=PINS,
        ),
        gateway(
            *("8kb", "8 KB of cookies"),
            request="8 KB",
            limit=Limit(0.115, "lua-8kb"),
            main=True,
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
            limit=Limit(1.1, "hosts-1"),
        ),
        gateway(
            *("hosts-256-none", "256 rollouts by host, none fits"),
            proxy="by-host-256",
            limit=Limit(1.1, "hosts-1"),
        ),
    ],
    "Sidecar": [
        client(
            *("client", "client, bucket of the caller", "bucket-header"),
            request="bucket",
            limit=Limit(0.26),
            main=True,
        ),
        client("client-cookie", "client, cookie", COOKIE),
        Case(
            *("server", "server", "server"),
            listener="inbound",
            tag=True,
            limit=Limit(0.08),
            main=True,
        ),
        client(
            *("auto-outbound", "auto, outbound", "bucket-header", "auto"),
            request="bucket",
        ),
        Case(*("auto-inbound", "auto, inbound", "auto"), listener="inbound", tag=True),
    ],
    "Routes whose names state their weights": [
        outside(
            *("named-outside", "a route that does not take part", "named"),
            listener="outside",
            limit=Limit(0.13),
        ),
        named("named", "returning user", limit=0.36),
        named("named-tagged", "the upstream tags", limit=0.31, path=TAGGED),
        named("named-new-others", "new user with other cookies", MINTED, "new, others"),
        named("named-pinned", "pinned by header", "pin-header", "pinned"),
        client(
            *("named-client", "client, bucket of the caller", "bucket-header"),
            proxy="named-client",
            listener="named",
            request="bucket",
        ),
    ],
    # Beside each the same row without baggage.
    "Down the chain": [
        gateway(
            *("chain-returning", "gateway, returning user"),
            proxy="chain",
            limit=Limit(0.03, beside="returning"),
        ),
        gateway(
            *("chain-others", "the same behind two members of others"),
            proxy="chain",
            request="returning, baggage",
            limit=Limit(0.03, beside="returning"),
        ),
        gateway(
            *("chain-new", "gateway, new user", MINTED),
            proxy="chain",
            request="new",
            limit=Limit(0.03, beside="new"),
        ),
        gateway(
            *("chain-pinned", "gateway, pinned by header", "pin-header"),
            proxy="chain",
            request="pinned",
            limit=Limit(0.03, beside="pinned"),
        ),
        gateway(
            *("chain-pins", "gateway, returning user, pins only"), proxy="chain-pins"
        ),
        client(
            *("chain-begins", "client, bucket of the caller", "bucket-header"),
            proxy="chain-client",
            request="bucket",
            limit=Limit(0.05, beside="client"),
        ),
        client(
            *("chain-both", "client, bucket in header and baggage", "bucket-header"),
            proxy="chain-client",
            request="bucket, ours",
            limit=Limit(0.05, beside="client"),
        ),
        client(
            *("chain-ours", "client, bucket in baggage", "bucket-baggage"),
            proxy="chain-client",
            request="ours",
            limit=Limit(0.05, beside="client"),
        ),
        client(
            *("chain-ours-pinned", "client, pin and bucket in baggage", "pin-baggage"),
            proxy="chain-client",
            request="ours, pinned",
            is_private=True,
            limit=Limit(0.05, beside="client"),
        ),
        client(
            *("chain-nothing", "client, neither", "none"),
            proxy="chain-client",
            request="nothing",
            limit=Limit(1.02, "client"),
        ),
        outside(
            *("strangers", "strangers' baggage at a gateway, without any", "strangers")
        ),
        outside(
            *("strangers-baggage", "the same with some", "strangers"),
            request="returning, baggage",
        ),
    ],
    # Envoy's part alone, on routes that take part.
    "The route header": [
        Case("header", "written", "header", shows_route=True, asked=True),
        Case(
            "header-of-two",
            "written, without the last part",
            "header-of-two",
            shows_route=True,
            asked=True,
        ),
    ],
    # A header that is set makes Envoy index all of them, if no route has done so: with
    # `inbound` there is none that does.
    "Calls of a module that does nothing else": [
        calling(each, listener)
        for listener in ("outbound", "inbound")
        for each in CALLS
    ],
}

SUMS = [
    Sum("gateway and server, returning user", ("tagged", "server"), 0.36),
]


def cases() -> list[Case]:
    """All rows of the table."""
    return [case for group in GROUPS.values() for case in group]
