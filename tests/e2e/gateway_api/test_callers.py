"""Callers with a sidecar: HTTPRoutes on a Service, picked where the call is made."""

from collections.abc import Iterator

import cluster
import pytest
import store
from callers import calls
from report import Proof

BUCKETS = {"10": "blue", "69": "blue", "70": "green", "85": "green", "170": "green"}
PLUGIN = f"{cluster.NAMESPACE}.bluegreen-callers"
URL = "http://store.store/"


@pytest.fixture(scope="module")
def caller(application: None, shop: None) -> Iterator[None]:
    """The filter in the caller's sidecar, and routes on the Service `store`."""
    routes = store.EXAMPLE / "waypoint/routes.yaml"
    # The caller's namespace is the shop's.
    plugin = cluster.documents(store.NAMED / "callers.yaml")[0]
    plugin["metadata"]["namespace"] = cluster.NAMESPACE
    cluster.apply(plugin)
    cluster.apply(routes)
    cluster.until(
        "the filter runs",
        lambda: cluster.wrong(cluster.NAMESPACE, "caller").get(PLUGIN) == 0,
    )
    host = "store.store.svc.cluster.local"
    cluster.until(
        "the sidecar has the routes",
        lambda: store.named(cluster.NAMESPACE, "caller", host),
    )
    yield
    cluster.delete(routes)
    plugin = ("wasmplugin", "bluegreen-callers")
    cluster.kubectl("-n", cluster.NAMESPACE, "delete", *plugin)


def shift(blue: int, green: int) -> None:
    """Writes the weights, and the name with them."""
    [route, _] = cluster.documents(store.EXAMPLE / "waypoint/routes.yaml")
    [rule] = route["spec"]["rules"]
    rule["name"] = store.rule_name(blue, green)
    for ref, weight in zip(rule["backendRefs"], (blue, green), strict=True):
        ref["weight"] = weight
    cluster.apply(route)
    host = "store.store.svc.cluster.local"
    cluster.until(
        f"the sidecar has {rule['name']}",
        lambda: store.named(cluster.NAMESPACE, "caller", host) == {rule["name"]},
    )


def test_the_bucket_that_is_passed_on_decides(caller: None, proof: Proof) -> None:
    shift(70, 30)
    answers = calls(URL, *(f"x-bluegreen-bucket: {b}" for b in BUCKETS))
    assert [a.version for a in answers] == list(BUCKETS.values())
    assert [a.tags for a in answers] == [[store.BACKENDS[v]] for v in BUCKETS.values()]
    assert not any(answer.all("set-cookie") for answer in answers)
    proof("buckets that decide in the caller's sidecar", ", ".join(BUCKETS))
    for blue, green in [(100, 0), (0, 100)]:
        shift(blue, green)
        answers = calls(URL, *(f"x-bluegreen-bucket: {b}" for b in BUCKETS))
        assert {a.version for a in answers} == {"blue" if blue else "green"}
    proof("at 100/0 and at 0/100: all on the one version", "✔")
    shift(70, 30)


def test_identities_and_pins(caller: None, proof: Proof) -> None:
    cookie = "cookie: bluegreen-id=00c0ffee00c0ffee"
    versions = {answer.version for answer in calls(URL, *[cookie] * 10)}
    assert len(versions) == 1
    proof("versions that a caller with one cookie met in 10 calls", 1)
    for pin in ("green", "store-blue"):
        [answer] = calls(URL, f"x-version-pin: {pin}\nx-bluegreen-bucket: 10")
        assert answer.version == pin.rpartition("-")[2]
    proof("pins that hold", "green, store-blue")


def test_calls_of_others_are_left_alone(caller: None, proof: Proof) -> None:
    [answer] = calls("http://docs.docs/", "x-bluegreen-bucket: 7")
    assert "HTTP_X_BLUEGREEN_VERSION" not in answer.body
    assert "HTTP_X_BLUEGREEN_BUCKET=7" in answer.body
    proof("a version asked of a Service without such routes", "no")
