"""Finds the login for a registry, as docker, podman and others have stored it."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Login = tuple[str, str]

# The name under which `docker login` stores the login for Docker Hub.
HUB = "https://index.docker.io/v1/"


def find(registry: str, name: str) -> Login | None:
    """Returns the login for an image: of the environment, else of a file."""
    user = os.environ.get("REGISTRY_USER")
    password = os.environ.get("REGISTRY_PASSWORD")
    if user and password:
        return user, password
    for file in filter(Path.is_file, files()):
        if login := from_config(json.loads(file.read_text() or "{}"), registry, name):
            return login
    return None


def files() -> Iterator[Path]:
    """Returns the files that podman, skopeo and buildah look into, and then docker.

    https://man.archlinux.org/man/containers-auth.json.5
    """
    if only := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(only)
        return
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers/auth.json"
    home = Path.home()
    config = os.environ.get("XDG_CONFIG_HOME") or home / ".config"
    yield Path(config) / "containers/auth.json"
    yield Path(os.environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"


def from_config(content: dict[str, Any], registry: str, name: str) -> Login | None:
    """Returns the login that a file holds, or that the helper it names holds."""
    written = content.get("auths", {})
    for key in keys(registry, name):
        if login := written.get(key, {}).get("auth"):
            user, _, password = base64.b64decode(login).decode().partition(":")
            return user, password
    helper = content.get("credHelpers", {}).get(registry) or content.get("credsStore")
    return (
        from_helper(helper, HUB if registry == "docker.io" else registry)
        if helper
        else None
    )


def keys(registry: str, name: str) -> Iterator[str]:
    """Returns the names that a login may have: the image's, and each path above it."""
    path = f"{registry}/{name}"
    while path:
        yield path
        path = path.rpartition("/")[0]
    if registry == "docker.io":
        yield HUB


def from_helper(helper: str, key: str) -> Login | None:
    """Returns what a credential helper holds under a name; None if it has nothing."""
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, "get"], input=key, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    found = json.loads(done.stdout)
    return found["Username"], found["Secret"]
