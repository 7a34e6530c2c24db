"""Whatever bytes strangers and applications write, requests flow (contract 7).

Random requests and answers, the same ones in every run, made of the parts that the
filter reads. Left out are the bytes that Envoy itself answers with 400: control
characters other than the tab.
"""

import re
from collections.abc import Iterator
from random import Random

import pytest
from kit import bucket, client, envoy_filter, istio
from kit.client import Send
from kit.envoy import Envoy, module, versions
from kit.scenario import all_of
from kit.upstream import Headers, Upstream

REQUESTS = 400
PARTS = [
    *(b"bluegreen-id", b"bluegreen-pin", b"version-pin", b"x", b"=", b";", b"; "),
    *(b"00c0ffee00c0ffee", b"00C0FFEE00C0FFEE", b"green", b"blue", b"none", b"Purple"),
    *(b'"', b",", b"&", b"?", b"%", b"%67reen", b"%", b"%zz", b"-1", b"7", b"007"),
    *(b"public", b"s-maxage=1", b"private", b"via_upstream outbound|80|green|a.b -"),
]
BYTES = [9, *range(32, 127), *range(128, 256)]
RETURNING = [("cookie", b"bluegreen-id=00c0ffee00c0ffee")]
DEALT = b"%d" % bucket.of(b"00c0ffee00c0ffee")

# No byte of a stranger's or an application's gets into the name of a counter.
COUNTERS = re.compile(
    r"wasmcustom\."
    r"(bg_rollout=\.=shop\.shop;\.;"
    r"(bg_version=\.=(blue|green);\.;"
    r"bg_source=\.=(pin-header|pin-query|pin-cookie|identity-cookie|minted"
    r"|bucket-header|none);\.;bg_code=\.=2xx;\.;bluegreen_responses_total"
    r"|bg_reason=\.=(pin-malformed|pin-not-routed|cookie-malformed|bucket-header);\.;"
    r"bluegreen_rejected_total)"
    r"|bluegreen_config_rejected_total"
    r"|bg_plugin=\.=istio-system\.bluegreen-outbound;\.;bluegreen_config_wrong)"
)


@pytest.fixture(scope="module")
def app() -> Iterator[Upstream]:
    """The application behind all clusters."""
    with Upstream("app") as upstream:
        yield upstream


@pytest.fixture(scope="module", params=versions())
def envoy(request: pytest.FixtureRequest, app: Upstream) -> Iterator[Envoy]:
    """A proxy with a listener for each role that writes to requests."""
    clusters = {version: istio.subset_cluster(version) for version in ("blue", "green")}
    routes = [
        *istio.pin_routes("x-version-pin", clusters),
        istio.weighted_route(dict.fromkeys(clusters.values(), 50)),
    ]
    listeners = []
    for role in ("gateway", "client"):
        config = {"role": role, "pin": {"query": "version-pin"}}
        plugin = istio.plugin(istio.wasm(module(), config))
        listener = istio.listener(role, "outbound", routes, [plugin])
        # Without the early mutation, so that the filter sees a stranger's bucket.
        listeners.append(envoy_filter.listener(listener, envoy_filter.SIDECAR))
    bootstrap = istio.bootstrap(
        "router~t",
        {},
        listeners,
        [istio.cluster(each, app.port) for each in clusters.values()],
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

    for _ in range(REQUESTS):
        app.answer = some(
            random,
            *("x-served-version", "x-version-pin", "x-bluegreen-route"),
            *("set-cookie", "cache-control"),
        )
        request = begin(b"/?" + parts(random)) + some(
            random,
            *("cookie", "x-version-pin", "x-bluegreen-bucket", "x-bluegreen-route"),
            "access-control-request-method",
        )
        response = send(port, request)
        assert status(response) == b"200", (request, app.answer, envoy.tail())
        assert not all_of("x-bluegreen-route", response.headers)

    app.answer = []
    app.requests.clear()
    assert status(send(port, begin(b"/") + RETURNING)) == b"200"
    assert all_of("x-bluegreen-bucket", app.requests[0]) == [DEALT]
    strange = [name for name in envoy.stats("bluegreen_") if not known(name)]
    assert not strange


def known(counter: str) -> bool:
    """Whether each part of the counter's name is one of the configuration's."""
    return COUNTERS.fullmatch(counter) is not None


@pytest.mark.parametrize("send", [client.http1, client.http2])
def test_of_many_cookies_none_is_lost(envoy: Envoy, app: Upstream, send: Send) -> None:
    app.answer = []
    many = [("cookie", b"cookie-%d=%d" % (n, n)) for n in range(80)]
    large = [("cookie", b"; ".join([b"large=" + b"x" * 1000] * 58))]
    for others in (many, large):
        app.requests.clear()
        response = send(envoy.port("gateway"), begin(b"/") + others + RETURNING)
        assert status(response) == b"200"
        assert all_of("x-bluegreen-bucket", app.requests[0]) == [DEALT]
        assert not all_of("set-cookie", response.headers)


@pytest.mark.parametrize("send", [client.http1, client.http2])
def test_a_new_user_with_many_cookies_keeps_them_all(
    envoy: Envoy, app: Upstream, send: Send
) -> None:
    app.answer = []
    many = [b"cookie-%d=%d" % (n, n) for n in range(80)]
    large = [b"; ".join([b"large=" + b"x" * 1000] * 57)]
    for others in (many, large):
        app.requests.clear()
        cookies = [("cookie", line) for line in others]
        response = send(envoy.port("gateway"), begin(b"/") + cookies)
        assert status(response) == b"200"
        [minted] = all_of("set-cookie", response.headers)
        own = minted.partition(b";")[0]
        assert all_of("cookie", app.requests[0]) == [b"; ".join([*others, own])]


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
