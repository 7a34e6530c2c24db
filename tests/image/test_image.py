"""The image depends on the module alone, and a registry gives back what Istio needs."""

import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import ports, registry
from kit.envoy import ROOT
from kit.registry import PASSWORD, USER, Registry

MODULE = ROOT / "target/bluegreen.wasm"
PACKAGE = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
SOURCE = "https://git.example/bluegreen"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LABEL = "org.opencontainers.image"


def run(
    program: str, *words: str | Path, root: Path = ROOT, umask: int = -1, **env: str
) -> subprocess.CompletedProcess[str]:
    """Runs build.py or push.py of a folder, as somebody who is logged in nowhere."""
    return subprocess.run(
        [sys.executable, root / "envoyfilter/image" / program, *words],
        capture_output=True,
        text=True,
        check=False,
        umask=umask,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **env},
    )


def build(root: Path, umask: int = -1) -> str:
    """Builds the image in a folder with what it is made of; returns its digest."""
    done = run("build.py", root=root, umask=umask, SOURCE=SOURCE)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].removeprefix("digest ")


def copied(to: Path) -> Path:
    """What an image is made of, in another folder."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "envoyfilter/image", to / "envoyfilter/image", ignore=ignore)
    shutil.copy(ROOT / "Cargo.toml", to)
    (to / "target").mkdir()
    shutil.copy(MODULE, to / "target")
    return to


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An image in a folder of its own, and its digest."""
    root = copied(tmp_path_factory.mktemp("image"))
    digest = build(root)
    return root / "target/image", digest


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that speaks plain HTTP."""
    with registry.plain(tmp_path_factory.mktemp("plain")) as running:
        yield running


def push(image: tuple[Path, str], host: str, **env: str) -> tuple[int, str]:
    """Pushes; returns the status and what was printed, as it is without line ends."""
    target = f"{host}/team/bluegreen:1"
    done = run("push.py", "--image", image[0], target, **env)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def url(image: tuple[Path, str], host: str) -> str:
    """What push.py prints when a registry took the image."""
    return f"url: oci://{host}/team/bluegreen@{image[1]}"


def get(host: str, path: str) -> bytes:
    """Content of a registry, whose digest the path ends with."""
    address = f"http://{host}/v2/team/bluegreen/{path}"
    request = urllib.request.Request(address, headers={"Accept": MANIFEST})
    with urllib.request.urlopen(request, timeout=10) as answer:
        content = answer.read()
    assert path.endswith(f"sha256:{hashlib.sha256(content).hexdigest()}")
    return content


def test_two_builds_are_the_same(image: tuple[Path, str], tmp_path: Path) -> None:
    other = copied(tmp_path / "other")
    # What a builder's umask and clock leave on the file, and who that is.
    module = other / "target/bluegreen.wasm"
    module.chmod(0o600)
    os.utime(module, (1, 1))
    if os.getuid() == 0:
        os.chown(module, 65534, 65534)
    assert build(other, umask=0o077) == image[1]


def test_another_module_makes_another_image(
    image: tuple[Path, str], tmp_path: Path
) -> None:
    module = copied(tmp_path / "other") / "target/bluegreen.wasm"
    module.write_bytes(MODULE.read_bytes() + b"\x00\x05\x04next")
    assert build(tmp_path / "other") != image[1]


def test_the_registry_gives_back_what_istio_looks_for(
    image: tuple[Path, str], plain: Registry
) -> None:
    assert push(image, plain.host, TLS_VERIFY="false") == (0, url(image, plain.host))
    manifest = json.loads(get(plain.host, f"manifests/{image[1]}"))
    assert manifest["mediaType"] == MANIFEST
    assert manifest["annotations"] == {"module.wasm.image/variant": "compat"}
    (described,) = manifest["layers"]
    assert described["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
    layer = get(plain.host, f"blobs/{described['digest']}")
    assert described["size"] == len(layer)
    with tarfile.open(fileobj=io.BytesIO(layer), mode="r:gz") as archive:
        (file,) = archive
        assert (file.name, file.mode, file.uid, file.gid) == (
            "plugin.wasm",
            0o644,
            0,
            0,
        )
        content = archive.extractfile(file)
        assert content and content.read() == MODULE.read_bytes()
    config = json.loads(get(plain.host, f"blobs/{manifest['config']['digest']}"))
    # What containerd and others compare after they have unpacked the layer.
    unpacked = f"sha256:{hashlib.sha256(gzip.decompress(layer)).hexdigest()}"
    assert config["rootfs"] == {"type": "layers", "diff_ids": [unpacked]}
    assert config["config"]["Labels"] == {
        f"{LABEL}.description": PACKAGE["description"],
        f"{LABEL}.licenses": "Apache-2.0",
        f"{LABEL}.source": SOURCE,
        f"{LABEL}.title": "bluegreen",
        f"{LABEL}.version": PACKAGE["version"],
    }


def test_it_may_be_pushed_twice(image: tuple[Path, str], plain: Registry) -> None:
    for _ in range(2):
        assert push(image, plain.host, TLS_VERIFY="false")[0] == 0


def test_plain_http_is_refused_unasked(
    image: tuple[Path, str], plain: Registry
) -> None:
    status, said = push(image, plain.host)
    assert status == 1
    assert "plain HTTP" in said and "TLS_VERIFY=false" in said


def test_nobody_listens(image: tuple[Path, str]) -> None:
    with ports.refusing() as port:
        status, said = push(image, f"127.0.0.1:{port}")
        assert status == 1
        assert said.endswith("did not take the image: [Errno 111] Connection refused")


def test_a_certificate_that_nobody_vouches_for(
    image: tuple[Path, str], tmp_path: Path
) -> None:
    with registry.with_tls(tmp_path / "registry") as running:
        status, said = push(image, running.host)
        assert status == 1
        assert "certificate: " in said and "TLS_VERIFY=false" in said
        taken = (0, url(image, running.host))
        assert push(image, running.host, SSL_CERT_FILE=str(running.authority)) == taken
        assert push(image, running.host, TLS_VERIFY="false") == taken


@pytest.fixture(scope="module", params=["basic", "token"])
def locked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """A registry that wants a login."""
    folder = tmp_path_factory.mktemp("locked") / "registry"
    with registry.with_tls(folder, request.param) as running:
        yield running


def pushed(image: tuple[Path, str], locked: Registry, **env: str) -> tuple[int, str]:
    """Pushes to a registry that wants a login."""
    return push(image, locked.host, SSL_CERT_FILE=str(locked.authority), **env)


def test_without_a_login(image: tuple[Path, str], locked: Registry) -> None:
    for env in ({}, {"REGISTRY_USER": USER, "REGISTRY_PASSWORD": "wrong"}):
        status, said = pushed(image, locked, **env)
        assert status == 1
        assert (
            f"unauthorized log in as one who may push: docker login {locked.host}"
            in (said)
        )


def test_a_login_of_the_environment(image: tuple[Path, str], locked: Registry) -> None:
    env = {"REGISTRY_USER": USER, "REGISTRY_PASSWORD": PASSWORD}
    assert pushed(image, locked, **env) == (0, url(image, locked.host))


@pytest.mark.parametrize(
    ("variable", "file"),
    [
        ("REGISTRY_AUTH_FILE", ""),
        ("XDG_RUNTIME_DIR", "containers/auth.json"),
        ("XDG_CONFIG_HOME", "containers/auth.json"),
        ("HOME", ".config/containers/auth.json"),
        ("HOME", ".docker/config.json"),
        ("DOCKER_CONFIG", "config.json"),
    ],
)
def test_a_login_in_a_file(
    variable: str, file: str, image: tuple[Path, str], locked: Registry, tmp_path: Path
) -> None:
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    write(tmp_path / "login" / file, {"auths": {locked.host: {"auth": login}}})
    env = {variable: str(tmp_path / "login")}
    assert pushed(image, locked, **env) == (0, url(image, locked.host))


@pytest.mark.parametrize("names", ["credsStore", "credHelpers"])
def test_a_login_that_a_helper_keeps(
    names: str, image: tuple[Path, str], locked: Registry, tmp_path: Path
) -> None:
    helper = tmp_path / "docker-credential-safe"
    kept = json.dumps({"Username": USER, "Secret": PASSWORD})
    helper.write_text(f"#!/bin/sh\nread -r asked; test $asked = {locked.host} &&\n")
    with helper.open("a") as script:
        script.write(f"echo '{kept}'\n")
    helper.chmod(0o755)
    named = {"credsStore": "safe", "credHelpers": {locked.host: "safe"}}
    write(tmp_path / "config.json", {"auths": {locked.host: {}}, names: named[names]})
    env = {
        "DOCKER_CONFIG": str(tmp_path),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    assert pushed(image, locked, **env) == (0, url(image, locked.host))


def test_no_password_goes_over_plain_http(
    image: tuple[Path, str], tmp_path: Path
) -> None:
    with registry.plain(tmp_path / "registry", "basic") as running:
        login = {"REGISTRY_USER": USER, "REGISTRY_PASSWORD": PASSWORD}
        status, said = push(image, running.host, TLS_VERIFY="false", **login)
        assert status == 1
        assert said.endswith("it wants a login, and no password goes over plain HTTP")


@pytest.mark.parametrize("target", ["", "bluegreen", "team/bluegreen:1", "a.example/b"])
def test_a_name_that_is_none(target: str) -> None:
    done = run("push.py", "--check", target)
    assert done.returncode == 1
    assert "make push IMAGE=registry.example/bluegreen:0.1.0" in done.stderr


def write(file: Path, content: dict[str, Any]) -> None:
    """Writes JSON, in a folder that may not be there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
