"""The mesh under test, the table of what was proved, and the logs of a failure."""

from collections.abc import Iterator

import cluster
import pytest
import report
import watching
from cluster import FILTER, GATEWAY, NAMESPACE, SYSTEM
from report import Proof

LOG_LINES = 10
LOG_WIDTH = 200

INSECURE = "WASM_INSECURE_REGISTRIES"

# Answers that nobody complains of, in a proxy's log.
SERVED = '" 200 - via_upstream '


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The walk-through comes first: it begins with an empty cluster."""
    items.sort(key=lambda item: "walkthrough" not in item.nodeid)


@pytest.fixture
def proof(request: pytest.FixtureRequest) -> Proof:
    """Says what was proved, and by which figure: a row of the table."""
    return report.about(request.module.__doc__.partition(":")[0])


@pytest.fixture(scope="session")
def empty() -> Iterator[None]:
    """A cluster with Istio, and our images in its registry; later as it was."""
    if why := cluster.missing():
        pytest.exit(why, returncode=2)
    mesh, gateway = cluster.mesh_config(), cluster.gateway_template()
    cluster.copy_files()
    cluster.push_images()
    yield
    remove()
    if cluster.mesh_config() != mesh:
        cluster.set_mesh_config(mesh)
    cluster.set_gateway_template(gateway)
    if left := cluster.ours():
        pytest.exit(f"left behind: {left}", returncode=1)


@pytest.fixture(scope="session")
def labelled(empty: None) -> None:
    """The counters' labels, from stat-tags/, and Envoy's metrics by cluster."""
    values = cluster.values(FILTER / "stat-tags/values.yaml")
    config = cluster.mesh_config()
    config["defaultConfig"] |= values["meshConfig"]["defaultConfig"]
    _, inclusion = watching.annotation()
    matcher = {"inclusionRegexps": [inclusion]}
    config["defaultConfig"]["proxyStatsMatcher"] = matcher
    port = cluster.registry().rpartition(":")[2]
    metadata = config["defaultConfig"].setdefault("proxyMetadata", {})
    insecure = [metadata.get(INSECURE, ""), f"{cluster.OWN_REGISTRY}:{port}"]
    metadata[INSECURE] = ",".join(filter(None, insecure))
    cluster.set_mesh_config(config)
    cluster.restart(SYSTEM, GATEWAY)


@pytest.fixture(scope="module")
def shop(labelled: None) -> None:
    """The shop at 70/30, and the filter on every proxy."""
    cluster.apply(*cluster.BASE, cluster.CALLER, cluster.virtual_service(70, 30))
    cluster.rolled_out(NAMESPACE, *cluster.DEPLOYMENTS)
    cluster.apply(*cluster.ROUTING, cluster.PLUGINS)
    cluster.wait_for_weights(70, 30)
    cluster.wait_for_filter()


def remove() -> None:
    """Takes back all that was applied."""
    cluster.delete(cluster.PLUGINS, cluster.EXTENSIONS, *cluster.ROUTING)
    namespace = ("namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s")
    cluster.kubectl("delete", *namespace)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Adds the last lines of the proxies' and istiod's logs to a failure."""
    outcome = yield
    result = outcome.get_result()
    if result.failed:
        asked = [(SYSTEM, "istiod"), (SYSTEM, GATEWAY)]
        asked += [(NAMESPACE, name) for name in cluster.DEPLOYMENTS]
        for namespace, name in asked:
            lines = [
                line[:LOG_WIDTH]
                for line in cluster.log(namespace, name).splitlines()
                if SERVED not in line
            ]
            text = "\n".join(lines[-LOG_LINES:])
            result.sections.append((f"{name}, last lines", text))


def pytest_terminal_summary() -> None:
    """Prints the table."""
    report.show()
