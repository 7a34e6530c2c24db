"""The files of a release: the same each time, and what they say of each other."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from kit.envoy import ROOT
from project import (
    IMAGE,
    INSTALLED,
    SOURCE,
    TAG,
    Release,
    digest,
    documents,
    image,
    released,
    run,
)


def test_two_runs_give_the_same_bytes(
    release: Release, another: Callable[[], Path]
) -> None:
    again = released(another())
    names = sorted(file.name for file in release.files.iterdir())
    assert names == sorted(file.name for file in again.files.iterdir())
    assert len(names) == 9, names
    for name in names:
        assert release.read(name) == again.read(name), name
        for folder in (ROOT, release.project):
            assert f"{folder}/".encode() not in release.read(name), name


def test_the_sums_are_right_and_nothing_is_left_out(release: Release) -> None:
    checked = run("sha256sum", "--check", "SHA256SUMS", cwd=release.files).stdout
    named = {line.removesuffix(": OK") for line in checked.splitlines()}
    assert named == {file.name for file in release.files.iterdir()} - {"SHA256SUMS"}


def test_the_image_has_the_module(release: Release) -> None:
    files = image(release)
    for name, content in files.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"
    manifest = json.loads(files[f"blobs/{digest(release).replace(':', '/')}"])
    (layer,) = manifest["layers"]
    packed = io.BytesIO(files[f"blobs/{layer['digest'].replace(':', '/')}"])
    with tarfile.open(fileobj=packed, mode="r:gz") as archive:
        module = archive.extractfile("plugin.wasm")
        assert module and module.read() == release.read("bluegreen.wasm")


def test_install_yaml_has_the_objects_of_envoyfilter(release: Release) -> None:
    folder = release.project / "envoyfilter"
    wanted = [
        each for name in INSTALLED for each in documents((folder / name).read_text())
    ]
    plugins = [each for each in wanted if each["kind"] == "WasmPlugin"]
    assert len(plugins) == 2
    for plugin in plugins:
        plugin["spec"]["url"] = f"oci://{IMAGE}@{digest(release)}"
    assert documents(release.read("install.yaml").decode()) == wanted


def test_the_schemas_are_those_of_envoyfilter(release: Release) -> None:
    for name in ("pluginConfig.schema.json", "manifest.schema.json"):
        original = release.project / "envoyfilter/schema" / name
        assert release.read(name) == original.read_bytes()


def test_the_bill_of_materials_is_what_is_compiled(release: Release) -> None:
    text = release.read("bluegreen.cdx.json").decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    module = bom["metadata"]["component"]
    sha256 = hashlib.sha256(release.read("bluegreen.wasm")).hexdigest()
    assert module["hashes"] == [{"alg": "SHA-256", "content": sha256}]
    found = {(each["name"], each["version"]) for each in bom["components"]}
    # The names of the crates that the compiler read for this module.
    built = release.project / "target/wasm/wasm32-wasip1/release/deps"
    crates = {file.name.rsplit("-", 1)[0] for file in built.glob("*-*.d")}
    named = {name.replace("-", "_") for name, _ in found} - {"std"}
    assert named <= crates
    # Where cargo had to compile the standard library, its crates stand there, too.
    assert "core" in crates or named == crates
    refs = {each["bom-ref"] for each in (module, *bom["components"])}
    for each in bom["dependencies"]:
        assert {each["ref"], *each["dependsOn"]} <= refs
    assert all(each["licenses"] for each in bom["components"])


def test_the_provenance_names_the_commit_and_all_that_was_made(
    release: Release,
) -> None:
    said = json.loads(release.read("provenance.json"))
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["predicateType"] == "https://slsa.dev/provenance/v1"
    subjects = {each["name"]: each["digest"]["sha256"] for each in said["subject"]}
    assert subjects.pop(IMAGE) == digest(release).removeprefix("sha256:")
    lines = release.read("SHA256SUMS").decode().splitlines()
    sums = {name: sha256 for sha256, name in map(str.split, lines)}
    assert subjects == {k: v for k, v in sums.items() if k != "provenance.json"}
    source, rust = said["predicate"]["buildDefinition"]["resolvedDependencies"]
    commit = run("git", "rev-parse", "HEAD", cwd=release.project).stdout.strip()
    assert source["digest"] == {"gitCommit": commit}
    assert source["uri"] == f"git+{SOURCE}@refs/tags/{TAG}"
    assert rust["name"] == "rustc"
