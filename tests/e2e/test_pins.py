"""Pins: by header, by query and cookie, told where they lead nowhere; in a browser."""

import shutil

import cluster
import pytest
from kit.envoy import ROOT
from playwright.sync_api import Page, sync_playwright
from report import Proof
from users import Answer, ask, returning

MALFORMED = ["rejected; reason=malformed"]
PRIVATE = ["private, no-store"]
CLEARED = "bluegreen-pin=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"
TIMES = 20

# A returning user, who is on blue at 100/0.
USER = returning(1)[0]

# Without these Chromium looks for its maker's hosts at each start.
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]

pytestmark = pytest.mark.usefixtures("shop")


def pinned(version: str) -> str:
    """What both hops say to a tester."""
    return f"shop {version} (pinned), stock {version} (pinned)\n"


def dealt(answer: Answer) -> bool:
    """Whether both hops dealt the user by the bucket, to blue."""
    why = f"bucket {USER.digits}"
    return answer.body == f"shop blue ({why}), stock blue ({why})\n"


def ask_as_user(path: str = "/", pin: str = "", cookie: str = "") -> Answer:
    """A request of the returning user."""
    cookies = "; ".join(filter(None, [USER.cookie, cookie]))
    headers = {"x_version_pin": pin} if pin else {}
    return ask(path, cookie=cookies, **headers)


def test_by_header(proof: Proof) -> None:
    cluster.shift(100, 0)
    for version in cluster.VERSIONS:
        for _ in range(TIMES):
            answer = ask_as_user(pin=version)
            assert answer.tags == [version]
            assert answer.body == pinned(version)
            assert answer.all("cache-control") == PRIVATE
            assert not answer.all("x-version-pin")
            assert not answer.all("set-cookie")
    proof("pinned requests at 100/0 on their version, on both hops", 2 * TIMES)
    answer = ask_as_user()
    assert dealt(answer), "a header pins one request"
    assert not answer.all("cache-control")
    [line] = ask("/", x_version_pin="green").all("set-cookie")
    assert line.startswith("bluegreen-id="), "a tester is a user, too"


def test_by_query_and_cookie(proof: Proof) -> None:
    answer = ask_as_user("/?version-pin=green")
    assert answer.body == pinned("green")
    assert answer.all("cache-control") == PRIVATE
    [line] = answer.all("set-cookie")
    assert line == "bluegreen-pin=green; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax"
    cookie = line.partition(";")[0]
    for _ in range(TIMES):
        answer = ask_as_user(cookie=cookie)
        assert answer.body == pinned("green")
        assert answer.all("cache-control") == PRIVATE
        assert not answer.all("set-cookie")
    proof("requests of a browser that a link pinned, on green", TIMES)
    assert ask_as_user(pin="blue", cookie=cookie).body == pinned("blue")
    for answer in [
        ask_as_user("/?version-pin=none", cookie=cookie),
        ask_as_user(pin="none", cookie=cookie),
    ]:
        assert dealt(answer)
        assert answer.all("set-cookie") == [CLEARED]
    assert dealt(ask_as_user("/?version-pin="))
    proof("unpinned by `none`, and the cookie is cleared", "✔")


def test_malformed_and_unknown_pins_are_told(proof: Proof) -> None:
    for pin in ("Green", "green!", "-green", "a" * 64):
        answer = ask_as_user(pin=pin)
        assert answer.all("x-version-pin") == MALFORMED
        assert dealt(answer)
        assert answer.all("cache-control") == PRIVATE
    proof("malformed, and served as anybody", MALFORMED[0])
    answer = ask_as_user(pin="red")
    assert answer.all("x-version-pin") == ["not-routed; served=blue"]
    assert answer.tags == ["blue"]
    # The header goes on, for it may be meant for a service behind; by the bucket that
    # goes with it, the user is dealt as ever.
    assert dealt(answer)
    proof("a version that the shop has not", answer.all("x-version-pin")[0])


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
