"""The mesh under test, the table of what was proved, and the logs of a failure."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import cluster
import pytest
import readme
from cluster import FILTER, GATEWAY, SYSTEM
from kit import watching
from readme import Shell
from report import Proof, Table
from users import ask

LOG_LINES = 10
LOG_WIDTH = 200

INSECURE = "WASM_INSECURE_REGISTRIES"

# Answers that nobody complains of, in a proxy's log.
SERVED = '" 200 - via_upstream '

# istiod tells of each push, and below an error all that was pushed.
COMPLAINT = re.compile(r"\S+\t(warn|error|fatal)\t")


TABLE = Table()


def pytest_sessionstart() -> None:
    """Says what is missing, before anything is built."""
    if why := cluster.missing():
        raise pytest.UsageError(why)
    print(cluster.about())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First what begins with an empty cluster, then with one without the filter."""
    first = ("test_walkthrough", "test_pages")
    items.sort(key=lambda item: [name not in item.nodeid for name in first])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A heading for each module: the beginning of what it says about itself."""
    assert isinstance(item, pytest.Function)
    TABLE.heading(str(item.module.__doc__).partition(":")[0])


@pytest.fixture
def proof() -> Proof:
    """Says what was proved, and by which figure: a row of the table."""
    return TABLE.proof


@pytest.fixture(scope="session")
def empty() -> Iterator[None]:
    """A cluster with Istio, and our images in its registry; later as it was."""
    mesh, gateway = cluster.mesh_config(), cluster.gateway_template()
    cluster.copy_files()
    cluster.push_images()
    # From the last to the first, each of them though one before it failed.
    with ExitStack() as later:
        later.callback(cluster.set_gateway_template, gateway)
        later.callback(cluster.set_mesh_config, mesh)
        later.callback(remove)
        yield
        TABLE.heading("Clean-up")
    left = cluster.ours()
    assert not left, f"left behind: {left}"
    assert cluster.mesh_config() == mesh
    TABLE.proof("objects of ours left on the cluster", 0)


@pytest.fixture
def shell(empty: None, tmp_path: Path) -> Iterator[Shell]:
    """A shell in a copy of the project, on a machine that knows our hosts."""
    with readme.typing(tmp_path) as shell:
        yield shell


@pytest.fixture(scope="session")
def labelled(empty: None) -> None:
    """The counters' labels, from stat-tags/, Envoy's metrics by cluster, short drains."""
    if cluster.ours():
        # A walk-through that failed left it, with proxies that know nothing of labels.
        remove()
    values = cluster.values(FILTER / "stat-tags/values.yaml")
    config = cluster.mesh_config()
    config["defaultConfig"] |= values["meshConfig"]["defaultConfig"]
    _, inclusion = watching.annotation()
    matcher = {"inclusionRegexps": [inclusion]}
    config["defaultConfig"]["proxyStatsMatcher"] = matcher
    # Istio's default is 45 seconds, and many tests wait until old filters are gone.
    config["defaultConfig"]["drainDuration"] = "5s"
    port = cluster.registry().rpartition(":")[2]
    metadata = config["defaultConfig"].setdefault("proxyMetadata", {})
    insecure = [metadata.get(INSECURE, ""), f"{cluster.OWN_REGISTRY}:{port}"]
    metadata[INSECURE] = ",".join(filter(None, insecure))
    cluster.set_mesh_config(config)
    cluster.restart(SYSTEM, GATEWAY)


@pytest.fixture(scope="module")
def example(labelled: None) -> str:
    """The shop at 70/30 and the other applications; what kubectl says to them."""
    said = cluster.apply(*cluster.BASE, cluster.virtual_service(70, 30))
    if changes(said):
        for namespace, name in cluster.PROXIES:
            cluster.rolled_out(namespace, name)
    return said


@pytest.fixture(scope="module")
def shop(example: str) -> None:
    """The shop at 70/30, and the filter on every proxy."""
    said = cluster.apply(cluster.INSTALL)
    # Each test waits for what it takes back.
    if changes(example) or changes(said):
        cluster.wait_for_weights(70, 30)
        cluster.wait_for_filter()


@pytest.fixture(scope="module")
def many(shop: None) -> Iterator[None]:
    """Three versions in a namespace of their own, and their hosts at the gateway."""
    # That of an earlier module may still be about to go.
    gone = ("--for=delete", f"namespace/{cluster.MANY}", "--timeout=90s")
    cluster.kubectl("wait", *gone)
    cluster.apply(cluster.APPS / "many.yaml", *cluster.versions("near"))
    cluster.wait_for_pods(cluster.MANY)
    cluster.until(
        "each version answers",
        lambda: all(
            ask("/", "three.example", x_version_pin=version).tags == [version]
            for version in cluster.THREE
        ),
    )
    yield
    cluster.kubectl("delete", "namespace", cluster.MANY, "--wait=false")


@pytest.fixture
def own_settings(shop: None) -> Iterator[Callable[[str, cluster.Json], None]]:
    """Adds settings to the plugin that is there, each by an owner of its own."""

    def add(key: str, settings: cluster.Json) -> None:
        outbound = {
            "apiVersion": "extensions.istio.io/v1alpha1",
            "kind": "WasmPlugin",
            "metadata": {"name": "bluegreen-outbound", "namespace": SYSTEM},
            "spec": {"pluginConfig": {"rollouts": {key: settings}}},
        }
        server_side = ("apply", "--server-side", f"--field-manager={key}", "-f", "-")
        cluster.kubectl(*server_side, text=json.dumps(outbound))

    yield add
    remove = {"spec": {"pluginConfig": {"rollouts": None}}}
    patch = ("patch", "wasmplugin", "bluegreen-outbound", "--type=merge", "-p")
    cluster.kubectl("-n", SYSTEM, *patch, json.dumps(remove))
    filters = "config_dump?resource=ecds_filters"
    cluster.until(
        "the settings are gone",
        lambda: "rollouts" not in cluster.admin(SYSTEM, GATEWAY, filters),
    )
    [outbound, _] = cluster.documents(cluster.PLUGINS)
    there = cluster.get("-n", SYSTEM, "wasmplugin", "bluegreen-outbound")
    assert there["spec"] == outbound["spec"]


@pytest.fixture
def own_registry(shop: None) -> Iterator[Callable[[bool], None]]:
    """The plugins from a registry that can be down: a Service that leads to ours."""
    host, _, port = cluster.registry().rpartition(":")
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "registry", "namespace": cluster.NAMESPACE},
        "spec": {"ports": [{"name": "tcp", "port": int(port)}]},
    }
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "registry",
            "namespace": cluster.NAMESPACE,
            "labels": {"kubernetes.io/service-name": "registry"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host]}],
        "ports": [{"name": "tcp", "port": int(port)}],
    }

    def answers() -> bool:
        curl = ("curl", "-sf", f"http://{cluster.OWN_REGISTRY}:{port}/v2/")
        target = ("-n", SYSTEM, f"deployment/{GATEWAY}")
        return "{}" in cluster.kubectl("exec", *target, "--", *curl, check=False)

    def is_up(up: bool) -> None:
        if up:
            cluster.apply(slice_)
        else:
            cluster.kubectl(
                "-n", cluster.NAMESPACE, "delete", "endpointslice", "registry"
            )
        cluster.until(f"the registry is up: {up}", lambda: answers() == up)

    cluster.apply(service)
    is_up(True)
    objects = cluster.documents(cluster.PLUGINS)
    for each in objects:
        url = each["spec"]["url"]
        own = f"{cluster.OWN_REGISTRY}:{port}"
        each["spec"]["url"] = re.sub(r"//[^/]*/", f"//{own}/", url)
    cluster.apply(*objects)
    cluster.wait_for_log(SYSTEM, GATEWAY, cluster.OWN_REGISTRY)
    cluster.until("the filter runs", lambda: ask().all("set-cookie"))
    yield is_up
    cluster.kubectl(
        "-n", SYSTEM, "annotate", "wasmplugin", "-l", "app=bluegreen", "fetch-"
    )
    cluster.apply(cluster.PLUGINS)
    cluster.wait_for_filter()


def changes(said: str) -> bool:
    """Whether kubectl says that it changed anything."""
    return any(not line.endswith(" unchanged") for line in said.splitlines())


def remove() -> None:
    """Takes back all that was applied."""
    try:
        cluster.delete(cluster.PLUGINS, cluster.EXTENSIONS, *cluster.ROUTING)
    finally:
        words = ("namespace", *cluster.NAMESPACES, "--ignore-not-found")
        cluster.kubectl("delete", *words, "--timeout=120s")


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """No letter for each test: the table tells of them."""
    if report.failed:
        failed, error = ("failed", "", "FAILED"), ("error", "", "ERROR")
        return failed if report.when == "call" else error
    return ("passed", "", "") if report.when == "call" else ("", "", "")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A row for a test that failed."""
    if report.failed:
        TABLE.row(f"{report.head_line}: failed, see below", mark="✘")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Adds the last lines of the proxies' and istiod's logs to a failure."""
    outcome = yield
    result = outcome.get_result()
    if result.failed:
        for namespace, name in [(SYSTEM, "istiod"), *cluster.PROXIES]:
            lines = [
                line[:LOG_WIDTH]
                for line in cluster.log(namespace, name).splitlines()
                if (COMPLAINT.match(line) if name == "istiod" else SERVED not in line)
            ]
            text = "\n".join(lines[-LOG_LINES:])
            result.sections.append((f"{name}, last lines", text))


def pytest_terminal_summary() -> None:
    """How much it was."""
    print(f"\n{TABLE.proofs} proofs in {TABLE.elapsed} minutes")
