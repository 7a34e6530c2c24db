"""Admission: what is refused, with its message; and what happens without it."""

import copy
import json
from collections.abc import Callable

import cluster
import pytest
from cluster import FILTER, GATEWAY, SYSTEM
from report import Proof
from users import ask

VERSIONS = ["v1", "v1beta1", "v1alpha3"]
RAMP = [(100, 0), (90, 10), (70, 30), (50, 50), (0, 100)]
POLICY = FILTER / "admission.yaml"

IN_PINS = "in the routes that match the header x-version-pin."
RETRIES = {"attempts": 3, "perTryTimeout": "2s", "retryOn": "5xx"}

Http = list[cluster.Json]

pytestmark = pytest.mark.usefixtures("shop")


def http() -> Http:
    """The http routes of the shop at 70/30: two pins, and the weighted one."""
    service = cluster.documents(cluster.virtual_service(70, 30))[0]
    return copy.deepcopy(service["spec"]["http"])


def weigh(routes: Http, *weights: int) -> Http:
    """The same with other weights."""
    for destination, weight in zip(routes[-1]["route"], weights, strict=True):
        destination["weight"] = weight
    return routes


def single(routes: Http) -> Http:
    """Only blue is listed."""
    routes[-1]["route"] = [{"destination": {"host": "shop", "subset": "blue"}}]
    return routes


def reversed_order(routes: Http) -> Http:
    """Green is listed first, with the weight that it has."""
    routes[-1]["route"].reverse()
    return routes


def other_versions(routes: Http) -> Http:
    """Other versions than before: they have an order of their own."""
    for destination, subset in zip(routes[-1]["route"], ("v2", "v1"), strict=True):
        destination["destination"]["subset"] = subset
    return routes


def limited(routes: Http, *, which: slice = slice(None), **limits: object) -> Http:
    """Some routes, or all, with a timeout or retries."""
    for route in routes[which]:
        route |= limits
    return routes


def named(routes: Http) -> Http:
    """The weighted route's match has a name of its own."""
    routes[-1]["match"] = [{"name": "all", "uri": {"prefix": "/"}}]
    return routes


def matched(routes: Http) -> Http:
    """The weighted route has a match without a name, and a route after it."""
    routes[-1]["match"] = [{"uri": {"prefix": "/"}}]
    return [*routes, {"route": [{"destination": {"host": "shop", "subset": "blue"}}]}]


def two_weighted(routes: Http) -> Http:
    """A second weighted route, of a part of the paths, above the one that was there."""
    part = {**copy.deepcopy(routes[-1]), "match": [{"uri": {"prefix": "/part/"}}]}
    return [*routes[:-1], part, routes[-1]]


def in_capitals(routes: Http) -> Http:
    """The pins' header written in another way, which Envoy takes for the same."""
    for route in routes[:-1]:
        [match] = route["match"]
        match["headers"] = {key.title(): v for key, v in match["headers"].items()}
    return routes


def otherwise_named(routes: Http) -> Http:
    """A route that does not take part may be as it likes."""
    routes[-1]["name"] = "other"
    return single(routes)[::-1]


REFUSED: list[tuple[str, Callable[[Http], Http], str]] = [
    (
        "a single destination",
        single,
        "list both versions in `route`, always in the same order, the one that",
    ),
    (
        "weights that sum to 90",
        lambda routes: weigh(routes, 70, 20),
        "the weights sum to 90; write weights that sum to 100, such as 90 and 10.",
    ),
    (
        "weights that sum to 101",
        lambda routes: weigh(routes, 70, 31),
        "the weights sum to 101; write weights that sum to 100, such as 90 and 10.",
    ),
    (
        "a match with a name of its own",
        named,
        'remove the name "all" of its `match` entry.',
    ),
    (
        "pins below it",
        lambda routes: [routes[-1], *routes[:-1]],
        "move it below the routes that match the header x-version-pin.",
    ),
    (
        "one pin below it",
        lambda routes: [routes[0], routes[-1], routes[1]],
        "move it below the routes that match the header x-version-pin.",
    ),
    (
        "a pin between two weighted routes",
        lambda routes: [*(two := two_weighted(routes))[1:3], two[0], two[3]],
        "move it below the routes that match the header x-version-pin.",
    ),
    (
        "a pin in capitals below it",
        lambda routes: in_capitals(routes)[::-1],
        "move it below the routes that match the header x-version-pin.",
    ),
    (
        "pins in capitals without its timeout",
        lambda routes: limited(in_capitals(routes), which=slice(2, 3), timeout="5s"),
        f"repeat its `timeout` and `retries` {IN_PINS}",
    ),
    (
        "the other order",
        reversed_order,
        "keep the destinations in the order that they have, blue, green.",
    ),
    (
        "a timeout that the pins lack",
        lambda routes: limited(routes, which=slice(2, 3), timeout="5s"),
        f"repeat its `timeout` and `retries` {IN_PINS}",
    ),
    (
        "a pin with another timeout",
        lambda routes: limited(
            limited(routes, timeout="5s"), which=slice(1, 2), timeout="9s"
        ),
        f"repeat its `timeout` and `retries` {IN_PINS}",
    ),
    (
        "pins with other retries",
        lambda routes: limited(
            limited(routes, retries=RETRIES),
            which=slice(0, 2),
            retries=RETRIES | {"attempts": 1},
        ),
        f"repeat its `timeout` and `retries` {IN_PINS}",
    ),
]
ALLOWED: list[tuple[str, Callable[[Http], Http]]] = [
    *((f"{b}/{g}", lambda r, b=b, g=g: weigh(r, b, g)) for b, g in RAMP),
    ("without pins", lambda routes: routes[-1:]),
    ("two weighted routes below the pins", two_weighted),
    ("two weighted routes without pins", lambda routes: two_weighted(routes)[2:]),
    ("pins in capitals", in_capitals),
    ("other versions", other_versions),
    (
        "pins that repeat timeout and retries",
        lambda routes: limited(routes, timeout="5s", retries=RETRIES),
    ),
    ("with a match, and a route after it", matched),
    ("a route of another name", otherwise_named),
]


def try_to_apply(version: str, routes: Http) -> str:
    """What the API server says to a VirtualService with these routes."""
    service = cluster.documents(cluster.virtual_service(70, 30))[0]
    service["apiVersion"] = f"networking.istio.io/{version}"
    service["spec"]["http"] = routes
    dry = ("apply", "--dry-run=server", "-f", "-")
    return cluster.kubectl(*dry, text=json.dumps(service), check=False)


@pytest.mark.parametrize("version", VERSIONS)
def test_refused_with_what_to_write_instead(version: str, proof: Proof) -> None:
    for what, change, message in REFUSED:
        said = try_to_apply(version, change(http()))
        assert "denied request" in said, (what, said)
        assert f'http route "bluegreen": {message}' in said, what
    for what, change in ALLOWED:
        said = try_to_apply(version, change(http()))
        assert "(server dry run)" in said, (what, said)
    proof(f"{version}: refused, each with its message", len(REFUSED))
    proof(f"{version}: accepted, the whole ramp among them", len(ALLOWED))


def test_without_it_a_single_destination_freezes_all_routes(proof: Proof) -> None:
    cluster.delete(POLICY)
    service, stock = cluster.documents(cluster.virtual_service(100, 0))
    single(service["spec"]["http"])
    try:
        # The API server keeps to a policy for some seconds after it is deleted.
        cluster.until(
            "the policy holds no longer",
            lambda: "denied" not in try_to_apply("v1", service["spec"]["http"]),
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
