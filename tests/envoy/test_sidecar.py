"""Both listeners of one sidecar at once, with one configuration for the mesh."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from kit import bucket, client, envoy_filter, istio
from kit.envoy import Envoy, module, versions
from kit.upstream import Headers, Upstream

NODE = "sidecar~10.0.0.1~front-1.shop~shop.svc.cluster.local"
VERSIONS = ("blue", "green")
WEIGHTS = dict.fromkeys(VERSIONS, 50)
REQUESTS = 200


@pytest.fixture(params=versions())
def sidecar(request: pytest.FixtureRequest) -> Iterator[Envoy]:
    """The sidecar of a green pod that calls a service in two versions."""
    with ExitStack() as stack:
        names = ("own", *VERSIONS)
        apps = {name: stack.enter_context(Upstream(name)) for name in names}
        own = istio.cluster("inbound|8080||", apps["own"].port)
        callees = {name: istio.subset_cluster(name) for name in VERSIONS}
        clusters = [istio.cluster(c, apps[name].port) for name, c in callees.items()]

        plugin = istio.plugin(istio.wasm(module(), {}))
        inbound = [istio.route("default", {"route": {"cluster": own["name"]}})]
        outbound = [
            *istio.pin_routes("x-version-pin", callees),
            istio.weighted_route(dict.fromkeys(callees.values(), 50)),
        ]
        listeners = [
            istio.listener("inbound", "inbound", inbound, [plugin]),
            envoy_filter.listener(
                istio.listener("outbound", "outbound", outbound, [plugin]),
                envoy_filter.SIDECAR,
            ),
        ]
        labels = {"version": "green"}
        bootstrap = istio.bootstrap(NODE, labels, listeners, [own, *clusters])
        name = f"sidecar-{request.param}"
        yield stack.enter_context(Envoy(bootstrap, name, request.param))


def ask(envoy: Envoy, listener: str, headers: dict[str, str]) -> client.Response:
    """A request to one side of the sidecar."""
    request: Headers = [(":method", b"GET"), (":path", b"/")]
    fields = {":authority": "stock"} | headers
    request += [(name, value.encode()) for name, value in fields.items()]
    return client.http1(envoy.port(listener), request)


def counts(envoy: Envoy) -> dict[str, int]:
    """The filter's counters that are not 0."""
    return {name: n for name, n in envoy.stats("bluegreen").items() if n}


def responses(version: str, source: str) -> str:
    """The name of a counter of responses."""
    labels = {"rollout": "shop.shop", "version": version, "source": source}
    labels["code"] = "2xx"
    told = "".join(f"bg_{name}=.={value};.;" for name, value in labels.items())
    return f"wasmcustom.{told}bluegreen_responses_total"


def test_each_side_plays_its_own_part(sidecar: Envoy) -> None:
    def both(number: int) -> None:
        due = bucket.picked(number, WEIGHTS).encode()
        answer = ask(sidecar, "outbound", {"x-bluegreen-bucket": str(number)})
        assert dict(answer.headers)["x-served-version"] == due
        assert answer.body == due
        answer = ask(sidecar, "inbound", {"x-bluegreen-bucket": str(number)})
        assert dict(answer.headers)["x-served-version"] == b"green", "its own label"
        assert answer.body == b"own"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(both, range(REQUESTS)))

    half = REQUESTS // 2
    expected = {responses(version, "bucket-header"): half for version in VERSIONS}
    assert counts(sidecar) == expected


def test_a_pin_is_routed_outside_and_left_alone_inside(sidecar: Envoy) -> None:
    answer = ask(sidecar, "outbound", {"x-version-pin": "blue"})
    assert answer.body == b"blue"
    headers = dict(ask(sidecar, "inbound", {"x-version-pin": "blue"}).headers)
    assert headers["x-served-version"] == b"green", "its own label"
    assert "cache-control" not in headers
    assert counts(sidecar) == {responses("blue", "pin-header"): 1}


def test_all_names_of_a_service_deal_its_users_alike(sidecar: Envoy) -> None:
    names = ["stock", "stock.shop:80", "stock.shop.svc", "stock.shop.svc.cluster.local"]
    for user in range(20):
        identity = f"{user:016x}"
        due = bucket.picked(bucket.of(identity.encode(), b"stock.shop"), WEIGHTS)
        for name in names:
            headers = {":authority": name, "cookie": f"bluegreen-id={identity}"}
            assert ask(sidecar, "outbound", headers).body == due.encode(), name
