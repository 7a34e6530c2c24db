"""The cluster of KUBECONFIG, and what users apply to it, as they would apply it."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
APPS = FILES / "tests/e2e/apps"
PLUGINS = FILTER / "plugins.yaml"
EXTENSIONS = FILTER / "traffic-extension/plugins.yaml"
# The file of a release, which has all of it.
INSTALL = FILES / "install.yaml"

# An application outside of every rollout, and a gateway in front of the mesh's.
DOCS = "docs"
DOCS_HOST = "docs.example"
EDGE = "edge"

# Three versions, and several VirtualServices.
MANY = "many"
THREE = ("v1", "v2", "v3")

# Those whose weights Argo Rollouts and Flagger move: make e2e-controllers.
ARGO = "argo-shop"
FLAGGER = "flagger-shop"

# Services that call each other, one behind the other.
CHAIN = "chain"
CHAIN_HOSTS = tuple(f"{name}.{CHAIN}.example" for name in ("shop", "plain", "open"))

# All of ours.
NAMESPACES = (NAMESPACE, DOCS, EDGE, MANY, ARGO, FLAGGER, CHAIN)

# What users of the whole mesh apply, besides the plugins.
ROUTING = [FILTER / "envoy-filter.yaml", FILTER / "admission.yaml"]
BASE = [
    *(EXAMPLE / "k8s" / f"{name}.yaml" for name in ("namespace", "shop", "stock")),
    *(
        EXAMPLE / "istio" / f"{name}.yaml"
        for name in ("gateway", "destination-rules", "peer-authentication")
    ),
    *(APPS / f"{name}.yaml" for name in ("caller", "tagged", "depot", "docs")),
]

# Leads to the registry, while a test lets it.
OWN_REGISTRY = f"registry.{NAMESPACE}.svc.cluster.local"

VERSIONS = ("blue", "green")
DEPLOYMENTS = [
    *(f"{service}-{version}" for service in ("shop", "stock") for version in VERSIONS),
    "caller",
    "tagged",
]
# The one whose pods have the label by which the server's plugin finds them.
TAGGED = "tagged"
PROXIES = [
    (SYSTEM, GATEWAY),
    *((NAMESPACE, name) for name in DEPLOYMENTS),
    (DOCS, "docs"),
]

# The names of the plugins, as listeners and counters say them.
OUTBOUND = f"{SYSTEM}.bluegreen-outbound"
SERVER = f"{SYSTEM}.bluegreen-server"

RESPONSES = "bluegreen_responses_total"
REJECTED = "bluegreen_rejected_total"
CONFIG_REJECTED = "bluegreen_config_rejected_total"
CONFIG_WRONG = "bluegreen_config_wrong"

BUCKET_HEADER = "x-bluegreen-bucket"
ROUTE_HEADER = "x-bluegreen-route"

SECONDS = 90
POLL_SECONDS = 0.25
# How many proxies are asked at the same time.
AT_ONCE = 4

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


def versions(where: str) -> list[Json]:
    """The pods of three versions in one of two clusters, as apps/version.yaml has one."""
    text = (APPS / "version.yaml").read_text().replace("where", where)
    return [yaml.safe_load(text.replace("which", version)) for version in THREE]


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
    namespaces = [f"namespace/{name}" for name in NAMESPACES]
    return " ".join(n for n in names if n in namespaces or "bluegreen" in n)


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
    for folder in ("envoyfilter", "examples", "tests/e2e/apps"):
        shutil.copytree(ROOT / folder, FILES / folder)
    proxy = gateway_template()["spec"]["containers"][0]["image"]
    for file in FILES.rglob("*.yaml"):
        text = file.read_text()
        text = text.replace("registry.example", registry())
        text = text.replace("image: shop:", f"image: {registry()}/shop:")
        text = text.replace("image: proxy", f"image: {proxy}")
        text = text.replace("address: 192.0.2.1", f"address: {gateway_address()}")
        file.write_text(with_options(text))


def with_options(text: str) -> str:
    """The plugins' file with the two options that the tests need."""
    return re.sub(r"# ((identity|pin): \{(header|query): .*\})", r"\1", text)


def push_images() -> None:
    """Builds the filter's and the application's images, and pushes them."""
    make = ("make", "--no-print-directory", "push", tls_verify())
    said = run(*make, f"IMAGE={registry()}/bluegreen:0.1.0")
    install(said.rpartition("url: ")[2].strip())
    tls = "--tls-verify=" + tls_verify().partition("=")[2]
    for version in VERSIONS:
        image = f"{registry()}/shop:{version}"
        folder = ROOT / "examples/blue-green/app" / version
        run("buildah", "build", "--quiet", "--tag", image, folder)
        run("buildah", "push", "--quiet", tls, image)
        run("buildah", "rmi", image)


def install(url: str) -> None:
    """Makes install.yaml as a release does, and fills in the url where users do."""
    made = run(sys.executable, ROOT / "envoyfilter/release/install.py", url)
    INSTALL.write_text(with_options(made))
    for file in FILTER.rglob("*.yaml"):
        text = file.read_text()
        file.write_text(text.replace(f"oci://{registry()}/bluegreen:0.1.0", url))


def with_tag(url: str, tag: str) -> str:
    """The url of an image with a tag in the place of its digest."""
    return f"{url.partition('@')[0]}:{tag}"


def push_another(tag: str, name: str = "next") -> None:
    """Pushes a module that does the same, of other bytes: what Envoy knows one by.

    The others are a custom section: its id, its size, and its name, which is all of it.
    """
    section = bytes([0, len(name) + 1, len(name)]) + name.encode()
    folder = FILES / "another"
    folder.mkdir(exist_ok=True)
    module = folder / "bluegreen.wasm"
    module.write_bytes((ROOT / "target/bluegreen.wasm").read_bytes() + section)
    image = ("--image", folder / "image")
    run(sys.executable, IMAGE / "build.py", "--module", module, *image)
    push = ("env", tls_verify(), sys.executable, IMAGE / "push.py", *image)
    run(*push, f"{registry()}/bluegreen:{tag}")


# What `make image` and `make push` run.
IMAGE = ROOT / "envoyfilter/image"


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
    """The different weights by subset of a proxy's routes to shop and to stock."""
    found: list[dict[str, int]] = []
    for each in weighted_routes(namespace, deployment):
        hosts, weights = weights_of(each)
        # Those of the other rollouts are none of them.
        if hosts <= SERVICES and weights not in found:
            found.append(weights)
    return found


def weights_of(route: Json) -> tuple[set[str], dict[str, int]]:
    """The Services of a weighted route, and the weights of its subsets but for 0."""
    clusters = route.get("weighted_clusters", {}).get("clusters", [])
    parts = [(each["name"].split("|"), each["weight"]) for each in clusters]
    hosts = {name[3] for name, _ in parts}
    return hosts, {name[2]: weight for name, weight in parts if weight}


# Those that the example's VirtualServices route to.
SERVICES = {f"{name}.{NAMESPACE}.svc.cluster.local" for name in ("shop", "stock")}


def by_bucket(namespace: str, deployment: str) -> bool:
    """Whether a proxy's routes named `bluegreen` pick by the bucket header."""
    weighted = [
        each.get("weighted_clusters", {})
        for each in weighted_routes(namespace, deployment)
    ]
    return {each.get("header_name") for each in weighted} == {BUCKET_HEADER}


def weighted_routes(namespace: str, deployment: str) -> Iterator[Json]:
    """Where a proxy's routes named `bluegreen` lead."""
    for host in virtual_hosts(namespace, deployment):
        for route in host.get("routes", []):
            if route.get("name") == "bluegreen":
                yield route["route"]


def virtual_hosts(namespace: str, deployment: str) -> Iterator[Json]:
    """The virtual hosts of all route tables that a proxy got."""
    dump = admin(namespace, deployment, "config_dump?resource=dynamic_route_configs")
    # A proxy that has just started has none.
    for table in json.loads(dump).get("configs", []):
        yield from table["route_config"].get("virtual_hosts", [])


def admin(namespace: str, deployment: str, path: str, method: str = "GET") -> str:
    """An answer of a proxy's admin interface."""
    agent = ("pilot-agent", "request", method, path)
    target = ("-n", namespace, f"deployment/{deployment}", "-c", "istio-proxy")
    return kubectl("exec", *target, "--", *agent)


def pods(namespace: str, selector: str) -> list[Json]:
    """The pods that are not about to go."""
    found = get("-n", namespace, "pods", "-l", selector)["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def xds_rejects() -> float:
    """How many configurations proxies refused, as istiod knows."""
    [pod] = pods(SYSTEM, "app=istiod")
    url = f"http://{pod['status']['podIP']}:15014/metrics"
    with urllib.request.urlopen(url, timeout=10) as response:
        return counter(response.read().decode(), "pilot_total_xds_rejects")


def vms(namespace: str, deployment: str) -> tuple[int, int]:
    """How many VMs a proxy made of modules since it started, and how many it has."""
    stats = admin(namespace, deployment, "stats?filter=runtime.v8")
    named = dict(re.findall(r"\.(created|active): (\d+)$", stats, re.MULTILINE))
    return int(named["created"]), int(named["active"])


def metrics(namespace: str, name: str) -> str:
    """What Prometheus gets of a proxy; `name` is a deployment, or pod/NAME."""
    curl = ("curl", "-sf", "localhost:15020/stats/prometheus")
    target = ("-n", namespace, _resource(name), "-c", "istio-proxy")
    return kubectl("exec", *target, "--", *curl, check=False)


def _resource(name: str) -> str:
    return name if "/" in name else f"deployment/{name}"


def counted(namespace: str, deployment: str, name: str, **labels: str) -> float:
    """A counter of a proxy, as Prometheus scrapes it: all with these labels."""
    return counter(metrics(namespace, deployment), name, **labels)


def responses(namespace: str, name: str) -> Counter[tuple[str, str, str]]:
    """The responses that a proxy counted, by rollout, version and source."""
    found: Counter[tuple[str, str, str]] = Counter()
    for metric, labels, value in samples(metrics(namespace, name)):
        if metric == RESPONSES:
            key = (labels["bg_rollout"], labels["bg_version"], labels["bg_source"])
            found[key] += int(value)
    return found


def samples(text: str) -> list[tuple[str, dict[str, str], float]]:
    """What Prometheus reads in it: names, labels and values."""
    return [
        (name, dict(LABEL.findall(written)), float(value))
        for name, written, value in SAMPLE.findall(text)
    ]


SAMPLE = re.compile(r"^(\w+)\{(.*)\} (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


def counter(text: str, name: str, **labels: str) -> float:
    """The sum of a counter's values with these labels; 0 if there is none."""
    return sum(
        value
        for found, written, value in samples(text)
        if found == name and labels.items() <= written.items()
    )


def wrong(namespace: str, name: str) -> dict[str, float]:
    """The plugins that a proxy runs; 1 for one whose configuration is wrong."""
    return {
        labels["bg_plugin"]: value
        for found, labels, value in samples(metrics(namespace, name))
        if found == CONFIG_WRONG
    }


def wait_for_filter(there: bool = True) -> None:
    """Waits until every proxy runs our filter and picks by it, or until none runs it."""

    def wait(proxy: tuple[str, str]) -> None:
        wanted = {OUTBOUND, SERVER} if TAGGED in proxy else {OUTBOUND}

        def runs() -> bool:
            if there:
                # A VM keeps the gauge of a plugin that was deleted, at 0.
                found = wrong(*proxy)
                good = wanted <= set(found) and not any(found.values())
                return good and by_bucket(*proxy)
            text = metrics(*proxy)
            return bool(text) and "bluegreen_" not in text

        until(f"the filter {'runs' if there else 'is gone'} in {proxy[1]}", runs)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(wait, PROXIES))


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


def wait_for_pods(namespace: str, *which: str) -> None:
    """Waits until pods are ready: those of a name or a selector, or all of them."""
    ready = ("pods", "--for=condition=Ready", f"--timeout={SECONDS}s")
    kubectl("-n", namespace, "wait", *ready, *(which or ("--all",)))


def restart(namespace: str, deployment: str) -> str:
    """Restarts a deployment's pods, one after the other; pod/NAME of a new one.

    The old ones may still be about to go, and kubectl may take them for the deployment's.
    """
    kubectl("-n", namespace, "rollout", "restart", f"deployment/{deployment}")
    rolled_out(namespace, deployment)
    found = get("-n", namespace, "pods")["items"]
    [pod, *_] = [
        f"pod/{about['name']}"
        for about in (each["metadata"] for each in found)
        if about["name"].startswith(f"{deployment}-")
        and "deletionTimestamp" not in about
    ]
    return pod


def log(namespace: str, name: str, lines: int = -1) -> str:
    """The log of a proxy, as `metrics` finds it; of istiod its own."""
    container = () if name == "istiod" else ("-c", "istio-proxy")
    target = ("-n", namespace, _resource(name), f"--tail={lines}")
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
