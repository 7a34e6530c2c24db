"""The CRDs of the Gateway API, of the project's own Go module."""

import json
from functools import cache
from pathlib import Path

from cluster import run

MODULE = "sigs.k8s.io/gateway-api@v1.6.1"
STANDARD, EXPERIMENTAL = "standard", "experimental"
HTTP_ROUTE = "httproutes.gateway.networking.k8s.io"


@cache
def folder(channel: str) -> Path:
    """The folder of a channel's CRDs."""
    downloaded = json.loads(run("go", "mod", "download", "-json", MODULE))
    return Path(downloaded["Dir"]) / "config/crd" / channel


def crds(channel: str, *kinds: str) -> list[str | Path]:
    """For kubectl: the files of these kinds, or of all."""
    files = [f"gateway.networking.k8s.io_{kind}.yaml" for kind in kinds] or [""]
    return [word for file in files for word in ("-f", folder(channel) / file)]
