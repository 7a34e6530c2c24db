"""Signed pins on real Envoys, beside the rows of the table.

What rows cannot say: who pins stands in the access log, a cookie ends with its token,
no forgery pins or costs a request, and a key that this Envoy cannot use is told when
the configuration is read.
"""

import base64
import re
import time
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from kit import client, envoy_filter, istio, tokens
from kit.envoy import RUNS, Envoy, module, versions
from kit.istio import Json
from kit.scenario import all_of
from kit.upstream import Headers, Upstream

FORGED = 100_000
RETURNING = b"bluegreen-id=fedcba9876543210"
DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
GREEN = "bluegreen:shop.example:green"

OFF_THE_CURVE = "pin.keys[1].publicKey: a P-256 key is not one that this proxy can use"


@pytest.fixture(scope="module")
def app() -> Iterator[Upstream]:
    """The application behind all clusters."""
    with Upstream("app") as upstream:
        yield upstream


@pytest.fixture(scope="module", params=versions())
def envoy(request: pytest.FixtureRequest, app: Upstream) -> Iterator[Envoy]:
    """A gateway where pins have to be signed."""
    name = f"signed-pins-{request.param}"
    keys = [key("ci", "es"), key("cluster", "rs")]
    listener = gateway("gateway", keys)
    istio.manager_of(listener)["access_log"] = [access_log(name)]
    with Envoy(bootstrap([listener], app), name, request.param) as running:
        yield running


def key(name: str, pem: str) -> Json:
    """A key of the configuration."""
    return {"name": name, "publicKey": tokens.pem(f"{pem}.pub")}


def gateway(name: str, keys: list[Json]) -> Json:
    """A listener at the edge."""
    clusters = {version: istio.subset_cluster(version) for version in ("blue", "green")}
    routes = [
        *istio.pin_routes("x-version-pin", clusters),
        istio.weighted_route({clusters["blue"]: 100, clusters["green"]: 0}),
    ]
    config = {"role": "gateway", "pin": {"query": "version-pin", "keys": keys}}
    plugin = istio.plugin(istio.wasm(module(), config))
    listener = istio.listener(name, "outbound", routes, [plugin])
    return envoy_filter.listener(listener, envoy_filter.GATEWAY)


def access_log(name: str) -> Json:
    """A log of who pinned, as docs/pins.md has it."""
    (RUNS / name).mkdir(parents=True, exist_ok=True)
    log = RUNS / name / "access.log"
    log.unlink(missing_ok=True)
    line = "%FILTER_STATE(wasm.bluegreen_pinned_by:PLAIN)%\n"
    return {
        "name": "file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3."
            "FileAccessLog",
            "path": str(log),
            "log_format": {"text_format_source": {"inline_string": line}},
        },
    }


def bootstrap(listeners: list[Json], app: Upstream) -> Json:
    """A proxy with both versions, which are one application."""
    names = ("blue", "green")
    clusters = [istio.cluster(istio.subset_cluster(name), app.port) for name in names]
    return istio.bootstrap("router~t", {}, listeners, clusters)


def request(path: bytes = b"/", **headers: bytes) -> Headers:
    """A request of a returning user."""
    return [
        (":method", b"GET"),
        (":scheme", b"http"),
        (":authority", b"shop.example"),
        (":path", path),
        *((name.replace("_", "-"), value) for name, value in headers.items()),
    ]


def served(headers: Headers) -> bytes:
    """The version that answered."""
    [version] = all_of("x-served-version", headers)
    return version


def test_who_pins_stands_in_the_access_log(envoy: Envoy) -> None:
    port = envoy.port("gateway")
    for each in ("es", "rs"):
        token = tokens.signed(GREEN, each, sub=f"{each}@shop.example").encode()
        answer = client.http1(port, request(x_version_pin=token))
        assert served(answer.headers) == b"green"
    log = envoy.folder / "access.log"
    expected = ["ci/es@shop.example", "cluster/rs@shop.example"]
    deadline = time.monotonic() + 20
    # Envoy writes its log every ten seconds, or when somebody asks.
    while not log.exists() or len(log.read_text().splitlines()) < len(expected):
        assert time.monotonic() < deadline, "no line in the log"
        envoy.admin("/reopen_logs", "POST")
        time.sleep(0.2)
    assert log.read_text().splitlines()[:2] == expected


def test_a_cookie_ends_with_its_token(envoy: Envoy) -> None:
    token = tokens.signed(GREEN, exp=int(time.time()) + 600)
    path = f"/?version-pin={token}".encode()
    answer = client.http1(envoy.port("gateway"), request(path, cookie=RETURNING))
    assert served(answer.headers) == b"green"
    [cookie] = all_of("set-cookie", answer.headers)
    found = re.fullmatch(
        rf"bluegreen-pin={re.escape(token)}; Max-Age=(\d+); Path=/; HttpOnly; "
        "SameSite=Lax",
        cookie.decode(),
    )
    assert found, cookie
    assert 580 < int(found[1]) <= 600


def test_no_forgery_pins_or_costs_a_request(envoy: Envoy) -> None:
    port, random = envoy.port("gateway"), Random(3)
    good = tokens.signed(GREEN).encode()
    other = tokens.signed(GREEN, "other").encode()
    before = envoy.log.stat().st_size

    def forged() -> Iterator[Headers]:
        for _ in range(FORGED):
            token = forge(random, good, other)
            yield request(x_version_pin=token, cookie=RETURNING)

    seen: Counter[tuple[bytes, bytes, bytes]] = Counter()
    for answer in client.http1_in_a_row(port, forged()):
        [told] = all_of("x-version-pin", answer.headers)
        seen[dict(answer.headers)[":status"], served(answer.headers), told] += 1

    reasons = {told.removeprefix(b"rejected; reason=") for _, _, told in seen}
    assert {each[:2] for each in seen} == {(b"200", b"blue")}, seen
    assert reasons >= {b"malformed", b"signature", b"busy"}, seen
    assert sum(seen.values()) == FORGED
    assert envoy.log.stat().st_size == before, envoy.tail()
    # The flood is over within a second, and testers pin as before.
    deadline = time.monotonic() + 10
    while True:
        answer = client.http1(port, request(x_version_pin=good))
        if served(answer.headers) == b"green":
            break
        assert time.monotonic() < deadline, answer.headers
    assert not all_of("x-version-pin", answer.headers)


def forge(random: Random, good: bytes, other: bytes) -> bytes:
    """A token that is not good: of another key, cut, or with some bytes changed."""
    token = bytearray(random.choice([good, other]))
    match random.randrange(8):
        case 0:
            del token[random.randrange(1, len(token)) :]
        case 1:
            claims = b'{"aud":"%s","iat":0,"exp":9}' % GREEN.encode()
            head, _, signature = good.split(b".")
            middle = base64.urlsafe_b64encode(claims).rstrip(b"=")
            return b".".join([head, middle, signature])
        case _:
            for _ in range(random.randrange(1, 4)):
                token[random.randrange(len(token))] = random.choice(DIGITS)
    return bytes(token) if bytes(token) != good else other


@pytest.mark.parametrize("size", [2_048, 2_049, 16_384, 57_000])
def test_a_long_token_is_malformed(envoy: Envoy, size: int) -> None:
    for token in (b"a" * size, (b"eyJhbGciOiJFUzI1NiJ9." * size)[:size]):
        answer = client.http1(envoy.port("gateway"), request(x_version_pin=token))
        assert dict(answer.headers)[":status"] == b"200"
        told = all_of("x-version-pin", answer.headers)
        assert told == [b"rejected; reason=malformed"]


@pytest.mark.parametrize("version", versions())
def test_a_key_that_envoy_cannot_use_is_told_when_it_is_read(
    version: str, app: Upstream
) -> None:
    pem = tokens.pem("es.pub")
    off_the_curve = pem.replace("Wg==", "Xg==")
    assert off_the_curve != pem
    keys = [key("ci", "es"), {"name": "off", "publicKey": off_the_curve}]
    listeners = [gateway("gateway", keys)]
    name = f"signed-pins-unusable-{version}"
    with Envoy(bootstrap(listeners, app), name, version) as envoy:
        answer = client.http1(envoy.port("gateway"), request(cookie=RETURNING))
        log = envoy.log.read_text()
    # The filter is inert, and the request goes on.
    assert dict(answer.headers)[":status"] == b"200"
    assert not all_of("x-served-version", answer.headers)
    assert f"bluegreen: {OFF_THE_CURVE}" in log
    assert "pin.keys[0]" not in log
