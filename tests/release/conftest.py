"""A release of the last commit, made twice, each in a clone of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from kit.envoy import ROOT
from project import AUTHOR, TAG, VERSION, Release, released, run


@pytest.fixture(scope="session")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose last commit is ready for a release, and has the tag."""
    project = tmp_path_factory.mktemp("tagged") / "bluegreen"
    run("git", "clone", "--quiet", ROOT, project)
    changelog = project / "CHANGELOG.md"
    text = changelog.read_text()
    if f"## [{VERSION}] - " not in text:
        entry = f"## [Unreleased]\n\n## [{VERSION}] - 2026-11-25\n"
        changelog.write_text(text.replace("## [Unreleased]\n", entry))
        commit = ("commit", "--quiet", "--all", "--message=release")
        run("git", *AUTHOR, *commit, cwd=project)
    run("git", "tag", "--force", TAG, cwd=project)
    return project


@pytest.fixture(scope="session")
def another(
    tagged: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Path]:
    """Makes clones of the tag, each in another folder."""

    def clone() -> Path:
        project = tmp_path_factory.mktemp("clone") / "bluegreen"
        run("git", "clone", "--quiet", f"--branch={TAG}", tagged, project)
        (project / "target").mkdir()
        # It takes half a minute to build, and leaves no trace in the module.
        for built in ("venv", "postlink"):
            (ROOT / "target" / built).mkdir(exist_ok=True)
            (project / "target" / built).symlink_to(ROOT / "target" / built)
        return project

    return clone


@pytest.fixture(scope="session")
def release(another: Callable[[], Path]) -> Release:
    """The release."""
    return released(another())
