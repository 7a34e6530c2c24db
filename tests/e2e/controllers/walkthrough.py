"""The walk-through of an example: its commands, while its users ask."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import cluster
import live
import readme
from drive import App
from kit.envoy import ROOT
from users import ask

HOME = cluster.FILES / "walkthroughs"


class Walkthrough:
    """The parts of a README, in their order; each is run when it is asked for."""

    def __init__(self, app: App, page: Path, shell: readme.Shell) -> None:
        self._app = app
        self._page = page
        self._shell = shell
        self._sections = readme.sections(page)
        self._left = [each for each in self._sections if each.commands]

    def next(self) -> None:
        """Runs the commands of the next part that has some."""
        section = self._left.pop(0)
        section.run(self._shell, self._settle)
        if not section.different:
            what = f"{self._app.name}: {section.heading}, commands that work as shown"
            self._app.proof(what, section.count)

    def _settle(self, command: str, _: str) -> None:
        """Waits, as a person does, until the gateway has what was applied."""
        live.go_on()
        if " wait " in command:
            host = self._app.host
            cluster.until(f"{host} answers", lambda: ask("/", host).tags)
            cluster.until(f"so does each version of {host}", self._have_pods)

    def _have_pods(self) -> bool:
        """Whether the gateway knows pods of each version that gets users."""
        [weights] = self._app.weighted
        words = [name.rpartition("-")[2] for name, weight in weights.items() if weight]
        said = [ask("/", self._app.host, x_version_pin=word) for word in words]
        return all(answer.status != 503 for answer in said)

    def end(self) -> None:
        """All were run, and said what the page says."""
        assert not self._left, self._left[0].heading
        readme.settled(self._page, self._sections)


@contextmanager
def walkthrough(
    app: App, folder: str, filled: Mapping[str, str]
) -> Iterator[Walkthrough]:
    """A person in a copy of the project, who fills in what a person fills in."""
    here = HOME / folder
    shutil.rmtree(here, ignore_errors=True)
    copy = here / "examples" / folder
    shutil.copytree(cluster.FILES / "examples" / folder, copy)
    for file in copy.glob("*.yaml"):
        text = file.read_text()
        for old, new in filled.items():
            text = text.replace(old, new)
        file.write_text(text)
    every = "".join(file.read_text() for file in copy.glob("*.yaml"))
    missing = [new for new in filled.values() if new not in every]
    assert not missing, missing
    resolve = f"resolve = {app.host}:80:{cluster.gateway_address()}"
    (here / ".curlrc").write_text(f"{resolve}\n")
    variables = {"CURL_HOME": str(here), "REGISTRY": cluster.registry()}
    shell = readme.Shell(here, variables)
    try:
        yield Walkthrough(app, ROOT / "examples" / folder / "README.md", shell)
    finally:
        shell.close()
