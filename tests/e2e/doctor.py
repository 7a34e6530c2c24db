"""The command `bluegreen doctor`, as a user runs it, and what it says."""

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cluster
from cluster import FILES, GATEWAY, PROXIES, SYSTEM, ClusterError, Json
from kit.envoy import ROOT

# `make e2e` has built it.
BLUEGREEN = ROOT / "target/cli/debug/bluegreen"
WIDTH = 80
# As many are named in the text of those who have a fault.
SHOWN = 4

# Who is named where no proxy is.
MANIFESTS = "manifests"
ALL = frozenset(f"{namespace}/{name}" for namespace, name in PROXIES)
INGRESS = f"{SYSTEM}/{GATEWAY}"

# What makes the name of a deployment's pod of its own.
OF_POD = re.compile(r"-[0-9a-z]+-[0-9a-z]{5}$")

# The faults, each with its column: the workloads or objects that have it.
Found = Mapping[tuple[str, str], Iterable[str]]


@dataclass(frozen=True)
class Ran:
    """A command that has run to its end."""

    code: int
    out: str
    errors: str


def bluegreen(*words: object) -> Ran:
    """Runs the command; the cluster is that of KUBECONFIG."""
    command = [BLUEGREEN, *map(str, words)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return Ran(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Visit:
    """What doctor says, as JSON and as text."""

    code: int
    said: Json
    text: str

    @property
    def faults(self) -> list[Json]:
        """What is wrong, without what is a note."""
        return [fault for fault in self.said["faults"] if not fault["isNote"]]

    @property
    def found(self) -> dict[tuple[str, str], set[str]]:
        """The faults with their columns: the workloads or objects that have them."""
        pods = self.pods
        found: dict[tuple[str, str], set[str]] = {}
        for fault in self.faults:
            who = {OF_POD.sub("", w) if w in pods else w for w in fault["where"]}
            found.setdefault((fault["fault"], fault["column"]), set()).update(who)
        return found

    @property
    def pods(self) -> dict[str, Json]:
        """What is said of each proxy."""
        proxies = self.said["proxies"]
        return {f"{each['namespace']}/{each['pod']}": each for each in proxies}

    def what(self, fault: str) -> str:
        """What is wrong, of each fault with this name."""
        return "\n".join(f["what"] for f in self.faults if f["fault"] == fault)

    def check(self) -> None:
        """The table, the texts and the exit code are about the same faults."""
        marks = {MANIFESTS: self.said["manifests"]}
        marks |= {pod: about["marks"] for pod, about in self.pods.items()}
        bad = {
            (who, column)
            for who, columns in marks.items()
            for column, mark in columns.items()
            if mark == "bad"
        }
        assert bad == {
            (who if who in marks else MANIFESTS, fault["column"])
            for fault in self.faults
            for who in fault["where"]
        }
        # Long commands go on behind a backslash.
        words = " ".join(self.text.replace("\\\n", "").split())
        for fault in self.said["faults"]:
            head = f"{fault['column']}: {fault['what']}"
            said = [head, fault["users"], fault["why"], *fault["mend"].splitlines()]
            workloads = {OF_POD.sub("", who) for who in fault["where"]}
            said += workloads if len(workloads) <= SHOWN else []
            for each in said:
                assert " ".join(each.split()) in words, (each, self.text)
        assert all(len(line) <= WIDTH for line in self.text.splitlines()), self.text
        assert "\x1b" not in self.text, "no colour where nobody looks"
        assert self.code == bool(self.faults)


def visit(*flags: object) -> Visit:
    """Runs doctor twice, for programs and for people."""

    def run(more: tuple[str, ...]) -> Ran:
        ran = bluegreen("doctor", *flags, *more)
        assert ran.code in (0, 1), ran.errors
        return ran

    with ThreadPoolExecutor(2) as pool:
        as_json, as_text = pool.map(run, [("-o", "json"), ()])
    if as_json.code != as_text.code:
        raise ClusterError(f"something changed:\n{as_json.out}{as_text.out}")
    return Visit(as_json.code, json.loads(as_json.out), as_text.out)


def finds(expected: Found, *flags: object) -> Visit:
    """Waits until doctor finds these faults, and no other."""
    wanted = {key: set(who) for key, who in expected.items()}
    last: list[Visit] = []

    def found() -> Visit | None:
        last.append(visit(*flags))
        if last[-1].found != wanted:
            return None
        try:
            last[-1].check()
        except AssertionError as error:
            # What was applied a moment ago may have come between JSON and text.
            raise ClusterError(str(error)) from error
        return last[-1]

    try:
        seen = cluster.until(f"doctor finds {set(wanted) or 'nothing'}", found)
    except ClusterError:
        assert not last or last[-1].found == wanted, last[-1].text
        raise
    running = cluster.kubectl("get", "pods", "-A", "--no-headers").splitlines()
    running = ["/".join(line.split()[:2]) for line in running]
    assert set(seen.pods) <= set(running)
    return seen


def is_well(*flags: object) -> Visit:
    """Waits until doctor finds nothing any more."""
    return finds({}, *flags)


def types(command: str, seen: Visit, fault: str) -> str:
    """Runs a command that doctor names as what mends a fault; gives what it prints.

    A reader is in the folder with the files.
    """
    mends = [f["mend"] for f in seen.faults if f["fault"] == fault]
    lines = [line for mend in mends for line in mend.splitlines()]
    found = [line for line in lines if line.startswith(command)]
    assert found, lines
    path = f"PATH={BLUEGREEN.parent}:$PATH"
    return cluster.run("bash", "-c", f"cd {FILES}; {path}; {found[0]}", check=False)
