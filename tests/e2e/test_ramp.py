"""Ramp: by kubectl apply of the files, while 200 returning users keep asking."""

import time
from itertools import pairwise

import cluster
import pytest
from report import Proof
from users import Answer, Traffic, returning, traffic

USERS = 200
STATES = [(100, 0), (90, 10), (70, 30), (50, 50), (0, 100)]

pytestmark = pytest.mark.usefixtures("shop")


def moves(answers: list[Answer]) -> list[tuple[str | None, str | None]]:
    """From which version to which a user moved, in the order of asking."""
    seen = [answer.version for answer in answers if answer.status == 200]
    return [(a, b) for a, b in pairwise(seen) if a != b]


def settled(running: Traffic, green: int) -> int:
    """Waits until all users asked at these weights; gives how many are on green."""
    moment = time.monotonic()
    running.all_asked_since(moment)
    for user, answer in running.since(moment):
        assert answer.version == user.expected(green), (user.cookie, green)
    return sum(user.answers[-1].version == "green" for user in running.users)


def test_nobody_moves_twice_or_back_and_no_request_fails(proof: Proof) -> None:
    cluster.shift(*STATES[0])
    with traffic(returning(USERS)) as running:
        for blue, green in STATES:
            cluster.shift(blue, green)
            on_green = settled(running, green)
            proof(f"{blue}/{green}: users of {USERS} on green", on_green)
        ups = [moves(user.answers) for user in running.users]

        began = time.monotonic()
        cluster.apply(cluster.virtual_service(100, 0))
        applied = time.monotonic()
        cluster.wait_for_weights(100, 0)
        assert settled(running, 0) == 0
    assert all(up == [("blue", "green")] for up in ups), "once, and not back"
    last = max(a.came for _, a in running.since(began) if a.version == "green")
    proof("users who moved twice or back", sum(len(up) != 1 for up in ups))
    proof("rollback: last answer by green, after `apply`", f"{last - applied:+.2f} s")
    assert not running.failures
    proof(f"failed of {len(running.answers)} requests", running.figure)
    cluster.shift(70, 30)
