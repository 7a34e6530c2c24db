"""A rollout by its controller, while users keep asking: what they were answered."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import cluster
import live
from cluster import GATEWAY, RESPONSES, SYSTEM, Json
from kit import bucket
from users import Answer, Traffic, User, ask, traffic

USERS = 200
RATE = 30
# How often each pin is tried.
PINNED = 3
# A controller waits for pods, and asks again in its own time.
SECONDS = 180

# By version: its weight, or the release that it serves.
Weights = Mapping[str, int]
Releases = Mapping[str, str]


@dataclass
class App:
    """An application whose weights a controller moves."""

    name: str
    namespace: str
    host: str
    # The VirtualService with the weights, and the one that counters name.
    weights_in: str
    rollout: str
    proofs: list[tuple[str, object]] = field(default_factory=list)

    def proof(self, what: str, figure: object) -> None:
        """Kept until the table's turn comes."""
        self.proofs.append((what, figure))

    def read(self, kind: str, name: str = "") -> Json:
        """An object of the application's, as it is now."""
        return live.read(self.namespace, kind, name or self.name)

    def kubectl(self, *words: str) -> str:
        """kubectl in its namespace."""
        return cluster.kubectl("-n", self.namespace, *words)

    @property
    def weighted(self) -> list[Weights]:
        """The weights by version of each http route that has some, in their order."""
        routes = self.read("virtualservices", self.weights_in)["spec"]["http"]
        return [
            {_version(d["destination"]): d.get("weight", 0) for d in route["route"]}
            for route in routes
            if len(route.get("route", [])) > 1
        ]


def _version(destination: Json) -> str:
    """What the filter calls a destination: its subset, else its Service."""
    return destination.get("subset") or destination["host"].partition(".")[0]


class Drive:
    """The users of an application, and what they were answered until now."""

    def __init__(
        self, app: App, running: Traffic, counted: Counter[str], broken: str
    ) -> None:
        self.app = app
        self._running = running
        self._counted = counted
        self._broken = broken

    @property
    def users(self) -> list[User]:
        """All of them."""
        return self._running.users

    def settled(self, weights: Weights, releases: Releases) -> int:
        """Waits until all users are where these weights put them; then nobody may flip.

        Each asks at least once more for each path. Gives how many the last version has.
        """
        cluster.until(
            f"{self.app.name} has the weights {weights}",
            lambda: all(list(w.items()) == list(weights.items()) for w in self.weights),
            SECONDS,
        )
        began = time.monotonic()
        cluster.until(
            f"the users of {self.app.name} are dealt by {weights}",
            lambda: all(
                _was_dealt(user, weights, releases, began) for user in self.users
            ),
        )
        moment = time.monotonic()
        self._running.all_asked_since(moment)
        for user, answer in self._running.since(moment):
            version = picked(user, weights)
            assert answer.status == 200, (self.app.name, weights, answer)
            said = (answer.tags, answer.version)
            assert said == ([version], releases[version]), (
                self.app.name,
                user.cookie,
                weights,
                said,
            )
        last = list(weights)[-1]
        return sum(picked(user, weights) == last for user in self.users)

    @property
    def weights(self) -> list[Weights]:
        """What the VirtualService says now."""
        return self.app.weighted

    def pins(self, versions: Mapping[str, str], releases: Releases) -> int:
        """Each pin leads to its version, and nothing is told; gives how many were tried.

        A version without pods, and so without a release, is no other's to answer for.
        """
        for pin, version in versions.items():
            for _ in range(PINNED):
                answer = ask("/", self.app.host, x_version_pin=pin)
                assert not answer.all("x-version-pin"), (self.app.name, pin, answer)
                if version in releases:
                    assert answer.tags == [version], (self.app.name, pin, answer)
                    assert answer.version == releases[version], (pin, answer)
                else:
                    assert answer.status == 503, (self.app.name, pin, answer)
        self.told(releases)
        return len(versions) * PINNED

    def told(self, releases: Releases, pin: str = "red") -> None:
        """A pin that no route takes leaves users where they are, and is told."""
        for user in self.users[:PINNED]:
            answer = self.pinned(pin, user)
            [tag] = answer.tags
            assert tag in releases, (self.app.name, answer)
            assert answer.all("x-version-pin") == [f"not-routed; served={tag}"], answer

    def pinned(self, pin: str, user: User) -> Answer:
        """The answer to a user who pins."""
        return ask("/", self.app.host, x_version_pin=pin, **user.headers)

    def moves(self, since: float = 0) -> Counter[tuple[str, ...]]:
        """How many users went through which releases, one after the other."""
        return Counter(tuple(releases(user, since)) for user in self.users)

    @property
    def failures(self) -> list[Answer]:
        """The answers that no user should see: but for those of a release that fails."""
        return [
            answer
            for answer in self._running.failures
            if (answer.status, answer.version) != (500, self._broken)
        ]

    def all_counted(self) -> None:
        """Each answer to them had the tag of a version, and is counted as that one's.

        After the last request. The first one of each, which brought the cookie, is left
        out: the commands of a walk-through have such answers, too.
        """
        returning = [a for a in self._running.answers if not a.all("set-cookie")]
        tags = Counter(tag for answer in returning for tag in answer.tags)
        cluster.until(
            f"{self.app.name}: counted as tagged, {tags}",
            lambda: counted(self.app.rollout) - self._counted == tags,
            10,
        )
        total = sum(tags.values())
        what = "answers tagged, and counted as that version"
        self.app.proof(f"{self.app.name}: {what}", total)


def listed(figures: list[int]) -> str:
    """Figures as a row shows them."""
    return ", ".join(map(str, figures))


def picked(user: User, weights: Weights) -> str:
    """The version of a user at these weights."""
    return bucket.picked(user.bucket, weights)


def releases(user: User, since: float = 0) -> Iterator[str]:
    """The releases that answered a user, those in a row once.

    Of what was before the moment `since`, the last one counts.
    """
    seen = [(answer.asked, answer.version) for answer in user.answers]
    first = max((n for n, (asked, _) in enumerate(seen) if asked < since), default=0)
    versions = [str(version) for _, version in seen[first:]]
    yield versions[0]
    yield from (b for a, b in pairwise(versions) if a != b)


def _was_dealt(user: User, weights: Weights, releases: Releases, began: float) -> bool:
    if not user.answers or user.answers[-1].asked < began or not user.cookie:
        return False
    version = picked(user, weights)
    last = user.answers[-1]
    return (last.tags, last.version) == ([version], releases[version])


def counted(rollout: str) -> Counter[str]:
    """The gateway's answers to a rollout's users who came with a cookie, by version."""
    text = cluster.metrics(SYSTEM, GATEWAY)
    found: Counter[str] = Counter()
    for name, labels, value in cluster.samples(text):
        of = (labels.get("bg_rollout"), labels.get("bg_source"))
        if name == RESPONSES and of == (rollout, "identity-cookie"):
            found[labels["bg_version"]] += int(value)
    return found


@contextmanager
def users_of(app: App, *paths: str, broken: str = "") -> Iterator[Drive]:
    """Users without a cookie, who ask until the block ends; a release may be broken."""
    users = [User(host=app.host) for _ in range(USERS)]
    before = counted(app.rollout)
    with traffic(users, RATE, *(paths or ("/",))) as running:
        drive = Drive(app, running, before, broken)
        yield drive
    assert not drive.failures, drive.failures[:3]
    count, repeated = len(running.answers), running.repeated
    app.proof(f"{app.name}: failed of {count} requests", f"0 ({repeated} repeated)")
    if broken:
        failed = len(running.failures)
        app.proof(f"{app.name}: and of those to {broken}, which is broken", failed)
    drive.all_counted()
