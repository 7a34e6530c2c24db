"""Metrics: counters with labels, panels and alerts, in a real Prometheus."""

import cluster
import pytest
from callers import calls
from cluster import (
    CONFIG_WRONG,
    GATEWAY,
    NAMESPACE,
    OUTBOUND,
    REJECTED,
    RESPONSES,
    SERVER,
    SYSTEM,
    TAGGED,
    VERSIONS,
)
from kit import watching
from report import Proof
from test_updates import WRONG, apply, server_wrong
from users import ask, returning

TIMES = 10
PAUSE = 0.1
ROLLOUT = f"shop.{NAMESPACE}"

# Of one version, so that its counter alone may grow.
COOKIE = next(user.cookie for user in returning(9) if user.expected(30) == "green")
SOURCES = {
    "pin-header": {"x_version_pin": "green", "cookie": COOKIE},
    "pin-query": {"cookie": COOKIE},
    "pin-cookie": {"cookie": f"bluegreen-pin=green; {COOKIE}"},
    "identity-header": {"x_user_id": "user-1@shop.example"},
    "identity-cookie": {"cookie": COOKIE},
    "minted": {},
}
REASONS = {
    "pin-malformed": {"x_version_pin": "Red!", "cookie": COOKIE},
    "pin-not-routed": {"x_version_pin": "red", "cookie": COOKIE},
    "cookie-malformed": {"cookie": "bluegreen-id=42"},
}
BUCKET_HEADER = {"bg_reason": "bucket-header", "bg_rollout": f"stock.{NAMESPACE}"}
ALERT_SECONDS = 90

pytestmark = pytest.mark.usefixtures("shop")


def counted(name: str, **labels: str) -> float:
    """A counter of the gateway, as Prometheus scrapes it."""
    return cluster.counted(SYSTEM, GATEWAY, name, **labels)


def test_labels_at_the_gateway(proof: Proof) -> None:
    def by_label(name: str, label: str, values: list[str]) -> list[float]:
        of = {"bg_rollout": ROLLOUT}
        return [counted(name, **of, **{label: value}) for value in values]

    sources, reasons = list(SOURCES), list(REASONS)
    before = by_label(RESPONSES, "bg_source", sources)
    rejected = by_label(REJECTED, "bg_reason", reasons)
    for kind, headers in {**SOURCES, **REASONS}.items():
        path = "/?version-pin=green" if kind == "pin-query" else "/"
        for _ in range(TIMES):
            assert ask(path, **headers).status == 200
    after = by_label(RESPONSES, "bg_source", sources)
    grown = dict(zip(sources, map(float.__sub__, after, before), strict=True))
    # A malformed pin is none, a malformed cookie gets another; the third pins.
    also = {"identity-cookie": TIMES, "minted": TIMES, "pin-header": TIMES}
    assert grown == {kind: TIMES + also.get(kind, 0) for kind in sources}
    proof(f"sources counted at :15020, {TIMES} requests each", len(sources))
    after = by_label(REJECTED, "bg_reason", reasons)
    assert list(map(float.__sub__, after, rejected)) == [TIMES] * len(reasons)
    proof("reasons counted", len(reasons))


def test_codes_by_version(proof: Proof) -> None:
    green = {"bg_rollout": ROLLOUT, "bg_version": "green"}

    def by_code() -> list[float]:
        codes = ("2xx", "4xx", "5xx")
        return [counted(RESPONSES, **green, bg_code=code) for code in codes]

    before = by_code()
    for _ in range(TIMES):
        assert ask(cookie=COOKIE).status == 200
        assert ask("/missing", cookie=COOKIE).status == 404
    scale = ("-n", NAMESPACE, "scale", "deployment/shop-green")
    cluster.kubectl(*scale, "--replicas=0")
    try:
        cluster.until("green is gone", nobody_answers)
        middle = by_code()
        for _ in range(TIMES):
            assert nobody_answers()
        after = by_code()
    finally:
        cluster.kubectl(*scale, "--replicas=1")
        cluster.rolled_out(NAMESPACE, "shop-green")
    assert middle[1] - before[1] == TIMES
    assert middle[0] - before[0] >= TIMES
    assert after[2] - middle[2] == TIMES
    assert after[:2] == middle[:2]
    cluster.until("green is back", lambda: ask(cookie=COOKIE).tags == ["green"])
    proof(f"codes counted by version, {TIMES} each", "2xx, 4xx, 5xx")


def nobody_answers() -> bool:
    """Whether Envoy answers the user of green itself, and not green's sidecar."""
    answer = ask(cookie=COOKIE)
    return answer.status == 503 and not answer.tags


def test_labels_in_sidecars(proof: Proof) -> None:
    def at_the_caller(name: str, **labels: str) -> float:
        return cluster.counted(NAMESPACE, "caller", name, **labels)

    green = {"bg_version": "green", "bg_source": "bucket-header"}
    stock = {"bg_rollout": f"stock.{NAMESPACE}"}
    cases = [
        ("x-bluegreen-bucket: 99", RESPONSES, green | stock),
        ("x-bluegreen-bucket: x", REJECTED, BUCKET_HEADER),
        ("x-version-pin: red", REJECTED, {"bg_reason": "pin-not-routed"} | stock),
    ]
    for header, name, labels in cases:
        before = at_the_caller(name, **labels)
        calls("http://stock/", *[header] * TIMES)
        assert at_the_caller(name, **labels) - before == TIMES, header
    proof("forwarded buckets counted, at the caller's sidecar", TIMES)
    proof("refused ones as bucket-header, there", TIMES)
    proof("pins that no route takes as pin-not-routed, there", TIMES)
    assert cluster.counted(NAMESPACE, "stock-green", RESPONSES) == 0
    proof("at the server's sidecar", 0)


def test_a_gauge_for_each_plugin(proof: Proof) -> None:
    assert cluster.wrong(SYSTEM, GATEWAY) == {OUTBOUND: 0}
    assert cluster.wrong(NAMESPACE, TAGGED) == {OUTBOUND: 0, SERVER: 0}
    proof(f"{CONFIG_WRONG} by bg_plugin, of a labelled pod", 2)


def test_panels_and_alerts(proof: Proof) -> None:
    services = [f"shop.{NAMESPACE}.svc.cluster.local"]
    panels = watching.panels(ROLLOUT, [SYSTEM, NAMESPACE], services)
    pins = iter(range(10**9))

    def users() -> None:
        """New users, malformed pins, and pins of either version."""
        ask()
        ask(x_version_pin="Red!")
        ask(x_version_pin=VERSIONS[next(pins) % 2])

    with (
        watching.prometheus([SYSTEM, NAMESPACE]) as base,
        watching.steadily(users, PAUSE),
    ):
        cluster.until(
            "the counter is in Prometheus",
            lambda: watching.query(base, f'{RESPONSES}{{bg_source="minted"}}'),
        )
        check_pins_not_routed(base, proof)
        check_wrong_configuration(base, panels, proof)
        watching.check_fires(base, "BluegreenPinsMalformed", ALERT_SECONDS)
        proof("fired: BluegreenPinsMalformed", "malformed pins")
        check_second_plugin(base, proof)
        check_version_fails(base, proof)


def check_wrong_configuration(
    base: str, panels: list[tuple[str, str]], proof: Proof
) -> None:
    """The panels, at the moment when they all have something to show."""
    apply(WRONG)
    fired = watching.check_fires(base, "BluegreenConfigurationWrong", ALERT_SECONDS)
    assert fired["labels"]["bg_plugin"] == OUTBOUND
    proof("fired: BluegreenConfigurationWrong", "a wrong one")
    watching.check_panels(base, panels, ALERT_SECONDS)
    proof("panels' queries with series", len(panels))
    cluster.apply(cluster.PLUGINS)
    watching.check_resolves(base, "BluegreenConfigurationWrong", ALERT_SECONDS)


def check_second_plugin(base: str, proof: Proof) -> None:
    """A sidecar starts with a server's configuration that is wrong."""
    with server_wrong():
        pod = cluster.restart(NAMESPACE, TAGGED).partition("/")[2]
        started = f'{CONFIG_WRONG}{{pod="{pod}", bg_plugin="{SERVER}"}} == 1'
        cluster.until("it is scraped", lambda: watching.query(base, started))
        fired = watching.check_fires(base, "BluegreenConfigurationWrong", ALERT_SECONDS)
        assert fired["labels"]["bg_plugin"] == SERVER
        proof("fired for a sidecar's second plugin that starts wrong", "✔")


def check_pins_not_routed(base: str, proof: Proof) -> None:
    """The VirtualService loses its pin routes."""

    def without_pins(objects: list[cluster.Json]) -> None:
        for each in objects:
            each["spec"]["http"] = each["spec"]["http"][-1:]

    with cluster.changed(cluster.virtual_service(70, 30), without_pins):
        fired = watching.check_fires(base, "BluegreenPinsNotRouted", ALERT_SECONDS)
        assert fired["labels"]["bg_rollout"] == ROLLOUT
        proof("fired: BluegreenPinsNotRouted", "no pin routes")


def check_version_fails(base: str, proof: Proof) -> None:
    """Green loses its pods."""
    scale = ("-n", NAMESPACE, "scale", "deployment/shop-green")
    cluster.kubectl(*scale, "--replicas=0")
    try:
        fired = watching.check_fires(base, "BluegreenVersionFails", ALERT_SECONDS)
        assert fired["labels"]["bg_version"] == "green"
        assert fired["labels"]["bg_rollout"] == ROLLOUT
        proof("fired: BluegreenVersionFails", "green without pods")
    finally:
        cluster.kubectl(*scale, "--replicas=1")
        cluster.rolled_out(NAMESPACE, "shop-green")
