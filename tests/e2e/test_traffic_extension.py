"""TrafficExtension in place of WasmPlugin: the same again."""

from collections.abc import Iterator

import cluster
import pytest
from cluster import EXTENSIONS, PLUGINS
from report import Proof
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


def test_sticky_and_tagged(proof: Proof) -> None:
    users = [User() for _ in range(USERS)]
    all_ask(users, TIMES)
    check_split(users, "cookie", proof)
    assert ask(x_version_pin="green").tags == ["green"]
    proof("pinned requests on their version", 1)
