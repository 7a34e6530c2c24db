"""What the API server says while rollouts run side by side."""

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import cluster
import programs
from cluster import ClusterError, Json
from kit import ports
from kit.ports import LOOPBACK


@contextmanager
def api() -> Iterator[None]:
    """Makes `read` work: kubectl signs what is asked, once for all of it.

    A dozen kubectl each second would take what the rollouts need.
    """
    [port] = ports.free(1)
    with programs.program(
        "kubectl", "proxy", f"--address={LOOPBACK}", f"--port={port}"
    ):
        cluster.until("kubectl proxy listens", lambda: ports.listens(port))
        _base.append(f"http://{LOOPBACK}:{port}")
        yield
        _base.clear()


_base: list[str] = []

GROUPS = {
    "analysisruns": "argoproj.io/v1alpha1",
    "canaries": "flagger.app/v1beta1",
    "deployments": "apps/v1",
    "experiments": "argoproj.io/v1alpha1",
    "rollouts": "argoproj.io/v1alpha1",
    "virtualservices": "networking.istio.io/v1",
}


class StoppedError(Exception):
    """Nobody waits for the outcome any more."""


# Set when the tests end, so that those who wait do not go on until their deadline.
stopped = threading.Event()


def go_on() -> None:
    """Ends what runs beside the tests, when they have ended."""
    if stopped.is_set():
        raise StoppedError


def read(namespace: str, kind: str, name: str = "") -> Json:
    """An object, or the list of all."""
    go_on()
    path = f"apis/{GROUPS[kind]}/namespaces/{namespace}/{kind}/{name}"
    url = f"{_base[0]}/{path.rstrip('/')}"
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)
    except OSError as error:
        raise ClusterError(f"{url}: {error}") from error
