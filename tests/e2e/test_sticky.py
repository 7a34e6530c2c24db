"""Sticky: new users at 70/30, through the ingress."""

from math import sqrt

import pytest
from report import Proof
from users import COOKIE, User, all_ask

USERS = 500
NAMED = 200
TIMES = 5
GREEN = 30

pytestmark = pytest.mark.usefixtures("shop")


def check_split(users: list[User], known: str, proof: Proof) -> None:
    """Everybody stays, where the bucket says, and the share is the weights'.

    `known` says by what the filter knows them.
    """
    assert all(answer.status == 200 for user in users for answer in user.answers)
    flipped = [user for user in users if len(user.seen) > 1]
    assert not flipped
    for user in users:
        assert user.seen == {user.expected(GREEN)}, user
        assert all(answer.tags == [answer.version] for answer in user.answers), user
    green = sum(user.seen == {"green"} for user in users)
    expected = len(users) * GREEN / 100
    deviation = sqrt(expected * (1 - GREEN / 100))
    assert abs(green - expected) < 4 * deviation
    proof(f"{len(users)} new users by {known}, on green", green)
    proof(
        "expected, ± four standard deviations", f"{expected:.0f} ± {4 * deviation:.0f}"
    )
    proof(f"users who saw both in {TIMES} requests", len(flipped))


def test_by_cookie(proof: Proof) -> None:
    users = [User() for _ in range(USERS)]
    all_ask(users, TIMES)
    check_split(users, "cookie", proof)
    for user in users:
        first, *later = (answer.all("set-cookie") for answer in user.answers)
        assert len(first) == 1
        assert COOKIE.fullmatch(first[0]), first
        assert later == [[]] * (TIMES - 1)
    different = {user.cookie for user in users}
    assert len(different) == USERS
    proof("different cookies, each set once", len(different))


def test_by_identity_header(proof: Proof) -> None:
    users = [User(name=f"user-{n}@shop.example") for n in range(NAMED)]
    all_ask(users, TIMES)
    check_split(users, "identity header", proof)
    cookies = [user for user in users if user.cookie]
    assert not cookies
    proof("cookies set for users with an identity header", len(cookies))
