"""`bluegreen explain --ask` sends the request that it explains to a real gateway, and the
two agree; where the manifest is another than what the gateway has, it says so."""

import subprocess
from collections.abc import Iterator

import pytest
import yaml
from kit import envoy_filter, istio, ports
from kit.envoy import ROOT, Envoy, module, versions

COMMAND = ROOT / "target/cli/debug/bluegreen"
COOKIE = "bluegreen-id=00c0ffee00c0ffee"
WEIGHTS = {"blue": 70, "green": 30}


@pytest.fixture(scope="module", params=versions())
def gateway(request: pytest.FixtureRequest) -> Iterator[Envoy]:
    """A gateway at 70/30, with pins, in front of both versions."""
    apps = dict(zip(WEIGHTS, ports.free(2), strict=True))
    clusters = {version: istio.subset_cluster(version) for version in WEIGHTS}
    routes = [
        *istio.pin_routes("x-version-pin", clusters),
        istio.weighted_route({clusters[v]: weight for v, weight in WEIGHTS.items()}),
    ]
    plugin = istio.plugin(istio.wasm(module(), {"pin": {"query": "version-pin"}}))
    listener = istio.listener("shop", "outbound", routes, [plugin])
    bootstrap = istio.bootstrap(
        "router~explained",
        {},
        [
            envoy_filter.listener(listener, envoy_filter.GATEWAY),
            *(istio.application(*app) for app in apps.items()),
        ],
        [istio.cluster(clusters[version], port) for version, port in apps.items()],
    )
    with Envoy(bootstrap, f"explain-{request.param}", request.param) as envoy:
        yield envoy


def manifest(**weights: int) -> str:
    """The same routes, as people write them."""

    def to(version: str) -> dict:
        return {"destination": {"host": "shop", "subset": version}}

    http = [
        {
            "name": name,
            "match": [{"headers": {"x-version-pin": {"exact": version}}}],
            "route": [to(version)],
        }
        for name, version in [("bluegreen-pin", "blue"), ("bluegreen-pin-2", "green")]
    ]
    route = [to(version) | {"weight": weight} for version, weight in weights.items()]
    return yaml.safe_dump(
        {
            "kind": "VirtualService",
            "metadata": {"name": "shop", "namespace": "shop"},
            "spec": {
                "hosts": ["shop.example"],
                "gateways": ["shop"],
                "http": [*http, {"name": "bluegreen", "route": route}],
            },
        }
    )


def explain(envoy: Envoy, routes: str, *words: str) -> tuple[int, str]:
    """The exit code and the output of the command."""
    port = envoy.port("shop")
    done = subprocess.run(
        [
            str(COMMAND),
            "explain",
            "--ask",
            "-c",
            "-",
            "-r",
            routes,
            "--connect-to",
            f"shop.example:80:127.0.0.1:{port}",
            *words,
        ],
        input="pin: {query: version-pin}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def routes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The manifest of what the gateway has."""
    file = tmp_path_factory.mktemp("routes") / "routes.yaml"
    file.write_text(manifest(**WEIGHTS))
    return str(file)


@pytest.mark.parametrize(
    "words",
    [
        ["-b", COOKIE],
        [],
        ["-H", "x-version-pin: green"],
        ["-H", "x-version-pin: red", "-b", COOKIE],
        ["-H", "x-version-pin: Red!", "-b", COOKIE],
        ["-H", "x-bluegreen-bucket: 99", "-b", COOKIE],
        ["-I", "-b", COOKIE],
        ["-d", "a=b", "-b", COOKIE],
    ],
    ids=lambda words: " ".join(words) or "a new user",
)
def test_a_gateway_answers_as_explained(
    gateway: Envoy, routes: str, words: list[str]
) -> None:
    code, said = explain(gateway, routes, *words, "http://shop.example/")
    assert code == 0, said
    assert "as explained" in said


def test_a_pin_by_query_is_explained(gateway: Envoy, routes: str) -> None:
    code, said = explain(gateway, routes, "http://shop.example/?version-pin=green")
    assert code == 0, said
    assert "green, by the query" in said


def test_another_manifest_than_the_gateways_is_told(
    gateway: Envoy, routes: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # The cookie's place is 53: blue by 70/30, green by 50/50.
    file = tmp_path_factory.mktemp("other") / "routes.yaml"
    file.write_text(manifest(blue=50, green=50))
    code, said = explain(gateway, str(file), "-b", COOKIE, "http://shop.example/")
    assert code == 1, said
    assert "x-served-version: blue, and not green" in said


def test_nobody_listens(gateway: Envoy, routes: str) -> None:
    [free] = ports.free(1)
    address = f"http://127.0.0.1:{free}/"
    code, said = explain(gateway, routes, address)
    assert code == 2, said
    assert "curl: (7)" in said
