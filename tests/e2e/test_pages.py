"""Pages: the commands of the README and of docs/ that are about a cluster."""

import re
from pathlib import Path

import cluster
import pytest
import readme
from cluster import FILTER, GATEWAY, OUTBOUND, PLUGINS, SYSTEM, kubectl
from kit.envoy import ROOT
from report import Proof
from test_install import users_by_cookie
from test_updates import WRONG, apply

# The page that installs the filter; the others want it installed.
INSTALL = ROOT / "docs/install.md"
OTHERS = [page for page in readme.pages() if page != INSTALL]


@pytest.fixture(scope="module")
def alone(example: str) -> None:
    """The example without the filter, and without the other rollouts."""
    others = ("virtualservice", "depot", "tagged")
    kubectl("-n", cluster.NAMESPACE, "delete", *others)


@pytest.mark.parametrize("page", [INSTALL, *OTHERS], ids=lambda page: page.stem)
def test_commands(page: Path, alone: None, shell: readme.Shell, proof: Proof) -> None:
    if page != INSTALL:
        kubectl("apply", "-f", FILTER)
        cluster.shift(70, 30)
        cluster.wait_for_filter()

    printed = ""

    def settle(command: str, output: str) -> None:
        nonlocal printed
        if url := re.search(r"^url: (.+)$", output, re.MULTILINE):
            printed = url[1]
            if page == INSTALL:
                # What it tells the reader to do with it.
                shell.run(f"sed -i 's|oci://reg.*|{printed}|' envoyfilter/plugins.yaml")
        readme.settle(command)

    def filled(command: str) -> str:
        return command.replace("URL-THAT-WAS-PRINTED", printed)

    parts = readme.sections(page)
    for part in parts:
        if not part.is_on_cluster:
            continue
        if any("stats/prometheus" in command for command in part.commands):
            cluster.wait_for_filter()
            users_by_cookie()
        if any("| grep bluegreen:" in command for command in part.commands):
            a_wrong_configuration()
        part.run(shell, settle, filled)
        if not part.different:
            proof(
                f"{page.name}, {part.heading}: commands that work as shown",
                part.count,
            )
    readme.settled(page, parts)


def a_wrong_configuration() -> None:
    """Makes the gateway's log say something, and mends it."""

    def told(wrong: int) -> None:
        cluster.until(
            f"the gauge is {wrong}",
            lambda: cluster.wrong(SYSTEM, GATEWAY).get(OUTBOUND) == wrong,
        )

    apply(WRONG)
    told(1)
    cluster.apply(PLUGINS)
    told(0)
