"""The applications of these tests, besides those of examples/."""

from collections.abc import Mapping, Sequence

from cluster import Json

# Where all of them serve the same: the release.
PATHS = ("/", "/api/", "/mirror/")
SERVE = (
    "for each in . api mirror; do mkdir -p /www/$each; "
    'echo "shop $VERSION (a file)" >/www/$each/index.html; done; '
    "exec httpd -f -p 8080 -h /www"
)
FIRST = "v1"


def host(name: str, namespace: str) -> str:
    """The host of an application."""
    return f"{name}.{namespace}.example"


def gateway(namespace: str) -> Json:
    """Lets all their hosts in."""
    server = {
        "port": {"number": 80, "name": "http", "protocol": "HTTP"},
        "hosts": [f"*.{namespace}.example"],
    }
    spec = {"selector": {"istio": "ingressgateway"}, "servers": [server]}
    return _object("networking.istio.io/v1", "Gateway", "apps", namespace, spec)


def service(name: str, namespace: str, app: str) -> Json:
    """A Service of an application's pods."""
    port = {"name": "http", "port": 80, "targetPort": 8080}
    spec = {"selector": {"app": app}, "ports": [port]}
    return _object("v1", "Service", name, namespace, spec)


def subsets(app: str, namespace: str, *names: str) -> Json:
    """A DestinationRule with subsets, as one writes it for Argo Rollouts."""
    of_all = [{"name": name, "labels": {"app": app}} for name in names]
    spec = {"host": app, "subsets": of_all}
    return _object("networking.istio.io/v1", "DestinationRule", app, namespace, spec)


def virtual_service(
    name: str, namespace: str, http: Sequence[Json], of: str = ""
) -> Json:
    """The VirtualService of an application; `of` is its name, where it differs."""
    spec = {
        "hosts": [host(of or name, namespace)],
        "gateways": ["apps"],
        "http": list(http),
    }
    return _object("networking.istio.io/v1", "VirtualService", name, namespace, spec)


def pins(versions: Mapping[str, Json]) -> list[Json]:
    """A pin route for each word and its destination."""
    names = ["bluegreen-pin", *(f"bluegreen-pin-{n}" for n in range(2, 9))]
    return [
        {
            "name": name,
            "match": [{"headers": {"x-version-pin": {"exact": word}}}],
            "route": [{"destination": destination}],
        }
        for name, (word, destination) in zip(names, versions.items(), strict=False)
    ]


def weighted(name: str, *destinations: Json, **fields: object) -> Json:
    """A weighted route, all of it on the first destination."""
    dealt = [
        {"destination": each, "weight": 0 if n else 100}
        for n, each in enumerate(destinations)
    ]
    return {"name": name} | fields | {"route": dealt}


def template(app: str, sidecar: bool = False, **labels: str) -> Json:
    """Pods that say which release they are."""
    inject = {} if sidecar else {"sidecar.istio.io/inject": "false"}
    container = {
        "name": "shop",
        "image": "busybox:1.36",
        "command": ["sh", "-c", SERVE],
        "env": [{"name": "VERSION", "value": FIRST}],
        # Without them an experiment of Argo's gets no Service, and waits for it.
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}},
    }
    return {
        "metadata": {"labels": {"app": app} | inject | labels},
        "spec": {"terminationGracePeriodSeconds": 6, "containers": [container]},
    }


def rollout(name: str, namespace: str, pods: Json, canary: Json) -> Json:
    """A Rollout with a strategy."""
    spec = {
        "replicas": 1,
        "revisionHistoryLimit": 2,
        "selector": {"matchLabels": {"app": name}},
        "template": pods,
        "strategy": {"canary": canary},
    }
    return _object("argoproj.io/v1alpha1", "Rollout", name, namespace, spec)


def deployment(name: str, namespace: str) -> Json:
    """What Flagger takes over."""
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": {"app": name}},
        "template": template(name),
    }
    return _object("apps/v1", "Deployment", name, namespace, spec)


def canary(name: str, namespace: str, analysis: Json) -> Json:
    """A Canary that delegates."""
    spec = {
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "progressDeadlineSeconds": 120,
        "service": {
            "port": 80,
            "targetPort": 8080,
            "portName": "http",
            "delegation": True,
        },
        "analysis": analysis,
    }
    return _object("flagger.app/v1beta1", "Canary", name, namespace, spec)


def _object(version: str, kind: str, name: str, namespace: str, spec: Json) -> Json:
    about = {"name": name, "namespace": namespace}
    return {"apiVersion": version, "kind": kind, "metadata": about, "spec": spec}
