"""The demo's mesh in a real browser: headless Chromium with fresh profiles."""

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples/local"))

from mesh import Mesh

# Without these Chromium looks for its maker's hosts at each start.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PICTURES = ROOT / "target/browser"
PROFILES = 20
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
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        pytest.fail("no Chromium: apt-get install chromium", pytrace=False)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """A profile without a cookie."""
    with browser.new_context() as fresh:
        yield fresh


def version(page: Page) -> str:
    """The version that the page says."""
    return str(page.get_attribute("body", "data-version"))


def open_page(profile: BrowserContext, url: str) -> Page:
    """A new tab."""
    page = profile.new_page()
    response = page.goto(url)
    assert response
    assert response.ok
    assert response.header_value("x-served-version") == version(page)
    return page


def test_reloads_stay_on_one_colour(mesh: Mesh, profile: BrowserContext) -> None:
    page = open_page(profile, mesh.url)
    first, bucket = version(page), page.get_attribute("body", "data-bucket")
    for _ in range(RELOADS):
        page.reload()
        assert version(page) == first
        assert page.get_attribute("body", "data-bucket") == bucket
    assert version(open_page(profile, f"{mesh.url}/another/page")) == first


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
        page.goto(f"{mesh.url}/?version-pin=green")
        assert version(page) == "green"
        for _ in range(RELOADS):
            page.goto(mesh.url)
            assert version(page) == "green", "it stays there without the parameter"
        page.get_by_text("unpin").click()
        assert version(page) == "blue", "none gives it back"
        page.goto(mesh.url)
        assert version(page) == "blue"
        names = {cookie["name"] for cookie in profile.cookies()}
        assert names == {"bluegreen-id"}, "the pin cookie is gone"
    finally:
        mesh.shift(50)


def test_cookies_as_the_browser_stores_them(
    mesh: Mesh, profile: BrowserContext
) -> None:
    open_page(profile, mesh.url)
    open_page(profile, f"{mesh.url}/?version-pin=green")
    stored = {cookie["name"]: cookie for cookie in profile.cookies()}
    ages = {"bluegreen-id": 604_800, "bluegreen-pin": 3_600}
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
