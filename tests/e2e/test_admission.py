"""Admission: refused, warned of, let through; and what happens without it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import cluster
import pytest
from cluster import FILTER, GATEWAY, NAMESPACE, SYSTEM
from report import Proof
from users import ask

POLICY = FILTER / "admission.yaml"
VERSIONS = ["v1", "v1beta1", "v1alpha3"]

REFUSED_BY = "ValidatingAdmissionPolicy 'bluegreen' with binding 'bluegreen' denied "
WARNED_BY = (
    "Warning: Validation failed for ValidatingAdmissionPolicy 'bluegreen-warnings' "
    "with binding 'bluegreen-warnings': "
)
RULE_REFUSED_BY = REFUSED_BY.replace("'bluegreen'", "'bluegreen-httproutes'")
PASSED = "(server dry run)"

HTTP_ROUTE = "httproutes.gateway.networking.k8s.io"

# The VirtualService that is written. No gateway is called `nowhere`, so that no proxy
# routes by it.
NAME = "admission"
NOWHERE = "nowhere"

Http = list[cluster.Json]

pytestmark = pytest.mark.usefixtures("shop")


# ---------------------------------------------------------------- what is written


def to(version: str, weight: int | None = None) -> cluster.Json:
    """A destination: `blue` is a subset of the shop, `shop-blue` a Service."""
    service, _, colour = version.rpartition("-")
    place = {"host": version} if service else {"host": "shop", "subset": colour}
    return {"destination": place} | ({} if weight is None else {"weight": weight})


def weighted(
    name: str = "bluegreen",
    versions: tuple[str, ...] = ("blue", "green"),
    weights: tuple[int, ...] = (70, 30),
    **fields: object,
) -> cluster.Json:
    """A weighted route; `name=""` is one without a name."""
    dealt = [to(*each) for each in zip(versions, weights, strict=True)]
    return ({"name": name} if name else {}) | {"route": dealt} | fields


def pin(
    name: str = "bluegreen-pin", version: str = "blue", **fields: object
) -> cluster.Json:
    """A pin route; `name=""` is one without a name."""
    header = {"x-version-pin": {"exact": version.rpartition("-")[2]}}
    route = {"match": [{"headers": header}], "route": [to(version)]}
    return ({"name": name} if name else {}) | route | fields


def pinned_where(**fields: object) -> list[cluster.Json]:
    """A `match` of the pin header, and of something else."""
    return [{"headers": {"x-version-pin": {"exact": "blue"}}, **fields}]


def ramp(*weights: int, versions: tuple[str, ...] = ("blue", "green")) -> Http:
    """The weighted route alone."""
    return [weighted(versions=versions, weights=weights)]


PINS = [pin(), pin("bluegreen-pin-2", "green")]
SHOP = [*PINS, weighted()]
OTHER = {"match": [{"uri": {"prefix": "/static/"}}], "route": [to("blue")]}

LIMITS = {
    "timeout": "5s",
    "retries": {"attempts": 3, "perTryTimeout": "2s", "retryOn": "5xx"},
}
REWRITE = {"rewrite": {"uri": "/"}}
HEADERS = {"headers": {"request": {"set": {"x-shop": "1"}}}}
API = {"uri": {"prefix": "/api/"}}
CART = {"uri": {"prefix": "/cart/"}}
CLAIM = {"headers": {"@request.auth.claims.group": {"exact": "beta"}}}
NAMED = {"uri": {"prefix": "/"}, "name": "all"}

# What Argo Rollouts v1.9.1 adds by setMirrorRoute and setHeaderRoute, on top.
MIRROR = {
    "match": [{"method": {"exact": "GET"}, "uri": {"prefix": "/mirror"}}],
    "mirror": {"host": "shop", "subset": "green"},
    "mirrorPercentage": {"value": 100},
}
HEADER_ROUTE = {
    "match": [{"headers": {"x-version-pin": {"exact": "green"}}}],
    "route": [to("green", 100)],
}

SIXTY = [
    {"name": f"other-{n}", "match": [{"uri": {"prefix": f"/{n}/"}}]} | LIMITS | HEADERS
    for n in range(60)
]


def among_many(routes: Http) -> Http:
    """The same, below 60 routes of others."""
    others = [other | {"route": [to("blue", 90), to("plain", 10)]} for other in SIXTY]
    return [*others, *routes]


# ------------------------------------------------------------------------- refused


@dataclass
class Row:
    """Routes that are written, what stood there before, and what is said to it."""

    what: str
    http: Http
    said: str = ""
    before: Http | None = None


SINGLE = (
    "list the versions in `route`, two or more, always in the same order, the one "
    "that gets nothing with `weight: 0`; or hand the route over by `delegate`. With "
    "one destination or none Envoy refuses the whole route table."
)
RENAMED = "of its `match` entry. With it Istio calls the route"
TWICE = "two routes have this name. Give each a name of its own,"
ONE_ROUTE = ", or make one of them with several `match` entries."
OFF = "the filter is off: no tag, no cookie, and nothing is counted."
UNNAMED_PIN = f"because it matches the header x-version-pin. Under another name {OFF}"
TOO_LOW = (
    "the first weighted route. The first route that matches is taken, so a pin below "
    "it does not hold."
)
COPY = (
    'name it "bluegreen-mirror", "bluegreen-2" or "bluegreen-3", because it stands '
    'above "bluegreen" and has its destinations. Under another name it deals its '
    "requests by chance, whoever asks."
)
ON_TOP = weighted("argo-mirror", **MIRROR)

REFUSED = [
    Row(
        "a single destination",
        [*PINS, weighted(versions=("blue",), weights=(100,))],
        f'"bluegreen": {SINGLE}',
    ),
    Row(
        "a single destination of the third route",
        [weighted("bluegreen-3", ("blue",), (100,), match=[API]), weighted()],
        f'"bluegreen-3": {SINGLE}',
    ),
    Row(
        "a single destination of the mirror",
        [weighted("bluegreen-mirror", ("blue",), (100,), match=[API]), weighted()],
        f'"bluegreen-mirror": {SINGLE}',
    ),
    Row(
        "a redirect in the place of destinations",
        [{"name": "bluegreen", "redirect": {"uri": "/sorry"}}],
        f'"bluegreen": {SINGLE}',
    ),
    Row(
        "a name in the match of the weighted route",
        [*PINS, weighted(match=[API, NAMED])],
        f'"bluegreen": remove the name "all" {RENAMED} "bluegreen.all", which takes '
        "no part.",
    ),
    Row(
        "a name in the match of a pin route",
        [pin(match=pinned_where(name="pin")), weighted()],
        f'"bluegreen-pin": remove the name "pin" {RENAMED} "bluegreen-pin.pin", which '
        "takes no part.",
    ),
    Row(
        "pins below the weighted route",
        [weighted(), *PINS],
        f'"bluegreen-pin-2": move it above "bluegreen", {TOO_LOW}',
    ),
    Row(
        "one pin below it",
        [PINS[0], weighted(), PINS[1]],
        f'"bluegreen-pin-2": move it above "bluegreen", {TOO_LOW}',
    ),
    Row(
        "a pin between two weighted routes",
        [PINS[0], weighted("bluegreen-2", match=[API]), PINS[1], weighted()],
        f'"bluegreen-pin-2": move it above "bluegreen-2", {TOO_LOW}',
    ),
    Row(
        "a pin without such a name",
        [pin("pin-blue"), PINS[1], weighted()],
        f'"pin-blue": name it "bluegreen-pin", {UNNAMED_PIN}',
    ),
    Row(
        "a pin without any name, its header in capitals",
        [
            PINS[0],
            pin("", match=[{"headers": {"X-Version-Pin": {"exact": "green"}}}]),
            weighted(),
        ],
        f'without a name: name it "bluegreen-pin-2", {UNNAMED_PIN}',
    ),
    Row(
        "a ninth pin",
        [
            pin("bluegreen-pin"),
            *(pin(f"bluegreen-pin-{n}") for n in range(2, 10)),
            weighted(),
        ],
        '"bluegreen-pin-9": remove it, or another one that matches the header '
        "x-version-pin, because there are eight names for such routes. Without one of "
        f"these {OFF}",
    ),
    Row(
        "a header route of Argo's without such a name",
        [HEADER_ROUTE | {"name": "argo-pin"}, *SHOP],
        f'"argo-pin": name it "bluegreen-pin-3", {UNNAMED_PIN}',
    ),
    Row(
        "two weighted routes of one name",
        [*PINS, weighted(match=[API]), weighted()],
        f'"bluegreen": {TWICE} such as "bluegreen-2"{ONE_ROUTE}',
    ),
    Row(
        "two pin routes of one name",
        [pin(), pin(version="green"), weighted()],
        f'"bluegreen-pin": {TWICE} such as "bluegreen-pin-2".',
    ),
    Row(
        "two other routes of one name",
        [OTHER | {"name": "static"}, OTHER | {"name": "static"}, *SHOP],
        f'"static": {TWICE} such as "static-2"{ONE_ROUTE}',
    ),
    Row(
        "what Argo makes of two of one name, with managedRoutes",
        [*PINS, *[weighted(match=[API])] * 4, *[weighted()] * 4],
        f'"bluegreen": {TWICE} such as "bluegreen-2"{ONE_ROUTE}',
    ),
    Row(
        "a mirror of Argo's without such a name, above",
        [ON_TOP, *SHOP],
        f'"argo-mirror": {COPY}',
    ),
    Row(
        "a copy without a name, above",
        [*PINS, weighted("", match=[API]), weighted()],
        f"without a name: {COPY}",
    ),
    Row(
        "a copy that is named as a pin, above, in another order",
        [pin(match=[API], route=weighted()["route"][::-1]), weighted()],
        f'"bluegreen-pin": {COPY}',
    ),
    Row(
        "one destination, among 60 other routes",
        among_many([*PINS, weighted(versions=("blue",), weights=(100,))]),
        f'"bluegreen": {SINGLE}',
    ),
]

# -------------------------------------------------- let through, with nothing said

RAMP = [(100, 0), (90, 10), (70, 30), (50, 50), (0, 100)]

PASSES = [
    *(Row(f"{b}/{g}", [*PINS, weighted(weights=(b, g))], before=SHOP) for b, g in RAMP),
    Row("without pins", [weighted()]),
    Row("another sum, where there is none before", [*PINS, weighted(weights=(1, 1))]),
    Row(
        "a single destination of a route of another name",
        [weighted("other", ("blue",), (100,))],
    ),
    Row("handed over", [*PINS, {"name": "bluegreen", "delegate": {"name": "shop"}}]),
    Row(
        "handed over, the pins with a timeout that it may have",
        [
            pin(timeout="5s"),
            {"name": "bluegreen", "delegate": {"name": "shop"}},
        ],
    ),
    Row(
        "a match without a name, and another route after it",
        [weighted(match=[API]), {"route": [to("blue")]}],
    ),
    Row(
        "pins in capitals",
        [
            pin(match=[{"headers": {"X-Version-Pin": {"exact": "blue"}}}]),
            weighted(),
        ],
    ),
    Row(
        "several weighted routes with the same weights, below the pins",
        [
            *(pin(f"bluegreen-pin{n}", match=pinned_where(**API)) for n in ("", "-2")),
            *(pin(f"bluegreen-pin-{n}", match=pinned_where(**CART)) for n in (3, 4)),
            *(pin(f"bluegreen-pin-{n}") for n in (5, 6)),
            weighted("bluegreen-2", match=[API]),
            weighted("bluegreen-3", match=[CART]),
            weighted(),
        ],
    ),
    Row(
        "Argo's mirror, above the pins",
        [weighted("bluegreen-mirror", **MIRROR), *SHOP],
    ),
    Row(
        "Argo's header route",
        [HEADER_ROUTE | {"name": "bluegreen-pin-3"}, *SHOP],
    ),
    Row(
        "Argo's weights at promotion",
        ramp(100, 0, versions=("stable", "canary")),
        before=ramp(0, 100, versions=("stable", "canary")),
    ),
    Row(
        "Services",
        [
            pin(version="shop-blue"),
            weighted(versions=("shop-blue", "shop-green"), weights=(50, 50)),
        ],
        before=ramp(70, 30, versions=("shop-blue", "shop-green")),
    ),
    Row(
        "Flagger's own VirtualService, with one destination for a part",
        [
            {"route": [to("shop-primary", 80), to("shop-canary", 20)], "match": [API]},
            {"route": [to("shop-primary", 100)]},
        ],
    ),
    Row("names of others", [OTHER, OTHER, OTHER | {"name": "a"}, *SHOP]),
    Row(
        "destinations of others above, one of them the same",
        [weighted("other", ("blue", "red"), match=[API]), *SHOP],
    ),
    Row("a copy below", [weighted(match=[API]), weighted("")]),
    Row(
        "a route for a claim above one without",
        [weighted("bluegreen-2", match=[CLAIM]), weighted()],
    ),
    Row("other versions", ramp(70, 30), before=ramp(70, 30, versions=("v1", "v2"))),
    Row(
        "a version that joins at the end",
        ramp(70, 20, 10, versions=("v1", "v2", "v3")),
        before=ramp(70, 30, versions=("v1", "v2")),
    ),
    Row(
        "a version that leaves",
        ramp(70, 30, versions=("v1", "v2")),
        before=ramp(70, 20, 10, versions=("v1", "v2", "v3")),
    ),
    Row(
        "weight moved between neighbours",
        ramp(70, 20, 10, versions=("v1", "v2", "v3")),
        before=ramp(80, 10, 10, versions=("v1", "v2", "v3")),
    ),
    Row(
        "weight moved past a version that has none",
        ramp(70, 0, 30, versions=("v1", "v2", "v3")),
        before=ramp(80, 0, 20, versions=("v1", "v2", "v3")),
    ),
    Row(
        "all weight moved past a version that loses its own",
        ramp(0, 0, 100, versions=("v1", "v2", "v3")),
        before=ramp(80, 10, 10, versions=("v1", "v2", "v3")),
    ),
    Row(
        "weights of what was no route of ours",
        [weighted()],
        before=[weighted("other", ("green", "blue"))],
    ),
    Row(
        "pins that repeat match, rewrite, headers, timeout and retries",
        [
            pin(match=pinned_where(**API), **REWRITE, **HEADERS, **LIMITS),
            weighted(match=[API], **REWRITE, **HEADERS, **LIMITS),
        ],
    ),
    Row(
        "pins that repeat one of two weighted routes",
        [
            pin(match=pinned_where(**API), **LIMITS),
            pin("bluegreen-pin-2"),
            weighted("bluegreen-2", match=[API], **LIMITS),
            weighted(),
        ],
    ),
    Row(
        "a match of headers, repeated",
        [
            pin(
                match=[
                    {
                        "headers": {
                            "x-a": {"exact": "1"},
                            "x-version-pin": {"exact": "blue"},
                        }
                    }
                ]
            ),
            weighted(match=[{"headers": {"x-a": {"exact": "1"}}}]),
        ],
    ),
    Row("60 other routes", among_many(SHOP), before=among_many(SHOP)),
]

# ------------------------------------------------------------------------ warned of

DEALT = "In another order users get another version, though the weights are the same."
REPEAT = 'repeat what "bluegreen" says of'
NOT_AS_ALL = "Else those who pin are not served as all others are."
UNEQUAL = (
    'write the weights of "bluegreen-2", in its order: blue 70, green 30. With others '
    "one user meets several versions."
)

WARNED = [
    Row(
        "another order",
        ramp(30, 70, versions=("green", "blue")),
        '"bluegreen": keep the destinations in the order that they have: blue, green. '
        + DEALT,
        before=ramp(70, 30),
    ),
    Row(
        "another order, of the second weighted route, at 100/0",
        [
            weighted("bluegreen-2", ("shop-green", "shop-blue"), (0, 100)),
        ],
        '"bluegreen-2": keep the destinations in the order that they have: shop-blue, '
        "shop-green. " + DEALT,
        before=[weighted("bluegreen-2", ("shop-blue", "shop-green"), (100, 0))],
    ),
    Row(
        "another sum",
        ramp(700, 300),
        '"bluegreen": the weights sum to 1000; write weights that sum to 100, as '
        "before. With another sum all users are dealt anew.",
        before=ramp(70, 30),
    ),
    Row(
        "weight moved past a version",
        ramp(70, 10, 20, versions=("v1", "v2", "v3")),
        '"bluegreen": weight moves past v2, and its users get another version. Write '
        "weights that move between neighbours of the list: what one loses, the one "
        "before or after it gains.",
        before=ramp(80, 10, 10, versions=("v1", "v2", "v3")),
    ),
    Row(
        "half of the weight moved past a version",
        ramp(70, 15, 15, versions=("v1", "v2", "v3")),
        '"bluegreen": weight moves past v2, and its users get another version. Write '
        "weights that move between neighbours of the list: what one loses, the one "
        "before or after it gains.",
        before=ramp(80, 10, 10, versions=("v1", "v2", "v3")),
    ),
    Row(
        "a version that joins in front, with weight of the last one",
        ramp(10, 50, 40, versions=("v0", "v1", "v2")),
        '"bluegreen": weight moves past v1, and its users get another version. Write '
        "weights that move between neighbours of the list: what one loses, the one "
        "before or after it gains.",
        before=ramp(50, 50, versions=("v1", "v2")),
    ),
    Row(
        "an experiment of Argo's, whose destination joins with weight of the first",
        ramp(70, 20, 10, versions=("stable", "canary", "try")),
        '"bluegreen": weight moves past canary, and its users get another version. '
        "Write weights that move between neighbours of the list: what one loses, the "
        "one before or after it gains.",
        before=ramp(80, 20, versions=("stable", "canary")),
    ),
    Row(
        "weighted routes with different weights",
        [weighted("bluegreen-2", match=[API]), weighted(weights=(50, 50))],
        f'"bluegreen": {UNEQUAL}',
    ),
    Row(
        "weighted routes with the same weights in another order",
        [
            weighted("bluegreen-2", match=[API]),
            weighted(versions=("green", "blue"), weights=(70, 30)),
        ],
        f'"bluegreen": {UNEQUAL}',
    ),
    Row(
        "a mirror with other weights than the route",
        [weighted("bluegreen-mirror", weights=(90, 10), match=[API]), weighted()],
        '"bluegreen": write the weights of "bluegreen-mirror", in its order: blue 90, '
        "green 10. With others one user meets several versions.",
    ),
    *(
        Row(
            f"a pin route without its {what}",
            [*PINS, weighted(**fields)],
            f'"bluegreen-pin": {REPEAT} `{what}`. {NOT_AS_ALL}',
        )
        for what, fields in [
            ("match", {"match": [API]}),
            ("rewrite", REWRITE),
            ("headers", HEADERS),
            ("timeout", {"timeout": "5s"}),
            ("retries", {"retries": LIMITS["retries"]}),
        ]
    ),
    Row(
        "one of two pin routes, without all of it",
        [
            pin(match=pinned_where(**API), **REWRITE, **HEADERS, **LIMITS),
            PINS[1],
            weighted(match=[API], **REWRITE, **HEADERS, **LIMITS),
        ],
        f'"bluegreen-pin-2": {REPEAT} `match`, `rewrite`, `headers`, `timeout`, '
        f"`retries`. {NOT_AS_ALL}",
    ),
    Row(
        "a pin route with more than the weighted one",
        [pin(match=pinned_where(**API), timeout="9s"), weighted(timeout="5s")],
        f'"bluegreen-pin": {REPEAT} `match`, `timeout`. {NOT_AS_ALL}',
    ),
    Row(
        "a pin route without the timeout of the one that it is most like",
        [
            pin(),
            weighted("bluegreen-2", match=[API], **LIMITS),
            weighted(timeout="5s"),
        ],
        f'"bluegreen-pin": {REPEAT} `timeout`. {NOT_AS_ALL}',
    ),
    Row(
        "one of two entries of the match repeated",
        [pin(match=pinned_where(**API)), weighted(match=[API, CART])],
        f'"bluegreen-pin": {REPEAT} `match`. {NOT_AS_ALL}',
    ),
    Row(
        "another header matched than the weighted route's",
        [
            pin(match=[{"headers": {"x-b": {}, "x-version-pin": {"exact": "blue"}}}]),
            weighted(match=[{"headers": {"x-a": {}}}]),
        ],
        f'"bluegreen-pin": {REPEAT} `match`. {NOT_AS_ALL}',
    ),
    Row(
        "a pin route beside a route that is handed over with a timeout",
        [
            *PINS[:1],
            {"name": "bluegreen", "delegate": {"name": "shop"}, "timeout": "5s"},
        ],
        f'"bluegreen-pin": {REPEAT} `timeout`. {NOT_AS_ALL}',
    ),
    Row(
        "Argo's header route beside a timeout",
        [
            HEADER_ROUTE | {"name": "bluegreen-pin-3"},
            *(each | {"timeout": "7s"} for each in SHOP),
        ],
        f'"bluegreen-pin-3": {REPEAT} `timeout`. {NOT_AS_ALL}',
    ),
    Row(
        "a pin route without the pin header",
        [pin(match=[{}]), weighted()],
        '"bluegreen-pin": match the header x-version-pin in each entry of `match`. '
        "Without it the route takes the requests of everybody, whatever the weights "
        "say.",
    ),
    Row(
        "a name that is none of ours",
        [weighted("bluegreen-4")],
        '"bluegreen-4": it takes no part under this name. Weighted routes are named '
        "bluegreen, bluegreen-2, bluegreen-3, bluegreen-mirror; those that match the "
        "header x-version-pin bluegreen-pin, bluegreen-pin-2 to bluegreen-pin-8.",
    ),
    Row(
        "a route for a token's claim alone",
        [weighted(match=[CLAIM]), {"route": [to("blue")]}],
        '"bluegreen": name the route, too, that takes a request without the claim. '
        "Envoy chooses the filters by that one, before it knows what a token claims, "
        "and then this one is not sticky.",
    ),
    Row(
        "a timeout that a pin lacks, among 60 other routes",
        among_many([*PINS, weighted(timeout="5s")]),
        f'"bluegreen-pin": {REPEAT} `timeout`. {NOT_AS_ALL}',
        before=among_many(SHOP),
    ),
]


# ----------------------------------------------------------------------------------


def virtual_service(routes: Http, version: str = "v1", name: str = NAME) -> str:
    """A VirtualService with these routes."""
    return json.dumps(
        {
            "apiVersion": f"networking.istio.io/{version}",
            "kind": "VirtualService",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "hosts": [f"{NOWHERE}.example"],
                "gateways": [NOWHERE],
                "http": routes,
            },
        }
    )


def try_to_apply(row: Row, version: str) -> str:
    """What the API server says to a row."""
    dry = ("replace" if row.before else "create", "--dry-run=server", "-f", "-")
    text = virtual_service(row.http, version, NAME if row.before else f"{NAME}-new")
    if row.before:
        force = ("apply", "--force", "-f", "-")
        cluster.kubectl(*force, text=virtual_service(row.before))
    return " ".join(cluster.kubectl(*dry, text=text, check=False).split())


@pytest.fixture(scope="module", autouse=True)
def tidy() -> Iterator[None]:
    """Takes back the VirtualService that updates are tried on."""
    yield
    gone = ("delete", "--ignore-not-found", "-n", NAMESPACE, "virtualservice", NAME)
    cluster.kubectl(*gone)


def rows(table: list[Row], version: str) -> list[Row]:
    """All rows for the first version; for the others, which are read alike, a part."""
    return table if version == VERSIONS[0] else table[::4]


@pytest.mark.parametrize("version", VERSIONS)
def test_refused_with_what_to_write_instead(version: str, proof: Proof) -> None:
    tried = rows(REFUSED, version)
    for row in tried:
        said = try_to_apply(row, version)
        assert f"{REFUSED_BY}request: http route {row.said}" in said, row.what
        assert PASSED not in said, row.what
    proof(f"{version}: refused, each with its message", len(tried))


@pytest.mark.parametrize("version", VERSIONS)
def test_warned_of_and_let_through(version: str, proof: Proof) -> None:
    tried = rows(WARNED, version)
    for row in tried:
        said = try_to_apply(row, version)
        assert f"{WARNED_BY}http route {row.said}" in said, (row.what, said)
        assert said.count(WARNED_BY) == 1, (row.what, said)
        assert PASSED in said, (row.what, said)
    proof(f"{version}: warned of, each with its message", len(tried))


@pytest.mark.parametrize("version", VERSIONS)
def test_let_through_with_nothing_said(version: str, proof: Proof) -> None:
    tried = rows(PASSES, version)
    for row in tried:
        said = try_to_apply(row, version)
        assert PASSED in said, (row.what, said)
        assert WARNED_BY not in said, (row.what, said)
    proof(f"{version}: accepted, the whole ramp among them", len(tried))


# As much of an HTTPRoute as the policy reads. Istio does not take it for the real
# one, which would have the annotation bundle-version.
RULE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
RULES = {"type": "object", "properties": {"rules": {"type": "array", "items": RULE}}}
HTTP_ROUTES = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": HTTP_ROUTE,
        "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
    },
    "spec": {
        "group": "gateway.networking.k8s.io",
        "names": {"kind": "HTTPRoute", "plural": "httproutes"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": RULES},
                    }
                },
            }
        ],
    },
}


@pytest.fixture
def http_routes() -> Iterator[None]:
    """The kind HTTPRoute; where the cluster has none, the part that is tested."""
    if HTTP_ROUTE in cluster.kubectl("get", "crd", "-o", "name"):
        yield
        return
    cluster.apply(HTTP_ROUTES)
    established = ("wait", "--for=condition=Established", f"crd/{HTTP_ROUTE}")
    cluster.kubectl(*established, f"--timeout={cluster.SECONDS}s")
    yield
    cluster.kubectl("delete", "crd", HTTP_ROUTE)


def try_rule(name: str) -> str:
    """What the API server says to an HTTPRoute with a rule of this name."""
    backends = [{"name": f"shop-{v}", "port": 80} for v in cluster.VERSIONS]
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"rules": [{"name": name, "backendRefs": backends}]},
    }
    dry = ("create", "--dry-run=server", "-f", "-")
    said = cluster.kubectl(*dry, text=json.dumps(route), check=False)
    return " ".join(said.split())


def test_rules_of_httproutes(http_routes: None, proof: Proof) -> None:
    refused = ["bluegreen", "bluegreen-2", "bluegreen-3", "bluegreen-mirror"]
    passes = ["shop", "bluegreen.shop-blue-70.shop-green-30"]
    # The API server learns of a new kind in a moment.
    cluster.until("HTTPRoutes can be written", lambda: PASSED in try_rule("shop"))
    for name in refused:
        assert (
            f'{RULE_REFUSED_BY}request: rule "{name}": name it '
            '"bluegreen.shop-blue-1.shop-green-1", after its weights, and have it picked by '
            "the filter of gateway-api/. Under its name Envoy is to pick, but Istio leaves "
            "out backends of weight 0, and with one left Envoy refuses the whole route "
            "table."
        ) in try_rule(name)
    for name in passes:
        assert PASSED in try_rule(name), name
    proof("rules of HTTPRoutes refused, each with its message", len(refused))
    proof("accepted", len(passes))


def test_without_it_a_single_destination_freezes_all_routes(proof: Proof) -> None:
    cluster.delete(POLICY)
    service, stock = cluster.documents(cluster.virtual_service(100, 0))
    [route] = [r for r in service["spec"]["http"] if r["name"] == "bluegreen"]
    route["route"] = [to("blue")]
    try:
        # The API server keeps to a policy for some seconds after it is deleted.
        cluster.until(
            "the policy holds no longer",
            lambda: PASSED in try_to_apply(Row("", [route]), "v1"),
        )
        cluster.apply(service, stock)
        rejected = "ADS:RDS: ACK ERROR"
        cluster.wait_for_log(SYSTEM, "istiod", f"{rejected} {GATEWAY}")
        proof("one destination, without the policy: istiod's log", rejected)
        assert cluster.routed(SYSTEM, GATEWAY) == [{"blue": 70, "green": 30}]
        assert ask().status == 200
        proof("the gateway routes on by the old weights", "70/30")
        cluster.kubectl("-n", SYSTEM, "scale", "deployment", GATEWAY, "--replicas=2")
        cluster.rolled_out(SYSTEM, GATEWAY)
        statuses = cluster.statuses_by_gateway_pod()
        assert sorted(statuses) == [200, 404]
        proof("a gateway pod that starts then answers", 404)
    finally:
        cluster.kubectl("-n", SYSTEM, "scale", "deployment", GATEWAY, "--replicas=1")
        cluster.apply(POLICY)
        cluster.shift(70, 30)
        cluster.rolled_out(SYSTEM, GATEWAY)
