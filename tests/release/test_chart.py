"""The chart renders what envoyfilter/ has, in the checkout and as released."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kit.envoy import ROOT
from project import (
    GO,
    IMAGE,
    INSTALLED,
    VERSION,
    Json,
    Release,
    by_name,
    digest,
    documents,
    run,
)

FOLDER = ROOT / "envoyfilter"
CHART = ROOT / "charts/bluegreen"

Helm = Callable[..., list[Json]]

HELMS = ["helm", "helm-3"]
NO_POLICIES = {"policies": {"enabled": False}}
# Commands of a page that are run here.
BLOCK = re.compile(
    r"<!-- run by: tests/release/test_chart.py -->\n```sh\n(.*?)```", re.DOTALL
)


@pytest.fixture(params=HELMS)
def program(request: pytest.FixtureRequest) -> Path:
    """helm, in both versions."""
    return GO / request.param


@pytest.fixture
def helm(program: Path, tmp_path: Path) -> Helm:
    """Renders the chart of the checkout, with values."""

    def render(*words: str, chart: Path = CHART, **values: Json | str) -> list[Json]:
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        command = (program, "template", "bluegreen", chart)
        return documents(run(*command, f"--values={file}", *words).stdout)

    return render


def plain(*names: str) -> list[Json]:
    """The objects of files of envoyfilter/."""
    return [each for name in names for each in documents((FOLDER / name).read_text())]


def plugin(objects: list[Json], side: str) -> Json:
    """The spec of a plugin."""
    plugins = [o for o in objects if o["kind"] in ("WasmPlugin", "TrafficExtension")]
    found = [o for o in plugins if o["metadata"]["name"] == f"bluegreen-{side}"]
    assert len(found) == 1
    return found[0]["spec"].get("wasm") or found[0]["spec"]


def test_lint(program: Path) -> None:
    said = run(program, "lint", "--strict", CHART).stdout
    assert "1 chart(s) linted, 0 chart(s) failed" in said


def test_baggage_comes_with_what_keeps_strangers_apart(helm: Helm) -> None:
    [strangers] = plain("baggage/strangers.yaml")
    on: Json = {"pluginConfig": {"role": "outbound", "baggage": {}}}
    off: Json = {"pluginConfig": {"role": "outbound", "baggage": None}}
    for scope in ("mesh", "gateway", "namespace"):
        by_name = {o["metadata"]["name"]: o for o in helm(scope=scope, outbound=on)}
        assert ("bluegreen-strangers" in by_name) == (scope != "namespace")
        if scope == "mesh":
            assert by_name["bluegreen-strangers"]["spec"] == strangers["spec"]
        if scope == "mesh":
            [without] = plain("baggage/without.yaml")
            objects = helm(outbound=on, strangersBaggage="removed")
            found = [
                o for o in objects if o["metadata"]["name"] == "bluegreen-strangers"
            ]
            assert [each["spec"] for each in found] == [without["spec"]]
        for outbound in ({}, off):
            names = [
                o["metadata"]["name"] for o in helm(scope=scope, outbound=outbound)
            ]
            assert "bluegreen-strangers" not in names


def test_its_version_is_the_modules() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)


@pytest.mark.parametrize(
    ("values", "files"),
    [
        ({}, INSTALLED),
        ({"policies": {"enabled": False}}, INSTALLED[1:]),
        (
            {"kind": "TrafficExtension"},
            (*INSTALLED[:2], "traffic-extension/plugins.yaml"),
        ),
        ({"scope": "gateway"}, ("admission.yaml", "one-gateway/gateway.yaml")),
        (
            {"scope": "namespace"} | NO_POLICIES,
            ("one-namespace/namespace.yaml",),
        ),
        (
            {"policies": {"enabled": True, "gatewayApi": True, "naming": True}},
            (*INSTALLED, "gateway-api/admission.yaml", "gateway-api/naming.yaml"),
        ),
        ({"scope": "gateway-api"} | NO_POLICIES, ("gateway-api/gateway.yaml",)),
        ({"scope": "waypoints"} | NO_POLICIES, ("gateway-api/waypoints.yaml",)),
        ({"scope": "callers"} | NO_POLICIES, ("gateway-api/callers.yaml",)),
        (
            {"alerts": {"enabled": True}, "dashboard": {"enabled": True}},
            (*INSTALLED, "watching/rules.yaml", "watching/dashboard.yaml"),
        ),
    ],
    ids=lambda each: json.dumps(each) if isinstance(each, dict) else "",
)
def test_it_renders_the_files(helm: Helm, values: Json, files: tuple[str]) -> None:
    rendered = helm("--namespace=myapp", **values)
    assert by_name(rendered) == by_name(plain(*files))


def test_every_file_that_users_apply_is_in_the_chart(program: Path) -> None:
    templates = "".join(file.read_text() for file in CHART.glob("templates/*"))
    for file in FOLDER.glob("**/*.yaml"):
        assert f'"{file.relative_to(FOLDER)}"' in templates or (
            f'"files/{file.relative_to(FOLDER)}"' in templates
        )


def test_the_values_go_into_the_plugins(helm: Helm) -> None:
    config = {"role": "gateway", "pin": None, "identity": {"cookie": None}}
    objects = helm(
        url="oci://registry.example/team/bluegreen",
        digest=f"sha256:{'a' * 64}",
        imagePullSecret="login",
        outbound={"pluginConfig": config},
        server={"pluginConfig": {"tag": {"label": "track"}}},
    )
    url = f"oci://registry.example/team/bluegreen@sha256:{'a' * 64}"
    for side in ("outbound", "server"):
        assert plugin(objects, side)["url"] == url
        assert plugin(objects, side)["imagePullSecret"] == "login"
    assert plugin(objects, "outbound")["pluginConfig"] == config
    tag = {"role": "server", "tag": {"label": "track"}}
    assert plugin(objects, "server")["pluginConfig"] == tag


def test_without_the_servers_plugin(helm: Helm) -> None:
    objects = helm(server={"enabled": False})
    wanted = [
        o for o in plain(*INSTALLED) if o["metadata"]["name"] != "bluegreen-server"
    ]
    assert by_name(objects) == by_name(wanted)


def test_another_root_namespace(helm: Helm) -> None:
    text = json.dumps(helm(rootNamespace="mesh-root"))
    assert "istio-system" not in text
    named = json.dumps(plain(*INSTALLED)).replace("istio-system", "mesh-root")
    assert by_name(json.loads(text)) == by_name(json.loads(named))


def test_other_names_of_headers_go_everywhere(helm: Helm) -> None:
    names = {
        "x-bluegreen-bucket": "x-bucket",
        "x-bluegreen-route": "x-route",
        "x-version-pin": "x-tester",
    }
    config = {
        "bucketHeader": "x-bucket",
        "routeHeader": "x-route",
        "pin": {"header": "x-tester"},
    }
    objects = helm(outbound={"pluginConfig": config})
    plugin(objects, "outbound")["pluginConfig"] = {"role": "outbound"}
    text = json.dumps(plain(*INSTALLED))
    for before, after in names.items():
        assert before in text
        text = text.replace(before, after)
    assert by_name(objects) == by_name(json.loads(text))


def test_another_gateway(helm: Helm) -> None:
    labels = {"istio": None, "gateway.networking.k8s.io/gateway-name": "edge"}
    objects = helm(scope="gateway", gateway={"labels": labels})
    wanted = {"gateway.networking.k8s.io/gateway-name": "edge"}
    assert plugin(objects, "outbound")["selector"] == {"matchLabels": wanted}
    (envoy_filter,) = (o for o in objects if o["kind"] == "EnvoyFilter")
    assert envoy_filter["spec"]["workloadSelector"] == {"labels": wanted}


def test_a_gateway_of_the_gateway_api(helm: Helm) -> None:
    config = {"role": "outbound", "pin": {"query": "version-pin"}}
    objects = helm(
        "--namespace=web",
        scope="gateway-api",
        gateway={"name": "edge"},
        outbound={"pluginConfig": config},
        **NO_POLICIES,
    )
    for each in objects:
        assert each["metadata"]["namespace"] == "web"
        [target] = each["spec"]["targetRefs"]
        assert (target["kind"], target["name"]) == ("Gateway", "edge")
    assert plugin(objects, "gateway")["pluginConfig"] == config | {"routes": "named"}


def test_some_callers(helm: Helm) -> None:
    labels = {"app": None, "tier": "front"}
    objects = helm(scope="callers", callers={"labels": labels}, **NO_POLICIES)
    selector = {"matchLabels": {"tier": "front"}}
    assert plugin(objects, "callers")["selector"] == selector


def test_where_alerts_and_dashboard_go(helm: Helm) -> None:
    part = {"enabled": True, "namespace": "monitoring", "labels": {"release": "main"}}
    folder = {"annotations": {"grafana_folder": "Rollouts"}}
    objects = helm(alerts=part, dashboard=part | folder)
    for kind in ("PrometheusRule", "ConfigMap"):
        (metadata,) = (o["metadata"] for o in objects if o["kind"] == kind)
        assert metadata["namespace"] == "monitoring"
        assert metadata["labels"]["app"] == "bluegreen"
        assert metadata["labels"]["release"] == "main"
    assert metadata["annotations"] == {"grafana_folder": "Rollouts"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("outbound.pluginConfig.role=edge", "/outbound/pluginConfig/role"),
        ("outbound.pluginConfig.bucketHeader=location", "/bucketHeader"),
        ("server.pluginConfig.rolle=server", "additional properties 'rolle'"),
        ("kind=TrafficExtension,scope=gateway", "/scope': value must be 'mesh'"),
        ("digest=sha256:0", "/digest"),
        ("url=registry.example/bluegreen", "/url"),
        ("scop=mesh", "additional properties 'scop'"),
    ],
)
def test_wrong_values_are_refused(program: Path, values: str, said: str) -> None:
    command = (program, "template", "bluegreen", CHART, "--set", values)
    done = run(*command, check=False)
    assert done.returncode and said in done.stderr


def test_the_schema_of_the_values_has_that_of_the_configuration() -> None:
    run("python3", ROOT / "envoyfilter/release/values_schema.py", "--check")


def test_the_released_chart_needs_no_values(helm: Helm, release: Release) -> None:
    objects = helm(chart=release.files / f"bluegreen-{VERSION}.tgz")
    installed = documents(release.read("install.yaml").decode())
    assert plugin(objects, "outbound")["url"] == f"oci://{IMAGE}@{digest(release)}"
    assert by_name(objects) == by_name(installed)


def test_it_is_packed_as_helm_packs_it(
    program: Path, release: Release, tmp_path: Path
) -> None:
    tars = []
    run(program, "package", release.project / "charts/bluegreen", "-d", tmp_path)
    for archive in (tmp_path, release.files):
        out = tmp_path / f"out{len(tars)}"
        out.mkdir()
        run("tar", "-xf", archive / f"bluegreen-{VERSION}.tgz", "-C", out)
        files = (file for file in out.glob("**/*") if file.is_file())
        tars.append({str(file.relative_to(out)): file.read_text() for file in files})
    by_helm, ours = tars
    assert by_helm.keys() == ours.keys()
    # helm writes Chart.yaml anew, and a release fills in the image.
    changed = ("bluegreen/Chart.yaml", "bluegreen/values.yaml")
    for name in by_helm.keys() - changed:
        assert by_helm[name] == ours[name], name
    for name in changed[:1]:
        assert yaml.safe_load(by_helm[name]) == yaml.safe_load(ours[name])


def test_the_notes_say_where_it_runs() -> None:
    # helm 3 asks a cluster before it shows them.
    said = run(GO / "helm", "install", "bluegreen", CHART, "--dry-run=client").stdout
    assert "runs in the whole mesh" in said
    tags = (FOLDER / "stat-tags/values.yaml").read_text().splitlines()[-1]
    assert tags.strip() in said


def test_the_commands_of_the_pages(
    program: Path, release: Release, tmp_path: Path
) -> None:
    pages = [ROOT / "docs" / f"{name}.md" for name in ("install", "upgrade")]
    texts = [each for page in pages for each in BLOCK.findall(page.read_text())]
    install, from_checkout, upgrade = texts
    # There is no cluster: what would be applied is shown.
    (tmp_path / "helm").write_text(f'#!/bin/sh\nshift; exec {program} template "$@"\n')
    (tmp_path / "helm").chmod(0o755)
    (tmp_path / "charts").symlink_to(ROOT / "charts")
    archive = f"bluegreen-{VERSION}.tgz"
    (tmp_path / archive).write_bytes(release.read(archive))
    path = f"{tmp_path}:{os.environ['PATH']}"
    for text in (install, from_checkout):
        said = run("bash", "-euc", text, cwd=tmp_path, PATH=path).stdout
        url = plugin(documents(said), "outbound")["url"]
        assert re.fullmatch(r"oci://registry\.example/\S+@sha256:[0-9a-f]{64}", url)
    known = run(program, "upgrade", "--help").stdout
    command = next(line for line in upgrade.splitlines() if "helm upgrade" in line)
    assert f" {archive} " in command
    for flag in re.findall(r"--[a-z-]+", command):
        assert f" {flag} " in known, flag
