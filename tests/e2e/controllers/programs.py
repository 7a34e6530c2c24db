"""The controllers, unchanged, as processes on this machine; and what they ask for."""

import json
import os
import resource
import shutil
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cluster
from cluster import ClusterError, Json, run
from kit import ports
from kit.envoy import ROOT, die_with_parent
from kit.ports import LOOPBACK

WRAPPERS = ROOT / "tests/e2e/controllers"
LOGS = ROOT / "target/logs"

# Two routes of one name would have Argo Rollouts write without end, and take all of the
# machine's memory: so a limit to what it may ask for, which is more than it ever needs.
ADDRESS_SPACE = 4 * 2**30
MEMORY = "512MiB"

STOP_SECONDS = 10

# Of each controller's module: where it has its kinds.
MODULES = {
    "argo-rollouts": ("github.com/argoproj/argo-rollouts", "manifests/crds/*-crd.yaml"),
    "flagger": ("github.com/fluxcd/flagger", "artifacts/flagger/crd.yaml"),
}


def version(controller: str) -> str:
    """The version of a controller's module."""
    return _module(controller)["Version"]


def kinds(controller: str) -> list[Path]:
    """The files with a controller's kinds, in its module as Go downloaded it."""
    folder = Path(_module(controller)["Dir"])
    found = sorted(folder.glob(MODULES[controller][1]))
    assert found, folder
    return found


@cache
def _module(controller: str) -> Json:
    folder = f"-C={WRAPPERS / controller}"
    return json.loads(run("go", "list", folder, "-m", "-json", MODULES[controller][0]))


def _limited() -> None:
    """In the child: ends with this process, and gets no more memory than this."""
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


@contextmanager
def program(name: str, *arguments: str, **variables: str) -> Iterator[Path]:
    """Runs a program until the block ends; gives its log.

    In a session of its own: at Ctrl-C it lives on until what it drives is taken back.
    """
    path = shutil.which(name)
    if not path:
        raise ClusterError(f"no {name} on this machine")
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"e2e-{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [path, *arguments],
            env={**os.environ, "GOMEMLIMIT": MEMORY, **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_limited,  # noqa: PLW1509 (two system calls)
        )
    try:
        yield log
        if process.poll() is not None:
            raise ClusterError(f"{name} ended by itself: {log}")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def argo_rollouts(namespace: str) -> Iterator[Path]:
    """Argo Rollouts, for one namespace."""
    metrics, health = ports.free(2)
    with program(
        "argo-rollouts",
        *("--namespaced", "--namespace", namespace, "--leader-elect=false"),
        *(f"--metricsPort={metrics}", f"--healthzPort={health}"),
    ) as log:
        yield log


@contextmanager
def flagger(namespace: str, prometheus: str) -> Iterator[Path]:
    """Flagger, for one namespace."""
    [port] = ports.free(1)
    with program(
        "flagger",
        *("-kubeconfig", os.environ["KUBECONFIG"], "-namespace", namespace),
        *("-mesh-provider", "istio", "-metrics-server", prometheus),
        *("-control-loop-interval", "1s", "-port", str(port)),
    ) as log:
        yield log


@contextmanager
def loadtester() -> Iterator[str]:
    """Flagger's load tester, which answers its webhooks; gives its address."""
    [port] = ports.free(1)
    with program("flagger-loadtester", "-port", str(port)):
        cluster.until("the load tester listens", lambda: ports.listens(port))
        yield f"http://{LOOPBACK}:{port}"


# ------------------------------------------------------------------ the API server


@contextmanager
def api() -> Iterator[None]:
    """Makes `read` work: kubectl signs what is asked, once for all of it.

    A dozen kubectl each second would take what the rollouts need.
    """
    [port] = ports.free(1)
    with program("kubectl", "proxy", f"--address={LOOPBACK}", f"--port={port}"):
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


# --------------------------------------------------------------------------- gates


class Gates:
    """What Flagger asks before a step: closed until somebody opens them.

    A gate is APP/NAME. That of a step lets one through, and is closed again.
    """

    def __init__(self) -> None:
        self._open: set[str] = set()
        self._lock = threading.Lock()
        gates = self

        class Gate(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.send_response(200 if gates.passes(self.path[1:]) else 403)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Flagger's own log has it."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Gate)
        self.address = f"http://{LOOPBACK}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def open(self, gate: str) -> None:
        """Opens one."""
        with self._lock:
            self._open.add(gate)

    def close(self, gate: str) -> None:
        """Closes it."""
        with self._lock:
            self._open.discard(gate)

    def passes(self, gate: str) -> bool:
        """Whether it is open; that of a step is closed then."""
        with self._lock:
            is_open = gate in self._open
            if gate.endswith("/step"):
                self._open.discard(gate)
            return is_open

    def end(self) -> None:
        """No further answer."""
        self._server.shutdown()
        self._server.server_close()


def apply_kinds(controller: str) -> None:
    """Applies a controller's kinds, and waits until the API server has them."""
    said = cluster.kubectl("apply", "--server-side", *_files(controller))
    names = [line.split()[0] for line in said.splitlines()]
    established = ("wait", "--for=condition=Established", *names)
    cluster.kubectl(*established, f"--timeout={cluster.SECONDS}s")


def remove_kinds(controller: str) -> None:
    """Takes them back, with all that is of them."""
    cluster.kubectl("delete", "--ignore-not-found", *_files(controller))


def _files(controller: str) -> list[str | Path]:
    return [word for file in kinds(controller) for word in ("-f", file)]
