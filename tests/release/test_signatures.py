"""What is published is signed, and nothing else passes for it.

No transparency log can be reached from everywhere the tests run. So cosign signs here
without one, and verifies without asking for one; the commands of docs/install.md are
run as they stand, but for that.
"""

import base64
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kit import registry
from kit.envoy import ROOT
from kit.registry import Registry
from project import GO, VERSION, Release, by_name, digest, documents, run

COSIGN = GO / "cosign"
PASSWORD = {"COSIGN_PASSWORD": "secret"}
PAGE = ROOT / "docs/install.md"
BLOCK = re.compile(
    r"<!-- run by: tests/release/test_signatures.py -->\n```sh\n(.*?)```", re.DOTALL
)
PATH = os.environ["PATH"]
# No log can be asked.
NO_LOG = "--insecure-ignore-tlog=true"


@dataclass
class Published:
    """A release in a registry, and the key that it was signed with."""

    release: Release
    host: str
    folder: Path
    env: dict[str, str]

    @property
    def name(self) -> str:
        """The name of the image."""
        return f"{self.host}/team/bluegreen"

    def cosign(self, *words: str | Path, check: bool = True) -> tuple[int, str]:
        """Verifies something by the public key, without a transparency log."""
        flags = (f"--key={self.folder}/cosign.pub", NO_LOG)
        done = run(COSIGN, *words, *flags, check=check, cwd=self.folder, **self.env)
        return done.returncode, done.stdout + done.stderr


def keys(folder: Path) -> None:
    """Makes a key pair."""
    run(COSIGN, "generate-key-pair", cwd=folder, **PASSWORD)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that wants a login."""
    folder = tmp_path_factory.mktemp("registry")
    with registry.with_tls(folder / "registry", "basic") as running:
        yield running


@pytest.fixture(scope="module")
def published(
    release: Release, running: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Published:
    """The release, pushed and signed by the script of `make publish`."""
    folder = tmp_path_factory.mktemp("published")
    keys(folder)
    host = running.host
    login = base64.b64encode(f"{registry.USER}:{registry.PASSWORD}".encode()).decode()
    auths = {"auths": {host: {"auth": login}}}
    (folder / "config.json").write_text(json.dumps(auths))
    config = folder / "signing-config.json"
    run(COSIGN, "signing-config", "create", "--out", config)
    # The same module, for the name that it has in this registry.
    project = folder / "bluegreen"
    built = shutil.ignore_patterns("wasm", "postlink")
    shutil.copytree(release.project, project, symlinks=True, ignore=built)
    shutil.copy(folder / "cosign.key", project)
    run(
        "python3",
        project / "envoyfilter/release/build.py",
        IMAGE=f"{host}/team/bluegreen",
    )
    own = Release(project, project / "target/release" / VERSION)
    said = run(
        project / "envoyfilter/release/publish.sh",
        VERSION,
        cwd=project,
        PATH=f"{GO}:{PATH}",
        COSIGN_KEY="cosign.key",
        COSIGN_FLAGS=f"--signing-config={config}",
        SSL_CERT_FILE=str(running.authority),
        REGISTRY_USER=registry.USER,
        REGISTRY_PASSWORD=registry.PASSWORD,
        **PASSWORD,
    ).stdout
    assert f"url: oci://{host}/team/bluegreen@{digest(own)}" in said
    for file in own.files.iterdir():
        shutil.copy(file, folder)
    env = {
        "SSL_CERT_FILE": str(running.authority),
        "DOCKER_CONFIG": str(folder),
        "HELM_REGISTRY_CONFIG": str(folder / "config.json"),
    }
    return Published(own, host, folder, env)


def test_the_commands_of_the_page(published: Published, tmp_path: Path) -> None:
    (block,) = BLOCK.findall(PAGE.read_text())
    # cosign, but without a transparency log.
    program = tmp_path / "cosign"
    program.write_text(f'#!/bin/sh\nexec {COSIGN} "$@" {NO_LOG}\n')
    program.chmod(0o755)
    command = ("bash", "-euc", block)
    said = run(
        *command, cwd=published.folder, PATH=f"{tmp_path}:{PATH}", **published.env
    )
    assert "cosign verify " in block and "cosign verify-blob " in block
    assert said.stderr.count("Verified OK") == block.count("cosign verify-blob ")
    assert "install.yaml: OK" in said.stdout


def test_another_image_is_refused(published: Published, tmp_path: Path) -> None:
    # By one who may push: another module, under the tag of the release.
    module = tmp_path / "bluegreen.wasm"
    module.write_bytes(published.release.read("bluegreen.wasm") + b"\x00\x05\x04next")
    image = ROOT / "envoyfilter/image"
    run(
        "python3", image / "build.py", f"--module={module}", f"--image={tmp_path}/image"
    )
    tag = f"{published.name}:{VERSION}"
    python = ROOT / "target/venv/bin/python"
    push = (python, image / "push.py", f"--image={tmp_path}/image", tag)
    said = run(*push, **published.env).stdout
    other = said.strip().rpartition("@")[2]
    assert other != digest(published.release)
    for target in (tag, f"{published.name}@{other}"):
        status, said = published.cosign("verify", target, check=False)
        assert status and "no signatures found" in said
    published.cosign("verify", f"{published.name}@{digest(published.release)}")


def test_another_key_is_refused(published: Published, tmp_path: Path) -> None:
    keys(tmp_path)
    key = f"--key={tmp_path}/cosign.pub"
    image = f"{published.name}@{digest(published.release)}"
    done = run(COSIGN, "verify", key, NO_LOG, image, check=False, **published.env)
    assert done.returncode and "could not verify envelope" in done.stderr


def test_who_does_not_ignore_the_log_wants_it(
    published: Published, tmp_path: Path
) -> None:
    # Whom cosign trusts, in the place of what it would fetch: no log at all.
    root = tmp_path / "trusted-root.json"
    run(COSIGN, "trusted-root", "create", "--out", root)
    image = f"{published.name}@{digest(published.release)}"
    flags = (f"--key={published.folder}/cosign.pub", f"--trusted-root={root}")
    done = run(COSIGN, "verify", *flags, image, check=False, **published.env)
    assert done.returncode and "log entries" in done.stderr, done.stderr


def test_changed_sums_are_refused(published: Published) -> None:
    bundle = ("--bundle", "SHA256SUMS.sigstore.json")
    published.cosign("verify-blob", *bundle, "SHA256SUMS")
    changed = published.folder / "changed"
    sums = (published.folder / "SHA256SUMS").read_text()
    changed.write_text(sums.replace("a", "b", 1))
    status, said = published.cosign("verify-blob", *bundle, "changed", check=False)
    assert status and "Verified OK" not in said


@pytest.mark.parametrize("program", ["helm", "helm-3"])
def test_the_chart_is_signed_and_installs_from_the_registry(
    published: Published, program: str, tmp_path: Path
) -> None:
    chart = f"{published.host}/team/charts/bluegreen"
    words = ("pull", f"oci://{chart}", f"--version={VERSION}")
    said = run(GO / program, *words, cwd=tmp_path, **published.env)
    (found,) = re.findall(r"^Digest: (\S+)$", said.stdout + said.stderr, re.MULTILINE)
    published.cosign("verify", f"{chart}@{found}")
    archive = tmp_path / f"bluegreen-{VERSION}.tgz"
    assert archive.read_bytes() == published.release.read(archive.name)
    rendered = documents(run(GO / program, "template", "x", archive).stdout)
    installed = documents(published.release.read("install.yaml").decode())
    assert by_name(rendered) == by_name(installed)


def test_provenance_and_sbom_are_attested(published: Published) -> None:
    image = f"{published.name}@{digest(published.release)}"
    provenance = json.loads(published.release.read("provenance.json"))["predicate"]
    sbom = json.loads(published.release.read("bluegreen.cdx.json"))
    for kind, wanted in (("slsaprovenance1", provenance), ("cyclonedx", sbom)):
        _, said = published.cosign("verify-attestation", f"--type={kind}", image)
        (envelope,) = (line for line in said.splitlines() if line.startswith("{"))
        statement = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
        assert statement["predicate"] == wanted
        (subject,) = statement["subject"]
        assert f"sha256:{subject['digest']['sha256']}" == digest(published.release)
