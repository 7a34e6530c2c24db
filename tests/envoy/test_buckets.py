"""Where a bucket leads is what Envoy's own arithmetic says (contract, section 6)."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import pytest
from kit import bucket, client, envoy_filter, istio, ports
from kit.envoy import Envoy, module, versions
from kit.upstream import Headers

# Weights in their order: sums of 7, 100, 1000 and 10000, two of them turned around.
SPLITS: dict[str, dict[str, int]] = {
    "seven": {"v1": 3, "v2": 4},
    "seven-turned": {"v2": 4, "v1": 3},
    "hundred": {"v1": 80, "v2": 5, "v3": 15},
    "hundred-turned": {"v3": 15, "v2": 5, "v1": 80},
    "thousand": {"v1": 1, "v2": 998, "v3": 1},
    "ten-thousand": {"v2": 5001, "v1": 0, "v3": 4999},
}
# Less than a percent: 20 users of these, give or take what chance does.
RARE = {"v1": 9999, "v2": 1}
RARE_USERS = 200_000
RAMP = [0, 1, 100, 500, 501, 999, 1000]
USERS = 250
VERSIONS = ("v1", "v2", "v3")
SALT = b"shop.example"


@dataclass
class Gateways:
    """A listener for each split and each step of the ramp, of one proxy."""

    envoy: Envoy
    ports: dict[str, int]

    def ask(self, listener: str, *headers: tuple[str, str]) -> client.Response:
        """What a gateway or a client with these weights answers."""
        return client.http1(self.ports[listener], asking(*headers))

    def version(self, listener: str, *headers: tuple[str, str]) -> str:
        """The version that answered, by its body, which the tag must agree with."""
        answer = self.ask(listener, *headers)
        assert dict(answer.headers)["x-served-version"] == answer.body
        return answer.body.decode()


def asking(*headers: tuple[str, str]) -> Headers:
    """A request with these headers."""
    request: Headers = [(":method", b"GET"), (":path", b"/"), (":authority", SALT)]
    return request + [(name, value.encode()) for name, value in headers]


@pytest.fixture(scope="module", params=versions())
def gateways(request: pytest.FixtureRequest) -> Iterator[Gateways]:
    """Gateways and clients with all these weights, in one Envoy."""
    apps = dict(zip(VERSIONS, ports.free(len(VERSIONS)), strict=True))
    listeners = [istio.application(*app) for app in apps.items()]
    ramp = {f"ramp-{weight}": {"v1": 1000 - weight, "v2": weight} for weight in RAMP}
    for role in ("gateway", "client"):
        plugin = istio.plugin(istio.wasm(module(), {"role": role}))
        for name, weights in (SPLITS | ramp | {"rare": RARE}).items():
            clusters = {istio.subset_cluster(v): n for v, n in weights.items()}
            route = istio.weighted_route(clusters)
            listener = istio.listener(f"{role}-{name}", "outbound", [route], [plugin])
            listener = envoy_filter.listener(listener, envoy_filter.SIDECAR)
            listeners.append(listener)
    clusters = [
        istio.cluster(istio.subset_cluster(v), port) for v, port in apps.items()
    ]
    bootstrap = istio.bootstrap("router~t", {}, listeners, clusters)
    with Envoy(bootstrap, f"buckets-{request.param}", request.param) as envoy:
        yield Gateways(envoy, envoy.ports())


@pytest.mark.parametrize("split", SPLITS)
def test_a_user_is_served_by_the_bucket_modulo_the_sum(
    gateways: Gateways, split: str
) -> None:
    random = Random(split)
    for _ in range(USERS):
        user = f"{random.getrandbits(64):016x}"
        due = bucket.picked(bucket.of(user.encode(), SALT), SPLITS[split])
        cookie = ("cookie", f"bluegreen-id={user}")
        assert gateways.version(f"gateway-{split}", cookie) == due, user


@pytest.mark.parametrize("gateways", versions()[-1:], indirect=True)
def test_one_user_of_ten_thousand_is_served_by_another_version(
    gateways: Gateways,
) -> None:
    random = Random(0)
    users = [f"{random.getrandbits(64):016x}" for _ in range(RARE_USERS)]
    due = {
        user
        for user in users
        if bucket.picked(bucket.of(user.encode(), SALT), RARE) == "v2"
    }
    assert 10 < len(due) < 40, "this many by chance"
    requests = (asking(("cookie", f"bluegreen-id={user}")) for user in users)
    answers = client.http1_in_a_row(gateways.ports["gateway-rare"], requests)
    served = {
        user
        for user, answer in zip(users, answers, strict=True)
        if answer.body == b"v2"
    }
    assert served == due


@pytest.mark.parametrize("split", SPLITS)
def test_a_client_keeps_each_bucket_that_envoy_can_read(
    gateways: Gateways, split: str
) -> None:
    random = Random(split)
    bounds = [0, 1, 6, 7, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
    for number in [*bounds, *(random.getrandbits(64) for _ in range(50))]:
        due = bucket.picked(number, SPLITS[split])
        header = ("x-bluegreen-bucket", str(number))
        assert gateways.version(f"client-{split}", header) == due, number


def test_a_ramp_moves_each_user_once_and_the_same_ones_back(gateways: Gateways) -> None:
    random = Random(1)
    moved = 0
    for _ in range(60):
        cookie = ("cookie", f"bluegreen-id={random.getrandbits(64):016x}")
        way = [gateways.version(f"gateway-ramp-{weight}", cookie) for weight in RAMP]
        assert (way[0], way[-1]) == ("v1", "v2")
        assert len([1 for a, b in pairwise(way) if a != b]) == 1, (cookie, way)
        moved += way[3] == "v2"
    assert 10 < moved < 50, "about half of them at the half"
