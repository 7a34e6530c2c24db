"""Updates leave no memory behind in Envoy, however many counters there are (contract 4).

Envoy makes a new entry for each counter that a module defines, also for a name that it
knows. A module that defines its counters again with each configuration, or again when
it counts after one, leaves them behind with each update.
"""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kit import client, envoy_filter, istio, ports
from kit.envoy import RUNS, Envoy, module, versions
from kit.files import replace

ECDS = "extension_config_discovery"
ROLLOUTS = 750
# Each user is another counter of each rollout; the last one is three of them: two
# reasons to reject something, and a response. All are below the most that are kept.
USERS: list[dict[str, bytes]] = [
    {"x-user-id": b"alice"},
    {"cookie": b"bluegreen-id=00c0ffee00c0ffee"},
    {"cookie": b"bluegreen-id=junk", "x-version-pin": b"Junk"},
]
SERIES = 5 * ROLLOUTS
# Of a proxy, in all; what comes later is counted as of another rollout.
MOST_SERIES = 4_096
UPDATES = 200
# Requests after each update, each for another rollout than the one before.
BETWEEN = 60
# Envoy itself keeps 1 KB of each configuration of a Wasm filter, whatever the module
# does. A counter that is defined again is 30 bytes in each VM: 1 MB by the requests
# between the updates alone, 67 MB if all were with each.
MOST_BYTES = 800_000


@dataclass
class Gateway:
    """An Envoy with many rollouts, whose plugin comes by discovery."""

    envoy: Envoy
    path: Path

    def configure(self, number: int) -> None:
        """Gives the plugin a configuration that differs from all others."""
        taken = self.envoy.update(ECDS, lambda: write_plugin(self.path, number))
        assert taken, self.envoy.tail()

    def ask(self, rollouts: range, headers: dict[str, bytes]) -> None:
        """A request for each of these rollouts, one after the other."""
        address = (ports.LOOPBACK, self.envoy.port("gateway"))
        with socket.create_connection(address, client.SECONDS) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for rollout in rollouts:
                request = [
                    (":method", b"GET"),
                    (":path", b"/%d" % (rollout % ROLLOUTS)),
                    (":authority", b"shop.example"),
                    *headers.items(),
                ]
                connection.sendall(client.http1_bytes(request))
                # Without a body: a few hundred bytes, which Envoy writes at once.
                answer = connection.recv(65536)
                assert answer.startswith(b"HTTP/1.1 200 OK"), self.envoy.tail()
                assert answer.endswith(b"\r\n\r\n")

    def series(self) -> dict[str, int]:
        """The counters of rollouts."""
        return self.envoy.stats("bluegreen_(responses|rejected)_total")

    def allocated(self) -> int:
        """The bytes that Envoy has in use."""
        return int(json.loads(self.envoy.admin("/memory"))["allocated"])


def write_plugin(path: Path, number: int) -> None:
    """Puts a configuration in place."""
    identity = {"header": "x-user-id", "cookie": {"maxAgeSeconds": number + 1}}
    wasm = istio.wasm(module(), {"role": "gateway", "identity": identity})
    replace(path, istio.discovery_response(wasm))


@pytest.fixture(params=versions())
def gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """A gateway that answers by itself, by a VirtualService for each path."""
    name = f"memory-{request.param}"
    # Envoy watches the folder, in which its own log must not stand.
    path = RUNS / name / "watched/plugin.json"
    write_plugin(path, 0)
    answer = {"direct_response": {"status": 200}}
    routes = [
        istio.route("bluegreen-pin", answer, f"app-{number}.shop")
        | {"match": {"path": f"/{number}"}}
        for number in range(ROLLOUTS)
    ]
    plugin = istio.discovered(path)
    listener = istio.listener("gateway", "outbound", routes, [plugin])
    listener = envoy_filter.listener(listener, envoy_filter.GATEWAY)
    bootstrap = istio.bootstrap("router~t", {}, [listener], [])
    with Envoy(bootstrap, name, request.param) as envoy:
        yield Gateway(envoy, path)


def test_updates_leave_no_memory_behind(gateway: Gateway) -> None:
    for user in USERS:
        gateway.ask(range(ROLLOUTS), user)
    assert len(gateway.series()) == SERIES
    for number in range(1, 11):
        gateway.configure(number)

    before = gateway.allocated()
    for number in range(11, 11 + UPDATES):
        gateway.configure(number)
        gateway.ask(range(number * BETWEEN, (number + 1) * BETWEEN), USERS[-1])
    assert gateway.allocated() - before < MOST_BYTES
    assert len(gateway.series()) == SERIES


def test_the_names_of_counters_have_a_limit_and_nothing_goes_uncounted(
    gateway: Gateway,
) -> None:
    users = [*USERS, {"x-version-pin": b"green"}, {"x-version-pin": b"none"}]
    for user in users:
        gateway.ask(range(ROLLOUTS), user)
    series = gateway.series()
    assert SERIES < len(series) <= MOST_SERIES
    responses = [count for name, count in series.items() if "responses" in name]
    assert sum(responses) == len(users) * ROLLOUTS
    others = [name for name in series if "bg_rollout=.=other;" in name]
    assert others
    assert all("bg_version=.=other;" in name for name in others)
