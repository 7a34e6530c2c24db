"""`make release` says in its first second what stands in its way."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from project import AUTHOR, TAG, VERSION, Release, run


@pytest.fixture
def project(another: Callable[[], Path]) -> Release:
    """A clone of the tag, in which nothing is built."""
    path = another()
    return Release(path, path)


def refused(project: Release, *words: str) -> str:
    """What `make release` says when it refuses."""
    said = project.make("release", *words, check=False)
    assert not (project.project / "target/logs").exists()
    return said


def test_a_version_that_is_none(project: Release) -> None:
    for version in ("", "1", "v0.1.0", "0.1"):
        said = refused(project, f"VERSION={version}")
        assert f"VERSION={version} is not x.y.z: make release VERSION=" in said


def test_an_image_with_a_tag(project: Release) -> None:
    said = refused(project, f"VERSION={VERSION}", "IMAGE=registry.example/b:1")
    assert "IMAGE=registry.example/b:1 is not REGISTRY/NAME" in said


def test_a_tree_that_is_not_clean(project: Release) -> None:
    (project.project / "README.md").write_text("changed")
    (project.project / "new.txt").write_text("new")
    said = refused(project, f"VERSION={VERSION}")
    assert "the tree is not clean" in said
    assert "M README.md" in said and "?? new.txt" in said


def test_a_commit_that_is_not_the_tags(project: Release) -> None:
    path = project.project
    empty = ("commit", "--quiet", "--allow-empty", "--message=later")
    run("git", *AUTHOR, *empty, cwd=path)
    said = refused(project, f"VERSION={VERSION}")
    assert f"the tag {TAG} is another commit" in said
    run("git", "tag", "--delete", TAG, cwd=path)
    assert f"there is no tag {TAG}" in refused(project, f"VERSION={VERSION}")


def test_files_of_another_version(project: Release) -> None:
    run("git", "tag", "v99.0.0", cwd=project.project)
    said = refused(project, "VERSION=99.0.0")
    for file in (
        "Cargo.toml",
        "cli/Cargo.toml",
        "charts/bluegreen/Chart.yaml",
        "envoyfilter/plugins.yaml",
    ):
        assert f"{file} says {VERSION}, not 99.0.0" in said
    assert "CHANGELOG.md has no line `## [99.0.0] - YYYY-MM-DD`" in said


def test_nothing_stands_in_the_way_of_the_tag(project: Release) -> None:
    project.make(".release-check", f"VERSION={VERSION}")
    shutil.rmtree(project.project / "target")


def test_the_tests_come_before_the_files(project: Release) -> None:
    said = project.make("--dry-run", "release", f"VERSION={VERSION}")
    steps = (
        "envoyfilter/release/check.py",
        "tests/envoy",
        "tests/release",
        "release/build.py",
    )
    places = [said.index(step) for step in steps]
    assert places == sorted(places)
