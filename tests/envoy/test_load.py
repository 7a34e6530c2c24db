"""Weights, configuration and module change under a steady load: nothing is lost."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest
from kit import bucket, envoy_filter, istio, ports
from kit.envoy import RUNS, Envoy, module, newest
from kit.files import replace
from kit.istio import Json

RATE = 1_200
REQUESTS = 12_600
AT_ONCE = 16
USERS = 200
ECDS = "extension_config_discovery"
CLUSTERS = {version: istio.subset_cluster(version) for version in ("blue", "green")}


def identity(user: int) -> str:
    """The user's cookie."""
    return f"{user * 0x9E3779B97F4A7C15 % 2**64:016x}"


def config(**fields: object) -> Json:
    """A gateway's configuration."""
    return {"role": "gateway", **fields}


GOOD = config()
OTHER = config(identity={"cookie": {"maxAgeSeconds": 60}})
WRONG = config(rolouts=[])
OTHER_WRONG = config(role="edge")


BUCKETS = [
    bucket.of(identity(user).encode(), ports.LOOPBACK.encode()) for user in range(USERS)
]


@dataclass
class Answer:
    """One response, and when it was asked for and came."""

    user: int
    asked: float
    came: float
    status: int
    version: str | None


@dataclass
class Shift:
    """Green's weight, from when it was given until when the next one was in force."""

    green: int
    given: float
    over: float = float("inf")


@dataclass
class Gateway:
    """An Envoy whose routes, configuration and module come from files."""

    envoy: Envoy
    folder: Path
    shifts: list[Shift] = field(default_factory=list)

    def shift(self, green: int) -> None:
        """Gives green so many percent."""
        began = time.monotonic()
        replaced = write_routes(self.folder, green)
        assert self.envoy.update("rds", replaced)
        if self.shifts:
            self.shifts[-1].over = time.monotonic()
        self.shifts.append(Shift(green, began))

    def configure(self, new: Json, wasm: Path | None = None) -> None:
        """Gives the filter a configuration, which is taken, and maybe another module."""
        assert self.envoy.update(ECDS, write_plugin(self.folder, new, wasm))


def write_routes(folder: Path, green: int) -> Callable[[], None]:
    """Puts routes with this weight in place."""
    weights = {CLUSTERS["blue"]: 100 - green, CLUSTERS["green"]: green}
    routes = istio.route_configuration([istio.weighted_route(weights)])
    routes = envoy_filter.routes(routes, envoy_filter.GATEWAY)
    resource = {"@type": istio.ROUTES, **routes}
    return lambda: replace(folder / "routes.json", {"resources": [resource]})


def write_plugin(folder: Path, new: Json, wasm: Path | None) -> Callable[[], None]:
    """Puts a configuration of the filter in place."""
    response = istio.discovery_response(istio.wasm(wasm or module(), new))
    return lambda: replace(folder / "plugin.json", response)


def another_module(folder: Path) -> Path:
    """The same module with other bytes: a custom section at its end."""
    path = folder / "another.wasm"
    section = b"\x05another"
    section = bytes([0, len(section)]) + section
    path.write_bytes(module().read_bytes() + section)
    return path


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """A gateway at 100/0, and both versions, all in one Envoy."""
    folder = RUNS / "load"
    write_routes(folder, 0)()
    write_plugin(folder, GOOD, None)()
    apps = dict(zip(CLUSTERS, ports.free(2), strict=True))
    listeners = [istio.application(*app) for app in apps.items()]
    clusters = [istio.cluster(CLUSTERS[name], port) for name, port in apps.items()]
    plugin = istio.discovered(folder / "plugin.json")
    front = istio.listener("gateway", "outbound", folder / "routes.json", [plugin])
    front = envoy_filter.listener(front, envoy_filter.GATEWAY)
    bootstrap = istio.bootstrap("router~t", {}, [front, *listeners], clusters)
    with ExitStack() as stack:
        envoy = stack.enter_context(Envoy(bootstrap, "load", newest()))
        yield Gateway(envoy, folder)


def test_nothing_is_lost_while_everything_changes(gateway: Gateway) -> None:
    another = another_module(gateway.folder)
    gateway.shift(0)
    # One after the other, evenly over the load.
    changes: list[Callable[[], object]] = [
        lambda: gateway.shift(10),
        lambda: gateway.configure(OTHER),
        lambda: gateway.shift(30),
        lambda: gateway.configure(OTHER, another),
        lambda: gateway.shift(50),
        lambda: gateway.configure(WRONG, another),
        lambda: gateway.configure(OTHER_WRONG),
        lambda: gateway.shift(100),
        lambda: gateway.configure(GOOD, another),
        lambda: gateway.shift(0),
        lambda: gateway.configure(WRONG, another),
        lambda: gateway.configure(GOOD),
    ]
    began = time.monotonic()
    answers = asyncio.run(load(gateway.envoy.port("gateway"), changes))
    seconds = time.monotonic() - began
    print(f"\n{len(answers)} requests, {len(answers) / seconds:.0f} a second")

    assert len(answers) == REQUESTS
    statuses = Counter(answer.status for answer in answers)
    assert statuses == {200: REQUESTS}, gateway.envoy.tail()
    wrong = [answer for answer in answers if not is_due(answer, gateway.shifts)]
    assert not wrong, f"{len(wrong)} not by the weights, such as {wrong[0]}"
    assert {answer.version for answer in answers} == {"blue", "green"}
    assert_each_moves_once(answers)
    rejected = "wasmcustom.bluegreen_config_rejected_total"
    assert gateway.envoy.stats(rejected) == {rejected: 3}


async def load(port: int, changes: list[Callable[[], object]]) -> list[Answer]:
    """So many requests at a steady rate, and the changes meanwhile."""
    answers: list[Answer] = []
    numbers = iter(range(REQUESTS))
    began = time.monotonic()
    url = f"http://{ports.LOOPBACK}:{port}/"
    headers = [{"cookie": f"bluegreen-id={identity(user)}"} for user in range(USERS)]

    async def caller(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            await asyncio.sleep(began + number / RATE - time.monotonic())
            user = number % USERS
            asked = time.monotonic()
            async with session.get(url, headers=headers[user]) as response:
                version = response.headers.get("x-served-version")
                status = response.status
            answers.append(Answer(user, asked, time.monotonic(), status, version))

    async def changer() -> None:
        for i, change in enumerate(changes, 1):
            while len(answers) < REQUESTS * i // (len(changes) + 1):
                await asyncio.sleep(0.01)
            await asyncio.to_thread(change)

    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    jar = aiohttp.DummyCookieJar()
    async with (
        aiohttp.ClientSession(connector=connector, cookie_jar=jar) as session,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(changer())
        for _ in range(AT_ONCE):
            group.create_task(caller(session))
    return answers


def version_at(user: int, green: int) -> str:
    """The version of a user at a weight of green."""
    return bucket.picked(BUCKETS[user], {"blue": 100 - green, "green": green})


def is_due(answer: Answer, shifts: list[Shift]) -> bool:
    """Whether a weight that was in force between question and answer says so."""
    return any(
        version_at(answer.user, shift.green) == answer.version
        for shift in shifts
        if shift.given <= answer.came and answer.asked <= shift.over
    )


def assert_each_moves_once(answers: list[Answer]) -> None:
    """To green by the ramp, back by the rollback."""
    for user in range(USERS):
        seen = [a.version for a in sorted(answers, key=by_time) if a.user == user]
        moves = [(a, b) for a, b in pairwise(seen) if a != b]
        assert moves == [("blue", "green"), ("green", "blue")], f"user {user}: {seen}"


def by_time(answer: Answer) -> float:
    return answer.asked
