"""TrafficExtension in place of WasmPlugin: the same again, by another name."""

from collections.abc import Iterator

import cluster
import pytest
import yaml
from callers import calls
from cluster import EXTENSIONS, FILTER, GATEWAY, OUTBOUND, PLUGINS, SYSTEM
from report import Proof
from test_install import REMOVES, all_filters, filters
from test_sticky import check_split
from users import User, all_ask, ask

USERS = 100
TIMES = 5
NAMES = "extensions.istio.io/"

pytestmark = pytest.mark.usefixtures("shop")


def named_by_routes() -> set[str]:
    """Istio's names for the filter of the plugin, old and new, that are switched off."""
    [envoy_filter] = yaml.safe_load_all((FILTER / "envoy-filter.yaml").read_text())
    [first, *_] = envoy_filter["spec"]["configPatches"]
    return set(first["patch"]["value"]["typed_per_filter_config"])


def runs_as() -> str:
    """The name that Istio gave the filter at the gateway."""
    listeners = list(all_filters(SYSTEM, GATEWAY))
    [name] = {n for _, names in listeners for n in names if n.startswith(NAMES)}
    return name


@pytest.fixture(scope="module")
def as_plugin(shop: None) -> str:
    """The filter's name as a WasmPlugin."""
    return runs_as()


@pytest.fixture(scope="module", autouse=True)
def extensions(as_plugin: str) -> Iterator[None]:
    """The plugins' file replaced by the other."""
    cluster.delete(PLUGINS)
    cluster.wait_for_filter(there=False)
    cluster.apply(EXTENSIONS)
    cluster.wait_for_filter()
    yield
    cluster.delete(EXTENSIONS)
    cluster.apply(PLUGINS)
    cluster.wait_for_filter()


def test_once_on_the_gateway_by_a_new_name(as_plugin: str, proof: Proof) -> None:
    # Those of WasmPlugins that were deleted would stand beside it.
    assert filters(SYSTEM, GATEWAY) == {("OUTBOUND", REMOVES, OUTBOUND)}
    proof("on each listener of the gateway", "outbound, once")
    names = named_by_routes()
    here = {as_plugin, runs_as()}
    assert len(here) == 2
    assert here < names
    proof("Istio's names for the filter that routes switch, in use here", len(here))
    # The routes were taken with the names of other Istios, which no filter has here.
    assert cluster.by_bucket(SYSTEM, GATEWAY)
    proof("names of older Istios beside them, which do no harm", len(names - here))


def test_the_labelled_pod_tags(proof: Proof) -> None:
    tags = [answer.tags for answer in calls("http://plain/", *[""] * TIMES)]
    assert tags == [["v2"]] * TIMES
    proof("tagged by the labelled pod, inside the mesh", TIMES)


def test_sticky_and_tagged(proof: Proof) -> None:
    users = [User() for _ in range(USERS)]
    all_ask(users, TIMES)
    check_split(users, "cookie", proof)
    assert ask(x_version_pin="green").tags == ["green"]
    proof("pinned requests on their version", 1)


def test_others_are_left_alone(proof: Proof) -> None:
    for answer in [ask("/", cluster.DOCS_HOST), *calls("http://bare.docs/", "")]:
        assert answer.tags == ["docs"]
        assert answer.all(cluster.ROUTE_HEADER) == ["docs"]
    proof("responses of an application outside, touched", 0)
