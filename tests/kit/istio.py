"""Envoy's configuration as Istio renders it: clusters, routes, listeners, plugins."""

import json
from pathlib import Path
from typing import Any

from kit.envoy import address

Json = dict[str, Any]

FILTERS = "type.googleapis.com/envoy.extensions.filters"
WASM = f"{FILTERS}.http.wasm.v3.Wasm"
MANAGER = f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = f"{FILTERS}.http.router.v3.Router"
STRING = "type.googleapis.com/google.protobuf.StringValue"

PLUGIN = "bluegreen"
HOST = "app.example"


def subset_cluster(version: str, host: str = HOST) -> str:
    """The name of the cluster of a DestinationRule's subset."""
    return f"outbound|80|{version}|{host}"


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


def pin_route(header: str, version: str, cluster: str) -> Json:
    """The route of a VirtualService that matches the pin header."""
    pinned = {"name": header, "string_match": {"exact": version}}
    return {
        "name": f"pin-{version}",
        "match": {"prefix": "/", "headers": [pinned]},
        "route": {"cluster": cluster, "timeout": "0s"},
    }


def weighted_route(weights: dict[str, int], header: str) -> Json:
    """The route named `bluegreen`, patched by our EnvoyFilter: a weight by cluster."""
    clusters = [{"name": name, "weight": weight} for name, weight in weights.items()]
    return {
        "name": "bluegreen",
        "match": {"prefix": "/"},
        "route": {
            "weighted_clusters": {
                "clusters": clusters,
                "header_name": header,
            },
            "timeout": "0s",
        },
    }


def wasm(module: Path, config: Json | str) -> Json:
    """The configuration of the filter for one plugin."""
    if not isinstance(config, str):
        config = json.dumps(config)
    return {
        "@type": WASM,
        "config": {
            "name": PLUGIN,
            "root_id": PLUGIN,
            "configuration": {"@type": STRING, "value": config},
            "vm_config": {
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": str(module)}},
            },
        },
    }


def plugin(filter_config: Json) -> Json:
    """A filter whose configuration stands in the listener."""
    return {"name": PLUGIN, "typed_config": filter_config}


def discovered(path: Path) -> Json:
    """A filter whose configuration Envoy reads, and reads anew, from `path`."""
    return {
        "name": PLUGIN,
        "config_discovery": {
            "config_source": {"path_config_source": {"path": str(path)}},
            "type_urls": [WASM],
        },
    }


def discovery_response(filter_config: Json) -> Json:
    """What stands in the file of a filter that is discovered."""
    resource = {
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": PLUGIN,
        "typed_config": filter_config,
    }
    return {"resources": [resource]}


def listener(name: str, direction: str, routes: list[Json], plugin: Json) -> Json:
    """A listener on a free port with the plugin and the router.

    `direction` is inbound, outbound or none.
    """
    manager = {
        "@type": MANAGER,
        "stat_prefix": "http",
        "route_config": {
            "virtual_hosts": [{"name": "app", "domains": ["*"], "routes": routes}]
        },
        "http_filters": [
            plugin,
            {"name": "router", "typed_config": {"@type": ROUTER}},
        ],
    }
    return {
        "name": name,
        "traffic_direction": "UNSPECIFIED"
        if direction == "none"
        else direction.upper(),
        "address": address(0),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def bootstrap(
    node: str, labels: dict[str, str], listeners: list[Json], clusters: list[Json]
) -> Json:
    """All of it, for a proxy with this node id and these labels of its pod."""
    return {
        "node": {"id": node, "cluster": "test", "metadata": {"LABELS": labels}},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }
