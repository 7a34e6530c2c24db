"""Says what a release was made of: an in-toto statement, in the format of SLSA 1.

https://slsa.dev/spec/v1.1/provenance
"""

import os
from typing import Any

Json = dict[str, Any]

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
# Names for what has no address of its own (RFC 4151).
HERE = "tag:bluegreen.example,2026:"


def statement(
    subjects: dict[str, str],
    image: tuple[str, str],
    version: str,
    commit: str,
    rust: Json,
) -> Json:
    """Returns the statement on files by their sha256, and on an image by its digest."""
    source = os.environ.get("SOURCE", "")
    name, digest = image
    described = {"name": "bluegreen", "digest": {"gitCommit": commit}}
    if source:
        described["uri"] = f"git+{source}@refs/tags/v{version}"
    page = "CONTRIBUTING.md#how-a-release-is-made"
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": name, "digest": dict([digest.split(":")])},
            *(
                {"name": file, "digest": {"sha256": sha256}}
                for file, sha256 in subjects.items()
            ),
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": f"{source}/blob/v{version}/{page}"
                if source
                else f"{HERE}make-release",
                "externalParameters": {
                    "target": "release",
                    "variables": {"VERSION": version, "IMAGE": name, "SOURCE": source},
                },
                "resolvedDependencies": [
                    described,
                    compiler(rust),
                ],
            },
            "runDetails": {
                "builder": {"id": os.environ.get("BUILDER") or f"{HERE}any-machine"}
            },
        },
    }


def compiler(rust: Json) -> Json:
    """Returns the Rust that compiled the module; Debian's does not know its commit."""
    found: Json = {"name": "rustc", "uri": f"pkg:generic/rustc@{rust['release']}"}
    if rust["commit-hash"] != "unknown":
        found["digest"] = {"gitCommit": rust["commit-hash"]}
    return found
