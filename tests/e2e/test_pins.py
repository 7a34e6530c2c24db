"""Pins: by the README's own commands, and in a browser."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cluster
import pytest
from kit.envoy import ROOT
from playwright.sync_api import Page, sync_playwright
from report import Proof
from users import ask

REJECTED = "rejected; reason=unknown-version"
TIMES = 20

# Without these Chromium looks for its maker's hosts at each start.
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]

pytestmark = pytest.mark.usefixtures("shop")


def readme_commands() -> list[str]:
    """The curl commands of the README's section For testers."""
    section = (ROOT / "README.md").read_text().partition("### For testers")[2]
    block = section.partition("```console\n")[2].partition("```")[0]
    return re.findall(r"^\$ (curl .*)$", block, re.MULTILINE)


@pytest.fixture
def curl(tmp_path: Path) -> Iterator[list[str]]:
    """What curl needs besides the README's words: the address, and a cookie jar."""
    resolve = f"resolve = {cluster.HOST}:80:{cluster.gateway_address()}\n"
    jar = tmp_path / "cookies"
    cookies = f"cookie = {jar}\ncookie-jar = {jar}\n"
    (tmp_path / ".curlrc").write_text(f"silent\ninclude\n{resolve}{cookies}")
    os.environ["CURL_HOME"] = str(tmp_path)
    yield [str(jar)]
    del os.environ["CURL_HOME"]


def test_by_the_readmes_commands(curl: list[str], proof: Proof) -> None:
    header, by_query, none = readme_commands()
    cluster.shift(100, 0)

    def said(command: str) -> str:
        words = shlex.split(command, comments=True)
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout

    plain = f"curl http://{cluster.HOST}/"
    assert "shop blue (bucket" in said(plain)
    answer = said(header)
    assert "x-served-version: green" in answer
    assert "shop green (pinned), stock green (pinned)" in answer
    assert "shop blue (bucket" in said(plain), "a header pins one request"
    assert "set-cookie: bluegreen-pin=green; Max-Age=3600; " in said(by_query)
    assert "shop green (pinned), stock green (pinned)" in said(plain), "the cookie pins"
    assert "set-cookie: bluegreen-pin=; Max-Age=0; " in said(none)
    assert "shop blue (bucket" in said(plain)
    proof("README's commands that did what it says, at 100/0", 3)
    cluster.shift(70, 30)


def test_pins_hold_and_refused_ones_are_told(proof: Proof) -> None:
    for version in cluster.VERSIONS:
        for _ in range(TIMES):
            answer = ask("/", x_version_pin=version)
            assert answer.tags == [version]
            assert answer.body == f"shop {version} (pinned), stock {version} (pinned)\n"
            assert not answer.all("x-version-pin")
            assert not answer.all("set-cookie")
    proof("pinned requests on their version, on both hops", 2 * TIMES)
    answer = ask(x_version_pin="red")
    assert answer.all("x-version-pin") == [REJECTED]
    assert len(answer.all("set-cookie")) == 1, "routed as anybody"
    proof("an unknown version", REJECTED.replace("; ", "; "))


def test_a_pin_that_no_route_matches_is_told(proof: Proof) -> None:
    def without_pins(objects: list[cluster.Json]) -> None:
        for each in objects:
            routes = each["spec"]["http"]
            each["spec"]["http"] = [r for r in routes if r["name"] == "bluegreen"]

    with cluster.changed(cluster.virtual_service(100, 0), without_pins):
        said = cluster.until(
            "the pin is not routed",
            lambda: ask(x_version_pin="green").all("x-version-pin"),
        )
        assert said == ["not-routed; served=blue"]
        proof("without its route", said[0])
    cluster.until(
        "the pin holds again",
        lambda: ask(x_version_pin="green").tags == ["green"],
    )
    cluster.shift(70, 30)


def test_in_a_browser(proof: Proof) -> None:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "no Chromium: apt-get install chromium"
    rules = f"--host-resolver-rules=MAP {cluster.HOST} {cluster.gateway_address()}"
    cluster.shift(100, 0)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path, args=[*FLAGS, rules]
        )
        page = chromium.new_page()
        check_pin(page)
        chromium.close()
    proof("Chromium: pinned by a link, and unpinned", "✔")
    cluster.shift(70, 30)


def check_pin(page: Page) -> None:
    """A link pins, reloads stay pinned, another link takes it back."""
    site = f"http://{cluster.HOST}/"

    def version() -> str | None:
        return page.get_attribute("body", "data-version")

    page.goto(site)
    assert version() == "blue"
    bucket = page.get_attribute("body", "data-bucket")
    page.get_by_text("pin green").click()
    page.wait_for_selector('body[data-version="green"]')
    assert page.get_attribute("body", "data-behind") == "stock green (pinned)"
    for _ in range(TIMES):
        page.goto(site)
        assert version() == "green"
    page.screenshot(path=ROOT / "target/browser/mesh-green.png")
    page.get_by_text("unpin").click()
    page.wait_for_selector('body[data-version="blue"]')
    page.goto(site)
    assert version() == "blue"
    assert page.get_attribute("body", "data-bucket") == bucket, "the same user"
    page.screenshot(path=ROOT / "target/browser/mesh-blue.png")
