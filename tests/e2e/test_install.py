"""Installed: what runs where, and nothing twice; variants for a part of the mesh."""

import json
import re
from collections.abc import Iterator

import cluster
import pytest
import readme
from cluster import DEPLOYMENTS, FILTER, GATEWAY, NAMESPACE, SYSTEM, kubectl
from kit.envoy import ROOT
from kit.istio import MANAGER
from report import Proof
from test_inside import calls, expected
from users import User, all_ask

USERS = 40
TIMES = 3
GREEN = 30
BUCKETS = [0, 69, 70, 99]
OUTBOUND = f"{SYSTEM}.bluegreen-outbound"
SERVER = f"{SYSTEM}.bluegreen-server"
# What istiod puts before and after the name of a plugin.
OURS = re.compile(r"^.*/|~.*$")
README = ROOT / "README.md"
SECTIONS = ["In your mesh", "What the route needs", "Metrics"]

# The variants, as their heads say.
ONE_GATEWAY = ("-f", FILTER / "one-gateway", "-f", FILTER / "admission.yaml")
ONE_NAMESPACE = ("-n", NAMESPACE, "-f", FILTER / "one-namespace")

RESPONSES = "bluegreen_responses_total"

pytestmark = pytest.mark.usefixtures("shop")


def filters(namespace: str, deployment: str) -> set[tuple[str, ...]]:
    """Our filters in each HTTP connection manager of a proxy, by direction.

    The first word is the direction of the listener, the others are the filters.
    """
    dump = json.loads(cluster.admin(namespace, deployment, "config_dump"))
    return {
        (listener["traffic_direction"], *ours(manager))
        for config in dump["configs"]
        for each in config.get("dynamic_listeners", [])
        if "traffic_direction" in (listener := each["active_state"]["listener"])
        for manager in managers(listener)
    }


def managers(listener: cluster.Json) -> Iterator[cluster.Json]:
    """The HTTP connection managers of a listener."""
    chains = [*listener.get("filter_chains", [])]
    chains += filter(None, [listener.get("default_filter_chain")])
    for chain in chains:
        for each in chain["filters"]:
            if each.get("typed_config", {}).get("@type") == MANAGER:
                yield each["typed_config"]


def ours(manager: cluster.Json) -> list[str]:
    """The names of our filters in it, without what istiod adds to them."""
    names = [each["name"] for each in manager["http_filters"]]
    return [OURS.sub("", name) for name in names if "bluegreen" in name]


def test_what_runs_where(proof: Proof) -> None:
    assert filters(SYSTEM, GATEWAY) == {("OUTBOUND", OUTBOUND)}
    proof("on each listener of the gateway", "outbound, once")
    for name in DEPLOYMENTS:
        both = {("OUTBOUND", OUTBOUND), ("INBOUND", SERVER)}
        assert filters(NAMESPACE, name) == both, name
    proof(f"in each of {len(DEPLOYMENTS)} sidecars, outbound", "outbound, once")
    proof("and inbound", "server, once")


def test_each_request_counts_once(proof: Proof) -> None:
    def counted(namespace: str, deployment: str) -> float:
        text = cluster.metrics(namespace, f"deployment/{deployment}")
        return cluster.counter(text, RESPONSES) or 0

    callers = [(SYSTEM, GATEWAY), *((NAMESPACE, f"shop-{v}") for v in cluster.VERSIONS)]
    before = [counted(*each) for each in callers]
    users = [User() for _ in range(USERS)]
    all_ask(users, 1, "/")
    at_gateway, *at_shop = (
        counted(*each) - then for each, then in zip(callers, before, strict=True)
    )
    assert (at_gateway, sum(at_shop)) == (USERS, USERS)
    for user in users:
        assert len(user.answers[0].all("set-cookie")) == 1
        assert len(user.answers[0].tags) == 1
    proof(f"responses to {USERS} requests counted, at each of two hops", USERS)


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


def test_the_readmes_commands(
    without_filter: None, shell: readme.Shell, proof: Proof
) -> None:
    def settle(_: str, output: str) -> None:
        if url := re.search(r"^url: (.+)$", output, re.MULTILINE):
            shell.run(f"sed -i 's|oci://reg.*|{url[1]}|' envoyfilter/plugins.yaml")

    parts = readme.sections(README)
    for heading in SECTIONS:
        [part] = [each for each in parts if each.heading == heading]
        if heading == "Metrics":
            cluster.wait_for_filter()
            users_by_cookie()
        part.run(shell, settle)
        if not part.different:
            proof(f"{heading}: commands that print what it shows", part.count)
    readme.settled(README, parts)


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
        lambda: filters(SYSTEM, GATEWAY) == {("OUTBOUND", f"{SYSTEM}.bluegreen")},
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

    kubectl("apply", *ONE_NAMESPACE)
    sidecar = {
        ("OUTBOUND", f"{NAMESPACE}.bluegreen-client"),
        ("INBOUND", f"{NAMESPACE}.bluegreen-server"),
    }
    for name in DEPLOYMENTS:
        cluster.until(
            f"the filter runs once on each side of {name}",
            lambda name=name: filters(NAMESPACE, name) == sidecar,
        )
    cluster.wait_for_filter()
    users = users_by_cookie()
    assert all(hops(user) == {(user.expected(GREEN),) * 2} for user in users)
    proof("with one-namespace/: of both hops", len(users))
    headers = [f"x-bluegreen-bucket: {bucket}" for bucket in BUCKETS]
    tags = [tag for tag, _ in calls("http://shop/", *headers)]
    assert tags == [expected(bucket) for bucket in BUCKETS]
    proof("forwarded buckets that decide inside", ", ".join(map(str, BUCKETS)))
