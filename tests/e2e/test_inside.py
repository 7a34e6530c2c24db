"""Inside the mesh: a caller's sidecar, the tag of the server's, and mutual TLS."""

import cluster
import pytest
from cluster import NAMESPACE
from kit import bucket
from report import Proof
from users import User, all_ask, ask

USERS = 60
TIMES = 3
GREEN = 30
DICE = 40

pytestmark = pytest.mark.usefixtures("shop")


def calls(url: str, *headers: str) -> list[tuple[str, str]]:
    """Calls from the caller's pod, one for each header: the tag and the body."""
    lines = []
    for header in headers:
        option = f"--header '{header}'" if header else ""
        lines.append(f"wget -q -S -O - {option} {url} 2>&1; echo @@@; sleep 0.02")
    target = ("-n", NAMESPACE, "deployment/caller", "-c", "caller", "-i")
    said = cluster.kubectl("exec", *target, "--", "sh", text="\n".join(lines))
    return [_tag_and_body(each) for each in said.split("@@@\n")[:-1]]


def _tag_and_body(said: str) -> tuple[str, str]:
    lines = [line.strip() for line in said.strip().splitlines()]
    mark = "x-served-version:"
    tags = [line.removeprefix(mark).strip() for line in lines if line.startswith(mark)]
    assert len(tags) == 1, said
    return tags[0], lines[-1]


def expected(bucket: int) -> str:
    """The version that has a bucket at 70/30."""
    return "green" if bucket >= 100 - GREEN else "blue"


def test_sticky_by_user_id(proof: Proof) -> None:
    names = [f"user-{n}" for n in range(USERS)]
    asked = [name for name in names for _ in range(TIMES)]
    answers = calls("http://shop/", *(f"x-user-id: {name}" for name in asked))
    for name, (tag, body) in zip(asked, answers, strict=True):
        number = bucket.of(name.encode())
        version = expected(number)
        both = f"(bucket {number})"
        assert body == f"shop {version} {both}, stock {version} {both}"
        assert tag == version
    proof("users by x-user-id that stay, on both hops", USERS)


def test_sticky_by_a_forwarded_bucket(proof: Proof) -> None:
    numbers = [0, 69, 70, 99]
    answers = calls("http://shop/", *(f"x-bluegreen-bucket: {n}" for n in numbers))
    for number, (tag, body) in zip(numbers, answers, strict=True):
        assert tag == expected(number)
        assert body.startswith(f"shop {tag} (bucket {number}), stock {tag} ")
    proof("forwarded buckets that decide", ", ".join(map(str, numbers)))


def test_pinned_by_a_caller(proof: Proof) -> None:
    for version in cluster.VERSIONS:
        answers = calls("http://shop/", *[f"x-version-pin: {version}"] * TIMES)
        body = f"shop {version} (pinned), stock {version} (pinned)"
        assert answers == [(version, body)] * TIMES
    proof("pinned calls on their version, on both hops", 2 * TIMES)


def test_without_a_user_istio_rolls_dice(proof: Proof) -> None:
    tags = [tag for tag, _ in calls("http://stock/", *[""] * DICE)]
    # All on one side: once in 1,500,000 runs.
    assert set(tags) == {"blue", "green"}
    proof(f"calls without a user of {DICE}, on green", tags.count("green"))


def test_two_hops_on_one_version_from_the_gateway(proof: Proof) -> None:
    users = [User() for _ in range(USERS)]
    all_ask(users, TIMES, "/")
    for user in users:
        version = user.expected(GREEN)
        both = f"(bucket {user.bucket})"
        body = f"shop {version} {both}, stock {version} {both}\n"
        assert {answer.body for answer in user.answers} == {body}
    proof("users by cookie that stay, on both hops", USERS)


def test_the_servers_sidecar_tags(proof: Proof) -> None:
    # The cluster of this Service has no subset: only the pod can know.
    assert (
        calls("http://plain/", *[""] * TIMES)
        == [("green", "stock green (by chance)")] * TIMES
    )
    proof("tagged by the server's sidecar, inside the mesh", TIMES)
    assert ask().tags in (["blue"], ["green"])
    cluster.kubectl("delete", "-n", cluster.SYSTEM, "wasmplugin", "bluegreen-outbound")
    try:
        cluster.until(
            "the gateway's plugin is gone", lambda: not ask().all("set-cookie")
        )
        answer = ask(x_version_pin="green")
        assert answer.tags == ["green"] == [answer.version]
        proof("and at a gateway that has no plugin itself", 1)
    finally:
        cluster.apply(cluster.PLUGINS)
        cluster.wait_for_filter()


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
