"""Lists what is in the module, in the format of CycloneDX 1.6.

The crates are those that cargo compiles into it: not what tests, builds or describes
it. cargo knows them by `cargo tree`; their checksums stand in Cargo.lock. Tools that
read `cargo metadata` see features that only the tests switch on, and list more.
"""

import re
import subprocess
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TARGET = "wasm32-wasip1"
CRATE = re.compile(r"(\d+)(\S+) v(\S+)(?: \(.*\))?\|(.*)")

Json = dict[str, Any]


def bom(module_sha256: str, rust: Json, time: int) -> Json:
    """Returns the list; `rust` is what rustc says of itself, `time` that of the commit."""
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    checksums = {(each["name"], each["version"]): each.get("checksum") for each in lock}
    crates: dict[str, Json] = {}
    needs: dict[str, list[str]] = {}
    above: list[str] = []
    for depth, name, version, licence in tree():
        purl = f"pkg:cargo/{name}@{version}"
        del above[depth:]
        if above and purl not in needs[above[-1]]:
            needs[above[-1]].append(purl)
        above.append(purl)
        needs.setdefault(purl, [])
        crate = {"bom-ref": purl, "type": "library", "name": name, "version": version}
        if sha256 := checksums[name, version]:
            crate["hashes"] = [hashed(sha256)]
        crate["licenses"] = [{"expression": licence}]
        crate["purl"] = purl
        crates.setdefault(purl, crate)
    module, *libraries = crates.values()
    # What is published is the module, not the crate.
    module |= {"type": "application", "hashes": [hashed(module_sha256)]}
    libraries.append(standard_library(rust))
    needs[module["bom-ref"]].append(libraries[-1]["bom-ref"])
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(time, UTC).isoformat(),
            "component": module,
        },
        "components": libraries,
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(refs)} for ref, refs in needs.items()
        ],
    }


def tree() -> list[tuple[int, str, str, str]]:
    """Returns the crates as cargo finds them: depth, name, version and licence."""
    command = ["cargo", "tree", "--locked", "--edges=normal", f"--target={TARGET}"]
    shape = ["--prefix=depth", "--no-dedupe", "--format={p}|{l}"]
    lines = subprocess.check_output([*command, *shape], cwd=ROOT, text=True)
    found = [CRATE.fullmatch(line) for line in lines.splitlines()]
    return [(int(each[1]), *each.groups()[1:]) for each in found if each]


def standard_library(rust: Json) -> Json:
    """Returns Rust's own library, which is compiled into each module."""
    return {
        "bom-ref": f"pkg:generic/rust-std@{rust['release']}",
        "type": "library",
        "name": "std",
        "version": rust["release"],
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
        "purl": f"pkg:generic/rust-std@{rust['release']}",
    }


def hashed(sha256: str) -> Json:
    """Returns a hash as CycloneDX writes it."""
    return {"alg": "SHA-256", "content": sha256}
