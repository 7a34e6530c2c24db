"""Programs of others as processes on this machine: API servers, and the controllers,
unchanged.
"""

import json
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import cluster
from cluster import ClusterError, Json, run
from kit import ports
from kit.envoy import ROOT, die_with_parent
from kit.ports import LOOPBACK

WRAPPERS = ROOT / "tests/e2e/controllers"
LOGS = ROOT / "target/logs"

# What the Go runtime keeps to, and beyond which a process is given no address space: a
# program that runs away ends itself, and not the machine. (Two routes of one name would
# have Argo Rollouts write without end.)
MEMORY = "512MiB"
ADDRESS_SPACE = 4 * 2**30

STOP_SECONDS = 10
# How much of its log is shown, in bytes, when a program has ended by itself.
LAST = 2000

Before = Callable[[], None]


def limited() -> None:
    """In the child: ends with this process, and gets no more memory than this."""
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


@contextmanager
def program(
    name: str, *arguments: str | Path, log: str = "", before: Before = limited
) -> Iterator[None]:
    """Runs a program of PATH until the block ends; `log` is the name of its log.

    `before` runs in the child first. The program has a session of its own: at Ctrl-C it
    lives on until what it drives is taken back.
    """
    path = shutil.which(name)
    if not path:
        raise ClusterError(f"no {name} in PATH")
    LOGS.mkdir(parents=True, exist_ok=True)
    file = LOGS / f"{log or f'e2e-{name}'}.log"
    with file.open("wb") as output:
        process = subprocess.Popen(
            [path, *map(str, arguments)],
            env={**os.environ, "GOMEMLIMIT": MEMORY},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=before,  # noqa: PLW1509 (system calls only)
        )
    try:
        yield
    finally:
        ended = process.poll()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if ended is not None:
            last = file.read_text(errors="replace")[-LAST:]
            raise ClusterError(f"{name} ended by itself, with {ended}:\n{last}")


# ------------------------------------------------------------------ the controllers

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


@contextmanager
def argo_rollouts(namespace: str) -> Iterator[None]:
    """Argo Rollouts, for one namespace."""
    metrics, health = ports.free(2)
    with program(
        "argo-rollouts",
        *("--namespaced", "--namespace", namespace, "--leader-elect=false"),
        *(f"--metricsPort={metrics}", f"--healthzPort={health}"),
    ):
        yield


@contextmanager
def flagger(
    namespace: str,
    prometheus: str,
    provider: str = "istio",
    kubeconfig: Path | None = None,
) -> Iterator[None]:
    """Flagger, for one namespace; by the API server of KUBECONFIG, or of another file."""
    [port] = ports.free(1)
    with program(
        "flagger",
        *("-kubeconfig", kubeconfig or os.environ["KUBECONFIG"]),
        *("-namespace", namespace),
        *("-mesh-provider", provider, "-metrics-server", prometheus),
        *("-control-loop-interval", "1s", "-port", str(port)),
    ):
        yield


@contextmanager
def loadtester() -> Iterator[str]:
    """Flagger's load tester, which answers its webhooks; gives its address."""
    [port] = ports.free(1)
    with program("flagger-loadtester", "-port", str(port)):
        cluster.until("the load tester listens", lambda: ports.listens(port))
        yield f"http://{LOOPBACK}:{port}"


@contextmanager
def with_kinds(controller: str) -> Iterator[None]:
    """A controller's kinds on the API server; what was there before stays."""
    before = cluster.kubectl("get", "crd", "-o", "name").splitlines()
    files = [word for file in kinds(controller) for word in ("-f", file)]
    said = cluster.kubectl("apply", "--server-side", *files)
    names = [line.split()[0] for line in said.splitlines()]
    new = [name for name in names if name not in before]
    try:
        established = ("wait", "--for=condition=Established", *names)
        cluster.kubectl(*established, f"--timeout={cluster.SECONDS}s")
        yield
    finally:
        if new:
            cluster.kubectl("delete", "--ignore-not-found", *new)
