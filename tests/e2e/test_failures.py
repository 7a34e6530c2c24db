"""Failures: what a mesh goes through, while users keep asking."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cluster
import pytest
from cluster import GATEWAY, NAMESPACE, SYSTEM
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
