"""Metrics: counters with labels, panels and alerts, in a real Prometheus."""

import cluster
import pytest
from cluster import GATEWAY, NAMESPACE, SYSTEM, VERSIONS
from kit import watching
from report import Proof
from test_inside import calls
from test_updates import apply, wrong
from users import ask, returning

TIMES = 10
RESPONSES = "bluegreen_responses_total"
REJECTED = "bluegreen_rejected_total"
PAUSE = 0.1

# Of one version, so that its counter alone may grow.
COOKIE = next(user.cookie for user in returning(9) if user.expected(30) == "green")
SOURCES = {
    "pin-header": {"x_version_pin": "green"},
    "pin-query": {},
    "pin-cookie": {"cookie": "bluegreen-pin=green"},
    "identity-header": {"x_user_id": "user-1@shop.example"},
    "identity-cookie": {"cookie": COOKIE},
    "minted": {},
}
REASONS = {
    "pin-unknown-version": {"x_version_pin": "red", "cookie": COOKIE},
    "cookie-malformed": {"cookie": "bluegreen-id=42"},
}
BUCKET_HEADER = {"bg_reason": "bucket-header"}
MISROUTED = {"bg_reason": "misrouted"}
ALERT_SECONDS = 90

pytestmark = pytest.mark.usefixtures("shop")


def counted(name: str, **labels: str) -> float:
    """A counter of the gateway, as Prometheus scrapes it."""
    text = cluster.metrics(SYSTEM, f"deployment/{GATEWAY}")
    return cluster.counter(text, name, **labels) or 0.0


def test_labels_at_the_gateway(proof: Proof) -> None:
    def by_label(name: str, label: str, values: list[str]) -> list[float]:
        return [counted(name, **{label: value}) for value in values]

    sources, reasons = list(SOURCES), list(REASONS)
    before = by_label(RESPONSES, "bg_source", sources)
    refused = by_label(REJECTED, "bg_reason", reasons)
    for kind, headers in {**SOURCES, **REASONS}.items():
        path = "/?version-pin=green" if kind == "pin-query" else "/"
        for _ in range(TIMES):
            assert ask(path, **headers).status == 200
    after = by_label(RESPONSES, "bg_source", sources)
    grown = dict(zip(sources, map(float.__sub__, after, before), strict=True))
    # Who was refused was served as anybody: by cookie, or with a new one.
    also = {"identity-cookie": TIMES, "minted": TIMES}
    assert grown == {kind: TIMES + also.get(kind, 0) for kind in sources}
    proof(f"sources counted at :15020, {TIMES} requests each", len(sources))
    after = by_label(REJECTED, "bg_reason", reasons)
    assert list(map(float.__sub__, after, refused)) == [TIMES] * len(reasons)
    proof("reasons counted", len(reasons))
    labels = {"bg_rollout": "myapp", "bg_version": "green", "bg_source": "pin-header"}
    assert counted(RESPONSES, **labels) >= TIMES


def test_labels_in_sidecars(proof: Proof) -> None:
    def at(deployment: str, name: str, **labels: str) -> float:
        text = cluster.metrics(NAMESPACE, f"deployment/{deployment}")
        return cluster.counter(text, name, **labels) or 0.0

    # Where a call counts, and as what; nothing routes by pins to `plain`.
    green = {"bg_version": "green", "bg_source": "bucket-header"}
    cases = [
        ("x-bluegreen-bucket: 99", "stock", "caller", RESPONSES, green),
        ("x-bluegreen-bucket: x", "stock", "caller", REJECTED, BUCKET_HEADER),
        ("x-version-pin: blue", "plain", "stock-green", REJECTED, MISROUTED),
    ]
    for header, service, deployment, name, labels in cases:
        before = at(deployment, name, **labels)
        calls(f"http://{service}/", *[header] * TIMES)
        assert at(deployment, name, **labels) - before == TIMES, header
    proof("forwarded buckets counted, at the caller's sidecar", TIMES)
    proof("refused ones as bucket-header, there", TIMES)
    proof("pins at a pod of another version as misrouted, there", TIMES)


def test_panels_and_alerts(proof: Proof) -> None:
    services = [f"shop.{NAMESPACE}.svc.cluster.local"]
    panels = watching.panels("myapp", [SYSTEM, NAMESPACE], services)
    pins = iter(range(10**9))

    def users() -> None:
        """New users, and pins that are refused; each second one on either version."""
        ask()
        ask(x_version_pin="red")
        ask(x_version_pin=VERSIONS[next(pins) % 2])

    with (
        watching.prometheus([SYSTEM, NAMESPACE]) as base,
        watching.steadily(users, PAUSE),
    ):
        cluster.until(
            "the counter is in Prometheus",
            lambda: watching.query(base, f'{RESPONSES}{{bg_source="minted"}}'),
        )
        check_wrong_configuration(base, panels, proof)
        watching.check_fires(base, "BluegreenPinsRefused", ALERT_SECONDS)
        proof("fired: BluegreenPinsRefused", "unknown pins")
        check_pins_not_routed(base, proof)
        check_version_fails(base, proof)


def check_wrong_configuration(
    base: str, panels: list[tuple[str, str]], proof: Proof
) -> None:
    """The panels, at the moment when they all have something to show."""
    apply(wrong)
    watching.check_fires(base, "BluegreenConfigurationRefused", ALERT_SECONDS)
    proof("fired: BluegreenConfigurationRefused", "a wrong one")
    watching.check_panels(base, panels, ALERT_SECONDS)
    proof("panels' queries with series", len(panels))
    cluster.apply(cluster.PLUGINS)


def check_pins_not_routed(base: str, proof: Proof) -> None:
    """The VirtualService loses its pin routes."""

    def without_pins(objects: list[cluster.Json]) -> None:
        for each in objects:
            each["spec"]["http"] = each["spec"]["http"][-1:]

    with cluster.changed(cluster.virtual_service(70, 30), without_pins):
        watching.check_fires(base, "BluegreenPinsNotRouted", ALERT_SECONDS)
        proof("fired: BluegreenPinsNotRouted", "no pin routes")


def check_version_fails(base: str, proof: Proof) -> None:
    """Green loses its pods."""
    scale = ("-n", NAMESPACE, "scale", "deployment/shop-green")
    cluster.kubectl(*scale, "--replicas=0")
    try:
        fired = watching.check_fires(base, "BluegreenVersionFails", ALERT_SECONDS)
        assert fired["labels"]["destination_version"] == "green"
        proof("fired: BluegreenVersionFails", "green without pods")
    finally:
        cluster.kubectl(*scale, "--replicas=1")
        cluster.rolled_out(NAMESPACE, "shop-green")
