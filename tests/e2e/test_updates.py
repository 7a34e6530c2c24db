"""Updates: the module and its configuration change while users keep asking."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cluster
import pytest
from cluster import GATEWAY, PLUGINS, SYSTEM
from report import Proof
from users import Traffic, ask, returning, traffic

USERS = 100
NEXT = "0.1.1"
REFUSED = "bluegreen_config_rejected_total"
WRONG = ["blue", "Green"]
SAID = 'rollouts[0].versions[1]: "Green" is not a version name'

pytestmark = pytest.mark.usefixtures("shop")

Change = Callable[[cluster.Json], Any]


def apply(change: Change) -> None:
    """Applies the plugins' file with a change of each plugin's spec."""
    objects = cluster.documents(PLUGINS)
    for each in objects:
        change(each["spec"])
    cluster.apply(*objects)


def wrong(spec: cluster.Json) -> None:
    """A version that is none."""
    spec["pluginConfig"]["rollouts"][0]["versions"] = WRONG


def cookie_of_a_new_user() -> str:
    """The line that sets it; empty without one."""
    return "".join(ask().all("set-cookie"))


def refused() -> float:
    """How many configurations the gateway refused."""
    text = cluster.metrics(SYSTEM, f"deployment/{GATEWAY}")
    return cluster.counter(text, REFUSED) or 0


@contextmanager
def watched(proof: Proof, what: str) -> Iterator[Traffic]:
    """Traffic of returning users at 70/30: none fails, all stay where they are."""
    with traffic(returning(USERS)) as running:
        running.all_asked_since(time.monotonic())
        yield running
        cluster.wait_for_old_connections()
        running.all_asked_since(time.monotonic())
    assert not running.failures
    strays = [
        (user.cookie, answer)
        for user in running.users
        for answer in user.answers
        if answer.version != user.expected(30)
    ]
    assert not strays
    proof(f"{what}: failed of {len(running.answers)} requests", running.figure)


def test_a_new_tag_of_the_image_and_a_new_configuration(proof: Proof) -> None:
    cluster.push_another(NEXT)

    def newer(spec: cluster.Json) -> None:
        spec["url"] = spec["url"].replace(":0.1.0", f":{NEXT}")

    def also_longer(spec: cluster.Json) -> None:
        newer(spec)
        spec["pluginConfig"]["identity"]["cookie"] = {"maxAgeSeconds": 1209600}

    with watched(proof, "a new tag, a new configuration"):
        before, running = cluster.vms(SYSTEM, GATEWAY)
        apply(newer)
        cluster.wait_for_log(SYSTEM, GATEWAY, f"with tag {NEXT}")

        def made() -> int:
            return cluster.vms(SYSTEM, GATEWAY)[0] - before

        # Of a module with the same bytes it makes none.
        cluster.until("the gateway has VMs of the new one", lambda: made() >= running)
        proof("a new tag: VMs that the gateway made of its module", made())
        apply(also_longer)
        cluster.until("it is taken", lambda: "=1209600;" in cookie_of_a_new_user())
        cluster.apply(PLUGINS)
        cluster.until("the old one again", lambda: "=604800;" in cookie_of_a_new_user())


def test_a_wrong_configuration_changes_nothing(proof: Proof) -> None:
    before = refused()
    with watched(proof, "a wrong configuration"):
        apply(wrong)
        cluster.until("the gateway refused it", lambda: refused() > before)
        assert "=604800;" in cookie_of_a_new_user(), "the old one serves"
        assert SAID in cluster.log(SYSTEM, GATEWAY)
        proof("counted by the gateway as refused", f"{refused() - before:.0f}")
        cluster.apply(PLUGINS)
    proof("in its log", 'versions[1]: "Green" …')


def test_a_wrong_first_configuration_lets_traffic_flow(proof: Proof) -> None:
    cluster.delete(PLUGINS)
    cluster.wait_for_filter(there=False)
    with traffic(returning(USERS)) as running:
        # Not the wrong one above: what a proxy refused once, it knows.
        apply(lambda spec: spec["pluginConfig"].update(role="edge"))
        cluster.until("the gateway says so", lambda: refused() > 0)
        began = time.monotonic()
        running.all_asked_since(began)
        assert not cookie_of_a_new_user(), "the filter is inert"
        assert 'role: "edge" is not' in cluster.log(SYSTEM, GATEWAY)
        cluster.apply(PLUGINS)
        cluster.until("the good one is taken", cookie_of_a_new_user)
        cluster.wait_for_filter()
        cluster.wait_for_old_connections()
        running.all_asked_since(time.monotonic())
    assert not running.failures
    count = len(running.answers)
    proof(f"wrong at first load: failed of {count} requests", running.figure)
