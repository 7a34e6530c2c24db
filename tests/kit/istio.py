"""Envoy's configuration as Istio renders it: clusters, routes, listeners, plugins."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kit.envoy import address

Json = dict[str, Any]

FILTERS = "type.googleapis.com/envoy.extensions.filters"
WASM = f"{FILTERS}.http.wasm.v3.Wasm"
RBAC = f"{FILTERS}.http.rbac.v3.RBAC"
MANAGER = f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager"
MANAGER_NAME = "envoy.filters.network.http_connection_manager"
ROUTER = f"{FILTERS}.http.router.v3.Router"
STRING = "type.googleapis.com/google.protobuf.StringValue"
ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"

# Istio 1.30 and later, of a WasmPlugin.
TRANSLATED = "~istio-translated-wasmplugin"
PLUGIN = (
    f"extensions.istio.io/trafficextension/istio-system.bluegreen-outbound{TRANSLATED}"
)

# The domain of Services in the namespace of the VirtualService shop.
DOMAIN = "shop.svc.cluster.local"
HOST = f"shop.{DOMAIN}"


def subset_cluster(version: str, host: str = HOST) -> str:
    """The name of the cluster of a DestinationRule's subset."""
    return f"outbound|80|{version}|{host}"


def service_cluster(service: str, domain: str = DOMAIN) -> str:
    """The name of the cluster of a Service."""
    return f"outbound|80||{service}.{domain}"


def cluster(name: str, *ports: int) -> Json:
    """A cluster with endpoints on loopback."""
    endpoints = [{"endpoint": {"address": address(port)}} for port in ports]
    return {
        "name": name,
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": endpoints}],
        },
    }


def route(name: str, action: Json, rollout: str = "shop.shop") -> Json:
    """An http route of the VirtualService `rollout`, which is NAME.NAMESPACE."""
    of, _, namespace = rollout.partition(".")
    config = f"namespaces/{namespace}/virtual-service/{of}"
    config = f"/apis/networking.istio.io/v1/{config}"
    return {
        "name": name,
        "match": {"prefix": "/"},
        "metadata": {"filter_metadata": {"istio": {"config": config}}},
        **action,
    }


def pin_routes(
    header: str, clusters: dict[str, str], rollout: str = "shop.shop"
) -> list[Json]:
    """The routes that match the pin header, for each pin its cluster."""
    routes = []
    for number, (pin, cluster) in enumerate(clusters.items(), 1):
        name = "bluegreen-pin" if number == 1 else f"bluegreen-pin-{number}"
        routes.append(matching_route(name, (header, pin), cluster, rollout))
    return routes


def version_routes(services: Iterable[str]) -> list[Json]:
    """The routes of an HTTPRoute's rules for the versions, which are Services."""
    return [
        matching_route(
            f"version-{service}",
            ("x-bluegreen-version", service),
            service_cluster(service),
        )
        for service in services
    ]


def matching_route(
    name: str, header: tuple[str, str], cluster: str, rollout: str = "shop.shop"
) -> Json:
    """The route that takes requests with this value of a header to a cluster."""
    of, value = header
    exact = {"name": of, "string_match": {"exact": value}}
    match = {"prefix": "/", "headers": [exact]}
    return route(name, plain(cluster), rollout) | {"match": match}


def plain(cluster: str) -> Json:
    """The action of a route with one destination."""
    return {"route": {"cluster": cluster, "timeout": "0s"}}


def stating_route(name: str, weights: dict[str, int]) -> Json:
    """The route of an HTTPRoute's rule of this name: Istio leaves out what has no weight,
    and of one that is left makes a plain cluster."""
    left = {cluster: weight for cluster, weight in weights.items() if weight}
    if len(left) > 1:
        return weighted_route(left, name)
    [cluster] = left
    return route(name, plain(cluster))


def weighted_route(
    weights: dict[str, int], name: str = "bluegreen", rollout: str = "shop.shop"
) -> Json:
    """The route with a weight by cluster."""
    clusters = [{"name": name, "weight": weight} for name, weight in weights.items()]
    action = {"weighted_clusters": {"clusters": clusters}, "timeout": "0s"}
    return route(name, {"route": action}, rollout)


def wasm(module: Path, config: Json | str, name: str = PLUGIN) -> Json:
    """The configuration of the filter for one plugin."""
    if not isinstance(config, str):
        config = json.dumps(config)
    return {
        "@type": WASM,
        "config": {
            "name": name,
            "root_id": "",
            "configuration": {"@type": STRING, "value": config},
            "vm_config": {
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": str(module)}},
            },
        },
    }


def plugin(filter_config: Json) -> Json:
    """A filter whose configuration stands in the listener."""
    return {"name": filter_config["config"]["name"], "typed_config": filter_config}


def discovered(path: Path, name: str = PLUGIN) -> Json:
    """A filter whose configuration Envoy reads, and reads anew, from `path`."""
    return {
        "name": name,
        "config_discovery": {
            "config_source": {"path_config_source": {"path": str(path)}},
            "type_urls": [WASM, RBAC],
        },
    }


def discovery_response(filter_config: Json, name: str = PLUGIN) -> Json:
    """What stands in the file of a filter that is discovered."""
    resource = {
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": name,
        "typed_config": filter_config,
    }
    return {"resources": [resource]}


def route_configuration(routes: list[Json]) -> Json:
    """The routes of all hosts on a port."""
    host = {"name": "all:80", "domains": ["*"], "routes": routes}
    return {"name": "http.8080", "virtual_hosts": [host]}


def discovered_routes(path: Path) -> Json:
    """A route configuration that Envoy reads, and reads anew, from `path`."""
    source = {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}
    return {"rds": {"route_config_name": "http.8080", "config_source": source}}


def listener(
    name: str,
    direction: str,
    routes: list[Json] | Path,
    filters: list[Json],
    envoy_headers: bool = True,
) -> Json:
    """A listener on a free port with these filters and the router.

    `direction` is inbound, outbound or none. `routes` are the routes themselves, or
    the file in which Envoy finds their configuration. `envoy_headers` is what Istio
    calls `proxyHeaders.envoyDebugHeaders`.
    """
    manager = {
        "@type": MANAGER,
        "stat_prefix": "http",
        **(
            discovered_routes(routes)
            if isinstance(routes, Path)
            else {"route_config": route_configuration(routes)}
        ),
        "http_filters": [
            *filters,
            {"name": "router", "typed_config": router(envoy_headers)},
        ],
    }
    return {
        "name": name,
        "traffic_direction": "UNSPECIFIED"
        if direction == "none"
        else direction.upper(),
        "address": address(0),
        "filter_chains": [
            {"filters": [{"name": MANAGER_NAME, "typed_config": manager}]}
        ],
    }


def router(envoy_headers: bool) -> Json:
    """The last filter of a listener."""
    return {"@type": ROUTER} | (
        {} if envoy_headers else {"suppress_envoy_headers": True}
    )


def application(name: str, port: int) -> Json:
    """A listener that answers each request with its name, as an upstream would."""
    body = {"status": 200, "body": {"inline_string": name}}
    only = {"match": {"prefix": "/"}, "direct_response": body}
    return {**listener(name, "inbound", [only], []), "address": address(port)}


def manager_of(listener: Json) -> Json:
    """The listener's connection manager."""
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def bootstrap(
    node: str, labels: dict[str, str], listeners: list[Json], clusters: list[Json]
) -> Json:
    """All of it, for a proxy with this node id and these labels of its pod."""
    return {
        "node": {"id": node, "cluster": "test", "metadata": {"LABELS": labels}},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }
