"""Signed pins: made by `kubectl create token`, for those whom Kubernetes' RBAC lets."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import cluster
import pytest
import yaml
from cluster import ClusterError, kubectl
from kit import tokens
from kit.envoy import ROOT
from readme import Shell
from report import Proof
from users import ask, returning

PAGE = ROOT / "docs/pins.md"
MARK = f"<!-- run by: {Path(__file__).relative_to(ROOT)} -->"
BLOCK = re.compile(rf"{re.escape(MARK)}\n```sh\n(.*?)```", re.DOTALL)
CONFIG = re.compile(r"<!-- cluster -->\n```yaml\n(.*?)```", re.DOTALL)

NAMESPACE = "pins"
AUDIENCE = f"bluegreen:{cluster.HOST}:green"
ADA = ("--as", "ada@shop.example", "--as-group", "testers@shop.example")
BOB = ("--as", "bob@shop.example", "--as-group", "developers@shop.example")

# A returning user, who is on blue at 100/0.
USER = returning(1)[0]


@pytest.fixture
def blocks(shell: Shell) -> Iterator[list[str]]:
    """The commands of the page; what they make is taken back."""
    # A Python with PyJWT, as people have who use it.
    shell.run(f"PATH={ROOT / 'target/venv/bin'}:$PATH")
    yield BLOCK.findall(PAGE.read_text())
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


def told(token: str) -> list[str]:
    """What a tester is told about a pin, who is on blue without one."""
    answer = ask(cookie=USER.cookie, x_version_pin=token)
    assert answer.status == 200
    said = answer.all("x-version-pin")
    assert answer.tags == (["blue"] if said else ["green"])
    return said


def token_of(*who: str, account: str = "tester", namespace: str = NAMESPACE) -> str:
    """A token that somebody makes of a service account."""
    return kubectl(
        *who,
        *("-n", namespace, "create", "token", account),
        *("--audience", AUDIENCE, "--duration", "1h"),
    ).strip()


def test_kubectl_makes_pins(
    shop: None,
    blocks: list[str],
    shell: Shell,
    own_settings: Callable[[str, cluster.Json], None],
    proof: Proof,
) -> None:
    cluster.shift(100, 0)
    *before, make = blocks
    assert "create token" in make
    for block in before:
        shell.run(block)
    [config] = CONFIG.findall(PAGE.read_text())
    pin = yaml.safe_load(config)["pin"]
    [key] = pin["keys"]
    pems = shell.run("cat cluster.pub.pem").strip().split("\n-----BEGIN")
    pin["keys"] = [
        key | {"name": f"cluster-{number}", "publicKey": pem(text)}
        for number, text in enumerate(pems)
    ]
    own_settings("signed", {"hosts": [cluster.HOST], "pin": pin})
    cluster.until(
        "a plain name is unsigned",
        lambda: told("green") == ["rejected; reason=unsigned"],
    )
    proof("a plain name, once there are keys", "unsigned")

    token = shell.run(make).strip()
    assert told(token) == []
    link = ask(f"/page.html?version-pin={token}", cookie=USER.cookie)
    [cookie] = link.all("set-cookie")
    assert cookie.startswith(f"bluegreen-pin={token}; Max-Age=3")
    cookies = f"{USER.cookie}; {cookie.partition(';')[0]}"
    assert ask(cookie=cookies).tags == ["green"]
    proof("`kubectl create token`: pinned by header, link and cookie", "✔")

    assert told(token_of(*ADA)) == []
    with pytest.raises(ClusterError, match="cannot create resource"):
        token_of(*BOB)
    proof("the Role lets a tester make one, and nobody else", "✔")

    another = token_of(account="default", namespace=cluster.NAMESPACE)
    assert told(another) == ["rejected; reason=key"]
    proof("a pod's own token for the same audience", "key")
    assert told(tokens.signed(AUDIENCE, "rs", sub=key["subjects"][0])) == [
        "rejected; reason=signature"
    ]
    changed = token[:-60] + token[-60:-8].swapcase() + token[-8:]
    assert told(changed) == ["rejected; reason=signature"]
    proof("a token of another key, and a changed one", "signature")
    assert told(token) == []
    cluster.shift(70, 30)


def pem(text: str) -> str:
    """A key of several, whose first words were the seam."""
    begin = "-----BEGIN"
    return text if text.startswith(begin) else begin + text
