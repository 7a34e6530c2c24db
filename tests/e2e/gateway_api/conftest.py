"""The Gateway API on the cluster, and the store behind a Gateway of it."""

from collections.abc import Iterator
from contextlib import ExitStack

import cluster
import pytest
import store
from crds import HTTP_ROUTE, STANDARD, crds


@pytest.fixture(scope="session")
def gateway_api(labelled: None) -> Iterator[None]:
    """The CRDs of the Gateway API, as istiod serves them; later as it was."""
    with ExitStack() as later:
        if HTTP_ROUTE not in cluster.kubectl("get", "crd", "-o", "name"):
            later.callback(cluster.kubectl, "delete", *crds(STANDARD))
            cluster.kubectl("apply", "--server-side", *crds(STANDARD))
            # One that has seen these kinds come and go does not make its classes again.
            cluster.restart(cluster.SYSTEM, "istiod")
        later.callback(remove_store)
        cluster.until(
            "istiod has its GatewayClass",
            lambda: cluster.get("gatewayclass", "istio")["status"]["conditions"],
        )
        yield


def remove_store() -> None:
    """Takes back what is the store's, and what was applied for it."""
    for file in sorted(store.NAMED.glob("*.yaml")):
        if file.name != "naming.yaml":
            cluster.delete(file)
    gone = ("namespace", store.NAMESPACE, "--ignore-not-found", "--timeout=120s")
    cluster.kubectl("delete", *gone)


@pytest.fixture(scope="session")
def application(gateway_api: None) -> None:
    """The two versions of the store, and its Gateway; no routes, and no filter."""
    for name in ("gateway.yaml", "callers.yaml"):
        # As its head says.
        file = store.NAMED / name
        file.write_text(file.read_text().replace("myapp", store.NAMESPACE))
    cluster.apply(*sorted((store.EXAMPLE / "k8s").iterdir()))
    [gateway] = cluster.documents(store.EXAMPLE / "gateway.yaml")
    cluster.apply(store.within_the_cluster(gateway))
    store.programmed("store")
    cluster.rolled_out(store.NAMESPACE, *store.BACKENDS.values(), store.GATEWAY)


@pytest.fixture(scope="module")
def at_gateway(application: None, shop: None) -> None:
    """The store at 70/30 behind its Gateway, beside the shop behind a classic one."""
    for name in ("admission.yaml", "gateway.yaml"):
        cluster.apply(store.NAMED / name)
    cluster.apply(store.EXAMPLE / "routes/versions.yaml")
    store.shift(70, 30)
    cluster.until(
        "the filter runs on the Gateway",
        lambda: cluster.wrong(store.NAMESPACE, store.GATEWAY).get(store.PLUGIN) == 0,
    )
    [user] = store.users(1)
    cluster.until("a new user gets a cookie", lambda: user.ask().all("set-cookie"))
