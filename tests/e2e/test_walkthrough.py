"""The walk-through: every command of examples/blue-green/README.md, in its order.

The output that the README shows is compared with what the cluster says, without
what differs from time to time: numbers, and random hexadecimal digits.
`WRITE=1` puts what the cluster says into the README instead.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cluster
import pytest
from cluster import FILES
from kit.envoy import ROOT
from report import Proof
from users import ask

README = ROOT / "examples/blue-green/README.md"
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
END = "@@@ "
SECONDS = 300


@dataclass
class Command:
    """One command of the README, and the output that it shows."""

    text: str
    shown: str


def commands(block: str) -> list[Command]:
    """The commands of a block: `$ ` begins one, `> ` goes on with it."""
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
    """A command as the README writes it."""
    return "$ " + each.text.replace("\n", "\n> ") + "\n" + each.shown


def constant(output: str) -> str:
    """An output without what differs between two runs."""
    output = re.sub(r"\b(sha256:)?[0-9a-f]{16,}\b", "HEX", output)
    output = re.sub(r"-[0-9a-f]{8,10}-[0-9a-z]{5}\b", "-POD", output)
    output = output.replace(cluster.registry(), "registry.example")
    output = re.sub(r"\d+(\.\d+)*", "N", output)
    return re.sub(r"[ \t]+", " ", output)


class Shell:
    """A bash that a person types into."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["bash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env={**os.environ, **variables},
        )

    def run(self, command: str) -> tuple[str, int]:
        """The output of a command, and its exit code."""
        assert self._bash.stdin
        assert self._bash.stdout
        self._bash.stdin.write(f'{{ {command}\n}} </dev/null\necho "{END}$?"\n')
        self._bash.stdin.flush()
        output = ""
        for line in self._bash.stdout:
            before, mark, code = line.partition(END)
            output += before
            if mark:
                return output, int(code)
        raise AssertionError(f"the shell ended: {command}\n{output}")

    def close(self) -> None:
        """Ends it."""
        self._bash.kill()
        self._bash.communicate()


@pytest.fixture
def shell(empty: None, tmp_path: Path) -> Iterator[Shell]:
    """A shell in a copy of the project, on a machine that knows shop.example."""
    folder = FILES / "walkthrough"
    folder.mkdir()
    for entry in ROOT.iterdir():
        if entry.name in ("envoyfilter", "examples"):
            shutil.copytree(entry, folder / entry.name)
        else:
            (folder / entry.name).symlink_to(entry)
    address = cluster.gateway_address()
    (tmp_path / ".curlrc").write_text(f"resolve = {cluster.HOST}:80:{address}\n")
    variables = {
        "CURL_HOME": str(tmp_path),
        "REGISTRY": cluster.registry(),
        "TLS_VERIFY": os.environ.get("TLS_VERIFY", "false"),
    }
    shell = Shell(folder, variables)
    yield shell
    shell.close()


def settle(command: str) -> None:
    """Waits, as a person does, until the proxies have what was applied."""
    if "virtual-service" in command or "patch virtualservice" in command:
        service = cluster.get("-n", cluster.NAMESPACE, "virtualservice", "shop")
        blue, green = (d["weight"] for d in service["spec"]["http"][-1]["route"])
        cluster.wait_for_weights(blue, green)
    if "kubectl -n shop wait" in command:
        cluster.until("both versions answer, on both hops", both_answer)


def both_answer() -> bool:
    """Whether the proxies know where each version's pods are."""
    answers = [(each, ask("/", x_version_pin=each)) for each in cluster.VERSIONS]
    return all(f"stock {each} " in answer.body for each, answer in answers)


def test_every_command(shell: Shell, proof: Proof) -> None:
    readme = README.read_text()
    different: list[str] = []
    count = 0

    def run(block: re.Match[str]) -> str:
        nonlocal count
        said = commands(block[1])
        for each in said:
            count += 1
            output, code = shell.run(each.text)
            assert code == 0, f"$ {each.text}\n{output}"
            settle(each.text)
            if constant(output) != constant(each.shown):
                different.append(
                    f"$ {each.text}\nREADME:\n{each.shown}\nhere:\n{output}"
                )
            each.shown = output.replace(cluster.registry(), "registry.example")
        return "```console\n" + "".join(map(written, said)) + "```"

    now = BLOCK.sub(run, readme)
    if os.environ.get("WRITE"):
        README.write_text(now)
    else:
        assert not different, "\n".join(different)
    proof("commands of its README, with the output it shows", count)
