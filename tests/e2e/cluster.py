"""The cluster of KUBECONFIG, and what users apply to it, as they would apply it."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from kit.envoy import ROOT

SYSTEM = "istio-system"
NAMESPACE = "shop"
GATEWAY = "istio-ingressgateway"
HOST = "shop.example"
FILES = ROOT / "target/e2e"

FILTER = FILES / "envoyfilter"
EXAMPLE = FILES / "examples/blue-green"
PLUGINS = FILTER / "plugins.yaml"
EXTENSIONS = FILTER / "traffic-extension/plugins.yaml"
CALLER = Path(__file__).parent / "caller.yaml"

# What users of the whole mesh apply, besides the plugins.
ROUTING = [FILTER / "envoy-filter.yaml", FILTER / "admission.yaml"]
BASE = [
    *(EXAMPLE / "k8s" / f"{name}.yaml" for name in ("namespace", "shop", "stock")),
    *(
        EXAMPLE / "istio" / f"{name}.yaml"
        for name in ("gateway", "destination-rules", "peer-authentication")
    ),
]

# Leads to the registry, while a test lets it.
OWN_REGISTRY = f"registry.{NAMESPACE}.svc.cluster.local"

VERSIONS = ("blue", "green")
DEPLOYMENTS = [
    *(f"{service}-{version}" for service in ("shop", "stock") for version in VERSIONS),
    "caller",
]

BUCKET_HEADER = "x-bluegreen-bucket"

SECONDS = 90
POLL_SECONDS = 0.25

Json = dict[str, Any]
T = TypeVar("T")


class ClusterError(Exception):
    """The cluster lacks something, refused something, or did not get there in time."""


def run(*command: str | Path, text: str | None = None, check: bool = True) -> str:
    """Runs a program to its end; gives what it printed, errors after the rest."""
    done = subprocess.run(
        [str(word) for word in command],
        check=False,
        input=text,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    if check and done.returncode:
        words = " ".join(map(str, command))
        raise ClusterError(f"$ {words}\n{done.stdout}{done.stderr}")
    return done.stdout if check else done.stdout + done.stderr


def kubectl(*command: str | Path, text: str | None = None, check: bool = True) -> str:
    """kubectl; `text` is its standard input."""
    return run("kubectl", *command, text=text, check=check)


def get(*command: str) -> Json:
    """What `kubectl get` finds."""
    return json.loads(kubectl("get", "-o", "json", *command))


def apply(*what: Path | Json) -> str:
    """Applies files, or documents."""
    texts = [
        each.read_text() if isinstance(each, Path) else yaml.safe_dump(each)
        for each in what
    ]
    return kubectl("apply", "-f", "-", text="\n---\n".join(texts))


def delete(*files: Path) -> None:
    """Deletes what stands in the files, where it is there."""
    named = [word for file in files for word in ("-f", file)]
    kubectl("delete", "--ignore-not-found", "--wait=false", *named)


def values(file: Path) -> Json:
    """The values for Istio's Helm chart in a file."""
    return yaml.safe_load(file.read_text())


def documents(file: Path) -> list[Json]:
    """The objects of a file, lists taken apart."""
    found = []
    for document in yaml.safe_load_all(file.read_text()):
        found += document["items"] if document["kind"] == "List" else [document]
    return found


def until(what: str, condition: Callable[[], T], seconds: float = SECONDS) -> T:
    """Waits for a condition; gives what made it true. An error is a no."""
    deadline = time.monotonic() + seconds
    while True:
        error = None
        try:
            if found := condition():
                return found
        except ClusterError as refused:
            error = refused
        if time.monotonic() > deadline:
            raise ClusterError(f"not within {seconds:.0f} seconds: {what}") from error
        time.sleep(POLL_SECONDS)


def missing() -> str | None:
    """Why no test can run; nothing if they can."""
    of = os.environ.get("KUBECONFIG")
    if not of:
        return paragraphs(
            "make e2e needs a cluster with Istio, and KUBECONFIG names none. It changes "
            "the whole mesh while it runs: filter, routes, mesh configuration, and the "
            "gateway, which it restarts. So it takes no cluster that it was not given, "
            "not the one of ~/.kube/config either.",
            "One for tests: export KUBECONFIG=FILE",
        )
    try:
        kubectl("version", "--request-timeout=10s")
    except ClusterError as error:
        return paragraphs(
            "make e2e needs a cluster with Istio, and none answers.",
            f"kubectl asked the one of {of} and says: {last_line(error)}",
            "Another: export KUBECONFIG=FILE",
        )
    for wanted in [
        ("customresourcedefinition", "wasmplugins.extensions.istio.io"),
        ("-n", SYSTEM, "deployment", "istiod"),
        ("-n", SYSTEM, "deployment", GATEWAY),
    ]:
        try:
            kubectl("get", *wanted)
        except ClusterError as error:
            return paragraphs(
                f"The cluster of {of} has no Istio with an ingress gateway, as "
                f"`istioctl install` makes it: {last_line(error)}"
            )
    if not gateway_address():
        return paragraphs(
            f"The Service {GATEWAY} has no address that users could call: its "
            "status.loadBalancer is empty."
        )
    if not registry():
        return paragraphs(
            "There is no registry for the images. REGISTRY=ADDRESS:PORT names one that this "
            "machine pushes to and the cluster pulls from."
        )
    if left := ours():
        return paragraphs(
            f"These are on the cluster already, and would be lost: {left}"
        )
    return None


def paragraphs(*texts: str) -> str:
    """Texts for people, each from a line of its own on, in 80 columns."""
    return "\n".join(textwrap.fill(text, 80) for text in texts)


def last_line(error: ClusterError) -> str:
    """What a program said last."""
    return str(error).strip().splitlines()[-1]


def about() -> str:
    """The versions under test, and the address."""
    kubernetes = json.loads(kubectl("version", "-o", "json"))["serverVersion"]
    image = get("-n", SYSTEM, "deployment", "istiod")["spec"]["template"]["spec"]
    istio = image["containers"][0]["image"].rpartition(":")[2]
    return (
        f"Kubernetes {kubernetes['gitVersion']}, Istio {istio}, "
        f"gateway at {gateway_address()}\n"
        "Beside each heading: minutes and seconds since the beginning."
    )


def ours() -> str:
    """The objects on the cluster that carry the names of our files."""
    kinds = (
        "wasmplugin,trafficextension,envoyfilter,namespace,"
        "validatingadmissionpolicy,validatingadmissionpolicybinding"
    )
    names = kubectl("get", kinds, "-A", "-o", "name").split()
    return " ".join(n for n in names if n.endswith(f"/{NAMESPACE}") or "bluegreen" in n)


@cache
def gateway_address() -> str:
    """The IP address that users call."""
    ingress = get("-n", SYSTEM, "service", GATEWAY)["status"]["loadBalancer"]
    return ingress.get("ingress", [{}])[0].get("ip", "")


@cache
def registry() -> str:
    """REGISTRY, else the one that proxies may fetch from over plain HTTP."""
    if named := os.environ.get("REGISTRY"):
        return named
    metadata = mesh_config().get("defaultConfig", {}).get("proxyMetadata", {})
    return metadata.get("WASM_INSECURE_REGISTRIES", "").split(",")[0]


def mesh_config() -> Json:
    """The mesh's configuration."""
    return yaml.safe_load(get("-n", SYSTEM, "configmap", "istio")["data"]["mesh"])


def set_mesh_config(config: Json) -> None:
    """Puts another in its place; proxies read it when they start."""
    if config == mesh_config():
        return
    data = {"data": {"mesh": yaml.safe_dump(config)}}
    patch = ("--type=merge", "--patch", json.dumps(data))
    kubectl("-n", SYSTEM, "patch", "configmap", "istio", *patch)


def gateway_template() -> Json:
    """What the gateway's pods are made from."""
    return get("-n", SYSTEM, "deployment", GATEWAY)["spec"]["template"]


def set_gateway_template(template: Json) -> None:
    """Puts another in its place."""
    patch = [{"op": "replace", "path": "/spec/template", "value": template}]
    words = ("--type=json", "--patch", json.dumps(patch))
    kubectl("-n", SYSTEM, "patch", "deployment", GATEWAY, *words)
    rolled_out(SYSTEM, GATEWAY)


def copy_files() -> None:
    """Copies what users apply to target/e2e, and fills in what they fill in."""
    shutil.rmtree(FILES, ignore_errors=True)
    for folder in ("envoyfilter", "examples/blue-green"):
        shutil.copytree(ROOT / folder, FILES / folder)
    for file in FILES.rglob("*.yaml"):
        text = file.read_text()
        text = text.replace("registry.example", registry())
        text = text.replace("image: shop:", f"image: {registry()}/shop:")
        # The two options of the plugins' file that the tests need.
        text = re.sub(r"# ((identity|pin): \{(header|query): .*\})", r"\1", text)
        file.write_text(text)


def push_images() -> None:
    """Builds the filter's and the application's images, and pushes them."""
    make = ("make", "--no-print-directory", "push", tls_verify())
    run(*make, f"IMAGE={registry()}/bluegreen:0.1.0")
    tls = "--tls-verify=" + tls_verify().partition("=")[2]
    for version in VERSIONS:
        image = f"{registry()}/shop:{version}"
        folder = ROOT / "examples/blue-green/app" / version
        run("buildah", "build", "--quiet", "--tag", image, folder)
        run("buildah", "push", "--quiet", tls, image)
        run("buildah", "rmi", image)


def push_another(tag: str) -> None:
    """Pushes a module that does the same, of other bytes: what Envoy knows one by."""
    folder = FILES / "another"
    folder.mkdir(exist_ok=True)
    module = folder / "bluegreen.wasm"
    module.write_bytes((ROOT / "target/bluegreen.wasm").read_bytes() + SECTION)
    image = ("--image", folder / "image")
    run(sys.executable, IMAGE / "build.py", "--module", module, *image)
    push = ("env", tls_verify(), sys.executable, IMAGE / "push.py", *image)
    run(*push, f"{registry()}/bluegreen:{tag}")


# What `make image` and `make push` run.
IMAGE = ROOT / "envoyfilter/image"

# A custom section of a module: its id, its size, and its name, which is all of it.
SECTION = b"\x00\x05\x04next"


def tls_verify() -> str:
    """For make and push.py: a registry that the mesh calls over plain HTTP."""
    return f"TLS_VERIFY={os.environ.get('TLS_VERIFY', 'false')}"


def virtual_service(blue: int, green: int) -> Path:
    """The file of one state of the ramp."""
    return EXAMPLE / f"istio/virtual-service-{blue}-{green}.yaml"


def shift(blue: int, green: int) -> None:
    """Applies one state of the ramp, and waits until every proxy has it."""
    apply(virtual_service(blue, green))
    wait_for_weights(blue, green)


def wait_for_weights(blue: int, green: int) -> None:
    """Waits until the gateway and the shop's sidecars route by these weights."""
    callers = [(SYSTEM, GATEWAY), *((NAMESPACE, f"shop-{v}") for v in VERSIONS)]
    wanted = {"blue": blue, "green": green}
    wanted = {version: weight for version, weight in wanted.items() if weight}
    for namespace, deployment in callers:
        until(
            f"{deployment} routes by {wanted}",
            lambda n=namespace, d=deployment: routed(n, d) == [wanted],
        )


def routed(namespace: str, deployment: str) -> list[dict[str, int]]:
    """The different weights by subset of a proxy's routes named `bluegreen`."""
    found: list[dict[str, int]] = []
    for each in _routes(admin(namespace, deployment, "config_dump")):
        clusters = each.get("weighted_clusters", {}).get("clusters", [])
        weights = {c["name"].split("|")[2]: c["weight"] for c in clusters}
        weights = {version: weight for version, weight in weights.items() if weight}
        if weights not in found:
            found.append(weights)
    return found


def _routes(dump: str) -> Iterator[Json]:
    for config in json.loads(dump)["configs"]:
        for table in config.get("dynamic_route_configs", []):
            for host in table["route_config"].get("virtual_hosts", []):
                for route in host.get("routes", []):
                    if route.get("name") == "bluegreen":
                        yield route["route"]


def by_bucket(namespace: str, deployment: str) -> bool:
    """Whether a proxy's routes named `bluegreen` pick by the bucket header."""
    routes = list(_routes(admin(namespace, deployment, "config_dump")))
    weighted = [each.get("weighted_clusters", {}) for each in routes]
    return {each.get("header_name") for each in weighted} == {BUCKET_HEADER}


def admin(namespace: str, deployment: str, path: str) -> str:
    """An answer of a proxy's admin interface."""
    agent = ("pilot-agent", "request", "GET", path)
    target = ("-n", namespace, f"deployment/{deployment}", "-c", "istio-proxy")
    return kubectl("exec", *target, "--", *agent)


def pods(namespace: str, selector: str) -> list[Json]:
    """The pods that are not about to go."""
    found = get("-n", namespace, "pods", "-l", selector)["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def vms(namespace: str, deployment: str) -> tuple[int, int]:
    """How many VMs a proxy made of modules since it started, and how many it has."""
    stats = admin(namespace, deployment, "stats?filter=runtime.v8")
    named = dict(re.findall(r"\.(created|active): (\d+)$", stats, re.MULTILINE))
    return int(named["created"]), int(named["active"])


def metrics(namespace: str, pod: str) -> str:
    """What Prometheus gets of a pod's proxy; `pod` is a pod, or deployment/NAME."""
    curl = ("curl", "-sf", "localhost:15020/stats/prometheus")
    target = ("-n", namespace, pod, "-c", "istio-proxy")
    return kubectl("exec", *target, "--", *curl, check=False)


def counter(text: str, name: str, **labels: str) -> float | None:
    """The sum of a counter's values with these labels; nothing if there is none."""
    values = [
        float(value)
        for found, written, value in COUNTER.findall(text)
        if found == name and labels.items() <= dict(LABEL.findall(written)).items()
    ]
    return sum(values) if values else None


COUNTER = re.compile(r"^(\w+)\{(.*)\} (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


def wait_for_filter(there: bool = True) -> None:
    """Waits until every proxy runs our filter and picks by it, or until none runs it.

    A proxy has the counters of its plugins as long as they run: in sidecars those of
    the client's side and of the server's.
    """
    ours = ["bluegreen_responses_total", "bluegreen_rejected_total"]
    proxies = [(SYSTEM, GATEWAY), *((NAMESPACE, name) for name in DEPLOYMENTS)]
    for namespace, name in proxies:

        def runs(namespace: str = namespace, name: str = name) -> bool:
            text = metrics(namespace, f"deployment/{name}")
            found = [counter(text, each) is not None for each in ours]
            if there:
                return all(found) and by_bucket(namespace, name)
            return bool(text) and not any(found)

        until(f"the filter {'runs' if there else 'is gone'} in {name}", runs)


def wait_for_old_connections() -> None:
    """Waits until the gateway has let go of connections with filters of before."""
    query = "stats?filter=total_listeners_draining"

    def none() -> bool:
        return admin(SYSTEM, GATEWAY, query).rstrip().endswith(": 0")

    until("no listener of the gateway drains", none)


def wait_for_log(namespace: str, deployment: str, text: str) -> None:
    """Waits until a log says something."""
    until(f"{deployment} logs {text}", lambda: text in log(namespace, deployment))


def statuses_by_gateway_pod() -> list[int]:
    """What each pod of the gateway answers to the shop's users."""
    found = []
    for pod in pods(SYSTEM, "istio=ingressgateway"):
        curl = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}")
        ask = (*curl, "-H", f"Host: {HOST}", "localhost:8080/page.html")
        name = pod["metadata"]["name"]
        found.append(int(kubectl("exec", "-n", SYSTEM, name, "--", *ask)))
    return found


def rolled_out(namespace: str, *deployments: str) -> None:
    """Waits until deployments have what they should, and nothing else."""
    for name in deployments:
        status = ("rollout", "status", f"deployment/{name}", f"--timeout={SECONDS}s")
        kubectl("-n", namespace, *status)


def restart(namespace: str, deployment: str) -> None:
    """Restarts a deployment's pods, one after the other."""
    kubectl("-n", namespace, "rollout", "restart", f"deployment/{deployment}")
    rolled_out(namespace, deployment)


def log(namespace: str, deployment: str, lines: int = -1) -> str:
    """The log of a deployment's proxy; of istiod its own."""
    container = () if deployment == "istiod" else ("-c", "istio-proxy")
    target = ("-n", namespace, f"deployment/{deployment}", f"--tail={lines}")
    return kubectl("logs", *target, *container, check=False)


@contextmanager
def changed(file: Path, change: Callable[[list[Json]], None]) -> Iterator[None]:
    """Applies a file with a change of its objects; later, as it is."""
    objects = documents(file)
    change(objects)
    apply(*objects)
    try:
        yield
    finally:
        apply(file)
