"""A release in a clone of the project, and what its files are about."""

import io
import json
import os
import re
import subprocess
import tarfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kit.envoy import ROOT

Json = dict[str, Any]

VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
TAG = f"v{VERSION}"
IMAGE = "registry.example/team/bluegreen"
SOURCE = "https://git.example/bluegreen"
GO = ROOT / "target/go"

# Not what `make release` hands down, nor who may push to a real registry.
HANDED = re.compile("MAKE|V$|VERSION|IMAGE|SOURCE|BUILDER|REGISTRY_|COSIGN")
ENV = {name: text for name, text in os.environ.items() if not HANDED.match(name)}
AUTHOR = ("-c", "user.name=test", "-c", "user.email=test@example.com")


def run(
    *words: str | Path, check: bool = True, cwd: Path = ROOT, **env: str
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end."""
    done = subprocess.run(
        words, cwd=cwd, env={**ENV, **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or not check, f"{words}\n{done.stdout}{done.stderr}"
    return done


@dataclass
class Release:
    """A clone of the project at its tag, and the files of the release."""

    project: Path
    files: Path

    def read(self, name: str) -> bytes:
        """Returns the bytes of a file."""
        return (self.files / name).read_bytes()

    def make(self, *words: str, check: bool = True) -> str:
        """Returns what make says, errors too."""
        done = run("make", *words, cwd=self.project, check=check)
        assert check or done.returncode
        return done.stdout + done.stderr


# What `kubectl apply -f envoyfilter/` installs.
INSTALLED = ("admission.yaml", "envoy-filter.yaml", "plugins.yaml")


def released(project: Path, image: str = IMAGE) -> Release:
    """The steps of `make release` that follow on the tests."""
    release = Release(project, project / "target/release" / VERSION)
    words = (f"VERSION={VERSION}", f"IMAGE={image}", f"SOURCE={SOURCE}")
    release.make(".release-files", *words)
    return release


def documents(text: str) -> list[Json]:
    """The objects in a text, lists taken apart."""
    found = []
    for document in filter(None, yaml.safe_load_all(text)):
        found += document["items"] if document["kind"] == "List" else [document]
    return found


def image(release: Release) -> dict[str, bytes]:
    """The files in the archive of the image."""
    packed = io.BytesIO(release.read(f"bluegreen-{VERSION}.oci.tar"))
    with tarfile.open(fileobj=packed) as archive:
        files = {each.name: archive.extractfile(each) for each in archive}
        return {name: file.read() for name, file in files.items() if file}


def digest(release: Release) -> str:
    """The digest of the image."""
    (manifest,) = json.loads(image(release)["index.json"])["manifests"]
    return manifest["digest"]


def by_name(objects: list[Json]) -> list[Json]:
    """The objects in an order that helm does not change."""
    return sorted(objects, key=lambda each: (each["kind"], each["metadata"]["name"]))
