"""Users with browsers: each keeps the cookies that the shop sets."""

import asyncio
import json
from dataclasses import dataclass, field

import aiohttp

AT_ONCE = 20


@dataclass
class User:
    """One user, and the versions that answered so far."""

    cookie: str | None = None
    bucket: int | None = None
    seen: list[str] = field(default_factory=list)

    @property
    def flipped(self) -> bool:
        """Whether two versions answered."""
        return len(set(self.seen)) > 1

    @property
    def version(self) -> str:
        """Who answered last: a version, or an error's status."""
        return self.seen[-1]


def visit(url: str, users: list[User], times: int = 1) -> None:
    """Each user makes so many requests, one after the other, over a few connections."""
    asyncio.run(_visit(url, users, times))


async def _visit(url: str, users: list[User], times: int) -> None:
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    jar = aiohttp.DummyCookieJar()
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=jar, timeout=timeout
    ) as session:
        await asyncio.gather(*(_ask(session, url, user, times) for user in users))


async def _ask(
    session: aiohttp.ClientSession, url: str, user: User, times: int
) -> None:
    for _ in range(times):
        headers = {"cookie": user.cookie} if user.cookie else {}
        async with session.get(f"{url}/json", headers=headers) as response:
            body = await response.text()
            if cookie := response.cookies.get("bluegreen-id"):
                user.cookie = f"bluegreen-id={cookie.value}"
        if response.status != 200:
            user.seen.append(f"{response.status}")
            continue
        told = json.loads(body)
        user.seen.append(told["version"])
        if told["bucket"] is not None:
            user.bucket = int(told["bucket"])
