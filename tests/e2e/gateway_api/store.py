"""The store of examples/gateway-api: a Gateway that istiod deploys, and HTTPRoutes."""

import json
from collections.abc import Iterator
from pathlib import Path

import cluster
from cluster import FILES, FILTER, Json
from report import Proof
from users import COOKIE, User, all_ask

NAMESPACE = "store"
HOST = "store.example"
# What istiod calls the Gateway's Deployment and Service.
GATEWAY = "store-istio"
EXAMPLE = FILES / "examples/gateway-api"
NAMED = FILTER / "gateway-api"
APPS = Path(__file__).parent / "apps"
# The name of the plugin, as listeners and counters say it.
PLUGIN = f"{NAMESPACE}.bluegreen-gateway"

BACKENDS = {"blue": "store-blue", "green": "store-green"}

# The weights that the example has files for.
STATES = [(100, 0), (70, 30), (50, 50), (0, 100)]


def weights(blue: int, green: int) -> Path:
    """The file of one state of the ramp."""
    return EXAMPLE / f"routes/weights-{blue}-{green}.yaml"


def rule_name(blue: int, green: int) -> str:
    """The name of the weighted rule."""
    return f"bluegreen.store-blue-{blue}.store-green-{green}"


def shift(blue: int, green: int) -> None:
    """Applies one state of the ramp, and waits until the Gateway has it."""
    cluster.apply(weights(blue, green))
    wait_for_weights(blue, green)


def wait_for_weights(blue: int, green: int) -> None:
    """Waits until the Gateway's weighted route is named after these weights."""
    wanted = rule_name(blue, green)
    cluster.until(
        f"the route is {wanted}", lambda: named(NAMESPACE, GATEWAY, HOST) == {wanted}
    )


def named(namespace: str, deployment: str, host: str) -> set[str]:
    """The names that state weights of a proxy's routes for a host."""
    return {
        name
        for name in route_names(namespace, deployment, host)
        if "bluegreen." in name
    }


def route_names(namespace: str, deployment: str, host: str) -> Iterator[str]:
    """The names of a proxy's routes for a host, in their order."""
    for each in cluster.virtual_hosts(namespace, deployment):
        if host in each["domains"]:
            yield from (route.get("name", "") for route in each["routes"])


def address(name: str = GATEWAY) -> str:
    """The address of the Service of a Gateway, within the cluster."""
    service = cluster.get("-n", NAMESPACE, "service", name)
    return service["spec"]["clusterIP"]


def users(count: int, **fields: str) -> list[User]:
    """New users of the store, who come by its Gateway."""
    return [User(**({"host": HOST, "to": address()} | fields)) for _ in range(count)]


def new_users(count: int, times: int, green: int, proof: Proof) -> list[User]:
    """New users, each of whom has asked several times: by a cookie that was set once, each
    is on the version of its bucket, where `green` of 100 are on green."""
    visitors = users(count)
    all_ask(visitors, times, "/")
    for user in visitors:
        version = user.expected(green)
        assert user.seen == {version}, user
        for answer in user.answers:
            assert answer.status == 200
            assert answer.body == f"store {version} (bucket {user.digits})\n"
            assert answer.tags == [BACKENDS[version]]
        first, *later = (answer.all("set-cookie") for answer in user.answers)
        assert len(first) == 1
        assert COOKIE.fullmatch(first[0])
        assert later == [[]] * (times - 1)
    on_green = sum(user.seen == {"green"} for user in visitors)
    proof(f"{count} new users at {100 - green}/{green}, on green", on_green)
    proof(f"who saw both versions in {times} requests", 0)
    return visitors


def within_the_cluster(gateway: Json) -> Json:
    """A Gateway whose Service needs no load balancer."""
    annotations = {"networking.istio.io/service-type": "ClusterIP"}
    gateway["metadata"]["annotations"] = annotations
    return gateway


def parameters(gateway: Json, config_map: str) -> Json:
    """A Gateway with a ConfigMap that changes what istiod deploys for it."""
    reference = {"group": "", "kind": "ConfigMap", "name": config_map}
    gateway["spec"]["infrastructure"] = {"parametersRef": reference}
    return gateway


def programmed(name: str) -> None:
    """Waits until istiod has deployed a Gateway."""
    for words in [
        (
            "wait",
            "--for=condition=Programmed",
            f"gateway.gateway.networking.k8s.io/{name}",
        ),
    ]:
        cluster.kubectl("-n", NAMESPACE, *words, f"--timeout={cluster.SECONDS}s")


def weights_of(route: str) -> list[int]:
    """The weights of an HTTPRoute's first rule, as the API server stores them."""
    stored = cluster.get("-n", NAMESPACE, "httproute", route)
    return [ref["weight"] for ref in stored["spec"]["rules"][0]["backendRefs"]]


def dump(namespace: str, deployment: str, what: str) -> Json:
    """A part of a proxy's configuration."""
    return json.loads(
        cluster.admin(namespace, deployment, f"config_dump?resource={what}")
    )
