"""The two controllers on the mesh under test, and rollouts that run side by side."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import apps
import cluster
import live
import programs
import pytest
import users
from cluster import ARGO, FLAGGER, GATEWAY, OUTBOUND, SYSTEM, Json
from drive import App
from kit import watching
from report import Proof

# For all rollouts together, in requests per second.
RATE = 240


@pytest.hookimpl(trylast=True)
def pytest_sessionstart() -> None:
    """The versions under test, below those of the cluster."""
    named = {"argo-rollouts": "Argo Rollouts", "flagger": "Flagger"}
    print(", ".join(f"{name} {programs.version(c)}" for c, name in named.items()))


@pytest.fixture(scope="session")
def mesh(labelled: None) -> Iterator[None]:
    """The filter on the mesh, and the controllers' kinds."""
    users.PACE = users.Pace(RATE)
    cluster.apply(cluster.INSTALL)
    with ExitStack() as later:
        later.enter_context(live.api())
        for controller in programs.MODULES:
            later.enter_context(programs.with_kinds(controller))
        gone = ("delete", "namespace", ARGO, FLAGGER, "--ignore-not-found")
        later.callback(cluster.kubectl, *gone, "--timeout=120s")
        later.callback(live.stopped.set)
        yield


def apply_beside(namespace: str, *objects: Json) -> None:
    """Applies applications beside an example's, whose namespace its README makes."""
    there = ("get", "namespace", namespace, "--ignore-not-found", "-o", "name")
    cluster.until(f"{namespace} is there", lambda: cluster.kubectl(*there))
    cluster.apply(apps.gateway(namespace), *objects)
    # It has no listener before there is a Gateway.
    cluster.until(
        "the filter runs at the gateway",
        lambda: cluster.wrong(SYSTEM, GATEWAY) == {OUTBOUND: 0},
    )


@pytest.fixture(scope="session")
def prometheus(mesh: None) -> Iterator[str]:
    """A Prometheus that scrapes the gateway; its address."""
    with watching.prometheus([SYSTEM]) as base:
        yield base


class Runs:
    """Rollouts that run side by side; each is told of when its turn comes."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._running: dict[str, tuple[App, Future[None]]] = {}

    def begin(self, app: App, scenario: Callable[[App], None]) -> None:
        """Begins one."""
        self._running[app.name] = app, self._pool.submit(scenario, app)

    def tell(self, name: str, proof: Proof) -> None:
        """Waits for one, and gives its rows to the table."""
        app, running = self._running[name]
        error = running.exception()
        for what, figure in app.proofs:
            proof(what, figure)
        if error:
            raise error


@pytest.fixture(scope="session")
def runs(mesh: None) -> Iterator[Runs]:
    """All rollouts of the session."""
    with ThreadPoolExecutor(20) as pool:
        yield Runs(pool)
        live.stopped.set()
