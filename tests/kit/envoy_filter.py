"""The shipped EnvoyFilter, applied to Envoy's configuration as Istio applies it."""

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from kit.envoy import ROOT
from kit.istio import MANAGER_NAME, Json, manager_of

FILE = ROOT / "envoyfilter/envoy-filter.yaml"
# What keeps strangers' baggage apart from ours, at gateways.
STRANGERS = ROOT / "envoyfilter/baggage/strangers.yaml"
WITHOUT = ROOT / "envoyfilter/baggage/without.yaml"

# Istio's contexts of patches. A sidecar's has all of a gateway's but the removal of
# a stranger's bucket, which stands in front of the filter.
GATEWAY = "GATEWAY"
SIDECAR = "SIDECAR_OUTBOUND"


def listener(
    listener: Json,
    context: str,
    renamed: Mapping[str, str] | None = None,
    file: Path = FILE,
) -> Json:
    """Returns the listener with the patches of its context, its own routes included.

    `renamed` replaces names in the file, such as those of headers.
    """
    patched = deepcopy(listener)
    manager = manager_of(patched)
    for patch in _patches(context, renamed, file):
        match patch["applyTo"], patch["patch"]["operation"]:
            case "HTTP_FILTER", "INSERT_FIRST":
                _of_managers(patch)
                manager["http_filters"].insert(0, deepcopy(patch["patch"]["value"]))
            case "NETWORK_FILTER", "MERGE":
                _of_managers(patch)
                _merge(manager, patch["patch"]["value"]["typed_config"])
    if "route_config" in manager:
        config = manager["route_config"]
        manager["route_config"] = routes(config, context, renamed, file)
    return patched


def routes(
    config: Json,
    context: str,
    renamed: Mapping[str, str] | None = None,
    file: Path = FILE,
) -> Json:
    """Returns the route configuration with the patches of its context."""
    patched = deepcopy(config)
    for patch in _patches(context, renamed, file):
        value = patch["patch"]["value"]
        match patch["applyTo"], patch["patch"]["operation"]:
            case "ROUTE_CONFIGURATION", "MERGE":
                _merge(patched, value)
            case "HTTP_ROUTE", "MERGE":
                name = patch["match"]["routeConfiguration"]["vhost"]["route"]["name"]
                for host in patched["virtual_hosts"]:
                    for route in host["routes"]:
                        if route.get("name") == name:
                            _merge(route, value)
    return patched


def _patches(context: str, renamed: Mapping[str, str] | None, file: Path) -> list[Json]:
    """The patches of a context, and those of any."""
    of_all = _read(file, tuple((renamed or {}).items()))
    return [p for p in of_all if p["match"].get("context", context) in (context, "ANY")]


@cache
def _read(file: Path, renamed: tuple[tuple[str, str], ...]) -> list[Json]:
    text = file.read_text()
    for old, new in renamed:
        text = text.replace(old, new)
    patches = yaml.safe_load(text)["spec"]["configPatches"]
    for patch in patches:
        kind = patch["applyTo"], patch["patch"]["operation"]
        if kind not in _KNOWN:
            raise ValueError(f"{file}: the kit cannot apply {kind}")
    return patches


_KNOWN = {
    ("ROUTE_CONFIGURATION", "MERGE"),
    ("HTTP_ROUTE", "MERGE"),
    ("HTTP_FILTER", "INSERT_FIRST"),
    ("NETWORK_FILTER", "MERGE"),
}


def _of_managers(patch: Json) -> None:
    name = patch["match"]["listener"]["filterChain"]["filter"]["name"]
    if name != MANAGER_NAME:
        raise ValueError(f"{FILE}: the kit has no filter {name}")


def _merge(base: Json, patch: Json) -> None:
    """Merges as protobuf does: messages by field, lists one behind the other."""
    for key, value in deepcopy(patch).items():
        base[key] = _merged(base[key], value) if key in base else value


def _merged(base: Any, patch: Any) -> Any:  # noqa: ANN401 (JSON)
    if isinstance(base, dict):
        _merge(base, patch)
        return base
    return base + patch if isinstance(base, list) else patch
