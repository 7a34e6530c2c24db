"""The demo's mesh in a real browser: headless Chromium with fresh profiles."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.browser import chromium
from playwright.sync_api import Browser, BrowserContext, Page

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples/local"))

from mesh import DOCS, STOCK, Mesh

PICTURES = ROOT / "target/browser"
PROFILES = 20
A_FEW_PROFILES = 5
RELOADS = 10


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    """The demo's mesh, at 50/50."""
    with Mesh() as running:
        running.shift(50)
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with chromium() as running:
        yield running


@pytest.fixture
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """A profile without a cookie."""
    with browser.new_context() as fresh:
        yield fresh


def version(page: Page) -> str:
    """The version that the page says."""
    return str(page.get_attribute("body", "data-version"))


def open_page(profile: BrowserContext, url: str) -> Page:
    """A new tab, of an application that takes part."""
    page = profile.new_page()
    response = page.goto(url)
    assert response
    assert response.ok
    assert response.header_value("x-served-version") == version(page)
    assert response.header_value("x-bluegreen-route") is None
    return page


def cookies(profile: BrowserContext) -> dict[str, str]:
    """All cookies of a profile by their names."""
    return {cookie["name"]: cookie["value"] for cookie in profile.cookies()}


def assert_it_stays(page: Page) -> None:
    """Reloads give the same version, for the same bucket."""
    first, bucket = version(page), page.get_attribute("body", "data-bucket")
    assert bucket
    for _ in range(RELOADS):
        page.reload()
        assert version(page) == first
        assert page.get_attribute("body", "data-bucket") == bucket


def test_reloads_stay_on_one_colour(mesh: Mesh, profile: BrowserContext) -> None:
    page = open_page(profile, mesh.url)
    assert_it_stays(page)
    assert version(open_page(profile, f"{mesh.url}/another/page")) == version(page)


def test_fresh_profiles_differ(mesh: Mesh, browser: Browser) -> None:
    seen = set()
    for _ in range(PROFILES):
        with browser.new_context(viewport={"width": 960, "height": 640}) as profile:
            page = open_page(profile, mesh.url)
            if version(page) not in seen:
                PICTURES.mkdir(parents=True, exist_ok=True)
                page.screenshot(path=PICTURES / f"{version(page)}.png")
            seen.add(version(page))
    # All on one side: once in 500,000 runs.
    assert seen == {"blue", "green"}


def test_a_pin_link_moves_the_browser(mesh: Mesh, profile: BrowserContext) -> None:
    mesh.shift(0)
    try:
        page = open_page(profile, mesh.url)
        assert version(page) == "blue"
        assert_a_pin_link_moves(page, mesh.url, "green", "blue")
    finally:
        mesh.shift(50)


def test_a_pin_link_moves_between_services(mesh: Mesh, profile: BrowserContext) -> None:
    url = f"http://{mesh.authority(STOCK)}"
    page = open_page(profile, url)
    assert_it_stays(page)
    own = version(page)
    other = {"stock-blue": "stock-green", "stock-green": "stock-blue"}[own]
    assert_a_pin_link_moves(page, url, other, own)


def assert_a_pin_link_moves(page: Page, url: str, to: str, back: str) -> None:
    """A link with a pin moves this browser until one with `none` does so again."""
    page.goto(f"{url}/?version-pin={to.removeprefix('stock-')}")
    assert version(page) == to
    for _ in range(RELOADS):
        page.goto(url)
        assert version(page) == to, "it stays there without the parameter"
    page.get_by_text("unpin").click()
    assert version(page) == back, "none gives it back"
    page.goto(url)
    assert version(page) == back
    assert set(cookies(page.context)) == {"bluegreen-id"}, "the pin cookie is gone"


def test_an_application_that_takes_no_part(mesh: Mesh, profile: BrowserContext) -> None:
    before = mesh.gateway.stats("bluegreen")
    page = profile.new_page()
    for query in ("", "?version-pin=green", "?version-pin=none", "?version-pin=!"):
        response = page.goto(f"http://{mesh.authority(DOCS)}/{query}")
        assert response
        assert response.ok
        assert version(page) == "docs"
        names = set(response.all_headers())
        envoys = {"date", "server", "x-envoy-upstream-service-time"}
        assert names == {"content-type", "content-length"} | envoys
    assert not cookies(profile)
    assert mesh.gateway.stats("bluegreen") == before


def test_two_gateways_know_one_user(mesh: Mesh, browser: Browser) -> None:
    with mesh.edge() as edge:
        for _ in range(A_FEW_PROFILES):
            with browser.new_context() as profile:
                page = profile.new_page()
                first = page.goto(edge.url)
                assert first
                assert len(first.header_values("set-cookie")) == 1
                identity, own = cookies(profile), version(page)
                assert set(identity) == {"bluegreen-id"}
                page.reload()
                assert version(page) == own
                # Also without the edge: a port is no part of a user's host.
                assert version(open_page(profile, mesh.url)) == own
                assert cookies(profile) == identity, "nobody gave another one"


def test_a_pin_link_through_two_gateways(mesh: Mesh, profile: BrowserContext) -> None:
    with mesh.edge() as edge:
        page = open_page(profile, edge.url)
        own = version(page)
        other = {"blue": "green", "green": "blue"}[own]
        assert_a_pin_link_moves(page, edge.url, other, own)


def test_cookies_as_the_browser_stores_them(
    mesh: Mesh, profile: BrowserContext
) -> None:
    open_page(profile, mesh.url)
    open_page(profile, f"{mesh.url}/?version-pin=green")
    stored = {cookie["name"]: cookie for cookie in profile.cookies()}
    ages = {"bluegreen-id": 34_560_000, "bluegreen-pin": 3_600}
    assert set(stored) == set(ages)
    for name, age in ages.items():
        cookie = stored[name]
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Lax"
        assert cookie["path"] == "/"
        assert cookie["domain"] == "127.0.0.1", "this host alone"
        assert not cookie["secure"], "it came by http"
        assert cookie["expires"] - time.time() == pytest.approx(age, abs=60)
    assert len(stored["bluegreen-id"]["value"]) == 16
    assert stored["bluegreen-pin"]["value"] == "green"


def test_scripts_cannot_read_the_cookies(mesh: Mesh, profile: BrowserContext) -> None:
    page = open_page(profile, mesh.url)
    assert page.evaluate("document.cookie") == ""
