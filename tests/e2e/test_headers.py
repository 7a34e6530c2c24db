"""Headers: a stranger's bucket enters no gateway, and the route header leaves none."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import cluster
import pytest
from callers import calls
from cluster import DOCS_HOST, GATEWAY, PLUGINS, ROUTE_HEADER, SYSTEM
from report import Proof
from users import Answer, User, all_ask, ask, returning, traffic

USERS = 50
TIMES = 40
GREEN = 30

FETCH_FAILED = "error in converting the wasm config to local: "

FAULT_PATH = "/fault"
FAULT_STATUS = 503

pytestmark = pytest.mark.usefixtures("shop")


@contextmanager
def faulty() -> Iterator[None]:
    """The shop with a second weighted route, on which Envoy itself answers."""

    def with_fault(objects: list[cluster.Json]) -> None:
        routes = objects[0]["spec"]["http"]
        [weighted] = [r for r in routes if r["name"] == "bluegreen"]
        abort = {"httpStatus": FAULT_STATUS, "percentage": {"value": 100}}
        fault = {
            "name": "bluegreen-2",
            "match": [{"uri": {"prefix": FAULT_PATH}}],
            "fault": {"abort": abort},
            "route": weighted["route"],
        }
        routes.insert(routes.index(weighted), fault)

    with cluster.changed(cluster.virtual_service(70, 30), with_fault):
        cluster.until(
            "the gateway and the caller's sidecar answer themselves",
            lambda: {each.status for each in faults()} == {FAULT_STATUS},
        )
        yield


def faults() -> list[Answer]:
    """Answers on the route with the fault, at the gateway and inside."""
    pinned = "x-version-pin: red"
    return [
        ask(FAULT_PATH),
        ask(FAULT_PATH, x_version_pin="red"),
        *calls(f"http://shop{FAULT_PATH}", "", pinned),
    ]


def check_faults() -> None:
    """Nothing of ours is in them."""
    for answer in faults():
        assert answer.status == FAULT_STATUS
        ours = (ROUTE_HEADER, "x-served-version", "x-version-pin", "set-cookie")
        assert [answer.all(name) for name in ours] == [[]] * len(ours)


def check_hidden() -> None:
    """No response that an application gave has the route header."""
    answers = [ask(), ask(x_version_pin="green"), ask("/missing")]
    answers += calls("http://shop/", "", "x-version-pin: green")
    assert [answer.status for answer in answers] == [200, 200, 404, 200, 200]
    assert [answer.all(ROUTE_HEADER) for answer in answers] == [[]] * len(answers)


def test_with_the_module(proof: Proof) -> None:
    users = [User() for _ in range(USERS)]
    for user in users:
        user.answers.append(ask("/", x_bluegreen_bucket="99"))
        user.cookie = user.answers[0].all("set-cookie")[0].partition(";")[0]
    all_ask(users, 1, "/")
    for user in users:
        why = f"bucket {user.digits}"
        for answer in user.answers:
            assert answer.version == user.expected(GREEN)
            assert answer.body.startswith(f"shop {answer.version} ({why}), ")
    proof("strangers' buckets that counted", 0)
    check_hidden()
    with faulty():
        check_faults()
    cluster.until("no fault any more", lambda: ask(FAULT_PATH).status == 404)
    proof("responses with the route header, faults among them", 0)


def test_without_the_module(proof: Proof) -> None:
    """The url leads nowhere: `FAIL_OPEN`, as if there were no filter."""
    objects = cluster.documents(PLUGINS)
    for each in objects:
        each["spec"]["url"] = cluster.with_tag(each["spec"]["url"], "none")
    with traffic(returning(USERS)) as running:
        cluster.apply(*objects)
        cluster.until("the gateway has no module", lambda: not ask().all("set-cookie"))
        cluster.until(
            "the caller's sidecar has none",
            lambda: not calls("http://shop/", "")[0].tags,
        )
        assert FETCH_FAILED in cluster.log(SYSTEM, GATEWAY), "as docs/operating.md says"
        answers = [ask("/", x_bluegreen_bucket="99") for _ in range(TIMES)]
        assert all("(by chance)" in answer.body for answer in answers)
        # All on one side: once in 1,500,000 runs.
        assert {answer.version for answer in answers} == set(cluster.VERSIONS)
        outside = ask("/", DOCS_HOST, x_bluegreen_bucket="99")
        assert "BUCKET" not in outside.body
        proof("strangers' buckets that counted, without the module", 0)
        check_hidden()
        with faulty():
            check_faults()
        proof("responses with the route header, without the module", 0)
        cluster.apply(PLUGINS)
        cluster.wait_for_filter()
        cluster.wait_for_old_connections()
        running.all_asked_since(time.monotonic())
    assert not running.failures
    proof(f"failed of {len(running.answers)} requests", running.figure)
