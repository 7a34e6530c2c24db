"""The kit's own claims: a test that leans on it must be able to trust it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kit import bucket, client, envoy, envoy_filter, istio
from kit.envoy import Envoy, EnvoyError
from kit.istio import Json
from kit.relay import Relay
from kit.upstream import Upstream

EMPTY = istio.bootstrap("router~t", {}, [], [])
SECONDS = 10


def test_siphash_gives_the_vector_of_the_paper() -> None:
    assert bucket.siphash_2_4(bytes(range(16)), bytes(range(15))) == 0xA129CA6149BE45E5


def test_the_bucket_of_an_identity_is_the_one_in_the_table() -> None:
    assert bucket.of(b"00c0ffee00c0ffee") == 12194550004181602153
    assert bucket.of(b"00c0ffee00c0ffee", b"stock.shop") == 17091238505137255668


def test_a_bucket_is_picked_by_the_cumulative_weights_in_their_order() -> None:
    weights = {"v1": 80, "v2": 10, "v3": 0, "v4": 10}
    rows = {0: "v1", 79: "v1", 80: "v2", 89: "v2", 90: "v4", 99: "v4", 100: "v1"}
    assert {at: bucket.picked(at, weights) for at in rows} == rows


def test_the_shipped_patches_merge_as_protobuf_merges() -> None:
    listener = istio.listener("a", "outbound", [istio.weighted_route({"b": 1})], [])
    [route] = routes_of(listener)
    route["response_headers_to_add"] = [{"header": {"key": "own"}}]
    patched = envoy_filter.listener(listener, envoy_filter.GATEWAY)
    [changed] = routes_of(patched)
    added = [each["header"]["key"] for each in changed["response_headers_to_add"]]
    assert added == ["own", "x-bluegreen-route"]
    weighted = changed["route"]["weighted_clusters"]
    assert weighted == {
        "clusters": [{"name": "b", "weight": 1}],
        "header_name": "x-bluegreen-bucket",
    }
    assert routes_of(listener) == [route], "the listener itself stays as it is"


def test_a_sidecar_has_all_patches_of_a_gateway_but_the_early_one() -> None:
    def with_patches(context: str) -> Json:
        route = istio.weighted_route({"b": 1})
        listener = istio.listener("a", "outbound", [route], [])
        return istio.manager_of(envoy_filter.listener(listener, context))

    gateway = with_patches(envoy_filter.GATEWAY)
    assert gateway.pop("early_header_mutation_extensions")
    assert gateway == with_patches(envoy_filter.SIDECAR)


def test_names_in_the_patches_can_be_replaced() -> None:
    listener = istio.listener("a", "outbound", [istio.weighted_route({"b": 1})], [])
    renamed = {"x-bluegreen-bucket": "x-dealt"}
    patched = envoy_filter.listener(listener, envoy_filter.GATEWAY, renamed)
    assert "x-dealt" in str(patched)
    assert "x-bluegreen-bucket" not in str(patched)
    assert "x-bluegreen-route" in str(patched)


def test_a_relay_shows_what_goes_through_it() -> None:
    answer = [(":status", b"404"), ("x-two", b"1"), ("x-two", b"2\xff")]
    with Upstream("app", answer) as app, Relay("relay", target=app.port) as relay:
        sent = [(":method", b"GET"), (":path", b"/a"), (":authority", b"host")]
        sent += [("cookie", b"a=1"), ("cookie", b"b=\xff")]
        response = client.http1(relay.port, sent)
    assert [h for h in response.headers if h[0] != "content-length"] == answer
    assert response.body == b"app"
    received = [("host", b"host") if n == ":authority" else (n, v) for n, v in sent]
    assert relay.requests == app.requests == [received]


def test_a_missing_envoy_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ENVOY", raising=False)
    with pytest.raises(EnvoyError, match=re.escape("`make target/envoy/0.0.0/.inst")):
        envoy.binary("0.0.0")


def test_an_envoy_that_cannot_start_says_why() -> None:
    with pytest.raises(EnvoyError, match=r"ended by itself; .*envoy\.log:(.|\n)*bogus"):
        Envoy(EMPTY | {"bogus": {}}, "kit-broken")


def test_after_the_block_an_envoy_is_gone() -> None:
    with Envoy(EMPTY, "kit-stopped") as running:
        assert alive(running.process.pid)
    assert not alive(running.process.pid)
    running.stop()


def test_an_envoy_does_not_outlive_the_process_that_started_it() -> None:
    script = """
import signal
from kit import envoy, istio
started = envoy.Envoy(istio.bootstrap("router~t", {}, [], []), "kit-orphan")
print(started.process.pid, flush=True)
signal.pause()
"""
    tests = Path(__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=tests, stdout=subprocess.PIPE, text=True
    ) as parent:
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + SECONDS
    while alive(pid):
        assert time.monotonic() < deadline, f"Envoy {pid} lives on"
        time.sleep(0.05)


def routes_of(listener: Json) -> list[Json]:
    """The routes in a listener."""
    return istio.manager_of(listener)["route_config"]["virtual_hosts"][0]["routes"]


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        os.kill(pid, 0)
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except OSError:
        return False
