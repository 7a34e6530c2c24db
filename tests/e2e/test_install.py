"""Installed: what runs where, and nothing twice; variants for a part of the mesh."""

import json
import re
from collections.abc import Iterator

import cluster
import pytest
from callers import calls
from cluster import (
    FILTER,
    GATEWAY,
    NAMESPACE,
    OUTBOUND,
    PROXIES,
    RESPONSES,
    SERVER,
    SYSTEM,
    TAGGED,
    kubectl,
)
from kit.istio import MANAGER
from report import Proof
from users import User, all_ask

USERS = 40
TIMES = 3
GREEN = 30
BUCKETS = {"0": "blue", "69": "blue", "70": "green", "99": "green"}

# Envoy's own filter, which removes the route header.
REMOVES = "bluegreen.route-header"
# What istiod puts before and after the name of a plugin.
ADDED = re.compile(r"^.*/|~.*$")

# The variants, as their heads say.
ONE_GATEWAY = ("-f", FILTER / "admission.yaml", "-f", FILTER / "one-gateway")
ONE_NAMESPACE = ("-f", FILTER / "one-namespace")

pytestmark = pytest.mark.usefixtures("shop")


def filters(namespace: str, deployment: str) -> set[tuple[str, ...]]:
    """Our filters in each HTTP connection manager of a proxy, by direction.

    The first word is the direction of the listener, the others are the filters.
    """
    return {
        (direction, *(ADDED.sub("", name) for name in names if "bluegreen" in name))
        for direction, names in all_filters(namespace, deployment)
    }


def all_filters(namespace: str, deployment: str) -> Iterator[tuple[str, list[str]]]:
    """The names of the filters in each connection manager, after its direction."""
    dump = json.loads(cluster.admin(namespace, deployment, "config_dump"))
    for config in dump["configs"]:
        for each in config.get("dynamic_listeners", []):
            listener = each["active_state"]["listener"]
            # Those of the agent's own have no direction.
            if direction := listener.get("traffic_direction"):
                for manager in managers(listener):
                    yield direction, [f["name"] for f in manager["http_filters"]]


def managers(listener: cluster.Json) -> Iterator[cluster.Json]:
    """The HTTP connection managers of a listener."""
    chains = [*listener.get("filter_chains", [])]
    chains += filter(None, [listener.get("default_filter_chain")])
    for chain in chains:
        for each in chain["filters"]:
            if each.get("typed_config", {}).get("@type") == MANAGER:
                yield each["typed_config"]


def test_what_runs_where(proof: Proof) -> None:
    assert filters(SYSTEM, GATEWAY) == {("OUTBOUND", REMOVES, OUTBOUND)}
    proof("on each listener of the gateway", "outbound, once")
    for proxy in PROXIES[1:]:
        inbound = ("INBOUND", SERVER) if TAGGED in proxy else ("INBOUND",)
        assert filters(*proxy) == {("OUTBOUND", REMOVES, OUTBOUND), inbound}, proxy
    proof(f"in each of {len(PROXIES) - 1} sidecars, outbound", "outbound, once")
    proof("inbound, in the pod that is labelled for it", "server, once")
    for proxy in PROXIES:
        for direction, names in all_filters(*proxy):
            assert direction == "INBOUND" or names[0] == REMOVES, proxy
    proof("the first of all filters removes the route header", "✔")


def test_each_request_counts_once(proof: Proof) -> None:
    callers = [(SYSTEM, GATEWAY), *((NAMESPACE, f"shop-{v}") for v in cluster.VERSIONS)]
    before = [cluster.counted(*each, RESPONSES) for each in callers]
    users = [User() for _ in range(USERS)]
    all_ask(users, 1, "/")
    at_gateway, *at_shop = (
        cluster.counted(*each, RESPONSES) - then
        for each, then in zip(callers, before, strict=True)
    )
    assert (at_gateway, sum(at_shop)) == (USERS, USERS)
    for user in users:
        assert len(user.answers[0].all("set-cookie")) == 1
        assert len(user.answers[0].tags) == 1
    proof(f"responses to {USERS} requests counted, at each of two hops", USERS)


def test_a_release_installs_the_same_by_its_digest(proof: Proof) -> None:
    objects = kubectl("apply", "-f", cluster.INSTALL).splitlines()
    assert sorted(objects) == sorted(kubectl("apply", "-f", FILTER).splitlines())
    assert all(line.endswith(" unchanged") for line in objects), objects
    proof("objects of a release's install.yaml", len(objects))
    plugins = cluster.get("-n", SYSTEM, "wasmplugin")["items"]
    [(name, digest)] = {tuple(each["spec"]["url"].split("@")) for each in plugins}
    assert name == f"oci://{cluster.registry()}/bluegreen"
    assert f"with tag {digest}" in cluster.log(SYSTEM, GATEWAY)
    proof("by its digest the agents pulled", digest[: len("sha256:") + 8])


def test_f_and_k_apply_the_same(proof: Proof) -> None:
    by_file = kubectl("apply", "-f", FILTER)
    by_kustomization = kubectl("apply", "-k", FILTER)
    assert sorted(by_file.splitlines()) == sorted(by_kustomization.splitlines())
    objects = by_file.splitlines()
    assert all(line.endswith(" unchanged") for line in objects), by_file
    proof("objects that apply -f and apply -k have in common", len(objects))


@pytest.fixture
def without_filter(shop: None) -> Iterator[None]:
    """The mesh without what others applied; later with it, and nothing else."""
    cluster.delete(FILTER)
    cluster.wait_for_filter(there=False)
    yield
    for each in (ONE_GATEWAY, ONE_NAMESPACE, ("-f", FILTER)):
        kubectl("delete", "--ignore-not-found", *each)
    cluster.wait_for_filter(there=False)
    kubectl("apply", "-f", FILTER)
    cluster.wait_for_weights(70, 30)
    cluster.wait_for_filter()


def users_by_cookie() -> list[User]:
    """New users, who ask for what stands behind the shop, too."""
    users = [User() for _ in range(USERS)]
    all_ask(users, TIMES, "/")
    for user in users:
        assert user.seen == {user.expected(GREEN)}, user
        assert all(answer.tags == [answer.version] for answer in user.answers), user
    return users


def hops(user: User) -> set[tuple[str, str]]:
    """The versions of both hops, of each answer."""
    words = [answer.body.split() for answer in user.answers]
    return {(each[1], each[-3]) for each in words}


def test_one_gateway_and_one_namespace(without_filter: None, proof: Proof) -> None:
    kubectl("apply", *ONE_GATEWAY)
    cluster.until(
        "the filter runs on the gateway",
        lambda: filters(SYSTEM, GATEWAY) == {("OUTBOUND", REMOVES, OUTBOUND)},
    )
    cluster.until(
        "the gateway picks by bucket", lambda: cluster.by_bucket(SYSTEM, GATEWAY)
    )
    cluster.until("new users get a cookie", lambda: User().ask().all("set-cookie"))
    assert filters(NAMESPACE, "shop-blue") == {("OUTBOUND",), ("INBOUND",)}
    users = users_by_cookie()
    proof("one-gateway/: users who stay, of the first hop", len(users))
    # All of them on one version, by chance: never.
    assert any(blue != green for user in users for blue, green in hops(user))

    # As its head says: sed -i s/myapp/NAMESPACE/
    for file in (FILTER / "one-namespace").iterdir():
        file.write_text(file.read_text().replace("myapp", NAMESPACE))
    kubectl("apply", *ONE_NAMESPACE)
    outbound, server = (
        f"{NAMESPACE}.bluegreen-outbound",
        f"{NAMESPACE}.bluegreen-server",
    )
    for name in cluster.DEPLOYMENTS:
        inbound = ("INBOUND", server) if name == TAGGED else ("INBOUND",)
        cluster.until(
            f"the filter runs once in {name}, and picks by it",
            lambda name=name, inbound=inbound: (
                filters(NAMESPACE, name) == {("OUTBOUND", REMOVES, outbound), inbound}
                and cluster.by_bucket(NAMESPACE, name)
                and cluster.wrong(NAMESPACE, name).get(outbound) == 0
            ),
        )
    assert filters(cluster.DOCS, "docs") == {("OUTBOUND",), ("INBOUND",)}
    users = users_by_cookie()
    assert all(hops(user) == {(user.expected(GREEN),) * 2} for user in users)
    proof("with one-namespace/: of both hops", len(users))
    answers = calls("http://shop/", *(f"x-bluegreen-bucket: {b}" for b in BUCKETS))
    assert [answer.tags for answer in answers] == [[v] for v in BUCKETS.values()]
    proof("forwarded buckets that decide inside", ", ".join(BUCKETS))
