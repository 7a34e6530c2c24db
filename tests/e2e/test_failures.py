"""Failures: what a mesh goes through, while users keep asking."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cluster
import pytest
from cluster import GATEWAY, NAMESPACE, PLUGINS, SYSTEM
from report import Proof
from users import Answer, Traffic, User, ask, returning, traffic

USERS = 100
GREEN = 30

pytestmark = pytest.mark.usefixtures("shop")


def strays(running: Traffic, moment: float = 0) -> list[tuple[User, Answer]]:
    """Whoever was not where the bucket says, since a moment."""
    return [(u, a) for u, a in running.since(moment) if a.version != u.expected(GREEN)]


@contextmanager
def asking() -> Iterator[Traffic]:
    """Returning users; at the end all are served, where they were at the beginning."""
    with traffic(returning(USERS)) as running:
        running.all_asked_since(time.monotonic())
        assert not strays(running)
        yield running
        moment = time.monotonic()
        running.all_asked_since(moment)
        assert not strays(running, moment)
    assert not running.failures


def is_sticky() -> bool:
    """Whether a new user gets a cookie."""
    return bool(ask().all("set-cookie"))


@pytest.mark.parametrize(
    ("namespace", "deployment", "what"),
    [
        (SYSTEM, GATEWAY, "the gateway restarted"),
        (NAMESPACE, "shop-green", "green and its sidecar restarted"),
    ],
)
def test_restarted(namespace: str, deployment: str, what: str, proof: Proof) -> None:
    with asking() as running:
        cluster.restart(namespace, deployment)
        proof(f"{what}: users who moved", len(strays(running)))
    proof(f"failed of {len(running.answers)} requests", running.figure)


def test_the_registry_is_down_when_pods_start(
    own_registry: Callable[[bool], None], proof: Proof
) -> None:
    with asking() as running:
        own_registry(False)
        for namespace, name in [(SYSTEM, GATEWAY), (NAMESPACE, "shop-green")]:
            cluster.restart(namespace, name)
        cluster.until("the new pods have no filter", lambda: not is_sticky())
        running.all_asked_since(time.monotonic())
        proof("registry down, pods restarted: un-sticky answers", len(strays(running)))
        own_registry(True)
        # As the README says: proxies try again when the plugin changes.
        changed = time.monotonic()
        change = ("annotate", "wasmplugin", "-l", "app=bluegreen", "--overwrite")
        cluster.kubectl("-n", SYSTEM, *change, f"fetch={changed}")
        cluster.until("the filter runs again", is_sticky)
        proof("sticky again, after annotating", f"{time.monotonic() - changed:.1f} s")
        cluster.wait_for_filter()
        cluster.wait_for_old_connections()
    proof(f"failed of {len(running.answers)} requests", running.figure)


@pytest.fixture
def own_registry(shop: None) -> Iterator[Callable[[bool], None]]:
    """The plugins from a registry that can be down: a Service that leads to ours."""
    host, _, port = cluster.registry().rpartition(":")
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "registry", "namespace": NAMESPACE},
        "spec": {"ports": [{"name": "tcp", "port": int(port)}]},
    }
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "registry",
            "namespace": NAMESPACE,
            "labels": {"kubernetes.io/service-name": "registry"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host]}],
        "ports": [{"name": "tcp", "port": int(port)}],
    }

    def answers() -> bool:
        curl = ("curl", "-sf", f"http://{cluster.OWN_REGISTRY}:{port}/v2/")
        target = ("-n", SYSTEM, f"deployment/{GATEWAY}")
        return "{}" in cluster.kubectl("exec", *target, "--", *curl, check=False)

    def is_up(up: bool) -> None:
        if up:
            cluster.apply(slice_)
        else:
            cluster.kubectl("-n", NAMESPACE, "delete", "endpointslice", "registry")
        cluster.until(f"the registry is up: {up}", lambda: answers() == up)

    cluster.apply(service)
    is_up(True)
    objects = cluster.documents(PLUGINS)
    for each in objects:
        url = each["spec"]["url"]
        own = f"{cluster.OWN_REGISTRY}:{port}"
        each["spec"]["url"] = re.sub(r"//[^/]*/", f"//{own}/", url)
    cluster.apply(*objects)
    cluster.wait_for_log(SYSTEM, GATEWAY, cluster.OWN_REGISTRY)
    cluster.until("the filter runs", is_sticky)
    yield is_up
    cluster.kubectl(
        "-n", SYSTEM, "annotate", "wasmplugin", "-l", "app=bluegreen", "fetch-"
    )
    cluster.apply(PLUGINS)
    cluster.wait_for_filter()
