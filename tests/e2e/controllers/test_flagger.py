"""Flagger: behind a VirtualService of the user's, 200 users of each application."""

import time
from collections.abc import Iterator

import apps
import cluster
import programs
import pytest
from apps import FIRST
from cluster import FLAGGER, Json
from conftest import Runs, apply_beside
from drive import SECONDS, USERS, App, Drive, Releases, listed, users_of
from gates import Gates
from report import Proof
from walkthrough import walkthrough

STEPS = (20, 50, 100)

PRIMARY, CANARY = "primary", "canary"


class Flagger:
    """What a person does: a new release, and gates to open."""

    def __init__(self, app: App, gates: Gates) -> None:
        self.app = app
        self.gates = gates
        self.primary, self.canary = f"{app.name}-{PRIMARY}", f"{app.name}-{CANARY}"

    def release(self, name: str) -> None:
        """Begins a rollout, or changes the release in the middle of one."""
        self.app.kubectl("set", "env", f"deployment/{self.app.name}", f"VERSION={name}")

    def step(self) -> None:
        """Lets it go on by one step."""
        self.gates.open(f"{self.app.name}/step")

    def is_in(self, phase: str) -> None:
        """Waits until the Canary is in a phase."""
        cluster.until(
            f"{self.app.name} is {phase}",
            lambda: self.app.read("canaries").get("status", {}).get("phase") == phase,
            SECONDS,
        )

    def weights(self, canary: int) -> dict[str, int]:
        """The weights of both Services, in their order."""
        return {self.primary: 100 - canary, self.canary: canary}

    def serving(self, primary: str, canary: str = "") -> Releases:
        """The releases of those that have pods."""
        return {self.primary: primary} | ({self.canary: canary} if canary else {})

    @property
    def pins(self) -> dict[str, str]:
        """By the word behind the `-` of a Service."""
        return {PRIMARY: self.primary, CANARY: self.canary}


def application(name: str) -> App:
    """One whose users meet a VirtualService NAME-users, which delegates to Flagger's."""
    return App(name, FLAGGER, apps.host(name, FLAGGER), name, f"{name}-users.{FLAGGER}")


def objects(name: str, gates: str, loadtester: str) -> list[Json]:
    """An application with a gate before each step."""
    services = {word: {"host": f"{name}-{word}"} for word in (PRIMARY, CANARY)}
    http = [*apps.pins(services), {"name": "bluegreen", "delegate": {"name": name}}]
    hooks = {
        "step": "confirm-traffic-increase",
        "promote": "confirm-promotion",
        "back": "rollback",
    }
    webhooks = [
        {"name": gate, "type": kind, "url": f"{gates}/{name}/{gate}"}
        for gate, kind in hooks.items()
    ]
    # As in the example.
    wait = {"type": "bash", "cmd": "sleep 1"}
    settle = {"name": "weights-before-pods", "type": "event", "url": f"{loadtester}/"}
    analysis = {
        "interval": "1s",
        "threshold": 3,
        "stepWeights": list(STEPS),
        "webhooks": [*webhooks, settle | {"metadata": wait}],
    }
    return [
        apps.deployment(name, FLAGGER),
        apps.canary(name, FLAGGER, analysis),
        apps.virtual_service(f"{name}-users", FLAGGER, http, of=name),
    ]


# ----------------------------------------------------------------------- scenarios


def to_full(drive: Drive, flagger: Flagger, old: str, new: str) -> None:
    """A ramp to 100, and the promotion, which sends all back to a new primary."""
    app = drive.app
    flagger.release(new)
    on_new = []
    for weight in STEPS:
        flagger.step()
        serving = flagger.serving(old, new)
        on_new.append(drive.settled(flagger.weights(weight), serving))
        drive.pins(flagger.pins, serving)
    flagger.gates.open(f"{app.name}/promote")
    flagger.step()
    flagger.is_in("Succeeded")
    flagger.gates.close(f"{app.name}/promote")
    flagger.gates.close(f"{app.name}/step")
    drive.settled(flagger.weights(0), flagger.serving(new))
    assert drive.moves() == {(old, new): USERS}, drive.moves()
    app.proof(f"{app.name}: users of {USERS} on {new} at 20, 50, 100", listed(on_new))
    app.proof(f"{app.name}: who moved twice, or at promotion", 0)


def another_in_the_middle(
    drive: Drive, flagger: Flagger, old: str, first: str, second: str
) -> None:
    """A release at 50 is followed by another, which is rolled back at 20."""
    app = drive.app
    began = time.monotonic()
    flagger.release(first)
    half = 0
    for weight in STEPS[:2]:
        flagger.step()
        half = drive.settled(flagger.weights(weight), flagger.serving(old, first))
    flagger.release(second)
    drive.settled(flagger.weights(0), flagger.serving(old))
    # Those of the canary may meet the second one before Flagger sends them back.
    ways = {(old,), (old, first, old), (old, first, second, old)}
    moves = drive.moves(began)
    assert set(moves) <= ways, moves
    assert moves[(old,)] == USERS - half, moves
    app.proof(f"{app.name}: another release at 50, users who went back, once", half)
    flagger.step()
    again = time.monotonic()
    fifth = drive.settled(flagger.weights(20), flagger.serving(old, second))
    flagger.gates.open(f"{app.name}/back")
    flagger.is_in("Failed")
    flagger.gates.close(f"{app.name}/back")
    drive.settled(flagger.weights(0), flagger.serving(old))
    # The step may have been made before the moment was taken.
    once = {(old,), (old, second, old), (second, old)}
    moves = drive.moves(again)
    assert set(moves) <= once, moves
    assert moves[(old,)] == USERS - fifth, moves
    app.proof(f"{app.name}: rolled back at 20, users who went back, each once", fifth)


def steps(app: App, gates: Gates) -> None:
    """A ramp, another release in the middle, a rollback."""
    flagger = Flagger(app, gates)
    flagger.is_in("Initialized")
    with users_of(app) as drive:
        drive.settled(flagger.weights(0), flagger.serving(FIRST))
        # The canary has no pods, and no other version answers for it.
        drive.pins(flagger.pins, flagger.serving(FIRST))
        to_full(drive, flagger, FIRST, "v2")
        another_in_the_middle(drive, flagger, "v2", "v3", "v4")


# --------------------------------------------------------------------- the example


def example(app: App, prometheus: str, loadtester: str) -> None:
    """Its README, command by command: a release, and one that fails."""
    flagger = Flagger(app, Gates())
    filled = FILLED | {PROMETHEUS: prometheus, LOADTESTER: f"url: {loadtester}/"}
    with walkthrough(app, "flagger", filled) as person:
        person.next()
        with users_of(app, broken="v3") as drive:
            drive.settled(flagger.weights(0), flagger.serving(FIRST))
            person.next()
            drive.settled(flagger.weights(0), flagger.serving("v2"))
            assert drive.moves() == {(FIRST, "v2"): USERS}, drive.moves()
            app.proof(f"{app.name}: users of {USERS} who moved to v2, each once", USERS)
            began = time.monotonic()
            person.next()
            drive.settled(flagger.weights(0), flagger.serving("v2"))
            moves = drive.moves(began)
            assert set(moves) == {("v2",), ("v2", "v3", "v2")}, moves
            back = moves[("v2", "v3", "v2")]
            app.proof(
                f"{app.name}: failed by the counters, users back, each once", back
            )
        person.end()


PROMETHEUS = "http://prometheus.istio-system:9090"
LOADTESTER = "url: http://flagger-loadtester.istio-system/"
# A person waits, and so does Flagger; here it does so for less long.
FILLED = {
    "interval: 1m": "interval: 8s",
    "interval: 2m": "interval: 20s",
    "cmd: sleep 5": "cmd: sleep 1",
}

# ---------------------------------------------------------------------------- tests


@pytest.fixture(scope="module", autouse=True)
def flagger(runs: Runs, prometheus: str) -> Iterator[None]:
    """Flagger, and all that it drives here."""
    gates = Gates()
    with (
        programs.loadtester() as loadtester,
        programs.flagger(FLAGGER, prometheus),
    ):
        shop = App(
            "shop", FLAGGER, f"{FLAGGER}.example", "shop", f"shop-users.{FLAGGER}"
        )
        runs.begin(shop, lambda app: example(app, prometheus, loadtester))
        apply_beside(FLAGGER, *objects("steps", gates.address, loadtester))
        runs.begin(application("steps"), lambda app: steps(app, gates))
        yield
    gates.end()


@pytest.mark.parametrize("name", ["shop", "steps"])
def test_rollout(name: str, runs: Runs, proof: Proof) -> None:
    runs.tell(name, proof)
