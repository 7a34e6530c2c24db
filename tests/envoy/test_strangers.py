"""Whatever bytes strangers and applications write, requests flow (contract 9).

Random requests and answers, the same ones in every run, made of the parts that the
filter reads. Left out are the bytes that Envoy itself answers with 400: control
characters other than the tab.
"""

from collections.abc import Iterator
from random import Random

import pytest
from kit import client, istio
from kit.client import Send
from kit.envoy import Envoy, module, versions
from kit.scenario import all_of
from kit.upstream import Headers, Upstream

REQUESTS = 1000
PARTS = [
    *(b"bluegreen-id", b"bluegreen-pin", b"version-pin", b"x", b"=", b";", b"; "),
    *(b"00c0ffee00c0ffee", b"00C0FFEE00C0FFEE", b"green", b"blue", b"none", b"purple"),
    *(b'"', b",", b"&", b"?", b"%", b"%67reen", b"%", b"%zz", b"-1", b"7", b"100"),
]
BYTES = [9, *range(32, 127), *range(128, 256)]
RETURNING = [("cookie", b"bluegreen-id=00c0ffee00c0ffee")]


@pytest.fixture(scope="module")
def app() -> Iterator[Upstream]:
    """The application behind all clusters."""
    with Upstream("app") as upstream:
        yield upstream


@pytest.fixture(scope="module", params=versions())
def envoy(request: pytest.FixtureRequest, app: Upstream) -> Iterator[Envoy]:
    """A proxy with a listener for each role that writes to requests."""
    clusters = [istio.subset_cluster(version) for version in ("blue", "green")]
    weights = dict.fromkeys(clusters, 50)
    route = istio.weighted_route(weights, "x-bluegreen-bucket")
    rollout = {"name": "myapp", "versions": ["blue", "green"]}
    listeners = []
    for role in ("gateway", "client"):
        config = {"role": role, "pin": {"query": "version-pin"}, "rollouts": [rollout]}
        plugin = istio.plugin(istio.wasm(module(), config))
        listeners.append(istio.listener(role, "outbound", [route], plugin))
    bootstrap = istio.bootstrap(
        "router~t", {}, listeners, [istio.cluster(each, app.port) for each in clusters]
    )
    with Envoy(bootstrap, f"strangers-{request.param}", request.param) as running:
        yield running


@pytest.mark.parametrize("role", ["gateway", "client"])
@pytest.mark.parametrize("send", [client.http1, client.http2])
def test_odd_bytes_never_stop_a_request(
    envoy: Envoy, app: Upstream, role: str, send: Send
) -> None:
    random = Random(1)
    port = envoy.port(role)
    known = envoy.stats("bluegreen_").keys()

    for _ in range(REQUESTS):
        app.answer = some(random, "x-served-version", "set-cookie")
        request = begin(b"/?" + parts(random)) + some(
            random, "cookie", "x-version-pin", "x-bluegreen-bucket", "x-user-id"
        )
        response = send(port, request)
        assert status(response) == b"200", (request, app.answer, envoy.tail())

    app.answer = []
    app.requests.clear()
    assert status(send(port, begin(b"/") + RETURNING)) == b"200"
    assert all_of("x-bluegreen-bucket", app.requests[0]) == [b"56"]
    assert envoy.stats("bluegreen_").keys() == known


@pytest.mark.parametrize("send", [client.http1, client.http2])
def test_of_many_cookies_none_is_lost(envoy: Envoy, app: Upstream, send: Send) -> None:
    app.answer = []
    many = [("cookie", b"cookie-%d=%d" % (n, n)) for n in range(80)]
    large = [("cookie", b"; ".join([b"large=" + b"x" * 1000] * 58))]
    for others in (many, large):
        app.requests.clear()
        response = send(envoy.port("gateway"), begin(b"/") + others + RETURNING)
        assert status(response) == b"200"
        assert all_of("x-bluegreen-bucket", app.requests[0]) == [b"56"]
        assert not all_of("set-cookie", response.headers)


def begin(path: bytes) -> Headers:
    """The pseudo headers of a request; bytes that no path may hold are left out."""
    path = bytes(byte for byte in path if 32 < byte < 127 and byte != ord("#"))
    return [
        (":method", b"GET"),
        (":scheme", b"http"),
        (":authority", b"shop.example"),
        (":path", path),
    ]


def some(random: Random, *names: str) -> Headers:
    """Each header at most three times, with values of parts and of any bytes."""
    return [(name, parts(random)) for name in names for _ in range(random.randrange(4))]


def parts(random: Random) -> bytes:
    """A few parts in a row, now and then bytes of any kind among them."""
    chosen = [
        random.choice(PARTS) if random.random() < 0.9 else bytes(random.choices(BYTES))
        for _ in range(random.randrange(12))
    ]
    return b"".join(chosen).strip(b" \t")


def status(response: client.Response) -> bytes:
    """The status code."""
    return dict(response.headers)[":status"]
