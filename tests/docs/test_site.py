"""The site of the pages in a real browser; `make docs` builds it."""

import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from kit.browser import chromium
from kit.envoy import ROOT
from kit.ports import LOOPBACK
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

SITE = ROOT / "target/docs/site"
SUMMARY = (ROOT / "docs/SUMMARY.md").read_text()
# SUMMARY.md names them from its own folder on.
PAGES = [
    f"docs/{path}.html".replace("docs/../", "")
    for path in re.findall(r"\]\((.+)\.md\)", SUMMARY)
]
# What a tester is told, and looks up.
TOLD = "not-routed"


class Quiet(SimpleHTTPRequestHandler):
    """A connection of the browser."""

    def log_message(self, *_: object) -> None:
        """Nothing: the browser tells what is wrong."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where the site is served: below a path, as many are."""
    handler = partial(Quiet, directory=SITE.parent)
    with ThreadingHTTPServer((LOOPBACK, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{LOOPBACK}:{server.server_port}/{SITE.name}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with chromium() as running:
        yield running


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """A tab in which no request fails, and no script complains."""
    wrong: list[str] = []

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            wrong.append(message.text)

    with browser.new_context() as profile:
        page = profile.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", said)
        page.on("requestfailed", lambda failed: wrong.append(failed.url))
        page.on(
            "response",
            lambda got: (
                wrong.append(f"{got.status} {got.url}") if got.status >= 400 else None
            ),
        )
        yield page
    assert wrong == []


@pytest.mark.parametrize("path", ["index.html", *PAGES])
def test_each_page_loads(url: str, tab: Page, path: str) -> None:
    tab.goto(f"{url}/{path}", wait_until="networkidle")
    expect(tab.locator("main h1").first).to_be_visible()
    # The list at the side is made by a script.
    expect(tab.locator("#mdbook-sidebar a.active")).to_be_visible()
    for picture in tab.locator("main img").all():
        assert picture.evaluate("it => it.complete && it.naturalWidth > 0"), path


def test_search_finds_what_a_tester_is_told(url: str, tab: Page) -> None:
    tab.goto(url)
    tab.keyboard.press("/")
    tab.keyboard.type(TOLD)
    results = tab.locator("#mdbook-searchresults a")
    expect(results.first).to_be_visible()
    found = {str(each.get_attribute("href")).split("?")[0] for each in results.all()}
    assert {"docs/operating.html", "docs/testers.html"} <= found
    results.first.click()
    expect(tab).to_have_url(re.compile(f"operating.html.*#{TOLD}$"))
    # Marked, in the heading of a section about it.
    heading = tab.locator(f"main #{TOLD}")
    expect(heading.locator("mark")).to_have_text(TOLD)
    expect(heading).to_be_in_viewport()


def test_search_finds_nothing_where_nothing_is(url: str, tab: Page) -> None:
    tab.goto(url)
    tab.keyboard.press("/")
    tab.keyboard.type("zebra")
    header = tab.locator("#mdbook-searchresults-header")
    expect(header).to_have_text(re.compile("No search results for 'zebra'"))
