"""Whoever moves the weights: Flagger, and a driver that stands for Argo's plugin.

The names are written by naming.yaml itself. They write through a second API server of the
cluster that has what the policy needs, and istiod reads the cluster's own: both have one etcd.
"""

import json
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import cluster
import programs
import pytest
import second_api
import store
from cluster import FILTER, Json, kubectl
from kit import bucket
from report import Proof
from store import HOST, NAMESPACE
from test_ramp import moves, settled
from users import User, returning, traffic

USERS = 200
STEPS = (20, 50, 100)

ROUTES = "apis/gateway.networking.k8s.io/v1"

# Flagger's application, and the provider that leaves names alone.
TILL = "till"
TILL_HOST = "till.example"
PROVIDER = "gatewayapi:v1beta1"
# It looks every 10 seconds, at the least.
SECONDS = 240


@pytest.fixture(scope="module")
def naming_api(at_gateway: None) -> Iterator[Path]:
    """The kubeconfig of an API server of the cluster with the policy that names."""
    with second_api.beside(second_api.NAMING) as kubeconfig:
        own = ("--kubeconfig", kubeconfig)
        text = second_api.naming(FILTER)
        kubectl(*own, "apply", "-f", "-", text=text)
        route = to_be_named()
        try:
            cluster.until("the policy names", lambda: is_named(kubeconfig, route))
            yield kubeconfig
        finally:
            kubectl(*own, "delete", "-f", "-", text=text)


def to_be_named() -> Json:
    """The store's weighted HTTPRoute at 100/0, with a rule called `bluegreen`."""
    [route] = cluster.documents(store.weights(100, 0))
    route["spec"]["rules"][0]["name"] = "bluegreen"
    return route


def is_named(kubeconfig: Path, route: Json) -> bool:
    """Whether a route that is written there gets the name of its weights."""
    dry = ("apply", "--dry-run=server", "-o", "json", "-f", "-")
    said = kubectl("--kubeconfig", kubeconfig, *dry, text=json.dumps(route))
    return json.loads(said)["spec"]["rules"][0]["name"] == store.rule_name(100, 0)


# ------------------------------------------------------- in the place of Argo's plugin


class Driver:
    """Writes what Argo Rollouts' Gateway API plugin writes, by its source (0.15).

    It is not the plugin, which no Go module has: it reads the HTTPRoute, sets the weight
    of each backend called like the stable or the canary Service, in every rule, and
    writes the whole object back.
    """

    def __init__(self, kubeconfig: Path, route: str, stable: str, canary: str) -> None:
        self._kubectl = ("--kubeconfig", kubeconfig)
        self._route = f"/{ROUTES}/namespaces/{NAMESPACE}/httproutes/{route}"
        self._services = stable, canary

    def set_weight(self, canary: int) -> None:
        """What a step of a Rollout comes to."""
        weights = dict(zip(self._services, (100 - canary, canary), strict=True))
        route = json.loads(kubectl(*self._kubectl, "get", "--raw", self._route))
        for rule in route["spec"]["rules"]:
            for ref in rule["backendRefs"]:
                ref["weight"] = weights.get(ref["name"], ref["weight"])
        put = ("replace", "--raw", self._route, "-f", "-")
        kubectl(*self._kubectl, *put, text=json.dumps(route))


def test_a_driver_sets_weights_and_nothing_else(naming_api: Path, proof: Proof) -> None:
    rejects = cluster.xds_rejects()
    named = json.dumps(to_be_named())
    kubectl("--kubeconfig", naming_api, "apply", "-f", "-", text=named)
    store.wait_for_weights(100, 0)
    driver = Driver(naming_api, "store", *store.BACKENDS.values())
    users = returning(USERS, HOST, store.address())
    with traffic(users, 60, "/") as running:
        assert settled(running, 0) == 0
        for canary in STEPS:
            driver.set_weight(canary)
            store.wait_for_weights(100 - canary, canary)
            on_canary = settled(running, canary)
            proof(f"a driver's step {canary}: users of {USERS} on green", on_canary)
        assert all(moves(u.answers) == [("blue", "green")] for u in users)
        proof("users who moved twice, or back", 0)
        driver.set_weight(50)
        store.wait_for_weights(50, 50)
        settled(running, 50)
        since = time.monotonic()
        driver.set_weight(0)
        store.wait_for_weights(100, 0)
        settled(running, 0)
        after = [[a for a in u.answers if a.asked >= since] for u in users]
    assert all(len(moves(answers)) <= 1 for answers in after), "an abort moves once"
    assert not running.failures
    proof("an abort: users who moved more than once", 0)
    proof(f"failed of {len(running.answers)} requests", running.figure)
    assert cluster.xds_rejects() == rejects
    store.shift(70, 30)


# ------------------------------------------------------------------------------ Flagger


@pytest.fixture
def flagger(naming_api: Path) -> Iterator[None]:
    """Flagger, as a process, and its kinds."""
    # No metrics are asked for.
    nobody = "http://127.0.0.1:1"
    with (
        programs.with_kinds("flagger"),
        programs.flagger(NAMESPACE, nobody, PROVIDER, naming_api),
    ):
        yield


@pytest.fixture
def till(flagger: None) -> None:
    """An application that Flagger has taken over, and its version rules."""
    cluster.apply(deployment(), canary(), version_rules())
    cluster.until(
        "Flagger has taken it over", lambda: phase() == "Initialized", SECONDS
    )
    cluster.until(
        "its routes are there",
        lambda: named() == ["bluegreen.till-primary-100.till-canary-0"],
    )
    [user] = till_users(1)
    cluster.until("the primary answers", lambda: user.ask("/").version == "v1")


def deployment() -> Json:
    """What Flagger takes over."""
    pod = {
        "terminationGracePeriodSeconds": 5,
        "containers": [
            {
                "name": TILL,
                "image": f"{cluster.registry()}/shop:blue",
                "env": [
                    {"name": "SERVICE", "value": TILL},
                    {"name": "VERSION", "value": "v1"},
                ],
                "readinessProbe": {
                    "httpGet": {"path": "/page.html", "port": 8080},
                    "periodSeconds": 1,
                },
                "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}},
            }
        ],
    }
    labels = {"app": TILL}
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return _object("apps/v1", "Deployment", TILL, spec)


def canary() -> Json:
    """How Flagger is to go about it: as docs/gateway-api.md says."""
    service = {
        "port": 80,
        "targetPort": 8080,
        "portName": "http",
        "hosts": [TILL_HOST],
        "gatewayRefs": [{"name": "store", "namespace": NAMESPACE}],
        "apex": {"labels": {"bluegreen": "sticky"}},
    }
    spec = {
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": TILL},
        "progressDeadlineSeconds": 120,
        "service": service,
        "analysis": {"interval": "10s", "threshold": 3, "stepWeights": list(STEPS)},
    }
    return _object("flagger.app/v1beta1", "Canary", TILL, spec)


def version_rules() -> Json:
    """A rule for each of Flagger's two Services."""
    rules = [
        {
            "name": name,
            "matches": [{"headers": [{"name": "x-bluegreen-version", "value": name}]}],
            "backendRefs": [{"name": name, "port": 80}],
        }
        for name in (f"{TILL}-primary", f"{TILL}-canary")
    ]
    spec = {
        "parentRefs": [{"name": "store"}],
        "hostnames": [TILL_HOST],
        "rules": rules,
    }
    version = "gateway.networking.k8s.io/v1"
    return _object(version, "HTTPRoute", f"{TILL}-versions", spec)


def _object(version: str, kind: str, name: str, spec: Json) -> Json:
    about = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": version, "kind": kind, "metadata": about, "spec": spec}


def phase() -> str:
    """What Flagger says of the rollout."""
    return cluster.get("-n", NAMESPACE, "canary", TILL)["status"]["phase"]


def named() -> list[str]:
    """The names that state weights of the Gateway's routes to it."""
    return sorted(store.named(NAMESPACE, store.GATEWAY, TILL_HOST))


def till_users(count: int) -> list[User]:
    """Returning users of it."""
    return returning(count, TILL_HOST, store.address())


def picked(user: User, name: str) -> str:
    """Where a user belongs, by the name of a rule."""
    pairs = [part.rpartition("-") for part in name.split(".")[1:]]
    return bucket.picked(user.bucket, {name: int(weight) for name, _, weight in pairs})


def test_flagger_drives_a_rollout_unchanged(till: None, proof: Proof) -> None:
    rejects = cluster.xds_rejects()
    seen: list[tuple[float, str]] = []

    def has_ended() -> bool:
        for name in named():
            seen.append((time.monotonic(), name))
        return phase() == "Succeeded"

    users = till_users(USERS)
    with traffic(users, 60, "/") as running:
        running.all_asked_since(time.monotonic())
        kubectl("-n", NAMESPACE, "set", "env", f"deployment/{TILL}", "VERSION=v2")
        cluster.until("Flagger has begun", lambda: phase() == "Progressing", SECONDS)
        cluster.until("and ended", has_ended, SECONDS)
        running.all_asked_since(time.monotonic())
    # Where two looks in a row saw one name, it held between them.
    checked = 0
    for name, looks in groupby(seen, lambda look: look[1]):
        times = [when for when, _ in looks]
        for user in users:
            for answer in user.answers:
                if times[0] < answer.asked and answer.came < times[-1]:
                    assert answer.tags == [picked(user, name)], (name, user.cookie)
                    checked += 1
    states = [name for name, _ in groupby(seen, lambda look: look[1])]
    weights = [(100 - c, c) for c in (0, *STEPS, 0)]
    assert states == [f"bluegreen.till-primary-{p}.till-canary-{c}" for p, c in weights]
    proof("Flagger's weights, each with its name", "0, 20, 50, 100, 0")
    proof("answers by the version of the user's bucket, no other", checked)
    for user in users:
        tags = [tag for tag, _ in groupby(a.tags[0] for a in user.answers)]
        assert tags == ["till-primary", "till-canary", "till-primary"], user.cookie
        releases = [release for release, _ in groupby(a.version for a in user.answers)]
        assert releases == ["v1", "v2"], user.cookie
    proof(f"users of {USERS} who moved once, and once back at promotion", USERS)
    proof("users who saw the old release again", 0)
    assert not running.failures
    proof(f"failed of {len(running.answers)} requests", running.figure)
    assert cluster.xds_rejects() == rejects
