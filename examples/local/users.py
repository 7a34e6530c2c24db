"""Users with browsers: each keeps the identity cookie that a response sets."""

import asyncio
import http.client
import json
from dataclasses import dataclass, field

import aiohttp

AT_ONCE = 20
SUM_OF_WEIGHTS = 100
# What differs from one response to the next without any cause that we look for.
VOLATILE = ("date", "x-envoy-upstream-service-time")


@dataclass
class User:
    """One user, and the versions that answered so far.

    `tags` are what the responses said of it; `bucket` is the place among the weights,
    0 to 99; `given` counts the identity cookies in all responses.
    """

    cookie: str | None = None
    bucket: int | None = None
    seen: list[str] = field(default_factory=list)
    tags: list[str | None] = field(default_factory=list)
    given: int = 0

    @property
    def flipped(self) -> bool:
        """Whether two versions answered."""
        return len(set(self.seen)) > 1

    @property
    def version(self) -> str:
        """Who answered last: a version, or an error's status."""
        return self.seen[-1]


def visit(url: str, users: list[User], times: int = 1, host: str | None = None) -> None:
    """Each user makes so many requests, one after the other, over a few connections."""
    asyncio.run(_visit(url, users, times, host))


async def _visit(url: str, users: list[User], times: int, host: str | None) -> None:
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    jar = aiohttp.DummyCookieJar()
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(
        headers={"host": host} if host else None,
        connector=connector,
        cookie_jar=jar,
        timeout=timeout,
    ) as session:
        await asyncio.gather(*(_ask(session, url, user, times) for user in users))


async def _ask(
    session: aiohttp.ClientSession, url: str, user: User, times: int
) -> None:
    for _ in range(times):
        headers = {"cookie": user.cookie} if user.cookie else {}
        async with session.get(f"{url}/json", headers=headers) as response:
            body = await response.text()
            user.tags.append(response.headers.get("x-served-version"))
            for line in response.headers.getall("set-cookie", []):
                if line.startswith("bluegreen-id="):
                    user.cookie = line.partition(";")[0]
                    user.given += 1
        if response.status != 200:
            user.seen.append(f"{response.status}")
            continue
        told = json.loads(body)
        user.seen.append(told["version"])
        if told["bucket"] is not None:
            user.bucket = int(told["bucket"]) % SUM_OF_WEIGHTS


def answers(url: str, headers: dict[str, str], times: int = 1) -> set[str]:
    """The responses to so many equal requests, whole, each different one once."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    seen = set()
    for _ in range(times):
        connection.request("GET", "/json", headers=headers)
        response = connection.getresponse()
        lines = [f"{name}: {value}" for name, value in response.getheaders()]
        kept = [line for line in lines if not line.startswith(VOLATILE)]
        body = response.read().decode()
        seen.add("\n".join([f"{response.status}", *kept, "", body]))
    connection.close()
    return seen
