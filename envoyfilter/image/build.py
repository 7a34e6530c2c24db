"""Builds the OCI image that Istio pulls, and says its name, size and digest.

One layer, with the module as plugin.wasm, needs no container builder: an image is a
folder of JSON and a tar file (https://github.com/opencontainers/image-spec). Its digest
depends on the module, the package section of Cargo.toml, SOURCE and the version of
zlib; not on the folder, the time, the umask or the user.
"""

import argparse
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import tomllib
import zlib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
# Istio takes only layers that are compressed.
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

# https://github.com/solo-io/wasm/blob/master/spec/spec-compat.md
VARIANT = {"module.wasm.image/variant": "compat"}
MODULE = "plugin.wasm"

EPOCH = "1970-01-01T00:00:00Z"


def main() -> None:
    """Builds the image of `--module` into the folder `--image`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    module, image = ROOT / "target/bluegreen.wasm", ROOT / "target/image"
    parser.add_argument("--module", metavar="FILE", type=Path, default=module)
    parser.add_argument("--image", metavar="FOLDER", type=Path, default=image)
    wanted = parser.parse_args()
    package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
    source = os.environ.get("SOURCE") or package.get("repository", "")
    if not source:
        hint = "SOURCE=https://HOST/NAME does"
        print(f"build.py: no label says where the source is; {hint}", file=sys.stderr)
    name = f"{package['name']}:{package['version']}"
    blobs = Blobs()
    manifest = blobs.manifest(wanted.module.read_bytes(), labels(package, source))
    manifest["annotations"] = {"org.opencontainers.image.ref.name": name}
    write(wanted.image, blobs, manifest)
    size = sum(map(len, blobs.contents.values()))
    at = wanted.image
    shown = at.relative_to(ROOT) if at.is_relative_to(ROOT) else at
    print(f"{shown}  {name}, {size} bytes")
    print(f"digest {manifest['digest']}")


def labels(package: dict[str, Any], source: str) -> dict[str, str]:
    """Returns the labels: what Cargo.toml says of the package, and its source."""
    texts = {
        "description": package.get("description", ""),
        "licenses": package.get("license", ""),
        "source": source,
        "title": package["name"],
        "version": package["version"],
    }
    return {f"org.opencontainers.image.{k}": v for k, v in texts.items() if v}


class Blobs:
    """The contents of an image, each under its digest."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def manifest(self, module: bytes, labels: dict[str, str]) -> dict[str, Any]:
        """Adds an image of one layer; returns the descriptor of its manifest."""
        layer = tar(module)
        config = {
            "created": EPOCH,
            # The module runs anywhere. This is what no tool refuses to pull, and it
            # may not depend on the machine.
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._add(CONFIG, as_json(config)),
            "layers": [self._add(LAYER, compressed(layer))],
            "annotations": VARIANT,
        }
        return self._add(MANIFEST, as_json(manifest))

    def _add(self, media_type: str, content: bytes) -> dict[str, Any]:
        self.contents[digest(content)] = content
        return {
            "mediaType": media_type,
            "digest": digest(content),
            "size": len(content),
        }


def tar(module: bytes) -> bytes:
    """Returns a tar archive with the module: owner, group and time are 0."""
    file = tarfile.TarInfo(MODULE)
    file.size = len(module)
    file.mode = 0o644
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as new:
        new.addfile(file, io.BytesIO(module))
    return archive.getvalue()


def compressed(content: bytes) -> bytes:
    """Returns the content compressed by gzip, with no time and no name in its head."""
    return zlib.compress(content, level=9, wbits=16 + zlib.MAX_WBITS)


def digest(content: bytes) -> str:
    """Returns the digest by which a registry names a content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def as_json(value: dict[str, Any]) -> bytes:
    """Returns compact JSON: the same value gives the same bytes."""
    return json.dumps(value, separators=(",", ":")).encode()


def write(folder: Path, blobs: Blobs, manifest: dict[str, Any]) -> None:
    """Writes an OCI layout, and replaces one that is there."""
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    (new / "blobs/sha256").mkdir(parents=True)
    for name, content in blobs.contents.items():
        (new / "blobs" / name.replace(":", "/")).write_bytes(content)
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]}
    (new / "index.json").write_bytes(as_json(index))
    (new / "oci-layout").write_bytes(as_json({"imageLayoutVersion": "1.0.0"}))
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


if __name__ == "__main__":
    main()
