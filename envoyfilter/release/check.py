"""Says what stands in the way of a release: all of it, before anything is built."""

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import install

ROOT = Path(__file__).resolve().parents[2]
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?")
# A name that is none on Docker Hub, without tag and digest.
IMAGE = re.compile(r"(localhost|[^/]*[.:][^/]*)/[^:@]+")


def main() -> None:
    """Ends with an error if there is anything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("version", metavar="VERSION")
    parser.add_argument("image", metavar="IMAGE", nargs="?", default="")
    wanted = parser.parse_args()
    if not VERSION.fullmatch(wanted.version):
        sys.exit(f"VERSION={wanted.version} is not x.y.z: make release VERSION=0.1.0")
    if problems := list(found(wanted.version, wanted.image)):
        sys.exit("\n".join(problems))


def found(version: str, image: str) -> Iterator[str]:
    """Returns what is wrong, each with what mends it."""
    if image and not IMAGE.fullmatch(image):
        yield f"IMAGE={image} is not REGISTRY/NAME, without a tag"
    if changed := git("status", "--porcelain"):
        yield f"the tree is not clean: git commit or git stash\n{changed}"
    tag = git("rev-parse", "--quiet", "--verify", f"v{version}^{{commit}}")
    if not tag:
        yield f"there is no tag v{version}: git tag v{version}"
    elif tag != git("rev-parse", "HEAD"):
        yield f"the tag v{version} is another commit: git checkout v{version}"
    for file, said in versions():
        if said != version:
            yield f"{file} says {said}, not {version}"
    if not re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$",
        (ROOT / "CHANGELOG.md").read_text(),
        re.MULTILINE,
    ):
        yield f"CHANGELOG.md has no line `## [{version}] - YYYY-MM-DD`"


def versions() -> Iterator[tuple[str, str]]:
    """Returns where a version of the project stands, and which."""
    for file in ("Cargo.toml", "cli/Cargo.toml"):
        cargo = tomllib.loads((ROOT / file).read_text())
        yield file, cargo["package"]["version"]
    chart = (ROOT / "charts/bluegreen/Chart.yaml").read_text()
    for found in re.findall(r"^(?:version|appVersion): (.*)$", chart, re.MULTILINE):
        yield "charts/bluegreen/Chart.yaml", found
    for file in sorted((ROOT / "envoyfilter").glob("**/*.yaml")):
        for _, tag in install.URL.findall(file.read_text()):
            yield str(file.relative_to(ROOT)), tag


def git(*words: str) -> str:
    """Returns what git says; nothing if it fails."""
    done = subprocess.run(
        ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


if __name__ == "__main__":
    main()
