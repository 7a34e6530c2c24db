"""Outside: an application without a route of ours, at the gateway and in sidecars."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import cluster
import pytest
from callers import calls
from cluster import DOCS_HOST, FILTER, GATEWAY, NAMESPACE, ROUTE_HEADER, SYSTEM
from report import Proof
from test_failures import asking, strays
from users import COOKIE, Answer, User, ask, traffic

TIMES = 20
USERS = 20
RATE = 20

# What the filter would read or write on a route of ours.
COOKIES = "bluegreen-id=00c0ffee00c0ffee; bluegreen-pin=blue"
HEADERS = {"cookie": COOKIES, "x-user-id": "alice"}
PINNED = HEADERS | {"x-version-pin": "green"}
BUCKET = {"x-bluegreen-bucket": "7"}

# What the application's own responses say.
OWN = {
    "x-served-version": ["docs"],
    "x-version-pin": ["docs"],
    "x-bluegreen-bucket": ["docs"],
    ROUTE_HEADER: ["docs"],
    "set-cookie": ["bluegreen-id=docs", "bluegreen-pin=docs"],
    "cache-control": ["public, max-age=60"],
}

# What differs from one request to the next without us.
VOLATILE = {
    "date",
    "x-envoy-upstream-service-time",
    "HTTP_X_REQUEST_ID",
    "HTTP_TRACEPARENT",
    "HTTP_X_B3_SPANID",
    "HTTP_X_B3_TRACEID",
    "HTTP_X_B3_PARENTSPANID",
}

# What Envoy's trace says first of each request that enters a VM.
ENTERED = "[host->vm] proxy_on_context_create("

pytestmark = pytest.mark.usefixtures("shop")

Headers = list[tuple[str, str]]
Proxy = tuple[str, str]


def by_gateway(headers: dict[str, str]) -> Answer:
    """One request of a stranger."""
    return ask("/", DOCS_HOST, **headers)


def by_sidecar(service: str, headers: dict[str, str], times: int = 1) -> list[Answer]:
    """Calls of the caller's pod."""
    lines = "\n".join(f"{name}: {value}" for name, value in headers.items())
    return calls(f"http://{service}.docs/", *[lines] * times)


def both_ends(answer: Answer) -> tuple[Headers, Headers]:
    """The headers that the caller got, and those that the application got."""
    assert answer.status == 200
    received = [line.partition("=") for line in answer.body.splitlines()]
    request = sorted((name, value) for name, _, value in received)
    return _lasting(answer.headers), _lasting(request)


def _lasting(headers: Iterable[tuple[str, str]]) -> Headers:
    return [(name, value) for name, value in headers if name not in VOLATILE]


def seen() -> dict[str, tuple[Headers, Headers]]:
    """What both ends see of requests on each way."""
    answers = {
        "gateway, pinned": by_gateway(PINNED),
        "sidecar, pinned": by_sidecar("docs", PINNED | BUCKET)[0],
        "sidecar, without VirtualService": by_sidecar("bare", PINNED | BUCKET)[0],
    }
    return {way: both_ends(answer) for way, answer in answers.items()}


def untouched(namespace: str, deployment: str) -> dict[str, cluster.Json]:
    """The virtual hosts without a route of ours, as a proxy has them."""
    return {
        host["name"]: host
        for host in cluster.virtual_hosts(namespace, deployment)
        if not any(r.get("name", "").startswith("bluegreen") for r in host["routes"])
    }


def check_own(answer: Answer) -> None:
    """What the application says is there, and nothing of ours beside it."""
    assert {name: answer.all(name) for name in OWN} == OWN


def check_received(answer: Answer, headers: dict[str, str]) -> None:
    """The application got these headers, with these values."""
    received = dict(both_ends(answer)[1])
    named = {f"HTTP_{k.upper().replace('-', '_')}": v for k, v in headers.items()}
    assert named.items() <= received.items()


def test_nothing_of_it_is_touched(proof: Proof) -> None:
    for _ in range(TIMES):
        for headers, route in ((HEADERS, "main"), (PINNED, "preview")):
            answer = by_gateway(headers | BUCKET)
            check_own(answer)
            check_received(answer, headers | {"x-route": route})
            # The one thing: a stranger's bucket goes no further, on any route.
            assert "HTTP_X_BLUEGREEN_BUCKET" not in answer.body
    proof("responses at the gateway as the application gave them", 2 * TIMES)
    for service in ("docs", "bare"):
        for answer in by_sidecar(service, PINNED | BUCKET, TIMES):
            check_own(answer)
            check_received(answer, PINNED | BUCKET)
    proof("and calls inside, requests and responses", 2 * TIMES)
    received = by_gateway({}).body.lower()
    assert not [h for h in ("cookie", "bluegreen", "pin") if h in received]
    proof("headers and cookies of ours in a request without any", 0)


@contextmanager
def traced(*proxies: Proxy) -> Iterator[None]:
    """Has these proxies log each call of a module."""
    for proxy in proxies:
        cluster.admin(*proxy, "logging?wasm=trace", "POST")
    try:
        yield
    finally:
        for proxy in proxies:
            cluster.admin(*proxy, "logging?wasm=warning", "POST")


def entered(proxy: Proxy, after: int = -1) -> int:
    """How many requests entered a VM, by the log, once there are more than `after`."""

    def more() -> list[int]:
        counts = [cluster.log(*proxy).count(ENTERED) for _ in range(2)]
        return counts if counts[0] == counts[1] > after else []

    return cluster.until(f"{proxy[1]} logs that it entered a VM", more)[0]


def of_vms(proxy: Proxy) -> list[str]:
    """The module's counters, and what Envoy says of VMs."""
    return cluster.admin(*proxy, "stats?filter=wasm|bluegreen").splitlines()


def test_no_vm_is_entered(proof: Proof) -> None:
    callers: list[Proxy] = [(SYSTEM, GATEWAY), (NAMESPACE, "caller")]
    server = (cluster.DOCS, "docs")
    proxies = [*callers, server]

    def call_the_shop() -> None:
        assert ask().tags
        assert calls("http://shop/", "")[0].tags

    with traced(*proxies):
        call_the_shop()
        counts = [entered(proxy, 0) for proxy in callers]
        stats = [of_vms(proxy) for proxy in proxies]
        for _ in range(TIMES):
            by_gateway(PINNED)
            by_gateway({})
        for service in ("docs", "bare"):
            by_sidecar(service, PINNED, TIMES)
        assert [of_vms(proxy) for proxy in proxies] == stats
        # Those of the shop enter, and stand in the log behind all others.
        call_the_shop()
        after = [entered(*each) for each in zip(callers, counts, strict=True)]
        assert after == [count + 1 for count in counts]
        assert entered(server) == 0
        assert of_vms(callers[0]) != stats[0]
    proof("VMs entered by a request to the shop, at gateway and sidecar", 1)
    proof(f"by {4 * TIMES} to the other application", 0)
    proof("counters of ours and of Envoy's VMs that these moved", 0)


def test_before_during_and_after(proof: Proof) -> None:
    """`envoyfilter/` deleted and applied again, while all users keep asking."""
    proxies: list[Proxy] = [(SYSTEM, GATEWAY), (NAMESPACE, "caller")]
    rejected = cluster.xds_rejects()

    def state() -> tuple[object, ...]:
        return seen(), [untouched(*proxy) for proxy in proxies]

    docs = [User(host=DOCS_HOST) for _ in range(USERS)]
    with asking() as shop, traffic(docs, RATE, "/") as outside:
        during = state()
        cluster.delete(FILTER)
        cluster.wait_for_filter(there=False)
        for proxy in proxies:
            cluster.until(
                f"{proxy[1]} rolls dice",
                lambda proxy=proxy: not cluster.by_bucket(*proxy),
            )
        cluster.wait_for_old_connections()
        proof("all of envoyfilter/ deleted: un-sticky answers", len(strays(shop)))
        without = state()
        check_received(by_gateway(BUCKET), BUCKET)
        cluster.kubectl("apply", "-f", FILTER)
        cluster.wait_for_filter()
        cluster.wait_for_old_connections()
        again = state()
    proof(f"failed of {len(shop.answers)} requests to the shop", shop.figure)
    assert not outside.failures
    for answer in outside.answers:
        check_own(answer)
    proof(f"of {len(outside.answers)} to the other application", outside.figure)
    assert during[0] == without[0] == again[0]
    proof("ways whose requests and responses are the same with it and without", 3)
    assert during[1] == without[1] == again[1]
    count = len(during[1][0]) + len(during[1][1])
    proof("virtual hosts of others, the same with it and without", count)
    assert cluster.xds_rejects() == rejected
    proof("configurations that a proxy refused", 0)


def test_it_takes_part_once_its_routes_are_named(proof: Proof) -> None:
    def named(objects: list[cluster.Json]) -> None:
        [service] = [each for each in objects if each["kind"] == "VirtualService"]
        preview, main = service["spec"]["http"]
        preview["name"], main["name"] = "bluegreen-pin", "bluegreen"

    with cluster.changed(cluster.APPS / "docs.yaml", named):
        cluster.until(
            "the gateway removes the route header",
            lambda: not by_gateway({}).all(ROUTE_HEADER),
        )
        answer = by_gateway({})
        # Its own tag stays, and as its response is for shared caches, so do its cookies.
        assert {name: answer.all(name) for name in OWN} == OWN | {ROUTE_HEADER: []}
        assert "HTTP_COOKIE=bluegreen-id=" in answer.body
        assert "HTTP_X_BLUEGREEN_BUCKET=" in answer.body
        answer = by_gateway({"x-version-pin": "green"})
        assert answer.all("x-version-pin") == ["not-routed; served=next"]
        assert answer.all("cache-control") == ["private, no-store"]
        *own, added = answer.all("set-cookie")
        assert own == OWN["set-cookie"]
        assert COOKIE.fullmatch(added)
        proof("named, and the filter is there", "✔")
    cluster.until("it takes no part any more", lambda: by_gateway({}).all(ROUTE_HEADER))
    check_own(by_gateway({}))
    proof("with its own names again, and it is not", "✔")
