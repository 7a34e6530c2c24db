"""TrafficExtension in place of WasmPlugin: the same again."""

from collections.abc import Iterator

import cluster
import pytest
from cluster import EXTENSIONS, GATEWAY, PLUGINS, SYSTEM
from report import Proof
from test_inside import calls
from test_install import OUTBOUND, filters
from test_sticky import check_split
from users import User, all_ask, ask

USERS = 100
TIMES = 5


@pytest.fixture(autouse=True)
def extensions(shop: None) -> Iterator[None]:
    """The plugins' file replaced by the other."""
    cluster.delete(PLUGINS)
    cluster.wait_for_filter(there=False)
    cluster.apply(EXTENSIONS)
    cluster.wait_for_filter()
    yield
    cluster.delete(EXTENSIONS)
    cluster.apply(PLUGINS)
    cluster.wait_for_filter()


def test_once_on_the_gateway(proof: Proof) -> None:
    # Those of WasmPlugins that were deleted would stand beside it.
    assert filters(SYSTEM, GATEWAY) == {("OUTBOUND", OUTBOUND)}
    proof("on each listener of the gateway", "outbound, once")


def test_the_servers_sidecar_tags(proof: Proof) -> None:
    # Where only the pod can know its version, as in test_inside.
    tags = [tag for tag, _ in calls("http://plain/", *[""] * TIMES)]
    assert tags == ["green"] * TIMES
    proof("tagged by the server's sidecar, inside the mesh", TIMES)


def test_sticky_and_tagged(proof: Proof) -> None:
    users = [User() for _ in range(USERS)]
    all_ask(users, TIMES)
    check_split(users, "cookie", proof)
    assert ask(x_version_pin="green").tags == ["green"]
    proof("pinned requests on their version", 1)
