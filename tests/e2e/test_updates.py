"""Updates: the module and its configuration change while users keep asking."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import cluster
import pytest
from cluster import (
    CONFIG_REJECTED,
    GATEWAY,
    NAMESPACE,
    OUTBOUND,
    PLUGINS,
    SERVER,
    SYSTEM,
    TAGGED,
)
from report import Proof
from users import Traffic, ask, returning, traffic

USERS = 100
GREEN = 30
NEXT = "0.1.1"

# Wrong configurations, and what the log says of each.
WRONG = {"role": "edge"}
ALSO_WRONG = {"role": "outbound", "versions": ["blue", "green"], "tag": {"when": "now"}}
SAID = {
    "wrong": [
        'role: "edge" is not one of auto, outbound, gateway, client, server',
    ],
    "also wrong": [
        "versions: ",
        'tag.when: "now" is not one of always, pinned, never',
    ],
}
TOLD = "bluegreen: the configuration is wrong; "
KEPT = TOLD + "the last good one stays in force"
INERT = TOLD + "the filter is inert, traffic flows as if it were not there"

# A walk that goes from each of the four to each other one, once.
ORDERS = [
    "wrong",
    "good",
    "also wrong",
    "good",
    "deleted",
    "wrong",
    "also wrong",
    "wrong",
    "deleted",
    "also wrong",
    "deleted",
    "good",
]

pytestmark = pytest.mark.usefixtures("shop")

Change = Callable[[cluster.Json], object]


def changed(change: Change, *names: str) -> list[cluster.Json]:
    """The plugins of the file, those with these names with a change of their spec."""
    objects = cluster.documents(PLUGINS)
    for each in objects:
        if not names or each["metadata"]["name"] in names:
            change(each["spec"])
    return objects


def apply(config: cluster.Json) -> None:
    """Applies the plugins' file with another configuration of the outbound one."""
    cluster.apply(
        *changed(lambda spec: spec.update(pluginConfig=config), "bluegreen-outbound")
    )


@contextmanager
def server_wrong() -> Iterator[None]:
    """The server's plugin with a wrong configuration; later with the right one."""
    cluster.apply(
        *changed(lambda spec: spec.update(pluginConfig=WRONG), "bluegreen-server")
    )
    try:
        yield
    finally:
        cluster.apply(PLUGINS)
        cluster.until(
            "the right one is there",
            lambda: cluster.wrong(NAMESPACE, TAGGED)[SERVER] == 0,
        )


def cookie_of_a_new_user() -> str:
    """The line that sets it; empty without one."""
    return "".join(ask().all("set-cookie"))


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
        if answer.version != user.expected(GREEN)
    ]
    assert not strays
    proof(f"{what}: failed of {len(running.answers)} requests", running.figure)


def test_a_new_tag_of_the_image_and_a_new_configuration(proof: Proof) -> None:
    cluster.push_another(NEXT)

    def newer(spec: cluster.Json) -> None:
        spec["url"] = cluster.with_tag(spec["url"], NEXT)

    def also_shorter(spec: cluster.Json) -> None:
        newer(spec)
        if spec["pluginConfig"]["role"] == "outbound":
            spec["pluginConfig"]["identity"]["cookie"] = {"maxAgeSeconds": 1209600}

    with watched(proof, "a new tag, a new configuration"):
        before, running = cluster.vms(SYSTEM, GATEWAY)
        cluster.apply(*changed(newer))
        cluster.wait_for_log(SYSTEM, GATEWAY, f"with tag {NEXT}")

        def made() -> int:
            return cluster.vms(SYSTEM, GATEWAY)[0] - before

        # Of a module with the same bytes it makes none.
        cluster.until("the gateway has VMs of the new one", lambda: made() >= running)
        proof("a new tag: VMs that the gateway made of its module", made())
        cluster.apply(*changed(also_shorter))
        cluster.until("it is taken", lambda: "=1209600;" in cookie_of_a_new_user())
        cluster.apply(PLUGINS)
        cluster.until(
            "the old one again", lambda: "=34560000;" in cookie_of_a_new_user()
        )


def told() -> int:
    """How often the gateway's log tells of a wrong configuration."""
    return cluster.log(SYSTEM, GATEWAY).count(TOLD)


def rejected() -> float:
    """How many wrong ones it counted, since it has the plugin."""
    return cluster.counted(SYSTEM, GATEWAY, CONFIG_REJECTED)


def wrong_now() -> float | None:
    """The gauge of the gateway's plugin; nothing while it has none."""
    return cluster.wrong(SYSTEM, GATEWAY).get(OUTBOUND)


def test_wrong_configurations_in_every_order(proof: Proof) -> None:
    """Good, wrong, wrong otherwise, deleted: from each to each other one."""
    [outbound, _] = cluster.documents(PLUGINS)
    configs = {
        "good": outbound["spec"]["pluginConfig"],
        "wrong": WRONG,
        "also wrong": ALSO_WRONG,
    }
    steps = list(pairwise(["good", *ORDERS]))
    assert len(set(steps)) == len(steps) == 4 * 3, "each once"
    good = True
    with traffic(returning(USERS)) as running:
        for was, now in steps:
            # Beside a wrong one the last good one goes on, unless it was deleted.
            good = now == "good" or (good and now != "deleted")
            if now == "deleted":
                cluster.delete(PLUGINS)
                cluster.until("the plugin is gone", lambda: wrong_now() is None)
            elif now == "good":
                apply(configs[now])
                cluster.until("the gauge is 0", lambda: wrong_now() == 0)
                cluster.until("users are known", cookie_of_a_new_user)
            else:
                # A plugin that was deleted and comes back counts anew.
                before = told(), 0 if was == "deleted" else rejected()
                apply(configs[now])
                check_told(now, *before)
            assert bool(cookie_of_a_new_user()) == good, (was, now)
            assert not running.failures, (was, now)
        cluster.wait_for_filter()
        cluster.wait_for_old_connections()
        moment = time.monotonic()
        running.all_asked_since(moment)
        assert all(a.version == u.expected(GREEN) for u, a in running.since(moment))
    assert not running.failures
    proof("from good, two wrong ones and deleted, to each other one", len(steps))
    wrong = [now for _, now in steps if now in SAID]
    proof("wrong ones told in log, counter and gauge, each once", len(wrong))
    proof(f"failed of {len(running.answers)} requests", running.figure)


def check_told(now: str, told_before: int, rejected_before: float) -> None:
    """A wrong configuration is told and counted once, and the gauge is 1."""
    counted = rejected_before + 1
    cluster.until(
        f"{now} is counted", lambda: (rejected(), wrong_now()) == (counted, 1)
    )
    cluster.until(f"{now} is told", lambda: told() == told_before + 1)
    last = cluster.log(SYSTEM, GATEWAY).rpartition(TOLD)[2]
    for said in SAID[now]:
        assert f"bluegreen: {said}" in last, last


def test_a_wrong_update_changes_nothing_for_users(proof: Proof) -> None:
    with watched(proof, "a wrong configuration after a good one"):
        before = told(), rejected()
        apply(WRONG)
        check_told("wrong", *before)
        assert "=34560000;" in cookie_of_a_new_user(), "the old one serves"
        assert KEPT in cluster.log(SYSTEM, GATEWAY)
        cluster.apply(PLUGINS)
        cluster.until("the gauge is 0", lambda: wrong_now() == 0)
    proof("the last good one goes on, of users that moved", 0)


def test_a_wrong_first_configuration_lets_traffic_flow(proof: Proof) -> None:
    with traffic(returning(USERS)) as running:
        apply(WRONG)
        cluster.until("the gauge is 1", lambda: wrong_now() == 1)
        pod = cluster.restart(SYSTEM, GATEWAY)
        cluster.until(
            "the new gateway says so",
            lambda: cluster.wrong(SYSTEM, pod) == {OUTBOUND: 1},
        )
        assert cluster.log(SYSTEM, pod).count(INERT) == 1
        cluster.until("the filter is inert", lambda: not cookie_of_a_new_user())
        running.all_asked_since(time.monotonic())
        cluster.apply(PLUGINS)
        cluster.until("the good one is taken", cookie_of_a_new_user)
        cluster.wait_for_filter()
        cluster.wait_for_old_connections()
        running.all_asked_since(time.monotonic())
    assert not running.failures
    count = len(running.answers)
    proof(f"wrong when it starts: failed of {count} requests", running.figure)


def test_a_second_plugin_that_starts_wrong(proof: Proof) -> None:
    """A sidecar's two plugins are told apart."""
    with server_wrong():
        pod = cluster.restart(NAMESPACE, TAGGED)
        cluster.until(
            "its gauge is 1, and the other's 0",
            lambda: cluster.wrong(NAMESPACE, pod) == {OUTBOUND: 0, SERVER: 1},
        )
        assert cluster.counted(NAMESPACE, pod, CONFIG_REJECTED) == 1
        assert cluster.log(NAMESPACE, pod).count(INERT) == 1
        proof("a sidecar whose second plugin starts wrong: its gauge", 1)
