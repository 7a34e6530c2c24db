"""Commands of a page, run as a person types them, and the output that it shows.

The output of a `console` block is compared with what the cluster says, without what
differs from time to time: numbers, dates, random hexadecimal digits, names of pods.
`WRITE=1` puts what the cluster says into the page instead. The commands of a `sh` block,
which shows no output, must succeed. A block below `<!-- not run: REASON -->` or
`<!-- run by: ... -->` is left out; tests/readme.rs holds these marks.
"""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cluster
from kit.envoy import ROOT

BLOCK = re.compile(
    r"(?P<mark><!-- (?:not run|run by): [^\n]+ -->\n+)?"
    r"```(?P<kind>console|sh)\n(?P<text>.*?)```",
    re.DOTALL,
)
DATE = re.compile(r"\w{3}, \d\d \w{3} \d{4} [0-9:]{8} GMT")
# What a command on the cluster names.
ON_CLUSTER = re.compile(
    r"\bkubectl\b|\bistioctl\b|\$REGISTRY\b|\bcurl\b.*\.example\b|\bbluegreen doctor\b|--from-cluster\b"
)
END = "@@@ "
SECONDS = 180
# What `make` says where no terminal is: there it counts the seconds, and takes that back.
BEGINS = re.compile(r"^\S+ +\.\.\.  target/logs/.*\n", re.MULTILINE)


@dataclass
class Command:
    """One command, and the output that is shown; None where none is."""

    text: str
    shown: str | None


def commands(block: re.Match[str]) -> list[Command]:
    """The commands of a block; none of one that is run elsewhere, or cannot be run."""
    if block["mark"]:
        return []
    return {"console": with_output, "sh": without_output}[block["kind"]](block["text"])


def without_output(block: str) -> list[Command]:
    """The commands of a script: one goes on behind `|` and `\\`."""
    lines = re.findall(r"(?:.*[|\\]\n)*.+\n", block)
    return [Command(line.rstrip("\n"), None) for line in lines]


def with_output(block: str) -> list[Command]:
    """The commands of a session: `$ ` begins one, `> ` goes on with it."""
    found: list[Command] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:], ""))
        elif line.startswith("> "):
            found[-1].text += "\n" + line[2:]
        else:
            found[-1].shown += line + "\n"
    return found


def written(each: Command) -> str:
    """A command as the page writes it."""
    return "$ " + each.text.replace("\n", "\n> ") + f"\n{each.shown}"


def constant(output: str) -> str:
    """An output without what differs between two runs."""
    output = DATE.sub("DATE", output)
    # Not the digits behind a decimal point: they may be that many.
    output = re.sub(r"(?<!\.)\b(sha256:)?[0-9a-f]{16,}\b", "HEX", output)
    # An Istio between two releases.
    output = re.sub(r"-alpha\.[0-9a-f]{8}\b", "", output)
    output = re.sub(r"-[0-9a-f]{8,10}-[0-9a-z]{5}\b", "-POD", output)
    output = output.replace(cluster.registry(), "registry.example")
    output = re.sub(r"\d+(\.\d+)*", "N", output)
    return re.sub(r"[ \t]+", " ", output)


class Shell:
    """A bash that a person types into."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        # A person has none of the variables that `make e2e` hands down, `V=1` among them.
        handed = re.compile("MAKE|V$")
        own = {k: v for k, v in os.environ.items() if not handed.match(k)}
        self._bash = subprocess.Popen(
            ["bash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env={**own, **variables},
        )

    def run(self, command: str) -> str:
        """The output of a command, which must not fail."""
        assert self._bash.stdin
        assert self._bash.stdout
        self._bash.stdin.write(f'{{ {command}\n}} </dev/null\necho "{END}$?"\n')
        self._bash.stdin.flush()
        output = ""
        timer = threading.Timer(SECONDS, self._bash.kill)
        timer.start()
        try:
            for line in self._bash.stdout:
                before, mark, code = line.partition(END)
                output += before
                if mark:
                    assert int(code) == 0, f"$ {command}\n{output}"
                    return BEGINS.sub("", output)
        finally:
            timer.cancel()
        raise AssertionError(f"not done in {SECONDS} s: $ {command}\n{output}")

    def close(self) -> None:
        """Ends it."""
        self._bash.kill()
        self._bash.communicate()


@contextmanager
def typing(home: Path) -> Iterator[Shell]:
    """A shell in a copy of the project, on a machine that knows our hosts."""
    hosts = (cluster.HOST, *cluster.CHAIN_HOSTS)
    address = cluster.gateway_address()
    lines = [f"resolve = {host}:80:{address}\n" for host in hosts]
    (home / ".curlrc").write_text("".join(lines))
    variables = {
        "CURL_HOME": str(home),
        "REGISTRY": cluster.registry(),
        "TLS_VERIFY": os.environ.get("TLS_VERIFY", "false"),
        # `make e2e` has built the command.
        "PATH": f"{ROOT / 'target/cli/debug'}:{os.environ['PATH']}",
    }
    shell = Shell(copy_of_the_project(), variables)
    try:
        yield shell
    finally:
        shell.close()


def copy_of_the_project() -> Path:
    """A folder in which a person may change what users change."""
    folder = cluster.FILES / "walkthrough"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for entry in ROOT.iterdir():
        if entry.name in ("envoyfilter", "examples"):
            shutil.copytree(entry, folder / entry.name)
        else:
            (folder / entry.name).symlink_to(entry)
    return folder


class Section:
    """A part of a page: its commands are run, and their outputs compared."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.heading = text.splitlines()[0].lstrip("# ")
        self.count = 0
        self.different: list[str] = []

    @property
    def commands(self) -> list[str]:
        """All that it has one type."""
        blocks = BLOCK.finditer(self.text)
        return [each.text for block in blocks for each in commands(block)]

    @property
    def is_on_cluster(self) -> bool:
        """Whether its commands need the cluster, and not this machine alone."""
        return any(ON_CLUSTER.search(command) for command in self.commands)

    def run(
        self,
        shell: Shell,
        settle: Callable[[str, str], None],
        filled: Callable[[str], str] = str,
    ) -> None:
        """Runs them; `text` has the outputs of now afterwards.

        `filled` puts in what a person fills in.
        """

        def block(found: re.Match[str]) -> str:
            said = commands(found)
            for each in said:
                self.count += 1
                lines = shell.run(filled(each.text)).splitlines()
                output = "".join(f"{line.rstrip()}\n" for line in lines)
                settle(each.text, output)
                if each.shown is None:
                    continue
                if constant(output) != constant(each.shown):
                    self.different.append(
                        f"$ {each.text}\npage:\n{each.shown}\nhere:\n{output}"
                    )
                each.shown = output.replace(cluster.registry(), "registry.example")
            if found["mark"] or found["kind"] == "sh":
                return found[0]
            return "```console\n" + "".join(map(written, said)) + "```"

        self.text = BLOCK.sub(block, self.text)


def pages() -> list[Path]:
    """The pages with commands on a cluster, besides the walk-through."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [page for page in found if any(p.is_on_cluster for p in sections(page))]


def sections(file: Path) -> list[Section]:
    """The parts of a page, by the headings of all levels below the first."""
    text = file.read_text()
    return [Section(part) for part in re.split(r"^(?=###? )", text, flags=re.MULTILINE)]


def settled(file: Path, parts: list[Section]) -> None:
    """All outputs are as they were shown; with WRITE=1 they are shown now."""
    if os.environ.get("WRITE"):
        file.write_text("".join(part.text for part in parts))
    else:
        different = [each for part in parts for each in part.different]
        assert not different, "\n".join(different)


def settle(command: str, _: str = "") -> None:
    """Waits, as a person does, until the proxies have what was applied."""
    if "virtual-service" in command or "patch virtualservice" in command:
        service = cluster.get("-n", cluster.NAMESPACE, "virtualservice", "shop")
        blue, green = (d["weight"] for d in service["spec"]["http"][-1]["route"])
        cluster.wait_for_weights(blue, green)
