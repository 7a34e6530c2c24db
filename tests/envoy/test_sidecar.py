"""Both listeners of one sidecar at once, with one configuration for the mesh."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from kit import client, istio
from kit.envoy import Envoy, module, versions
from kit.upstream import Headers, Upstream

NODE = "sidecar~10.0.0.1~front.shop~shop.svc.cluster.local"
CONFIG = {"rollouts": [{"name": "myapp", "versions": ["blue", "green"]}]}
REQUESTS = 200


@pytest.fixture(params=versions())
def sidecar(request: pytest.FixtureRequest) -> Iterator[Envoy]:
    """The sidecar of a green pod that calls a service in two versions."""
    with ExitStack() as stack:
        names = ("own", "blue", "green")
        apps = {name: stack.enter_context(Upstream(name)) for name in names}
        own = istio.cluster("inbound|8080||", apps["own"].port)
        versions = {name: istio.subset_cluster(name) for name in ("blue", "green")}
        clusters = [istio.cluster(c, apps[name].port) for name, c in versions.items()]

        plugin = istio.plugin(istio.wasm(module(), CONFIG))
        inbound = [{"match": {"prefix": "/"}, "route": {"cluster": own["name"]}}]
        outbound = [
            *(istio.pin_route("x-version-pin", v, c) for v, c in versions.items()),
            istio.weighted_route(
                dict.fromkeys(versions.values(), 50), "x-bluegreen-bucket"
            ),
        ]
        listeners = [
            istio.listener("inbound", "inbound", inbound, plugin),
            istio.listener("outbound", "outbound", outbound, plugin),
        ]
        labels = {"version": "green"}
        bootstrap = istio.bootstrap(NODE, labels, listeners, [own, *clusters])
        name = f"sidecar-{request.param}"
        yield stack.enter_context(Envoy(bootstrap, name, request.param))


def ask(envoy: Envoy, listener: str, headers: dict[str, str]) -> client.Response:
    """A request to one side of the sidecar."""
    request: Headers = [(":method", b"GET"), (":path", b"/"), (":authority", b"shop")]
    request += [(name, value.encode()) for name, value in headers.items()]
    return client.http1(envoy.port(listener), request)


def test_each_side_plays_its_own_part(sidecar: Envoy) -> None:
    def both(number: int) -> None:
        bucket = number % 100
        due = b"green" if bucket >= 50 else b"blue"
        answer = ask(sidecar, "outbound", {"x-bluegreen-bucket": str(bucket)})
        assert dict(answer.headers)["x-served-version"] == due
        assert answer.body == due
        answer = ask(sidecar, "inbound", {"x-bluegreen-bucket": str(bucket)})
        assert dict(answer.headers)["x-served-version"] == b"green", "its own label"
        assert answer.body == b"own"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(both, range(REQUESTS)))

    counts = {name: n for name, n in sidecar.stats("bluegreen").items() if n}
    responses = "wasmcustom.bg_rollout=.=myapp;.;bg_version=.={};.;"
    responses += "bg_source=.=bucket-header;.;bluegreen_responses_total"
    half = REQUESTS // 2
    assert counts == {responses.format(v): half for v in ("blue", "green")}


def test_a_pin_is_routed_outside_and_counted_inside(sidecar: Envoy) -> None:
    assert ask(sidecar, "outbound", {"x-version-pin": "blue"}).body == b"blue"
    ask(sidecar, "inbound", {"x-version-pin": "blue"})
    ask(sidecar, "inbound", {"x-version-pin": "green"})
    misrouted = "wasmcustom.bg_reason=.=misrouted;.;bluegreen_rejected_total"
    assert sidecar.stats("misrouted") == {misrouted: 1}
