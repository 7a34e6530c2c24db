"""What docs/pins.md tells people to type: keys, and tokens that pin on a real Envoy."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kit import client, envoy_filter, istio
from kit.envoy import ROOT, Envoy, module, newest
from kit.istio import Json
from kit.scenario import all_of
from kit.upstream import Upstream

PAGE = ROOT / "docs/pins.md"
MARK = f"<!-- run by: {Path(__file__).relative_to(ROOT)} -->"
BLOCK = re.compile(rf"{re.escape(MARK)}\n```(sh|python)\n(.*?)```", re.DOTALL)
CONFIG = re.compile(r"<!-- keys -->\n```yaml\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder in which all blocks were run, and the tokens that they printed."""
    folder = tmp_path_factory.mktemp("pins")
    here = Path(sys.executable).parent
    path = f"{here}:{ROOT / 'target/cli/debug'}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    printed = []
    for kind, text in BLOCK.findall(PAGE.read_text()):
        program = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": ["python", "-c"]}
        done = subprocess.run(
            [*program[kind], text],
            check=True,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        printed += done.stdout.splitlines()
    return folder, printed


@pytest.fixture(scope="module")
def port(typed: tuple[Path, list[str]]) -> Iterator[int]:
    """A gateway with the configuration of the page, and the keys that were made."""
    folder, _ = typed
    [text] = CONFIG.findall(PAGE.read_text())
    config: Json = yaml.safe_load(text)
    [key] = config["pin"]["keys"]
    config["pin"]["keys"] = [
        key | {"name": name, "publicKey": (folder / f"{name}.pub.pem").read_text()}
        for name in ("ci", "ci-rsa")
    ]
    clusters = {version: istio.subset_cluster(version) for version in ("blue", "green")}
    routes = [
        *istio.pin_routes("x-version-pin", clusters),
        istio.weighted_route({clusters["blue"]: 100, clusters["green"]: 0}),
    ]
    plugin = istio.plugin(istio.wasm(module(), {"role": "gateway"} | config))
    listener = istio.listener("gateway", "outbound", routes, [plugin])
    listener = envoy_filter.listener(listener, envoy_filter.GATEWAY)
    with Upstream("app") as app:
        names = [istio.cluster(each, app.port) for each in clusters.values()]
        bootstrap = istio.bootstrap("router~t", {}, [listener], names)
        with Envoy(bootstrap, "pins-page", newest()) as envoy:
            yield envoy.port("gateway")


def test_each_way_to_make_a_pin_makes_one(
    typed: tuple[Path, list[str]], port: int
) -> None:
    _, printed = typed
    page = PAGE.read_text()
    lengths = [int(found) for found in re.findall(r"(\d+) characters\s+long:", page)]
    assert len(printed) == len(lengths) == 3
    for token, length in zip(printed, lengths, strict=True):
        assert abs(len(token) - length) < 20
        response = client.http1(
            port,
            [
                (":method", b"GET"),
                (":path", f"/?version-pin={token}".encode()),
                (":authority", b"shop.example"),
            ],
        )
        assert all_of("x-served-version", response.headers) == [b"green"], token
        cookies = all_of("set-cookie", response.headers)
        pin = f"bluegreen-pin={token}; Max-Age=".encode()
        assert any(cookie.startswith(pin) for cookie in cookies)
