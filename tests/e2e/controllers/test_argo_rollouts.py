"""Argo Rollouts: subsets, Services, its own routes and experiments, 200 users of each."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain

import apps
import cluster
import live
import programs
import pytest
from apps import FIRST
from cluster import ARGO, Json
from conftest import Runs, apply_beside
from drive import SECONDS, USERS, App, Drive, listed, picked, users_of
from report import Proof
from walkthrough import walkthrough

RAMP = (20, 50, 100)
PAUSE = {"pause": {}}

STABLE, CANARY = ROLES = ("stable", "canary")
PINS = {STABLE: STABLE, CANARY: CANARY}


def ramp() -> list[Json]:
    """A step and a pause for each weight."""
    return [step for weight in RAMP for step in ({"setWeight": weight}, PAUSE)]


class Argo:
    """What a person does to a Rollout, with or without Argo's plugin for kubectl."""

    def __init__(self, app: App) -> None:
        self.app = app

    @property
    def status(self) -> Json:
        """What Argo says of it."""
        return self.app.read("rollouts").get("status", {})

    def release(self, name: str) -> None:
        """Begins a rollout."""
        template = self.app.read("rollouts")["spec"]["template"]
        container = "/spec/template/spec/containers/0"
        variables = template["spec"]["containers"][0]["env"]
        [at] = [n for n, each in enumerate(variables) if each["name"] == "VERSION"]
        changed = {f"{container}/env/{at}/value": name}
        if "version" in template["metadata"]["labels"]:
            changed["/spec/template/metadata/labels/version"] = name
        patch = [{"op": "replace", "path": k, "value": v} for k, v in changed.items()]
        said = ("patch", "rollout", self.app.name, "--type=json", "-p")
        self.app.kubectl(*said, json.dumps(patch))

    def stands_at(self, step: int) -> None:
        """Waits until it pauses at this step, counted from 0."""

        def stands() -> bool:
            status = self.status
            return bool(
                status.get("currentStepIndex") == step and status.get("pauseConditions")
            )

        cluster.until(f"{self.app.name} stands at step {step}", stands, SECONDS)

    def go_on(self) -> None:
        """Ends a pause: kubectl argo rollouts promote."""
        self._patch({"pauseConditions": None})

    def abort(self) -> None:
        """Sends all users back: kubectl argo rollouts abort."""
        self._patch({"abort": True})

    def _patch(self, status: Json) -> None:
        said = ("patch", "rollout", self.app.name, "--subresource=status")
        text = json.dumps({"status": status})
        self.app.kubectl(*said, "--type=merge", "-p", text)

    def is_promoted(self, release: str) -> None:
        """Waits until a release is the stable one."""

        def promoted() -> bool:
            found = self.app.read("rollouts")
            status = found.get("status", {})
            variables = found["spec"]["template"]["spec"]["containers"][0]["env"]
            return (
                {"name": "VERSION", "value": release} in variables
                and status.get("observedGeneration")
                == str(found["metadata"]["generation"])
                and status.get("phase") == "Healthy"
                and status.get("stableRS") == status.get("currentPodHash")
            )

        cluster.until(f"{self.app.name} is at {release}", promoted, SECONDS)

    def is_aborted(self) -> None:
        """Waits until a rollout has ended where it began."""
        cluster.until(
            f"{self.app.name} is aborted",
            lambda: self.status.get("abort") and self.status["phase"] == "Degraded",
            SECONDS,
        )


def application(name: str, weights_in: str = "") -> App:
    """One of those of apps.py."""
    host = apps.host(name, ARGO)
    return App(name, ARGO, host, weights_in or name, f"{name}.{ARGO}")


def subset(app: str, name: str) -> Json:
    """A destination."""
    return {"host": app, "subset": name}


def by_subsets(name: str, pods: Json, **canary: object) -> list[Json]:
    """An application of one Service, whose subsets Argo keeps."""
    destinations = [subset(name, STABLE), subset(name, CANARY)]
    istio = {
        "virtualService": {"name": name, "routes": ["bluegreen"]},
        "destinationRule": {
            "name": name,
            "stableSubsetName": STABLE,
            "canarySubsetName": CANARY,
        },
    }
    http = [
        *apps.pins({v: subset(name, v) for v in PINS}),
        apps.weighted("bluegreen", *destinations),
    ]
    strategy = {"trafficRouting": {"istio": istio}, "steps": ramp()} | canary
    return [
        apps.service(name, ARGO, name),
        apps.subsets(name, ARGO, *PINS),
        apps.virtual_service(name, ARGO, http),
        apps.rollout(name, ARGO, pods, strategy),
    ]


def by_services(name: str) -> list[Json]:
    """An application of two Services."""
    services = {version: {"host": f"{name}-{version}"} for version in PINS}
    http = [*apps.pins(services), apps.weighted("bluegreen", *services.values())]
    istio = {"virtualService": {"name": name, "routes": ["bluegreen"]}}
    strategy = {
        "stableService": f"{name}-{STABLE}",
        "canaryService": f"{name}-{CANARY}",
        "trafficRouting": {"istio": istio},
        "steps": ramp(),
    }
    return [
        *(apps.service(f"{name}-{version}", ARGO, name) for version in PINS),
        apps.virtual_service(name, ARGO, http),
        apps.rollout(name, ARGO, apps.template(name), strategy),
    ]


# ----------------------------------------------------------------------- scenarios


def to_full(
    drive: Drive, old: str, new: str, stable: str = STABLE, canary: str = CANARY
) -> None:
    """A ramp to the end; each user moves once, and promotion moves nobody."""
    app, argo = drive.app, Argo(drive.app)
    pins = {name.rpartition("-")[2]: name for name in (stable, canary)}
    argo.release(new)
    on_new = []
    for step, weight in enumerate(RAMP):
        argo.stands_at(2 * step + 1)
        released = {stable: old, canary: new}
        on_new.append(drive.settled({stable: 100 - weight, canary: weight}, released))
        drive.pins(pins, released)
        argo.go_on()
    argo.is_promoted(new)
    drive.settled({stable: 100, canary: 0}, {stable: new, canary: new})
    assert drive.moves() == {(old, new): USERS}, drive.moves()
    app.proof(f"{app.name}: users of {USERS} on {new} at 20, 50, 100", listed(on_new))
    app.proof(f"{app.name}: who moved twice, or at promotion", 0)


def to_half_and_back(
    drive: Drive, old: str, new: str, stable: str = STABLE, canary: str = CANARY
) -> None:
    """A ramp that is aborted at 50."""
    app, argo = drive.app, Argo(drive.app)
    began = time.monotonic()
    argo.release(new)
    on_new = 0
    for step, weight in enumerate(RAMP[:2]):
        argo.stands_at(2 * step + 1)
        released = {stable: old, canary: new}
        on_new = drive.settled({stable: 100 - weight, canary: weight}, released)
        if not step:
            argo.go_on()
    argo.abort()
    argo.is_aborted()
    drive.settled({stable: 100, canary: 0}, {stable: old})
    moves = drive.moves(began)
    assert moves == {(old, new, old): on_new, (old,): USERS - on_new}, moves
    app.proof(f"{app.name}: aborted at 50, users who went back, each once", on_new)


@contextmanager
def begun(app: App, *paths: str, roles: tuple[str, str] = ROLES) -> Iterator[Drive]:
    """The first release, and the users who come to it."""
    Argo(app).is_promoted(FIRST)
    stable, canary = roles
    with users_of(app, *paths) as drive:
        drive.settled({stable: 100, canary: 0}, dict.fromkeys(roles, FIRST))
        yield drive


def subsets(app: App) -> None:
    """Without a label `version`: a ramp, and one that is aborted."""
    with begun(app) as drive:
        to_full(drive, FIRST, "v2")
        to_half_and_back(drive, "v2", "v3")


def labelled(app: App) -> None:
    """With a label `version` that says the release, and a sidecar."""
    with begun(app) as drive:
        to_full(drive, FIRST, "v2")
    labels = [
        pod["metadata"]["labels"] for pod in cluster.pods(ARGO, f"app={app.name}")
    ]
    assert "v2" in {each["version"] for each in labels}
    app.proof(f"{app.name}: tags while the pods' label `version` says v2", "by subset")


def services(app: App) -> None:
    """Two Services with roles: a ramp, and one that is aborted."""
    stable, canary = (f"{app.name}-{version}" for version in PINS)
    with begun(app, roles=(stable, canary)) as drive:
        to_full(drive, FIRST, "v2", stable, canary)
        to_half_and_back(drive, "v2", "v3", stable, canary)


# --------------------------------------------------------- routes that Argo writes


def managed(name: str) -> list[Json]:
    """Two weighted routes, a pin of the user's, and two routes of Argo's on top."""
    destinations = [subset(name, STABLE), subset(name, CANARY)]
    http = [
        *apps.pins({STABLE: destinations[0]}),
        apps.weighted(
            "bluegreen-2", *destinations, match=[{"uri": {"prefix": "/api/"}}]
        ),
        apps.weighted("bluegreen", *destinations),
    ]
    objects = by_subsets(name, apps.template(name))
    mirrored = {"method": {"exact": "GET"}, "path": {"prefix": "/mirror/"}}
    pinned = {"headerName": "x-version-pin", "headerValue": {"exact": CANARY}}
    for each in objects:
        if each["kind"] == "VirtualService":
            each["spec"]["http"] = http
        if each["kind"] == "Rollout":
            canary = each["spec"]["strategy"]["canary"]
            routing = canary["trafficRouting"]
            routing["istio"]["virtualService"]["routes"] = ["bluegreen", "bluegreen-2"]
            routing["managedRoutes"] = [{"name": HEADER}, {"name": MIRROR}]
            canary["steps"] = [
                {"setWeight": 20},
                PAUSE,
                {
                    "setMirrorRoute": {
                        "name": MIRROR,
                        "percentage": 50,
                        "match": [mirrored],
                    }
                },
                PAUSE,
                {"setHeaderRoute": {"name": HEADER, "match": [pinned]}},
                PAUSE,
                {"setWeight": 50},
                PAUSE,
            ]
    return objects


HEADER, MIRROR = "bluegreen-pin-3", "bluegreen-mirror"


def own_routes(app: App) -> None:
    """Users ask by three paths, and have one version on all of them."""
    argo = Argo(app)

    def names() -> list[str]:
        routes = app.read("virtualservices", app.weights_in)["spec"]["http"]
        return [route["name"] for route in routes]

    own = names()
    with begun(app, *apps.PATHS) as drive:
        argo.release("v2")
        released = {STABLE: FIRST, CANARY: "v2"}
        argo.stands_at(1)
        twenty = drive.settled({STABLE: 80, CANARY: 20}, released)
        app.proof(f"{app.name}: both weighted routes at 20, users on v2", twenty)
        on_stable = next(u for u in drive.users if u.answers[-1].tags == [STABLE])
        told = drive.pinned(CANARY, on_stable).all("x-version-pin")
        assert told == [f"not-routed; served={STABLE}"]
        argo.go_on()
        argo.stands_at(3)
        assert names() == [MIRROR, *own]
        assert drive.settled({STABLE: 80, CANARY: 20}, released) == twenty
        app.proof(f"{app.name}: users who flip between the paths, mirrored one too", 0)
        argo.go_on()
        argo.stands_at(5)
        assert names() == [HEADER, MIRROR, *own]
        drive.settled({STABLE: 80, CANARY: 20}, released)
        tried = drive.pins(PINS, released)
        app.proof(f"{app.name}: pins that hold by {HEADER}, and by the user's", tried)
        argo.go_on()
        argo.stands_at(7)
        fifty = drive.settled({STABLE: 50, CANARY: 50}, released)
        app.proof(f"{app.name}: all three routes at 50, users on v2", fifty)
        argo.go_on()
        argo.is_promoted("v2")
        assert names() == own
        drive.settled({STABLE: 100, CANARY: 0}, dict.fromkeys(PINS, "v2"))
        assert drive.moves() == {(FIRST, "v2"): USERS}, drive.moves()
        app.proof(f"{app.name}: who moved twice, or back", 0)


# ----------------------------------------------------------------------- experiment

TRIED = 10


def experiment(app: App) -> None:
    """An experiment has its share at the end of the list, and gives it back."""
    argo = Argo(app)
    with begun(app) as drive:
        argo.release("v2")
        released = {STABLE: FIRST, CANARY: "v2"}
        argo.stands_at(1)
        drive.settled(before := {STABLE: 80, CANARY: 20}, released)
        argo.go_on()
        during = cluster.until(
            "the experiment has its share",
            lambda: next((w for w in app.weighted if len(w) > 2), None),
            SECONDS,
        )
        *_, tried = during
        assert during == {STABLE: 70, CANARY: 20, tried: TRIED}
        drive.settled(during, released | {tried: "v2"})
        over = [u for u in drive.users if picked(u, before) != picked(u, during)]
        forward = [user for user in over if picked(user, before) == STABLE]
        [running] = live.read(ARGO, "experiments")["items"]
        name = running["metadata"]["name"]
        terminate = json.dumps({"spec": {"terminate": True}})
        app.kubectl("patch", "experiment", name, "--type=merge", "-p", terminate)
        argo.stands_at(3)
        drive.settled(before, released)
        moves = drive.moves()
        assert moves[(FIRST, "v2", FIRST)] == len(forward), moves
        app.proof(
            f"{app.name}: with 10 at the end of the list, users of stable who had v2 "
            "until it ended",
            len(forward),
        )
        to_itself = len(over) - len(forward)
        app.proof(f"{app.name}: users of canary who went to its pods", to_itself)
        argo.go_on()
        argo.stands_at(5)
        assert drive.settled({STABLE: 0, CANARY: 100}, released) == USERS
        argo.go_on()
        argo.is_promoted("v2")
        drive.settled({STABLE: 100, CANARY: 0}, dict.fromkeys(PINS, "v2"))


def experimental(name: str) -> list[Json]:
    """An application whose rollout makes an experiment."""
    template = {"name": "try", "specRef": CANARY, "weight": TRIED}
    steps = [
        {"setWeight": 20},
        PAUSE,
        {"experiment": {"templates": [template]}},
        PAUSE,
        {"setWeight": 100},
        PAUSE,
    ]
    return by_subsets(name, apps.template(name), steps=steps)


# ------------------------------------------------------- the example, with pingPong

BLUE, GREEN = COLOURS = ("shop-blue", "shop-green")


def example(app: App, prometheus: str) -> None:
    """Its README, command by command: to green, to blue, and a release that fails."""
    argo = Argo(app)
    colours = {name.rpartition("-")[2]: name for name in COLOURS}

    def ramp_up(old: str, new: str, weights: list[dict[str, int]]) -> list[int]:
        """From the first weight on; a person would wait for the next ones."""
        on_new = []
        for step, each in enumerate(weights):
            argo.stands_at(2 * step + 1)
            # The release that comes is the one whose weight grows.
            grows = BLUE if weights[-1][BLUE] else GREEN
            serving = dict.fromkeys(COLOURS, old) | {grows: new}
            last = drive.settled(each, serving)
            on_new.append(last if grows == GREEN else USERS - last)
            drive.pins(colours, serving)
            argo.go_on()
        return on_new

    with walkthrough(app, "argo-rollouts", FILLED | {PROMETHEUS: prometheus}) as person:
        person.next()
        with users_of(app, broken="v4") as drive:
            drive.settled({BLUE: 100, GREEN: 0}, {BLUE: FIRST})
            person.next()
            up = [{BLUE: 100 - weight, GREEN: weight} for weight in RAMP]
            to_green = ramp_up(FIRST, "v2", up)
            person.next()
            assert drive.moves() == {(FIRST, "v2"): USERS}, drive.moves()
            app.proof("shop: users on v2, green, at 20, 50, 100", listed(to_green))
            back = [{BLUE: weight, GREEN: 100 - weight} for weight in RAMP]
            to_blue = ramp_up("v2", "v3", back)
            argo.is_promoted("v3")
            drive.settled({BLUE: 100, GREEN: 0}, {BLUE: "v3"})
            assert drive.moves() == {(FIRST, "v2", "v3"): USERS}, drive.moves()
            app.proof("shop: users on v3, blue, at 20, 50, 100", listed(to_blue))
            app.proof("shop: who moved twice in a ramp, or at promotion", 0)
            measured = looks(app, "Successful")
            assert measured
            app.proof("shop: looks at enough requests, all of them good", len(measured))
            assert set(measured) == {"[0]"}, measured
            began = time.monotonic()
            person.next()
            drive.settled({BLUE: 100, GREEN: 0}, {BLUE: "v3"})
            moves = drive.moves(began)
            assert set(moves) == {("v3",), ("v3", "v4", "v3")}, moves
            aborted = moves[("v3", "v4", "v3")]
            app.proof("shop: aborted by the counters, users back, each once", aborted)
            [share] = looks(app, "Failed")
            app.proof("shop: the share of errors that aborted it", share)
        person.end()


def looks(app: App, phase: str) -> list[str]:
    """What Prometheus said of a release, in runs of an analysis with this outcome."""
    return [
        measured["value"]
        for run in live.read(app.namespace, "analysisruns")["items"]
        for metric in run.get("status", {}).get("metricResults", [])
        for measured in metric.get("measurements", [])
        if metric["phase"] == phase and measured.get("value") not in (None, "[]")
    ]


PROMETHEUS = "http://prometheus.istio-system:9090"
# A person waits, and so does Argo; here each pause ends when it was looked at.
FILLED = {
    "pause: {duration: 5m}": "pause: {}",
    "interval: 30s": "interval: 3s",
    "[2m]": "[20s]",
}

# ---------------------------------------------------------------------------- tests

SCENARIOS: dict[str, tuple[Callable[[App], None], list[Json]]] = {
    "subsets": (subsets, by_subsets("subsets", apps.template("subsets"))),
    "labelled": (
        labelled,
        by_subsets("labelled", apps.template("labelled", sidecar=True, version=FIRST)),
    ),
    "services": (services, by_services("services")),
    "managed": (own_routes, managed("managed")),
    "experiment": (experiment, experimental("experiment")),
}


@pytest.fixture(scope="module", autouse=True)
def argo(runs: Runs, prometheus: str) -> Iterator[None]:
    """Argo Rollouts, and all that it drives here."""
    with programs.argo_rollouts(ARGO):
        shop = App("shop", ARGO, f"{ARGO}.example", "shop", f"shop.{ARGO}")
        runs.begin(shop, lambda app: example(app, prometheus))
        every = (objects for _, objects in SCENARIOS.values())
        apply_beside(ARGO, *chain.from_iterable(every))
        for name, (scenario, _) in SCENARIOS.items():
            runs.begin(application(name), scenario)
        yield


@pytest.mark.parametrize("name", ["shop", *SCENARIOS])
def test_rollout(name: str, runs: Runs, proof: Proof) -> None:
    runs.tell(name, proof)
