"""Two gateways in a row, each with a rollout: no user flips, and there is one cookie."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from kit import client, envoy_filter, istio, ports
from kit.envoy import Envoy, address, module, versions
from kit.istio import Json
from kit.scenario import all_of
from kit.upstream import Headers

USERS = 60
OUTER = "edge.edge.svc.cluster.local"


def gateway(name: str, clusters: list[str], rollout: str, port: int) -> Json:
    """A gateway's listener at 50/50, as shipped."""
    plugin = istio.plugin(istio.wasm(module(), {}))
    route = istio.weighted_route(dict.fromkeys(clusters, 50), rollout=rollout)
    listener = istio.listener(name, "outbound", [route], [plugin])
    listener["address"] = address(port)
    return envoy_filter.listener(listener, envoy_filter.GATEWAY)


@pytest.fixture(params=versions())
def outer(request: pytest.FixtureRequest) -> Iterator[Envoy]:
    """The gateway in front, whose versions all lead to the gateway behind it."""
    [behind, *apps] = ports.free(3)
    by_name = dict(zip(("blue", "green"), apps, strict=True))
    inner_clusters = {istio.subset_cluster(v): port for v, port in by_name.items()}
    outer_clusters = {istio.subset_cluster(v, OUTER): behind for v in by_name}
    with ExitStack() as stack:
        for name, clusters, rollout, port in [
            ("inner", inner_clusters, "shop.shop", behind),
            ("outer", outer_clusters, "edge.edge", 0),
        ]:
            listeners = [gateway(name, list(clusters), rollout, port)]
            if name == "inner":
                listeners += [istio.application(*app) for app in by_name.items()]
            bootstrap = istio.bootstrap(
                f"router~{name}",
                {},
                listeners,
                [istio.cluster(*cluster) for cluster in clusters.items()],
            )
            run = f"two-gateways-{name}-{request.param}"
            envoy = stack.enter_context(Envoy(bootstrap, run, request.param))
        yield envoy


def test_a_new_user_stays_where_the_first_request_was(outer: Envoy) -> None:
    port = outer.port("outer")

    def ask(*headers: tuple[str, bytes]) -> client.Response:
        request: Headers = [
            (":method", b"GET"),
            (":path", b"/"),
            (":authority", b"a.b"),
        ]
        return client.http1(port, [*request, *headers])

    versions = Counter()
    for _ in range(USERS):
        first = ask()
        [cookie] = all_of("set-cookie", first.headers)
        cookie = cookie.partition(b";")[0]
        for _ in range(2):
            again = ask(("cookie", cookie))
            assert again.body == first.body
            assert not all_of("set-cookie", again.headers)
            assert dict(again.headers)["x-served-version"] == again.body
        versions[first.body] += 1
    assert len(versions) == 2, versions
