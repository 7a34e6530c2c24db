"""Makes the files of a release, out of the module and the image that are built.

They stand in target/release/VERSION, and depend on the source, Rust and zlib alone:
the same tag gives the same bytes.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import archive
import chart
import install
import provenance
import sbom

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ("pluginConfig.schema.json", "manifest.schema.json")
SUMS = "SHA256SUMS"


def main() -> None:
    """Makes the release that the head of the repository is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    version = install.version()
    folder = ROOT / "target/release" / version
    name = os.environ.get("IMAGE") or install.image()
    made = files(version, name)
    new = folder.with_name(f"{version}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for file, content in made.items():
        (new / file).write_bytes(content)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
    for file, content in made.items():
        print(f"{folder.relative_to(ROOT)}/{file}  {len(content)} bytes")
    print(f"url oci://{name}@{image_digest()}")


def files(version: str, name: str) -> dict[str, bytes]:
    """Returns the files of a release by their names."""
    time, digest, rust = int(git("log", "-1", "--format=%ct")), image_digest(), rustc()
    module = (ROOT / "target/bluegreen.wasm").read_bytes()
    made = {
        "bluegreen.wasm": module,
        f"bluegreen-{version}.oci.tar": image_archive(time),
        f"bluegreen-{version}.tgz": chart.package(name, digest, time),
        "install.yaml": install.text(version, f"oci://{name}@{digest}").encode(),
        "bluegreen.cdx.json": as_json(sbom.bom(sha256(module), rust, time)),
    }
    for schema in SCHEMAS:
        made[schema] = (ROOT / "envoyfilter/schema" / schema).read_bytes()
    sums = {file: sha256(content) for file, content in sorted(made.items())}
    commit = git("rev-parse", "HEAD")
    said = provenance.statement(sums, (name, digest), version, commit, rust)
    made["provenance.json"] = as_json(said)
    sums["provenance.json"] = sha256(made["provenance.json"])
    made[SUMS] = "".join(f"{sums[file]}  {file}\n" for file in sorted(sums)).encode()
    return made


def image_archive(time: int) -> bytes:
    """Returns the image as an archive in the format of OCI."""
    folder = ROOT / "target/image"
    found = sorted(file for file in folder.glob("**/*") if file.is_file())
    packed = {str(file.relative_to(folder)): file.read_bytes() for file in found}
    return archive.tar(packed, time)


def image_digest() -> str:
    """Returns the digest of the image that `make image` has left."""
    index = json.loads((ROOT / "target/image/index.json").read_text())
    return index["manifests"][0]["digest"]


def rustc() -> dict[str, Any]:
    """Returns what the compiler of the module says of itself."""
    tool = ROOT / "tests/tools/wasm-cargo.sh"
    said = subprocess.check_output([tool, "--rustc"], text=True).splitlines()
    return dict(line.split(": ", 1) for line in said if ": " in line)


def git(*words: str) -> str:
    """Returns what git says."""
    return subprocess.check_output(["git", *words], cwd=ROOT, text=True).strip()


def sha256(content: bytes) -> str:
    """Returns the hash of a content, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def as_json(value: dict[str, Any]) -> bytes:
    """Returns JSON that people can read."""
    return (json.dumps(value, indent=2) + "\n").encode()


if __name__ == "__main__":
    main()
