"""Two clusters: API servers, istiods, gateways and pods of their own, one mesh."""

import json
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cluster
import pytest
import second_api
import yaml
from cluster import APPS, GATEWAY, INSTALL, MANY, OUTBOUND, SYSTEM, THREE, Json
from kit import bucket
from report import Proof
from test_many import FIRST, THREE_HOST, Weights, routes, virtual_service
from users import COOKIE, User, all_ask, ask, returning

USERS = 60
TIMES = 6
PORT = 8080

# The second one's name, of its gateway and its pods, too.
FAR = "far"
ROLLOUT = f"three.{MANY}"

OTHERS: Weights = {"v1": 50, "v2": 30, "v3": 20}


@dataclass
class Cluster:
    """The second cluster: its API server, and the address of its gateway."""

    kubeconfig: Path
    gateway: str = ""

    def kubectl(self, *command: str | Path, text: str | None = None) -> str:
        """kubectl, on its API server."""
        return cluster.kubectl("--kubeconfig", self.kubeconfig, *command, text=text)

    def apply(self, *objects: Json) -> None:
        """Applies documents there."""
        self.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(objects))

    def pods(self) -> None:
        """Tells it of its pods, and where its Service leads, as its nodes would."""
        endpoints = []
        for pod in cluster.get("-n", MANY, "pods", "-l", f"app={FAR}")["items"]:
            name = pod["metadata"]["name"]
            self.apply(
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {key: pod["metadata"][key] for key in NAMED},
                    "spec": {"containers": [{"name": "app", "image": "shop:blue"}]},
                }
            )
            words = ("--subresource=status", "--type=merge", "--patch")
            status = {key: pod["status"][key] for key in SEEN}
            patch = json.dumps({"status": status})
            self.kubectl("-n", MANY, "patch", "pod", name, *words, patch)
            target = {"kind": "Pod", "namespace": MANY, "name": name}
            address = pod["status"]["podIP"]
            endpoints.append({"addresses": [address], "targetRef": target})
        self.apply(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": MANY,
                    "namespace": MANY,
                    "labels": {"kubernetes.io/service-name": MANY},
                },
                "addressType": "IPv4",
                "endpoints": endpoints,
                "ports": [{"name": "http", "port": PORT}],
            }
        )

    def configure(self, settings: Json) -> None:
        """Gives its gateway other settings of the host, and nobody else."""
        patch = {"spec": {"pluginConfig": {"rollouts": {"three": settings}}}}
        words = ("wasmplugin", "bluegreen-outbound", "--type=merge", "--patch")
        self.kubectl("-n", SYSTEM, "patch", *words, json.dumps(patch))

    def deal(self, weights: Weights) -> None:
        """Gives the three versions these weights there, and nowhere else."""
        service = virtual_service("three")
        for to in service["spec"]["http"][-1]["route"]:
            to["weight"] = weights[to["destination"]["subset"]]
        self.apply(service)

        def are_there() -> bool:
            found = routes(THREE_HOST, MANY, FAR)
            named = [r["route"] for r in found if r["name"] == "bluegreen"]
            return [cluster.weights_of(route)[1] for route in named] == [weights]

        cluster.until(f"the gateway there routes by {weights}", are_there)


NAMED = ("name", "namespace", "labels")
# What an istiod looks at in a pod's status.
SEEN = ("phase", "podIP", "podIPs", "conditions")


def applied() -> list[Json]:
    """The routes of apps/many.yaml, at the second cluster's gateway."""
    objects = cluster.documents(APPS / "many.yaml")
    for each in objects:
        if each["kind"] == "Gateway":
            each["spec"]["selector"] = {"istio": FAR}
    return objects


def as_new(found: Json) -> Json:
    """An object of one cluster, for another one to make."""
    metadata = found["metadata"]
    known = {key: metadata[key] for key in NAMED if key in metadata}
    return {key: found[key] for key in found if key != "status"} | {"metadata": known}


def remote(name: str, kubeconfig: str) -> Json:
    """By which an istiod reads the Services and pods of another cluster."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": f"istio-remote-secret-{name.lower()}",
            "namespace": SYSTEM,
            "labels": {"istio/multiCluster": "true"},
        },
        "stringData": {name: kubeconfig},
    }


def kubeconfig_of_the_first() -> str:
    """One with what Istio's reader may do, for pods."""
    view = ("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
    config = json.loads(cluster.kubectl(*view))
    reader = "istio-reader-service-account"
    token = cluster.kubectl("-n", SYSTEM, "create", "token", reader).strip()
    config["clusters"][0]["cluster"]["server"] = "https://kubernetes.default.svc"
    config["users"][0]["user"] = {"token": token}
    return json.dumps(config)


def istiod_of_the_second(kubeconfig: Path) -> list[Json]:
    """The first one's Deployment, with another API server, as a pod of the first."""
    istiod = as_new(cluster.get("-n", SYSTEM, "deployment", "istiod"))
    istiod["metadata"] = {"name": f"istiod-{FAR}", "namespace": MANY}
    labels = {"app": f"istiod-{FAR}", "sidecar.istio.io/inject": "false"}
    istiod["spec"]["selector"] = {"matchLabels": {"app": labels["app"]}}
    template = istiod["spec"]["template"]
    template["metadata"]["labels"] = labels
    for name in ("serviceAccount", "serviceAccountName"):
        template["spec"].pop(name, None)
    [container] = template["spec"]["containers"]
    own = {
        "CLUSTER_ID": FAR,
        "POD_NAMESPACE": SYSTEM,
        "ISTIOD_CUSTOM_HOST": f"istiod.{MANY}.svc",
    }
    container["env"] = [each for each in container["env"] if each["name"] not in own]
    container["env"] += [{"name": k, "value": v} for k, v in own.items()]
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        # Where Istio's own Deployment looks for one.
        "metadata": {"name": "istio-kubeconfig", "namespace": MANY},
        "stringData": {"config": kubeconfig.read_text()},
    }
    return [secret, istiod]


def address_for_pods() -> str:
    """The address at which pods reach this machine."""
    [pod, *_] = cluster.pods(SYSTEM, "app=istiod")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards:
        towards.connect((pod["status"]["podIP"], PORT))
        return towards.getsockname()[0]


def id_of_the_first() -> str:
    """The name that the first one's istiod gives to its cluster."""
    istiod = cluster.get("-n", SYSTEM, "deployment", "istiod")
    [container] = istiod["spec"]["template"]["spec"]["containers"]
    named = {each["name"]: each.get("value") for each in container["env"]}
    return named["CLUSTER_ID"]


@pytest.fixture(scope="module")
def far(many: None) -> Iterator[Cluster]:
    """The second cluster. Each istiod reads both, and each gateway has its own routes."""
    cluster.apply(*cluster.versions(FAR))
    with second_api.alone(address_for_pods()) as kubeconfig:
        there = Cluster(kubeconfig)
        definitions = cluster.get("customresourcedefinitions")["items"]
        istio = [
            as_new(d) for d in definitions if d["spec"]["group"].endswith("istio.io")
        ]
        there.kubectl("create", "-f", "-", text=yaml.safe_dump_all(istio))
        there.kubectl("create", "namespace", SYSTEM)
        # One root for both, and one configuration of the mesh.
        there.apply(
            as_new(cluster.get("-n", SYSTEM, "secret", "istio-ca-secret")),
            as_new(cluster.get("-n", SYSTEM, "configmap", "istio")),
            remote(id_of_the_first(), kubeconfig_of_the_first()),
        )
        cluster.apply(*istiod_of_the_second(kubeconfig), APPS / "far.yaml")
        cluster.until("its types are served", lambda: there.apply(*applied()) or True)
        there.kubectl("apply", "-f", INSTALL)
        account = {"name": "default", "namespace": MANY}
        there.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
        cluster.wait_for_pods(MANY, "-l", f"app={FAR}")
        there.pods()
        secret = remote(FAR, kubeconfig.read_text())
        try:
            cluster.apply(secret)
            cluster.rolled_out(MANY, f"istiod-{FAR}", FAR)
            [pod] = cluster.pods(MANY, f"istio={FAR}")
            there.gateway = f"{pod['status']['podIP']}:{PORT}"
            wait_for_both(there)
            yield there
        finally:
            # First of all: an istiod that starts waits for each cluster that it knows.
            name = secret["metadata"]["name"]
            cluster.kubectl("-n", SYSTEM, "delete", "secret", name)
            cluster.delete(APPS / "far.yaml")
            cluster.kubectl("-n", MANY, "delete", "deployment", f"istiod-{FAR}")


def wait_for_both(there: Cluster) -> None:
    """Waits until both gateways know users, and the pods of both clusters."""
    cluster.until(
        "the filter runs there", lambda: cluster.wrong(MANY, FAR) == {OUTBOUND: 0}
    )
    cluster.until("it picks by the bucket", lambda: cluster.by_bucket(MANY, FAR))
    for to in ("", there.gateway):
        cluster.until(
            f"{to or 'the first'} knows all pods",
            lambda to=to: (
                {answered(to, v) for v in THREE for _ in range(TIMES)}
                == {f"{where} {v}" for where in ("near", FAR) for v in THREE}
            ),
        )


def answered(to: str, version: str) -> str:
    """Where a pin leads: the pod's cluster, and its version."""
    body = ask("/", THREE_HOST, to, x_version_pin=version).body
    return body.partition(" (")[0]


def check_one_bucket(users: list[User], weights: Weights = FIRST) -> Counter[str]:
    """All answers are as the bucket says; how many came from the pods of each cluster."""
    by: Counter[str] = Counter()
    for user in users:
        version = bucket.picked(user.bucket, weights)
        for answer in user.answers:
            where, _, rest = answer.body.partition(" ")
            assert rest == f"{version} (bucket {user.digits})\n", answer
            assert answer.tags == [version]
            by[where] += 1
        first, *later = (answer.all("set-cookie") for answer in user.answers)
        assert len(first) == 1
        assert COOKIE.fullmatch(first[0])
        assert not any(later)
    return by


def test_pods_of_both_clusters_behind_one_gateway(far: Cluster, proof: Proof) -> None:
    users = [User(host=THREE_HOST) for _ in range(USERS)]
    all_ask(users, TIMES, "/")
    by = check_one_bucket(users)
    assert set(by) == {"near", FAR}
    assert min(by.values()) > USERS
    proof("pods of both clusters: users with another version in one of them", 0)
    proof(f"of {USERS * TIMES} responses from the second cluster", by[FAR])


def test_a_gateway_of_each_cluster(far: Cluster, proof: Proof) -> None:
    proxies = [(SYSTEM, GATEWAY), (MANY, FAR)]
    before = [cluster.responses(*proxy) for proxy in proxies]
    # Half of them come to one first, half to the other.
    users = [User(host=THREE_HOST, to=to) for to in ("", far.gateway) * (USERS // 2)]
    for _ in range(2):
        all_ask(users, 1, "/")
        for user in users:
            user.to = "" if user.to else far.gateway
        all_ask(users, 1, "/")
    check_one_bucket(users)
    proof(f"users of {USERS} with another bucket or version at the other gateway", 0)
    dealt = Counter(bucket.picked(user.bucket, FIRST) for user in users)
    counted: Counter[str] = Counter()
    for proxy, old in zip(proxies, before, strict=True):
        for (rollout, version, source), n in (cluster.responses(*proxy) - old).items():
            if rollout == ROLLOUT:
                assert source in {"minted", "identity-cookie"}
                counted[version] += n
    assert counted == Counter({version: 4 * n for version, n in dealt.items()})
    proof("counted by both under one name, in all", counted.total())


def test_other_weights_in_one_of_them(far: Cluster, proof: Proof) -> None:
    users = [User(host=THREE_HOST) for _ in range(USERS)]
    all_ask(users, 1, "/")
    far.deal(OTHERS)
    differ = 0
    for each in users:
        here, there = (bucket.picked(each.bucket, w) for w in (FIRST, OTHERS))
        each.to = far.gateway
        assert each.ask("/").version == there
        # Its istiod reads the other's pods, and not the other's routes.
        each.to = ""
        assert each.ask("/").version == here
        differ += here != there
    assert differ
    proof(f"other weights in one: users of {USERS} who see two versions", differ)
    far.deal(FIRST)
    for each in users:
        each.to = far.gateway
    all_ask(users, 1, "/")
    assert all(each.answers[0].version == each.answers[-1].version for each in users)
    proof("the same again: users who do", 0)


def test_other_settings_in_one_of_them(far: Cluster, proof: Proof) -> None:
    [user] = returning(1, THREE_HOST)
    salted = bucket.of(user.cookie.partition("=")[2].encode(), b"far")
    assert salted % 100 != user.digits
    far.configure({"hosts": [THREE_HOST], "salt": "far"})
    cluster.until(
        "the salt holds",
        lambda: (
            f"(bucket {salted % 100})"
            in ask("/", THREE_HOST, far.gateway, cookie=user.cookie).body
        ),
    )
    assert f"(bucket {user.digits})" in ask("/", THREE_HOST, cookie=user.cookie).body
    proof("another salt in one: buckets of one user", 2)
    cookie = {"name": "far-id"}
    far.configure({"hosts": [THREE_HOST], "identity": {"cookie": cookie}})
    cluster.until(
        "its name holds",
        lambda: (
            "far-id="
            in str(
                ask("/", THREE_HOST, far.gateway, cookie=user.cookie).all("set-cookie")
            )
        ),
    )
    proof("another name of the cookie in one: cookies of one user", 2)
