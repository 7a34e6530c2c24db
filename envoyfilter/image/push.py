"""Pushes the image to a registry, and says the url for a WasmPlugin.

The image goes there byte for byte, and the url has its digest, so that what runs does
not change when the tag does. TLS_VERIFY=false allows plain HTTP, and certificates that
nobody vouches for. The login is the one of docker, podman, skopeo and others, or
REGISTRY_USER and REGISTRY_PASSWORD.
"""

import argparse
import os
import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 80

# A first part without a dot or a port could be a name on Docker Hub.
TARGET = re.compile(r"(localhost|[^/]*[.:][^/]*)/([^:@]+):([^:@/]+)")
EXAMPLE = "  make push IMAGE=registry.example/bluegreen:0.1.0"


def main() -> None:
    """Pushes, or with `--check` looks at the name only."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    image = ROOT / "target/image"
    parser.add_argument("--check", action="store_true", help="push nothing")
    parser.add_argument("--image", metavar="FOLDER", type=Path, default=image)
    parser.add_argument("target", metavar="REGISTRY/NAME:TAG")
    wanted = parser.parse_args()
    verify = os.environ.get("TLS_VERIFY") or "true"
    found = TARGET.fullmatch(wanted.target)
    if not wanted.target:
        fail("where to? Write the registry, a name and a tag:", EXAMPLE)
    if not found:
        fail(f"IMAGE={wanted.target} is not REGISTRY/NAME:TAG, as in", EXAMPLE)
    if verify not in ("true", "false"):
        fail(f"TLS_VERIFY={verify} is neither true nor false")
    if wanted.check:
        return
    if not (wanted.image / "index.json").exists():
        fail(f"there is no {wanted.image}: make image")
    # Not earlier: what it imports is installed once the name has been looked at.
    from registry import RefusedError, push

    registry, name, tag = found.groups()
    try:
        digest = push(wanted.image, registry, name, tag, verify == "true")
    except RefusedError as error:
        hints = [error.hint] if error.hint else []
        fail(f"{registry} did not take the image:", str(error), *hints)
    print(f"url: oci://{registry}/{name}@{digest}")


def fail(*lines: str) -> None:
    """Says why it ends, in lines of 80 columns, and ends."""
    for line in lines:
        print(textwrap.fill(line, WIDTH, drop_whitespace=False), file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
