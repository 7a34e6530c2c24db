"""Users of the shop: they come through the ingress, each with cookies of their own."""

import http.client
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import cluster
from kit import bucket

# All users together, in requests per second.
RATE = 100
AT_ONCE = 8
SECONDS = 10

# Served by the shop alone; `/` asks the service behind it, too.
PAGE = "/page.html"

COOKIE = re.compile(
    r"bluegreen-id=([0-9a-f]{16}); Max-Age=34560000; Path=/; HttpOnly; SameSite=Lax"
)


class Pace:
    """At most so many turns a second, for all threads together."""

    def __init__(self, rate: float) -> None:
        self._step = 1 / rate
        self._next = 0.0
        self._lock = threading.Lock()

    def turn(self) -> None:
        """Waits for one's turn."""
        with self._lock:
            now = time.monotonic()
            begin = max(now, self._next)
            self._next = begin + self._step
        time.sleep(begin - now)


PACE = Pace(RATE)


@dataclass(frozen=True)
class Answer:
    """One response, or why there is none, and when it was asked for and came."""

    asked: float
    came: float
    status: int | str
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    def all(self, name: str) -> list[str]:
        """The values of a response header."""
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def version(self) -> str | None:
        """The version that made the body, as it says itself."""
        found = re.search(r'data-version="(\w+)"|^\w+ (\w+) \(', self.body)
        return found and (found[1] or found[2])

    @property
    def tags(self) -> list[str]:
        """The values of the tag."""
        return self.all("x-served-version")


def ask(
    path: str = PAGE, host: str = cluster.HOST, to: str = "", **headers: str
) -> Answer:
    """One request on a connection of its own; `_` in names of headers is `-`.

    It goes to the mesh's gateway, or `to` another address.
    """
    connection = connect(to)
    try:
        return _ask(connection, path, host, headers)
    finally:
        connection.close()


def connect(to: str = "") -> http.client.HTTPConnection:
    """A connection to the mesh's gateway, or `to` another address."""
    address = to or cluster.gateway_address()
    return http.client.HTTPConnection(address, timeout=SECONDS)


def _ask(
    connection: http.client.HTTPConnection, path: str, host: str, headers: dict
) -> Answer:
    PACE.turn()
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    asked = time.monotonic()
    try:
        connection.request("GET", path, headers={"Host": host, **sent})
        got = connection.getresponse()
        body = got.read().decode()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return Answer(asked, time.monotonic(), repr(error))
    return Answer(asked, time.monotonic(), got.status, body, tuple(got.getheaders()))


@dataclass
class User:
    """One user of a host, and what they were answered."""

    cookie: str = ""
    name: str = ""
    host: str = cluster.HOST
    to: str = ""
    answers: list[Answer] = field(default_factory=list)

    def ask(self, path: str = PAGE) -> Answer:
        """One request, and its cookie kept."""
        answer = ask(path, self.host, self.to, **self.headers)
        self.keep(answer)
        return answer

    def keep(self, answer: Answer) -> None:
        """Remembers an answer, and its cookie, as a browser does."""
        for line in answer.all("set-cookie"):
            self.cookie = line.partition(";")[0]
        self.answers.append(answer)

    @property
    def headers(self) -> dict[str, str]:
        """What says who it is."""
        both = {"cookie": self.cookie, "x_user_id": self.name}
        return {name: value for name, value in both.items() if value}

    @property
    def bucket(self) -> int:
        """The bucket that a gateway gives the user, by a second implementation."""
        identity = self.name or self.cookie.partition("=")[2]
        return bucket.of(identity.encode(), self.host.encode())

    @property
    def digits(self) -> int:
        """The last two digits of it, which decide where the weights sum to 100."""
        return self.bucket % 100

    def expected(self, green: int) -> str:
        """The version of this user at a weight of green, of 100."""
        return bucket.picked(self.bucket, {"blue": 100 - green, "green": green})

    @property
    def seen(self) -> set[str | None]:
        """The versions that answered."""
        return {answer.version for answer in self.answers}


def all_ask(users: list[User], times: int, path: str = PAGE) -> None:
    """Each user makes so many requests, one after the other."""

    def visit(user: User) -> None:
        for _ in range(times):
            user.ask(path)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(visit, users))


def returning(count: int, host: str = cluster.HOST, to: str = "") -> list[User]:
    """Users with a cookie from an earlier visit."""
    identities = [f"{n * 0x9E3779B97F4A7C15 % 2**64:016x}" for n in range(1, count + 1)]
    return [User(f"bluegreen-id={each}", host=host, to=to) for each in identities]


class Traffic:
    """Users who ask in turn, all the time; half of the callers keep their connection, as
    browsers do, the others make a new one for each request. Of several paths a user
    asks for one after the other.

    When a connection that they kept is closed before a byte of the answer came, they
    ask once more, as browsers do too. It counts as failed if that fails as well; how
    many were asked once more, `figure` says beside.
    """

    def __init__(self, users: list[User], rate: float, *paths: str) -> None:
        self.users = users
        self.repeated = 0
        # All of them come by one gateway.
        self._to = users[0].to
        self._paths = paths
        self._pace = Pace(rate)
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._turn = 0

    @property
    def answers(self) -> list[Answer]:
        """All of them."""
        return [answer for user in self.users for answer in tuple(user.answers)]

    @property
    def failures(self) -> list[Answer]:
        """The answers that no user should see."""
        return [answer for answer in self.answers if answer.status != 200]

    @property
    def figure(self) -> str:
        """How many failed, and how many were answered only when repeated."""
        return f"{len(self.failures)} ({self.repeated} repeated)"

    def since(self, moment: float) -> list[tuple[User, Answer]]:
        """What was asked after a moment, by whom."""
        return [
            (user, answer)
            for user in self.users
            for answer in tuple(user.answers)
            if answer.asked >= moment
        ]

    def all_asked_since(self, moment: float) -> None:
        """Waits until each user has asked again, for each path."""
        count = len(self._paths)
        cluster.until(
            "every user asked again",
            lambda: all(
                len(user.answers) >= count and user.answers[-count].asked > moment
                for user in self.users
            ),
        )

    def run(self, keep: bool) -> None:
        """One of the callers."""
        connection = None
        while not self._ended.is_set():
            with self._lock:
                user = self.users[self._turn % len(self.users)]
                self._turn += 1
            self._pace.turn()
            kept = connection is not None
            connection = connection or connect(self._to)
            path = self._paths[len(user.answers) % len(self._paths)]
            asked = (path, user.host, user.headers)
            answer = _ask(connection, *asked)
            if kept and "RemoteDisconnected" in str(answer.status):
                # On a connection made anew by `request`.
                answer = _ask(connection, *asked)
                with self._lock:
                    self.repeated += 1
            user.keep(answer)
            if not keep or answer.status != 200:
                connection.close()
                connection = None

    def end(self) -> None:
        """No further request."""
        self._ended.set()


@contextmanager
def traffic(users: list[User], rate: float = 60, *paths: str) -> Iterator[Traffic]:
    """Traffic of these users."""
    running = Traffic(users, rate, *(paths or (PAGE,)))
    with ThreadPoolExecutor(4) as pool:
        callers = [pool.submit(running.run, keep=n % 2 == 1) for n in range(4)]
        try:
            yield running
        finally:
            running.end()
    for caller in callers:
        caller.result()
