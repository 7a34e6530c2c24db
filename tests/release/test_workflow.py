"""The workflow for a public CI calls targets of make, and what others made by its hash."""

import re
from pathlib import Path

import pytest
import yaml
from kit.envoy import ROOT

FILES = sorted((ROOT / ".github/workflows").iterdir())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_calls_make_and_pins_actions(file: Path) -> None:
    workflow = yaml.safe_load(file.read_text())
    makefile = (ROOT / "Makefile").read_text()
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    for step in steps:
        if action := step.get("uses"):
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        else:
            command, target, *_ = step["run"].split()
            assert command == "make"
            assert f"\n{target}:" in makefile, target
            assert not re.search(r"[;&|`]|\$\(|\$\{\{", step["run"])
