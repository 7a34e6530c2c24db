"""Pages: the commands of the README and of docs/ that are about a cluster."""

import re
from pathlib import Path

import cluster
import pytest
import readme
from cluster import FILTER, kubectl
from kit.envoy import ROOT
from report import Proof
from test_install import users_by_cookie

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

    def settle(command: str, output: str) -> None:
        # What it tells the reader to do with it.
        if url := re.search(r"^url: (.+)$", output, re.MULTILINE):
            shell.run(f"sed -i 's|oci://reg.*|{url[1]}|' envoyfilter/plugins.yaml")
        readme.settle(command)

    parts = readme.sections(page)
    for part in parts:
        if not part.is_on_cluster:
            continue
        if any("stats/prometheus" in command for command in part.commands):
            cluster.wait_for_filter()
            users_by_cookie()
        part.run(shell, settle)
        if not part.different:
            proof(
                f"{page.name}, {part.heading}: commands that print what it shows",
                part.count,
            )
    readme.settled(page, parts)
