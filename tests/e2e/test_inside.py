"""Inside the mesh: a caller's sidecar, both hops, the pod's own tag, and mutual TLS."""

import cluster
import pytest
from callers import calls
from cluster import NAMESPACE, TAGGED
from kit import bucket
from report import Proof
from users import User, all_ask

USERS = 60
TIMES = 3
GREEN = 30
DICE = 40

# At 70/30 the last two digits decide, of up to 64 bits.
BLUE_BUCKETS = ["0", "69", "100", "18446744073709551569"]
GREEN_BUCKETS = ["70", "99", "199", "18446744073709551599"]

# In a caller of the namespace shop the names of one Service are one.
SALT = b"shop.shop"
NAMES = ["shop", "shop.shop", "shop.shop.svc", "shop.shop.svc.cluster.local"]

pytestmark = pytest.mark.usefixtures("shop")


def both_hops(version: str, why: str) -> str:
    """What the shop says when it and the stock behind it are of one version."""
    return f"shop {version} ({why}), stock {version} ({why})\n"


def test_sticky_by_user_id(proof: Proof) -> None:
    names = [f"user-{n}" for n in range(USERS)]
    asked = [name for name in names for _ in range(TIMES)]
    answers = calls("http://shop/", *(f"x-user-id: {name}" for name in asked))
    for name, answer in zip(asked, answers, strict=True):
        number = bucket.of(name.encode(), SALT)
        version = bucket.picked(number, {"blue": 100 - GREEN, "green": GREEN})
        assert answer.body == both_hops(version, f"bucket {number % 100}")
        assert answer.tags == [version]
        assert not answer.all("set-cookie")
    proof("users by x-user-id that stay, on both hops", USERS)


def test_the_names_of_a_service_are_one(proof: Proof) -> None:
    headers = [f"x-user-id: user-{n}" for n in range(DICE)]
    first, *others = (
        [answer.body for answer in calls(f"http://{name}/", *headers)] for name in NAMES
    )
    assert {answer.split()[1] for answer in first} == set(cluster.VERSIONS)
    assert all(each == first for each in others)
    proof("names of one Service that deal users alike", len(NAMES))


def test_sticky_by_a_forwarded_bucket(proof: Proof) -> None:
    for version, numbers in [("blue", BLUE_BUCKETS), ("green", GREEN_BUCKETS)]:
        answers = calls("http://shop/", *(f"x-bluegreen-bucket: {n}" for n in numbers))
        for number, answer in zip(numbers, answers, strict=True):
            assert answer.tags == [version], number
            assert answer.body == both_hops(version, f"bucket {int(number) % 100}")
    proof("forwarded buckets that decide", len(BLUE_BUCKETS + GREEN_BUCKETS))


def test_pinned_by_a_caller(proof: Proof) -> None:
    for version in cluster.VERSIONS:
        for answer in calls("http://shop/", *[f"x-version-pin: {version}"] * TIMES):
            assert answer.body == both_hops(version, "pinned")
            assert answer.tags == [version]
            assert answer.all("cache-control") == ["private, no-store"]
    proof("pinned calls on their version, on both hops", 2 * TIMES)
    # A pin may be meant for another service: a client tells a workload nothing.
    for answer in calls("http://shop/", "x-version-pin: red", "x-version-pin: Red!"):
        assert answer.status == 200
        assert not answer.all("x-version-pin")
    proof("pins of no version of this service that a client lets pass", 2)


def test_without_a_user_istio_rolls_dice(proof: Proof) -> None:
    answers = calls("http://stock/", *[""] * DICE)
    tags = [answer.tags[0] for answer in answers]
    # All on one side: once in 1,500,000 runs.
    assert set(tags) == {"blue", "green"}
    assert all("(by chance)" in answer.body for answer in answers)
    proof(f"calls without a user of {DICE}, on green", tags.count("green"))


def test_two_hops_on_one_version_from_the_gateway(proof: Proof) -> None:
    users = [User() for _ in range(USERS)]
    all_ask(users, TIMES, "/")
    for user in users:
        body = both_hops(user.expected(GREEN), f"bucket {user.digits}")
        assert {answer.body for answer in user.answers} == {body}
    proof("users by cookie that stay, on both hops", USERS)


def test_a_labelled_pod_says_its_own_version(proof: Proof) -> None:
    answers = calls("http://plain/", *[""] * TIMES)
    assert [answer.tags for answer in answers] == [["v2"]] * TIMES
    proof("tagged by the labelled pod, on no route of ours", TIMES)
    # Its Service is called otherwise, and it knows better.
    before = counted("tagged.shop", TAGGED)
    answers = calls("http://tagged/", *[""] * TIMES)
    assert [answer.tags for answer in answers] == [["v2"]] * TIMES
    assert counted("tagged.shop", TAGGED) - before == TIMES
    proof("and on one of ours, where its Service counts", TIMES)
    answers = calls("http://depot-green/", *[""] * TIMES)
    tagged = [answer.tags for answer in answers if answer.version == "green"]
    assert tagged == [[]] * TIMES
    proof("tagged by a pod without the label", 0)


def counted(rollout: str, version: str) -> float:
    """The responses of a version that the caller's sidecar counted."""
    labels = {"bg_rollout": rollout, "bg_version": version}
    return cluster.counted(NAMESPACE, "caller", cluster.RESPONSES, **labels)


def test_mutual_tls_stays_strict(proof: Proof) -> None:
    target = ("-n", "default", "-i", "--rm", "--restart=Never", "--quiet")
    said = cluster.kubectl(
        *("run", "stranger", "--image=busybox:1.36", *target, "--"),
        *("wget", "-q", "-O", "-", f"http://shop.{NAMESPACE}/page.html"),
        check=False,
    )
    assert "wget: error getting response" in said, said
    assert "data-version" not in said
    proof("calls without mutual TLS that got an answer", 0)
