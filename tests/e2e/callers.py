"""Calls inside of the mesh: from the caller's pod, through its sidecar."""

import re

import cluster
from users import Answer

MARK = "=== end ==="
SECONDS = 10

CURL = ("curl", "--silent", "--config", "-")
HEAD = re.compile(r"HTTP/\S+ (\d+)")


def calls(url: str, *headers: str) -> list[Answer]:
    """Calls, one after the other: one for each header line, which may be empty.

    Several header lines of one call stand in one string, with line breaks between.
    """
    config = "next\n".join(_options(url, lines) for lines in headers)
    target = ("-n", cluster.NAMESPACE, "deployment/caller", "-c", "caller", "-i")
    said = cluster.kubectl("exec", *target, "--", *CURL, text=config, check=False)
    answers = [_answer(each) for each in said.split(MARK)[:-1]]
    assert len(answers) == len(headers), said[-500:]
    return answers


def _options(url: str, headers: str) -> str:
    lines = ["include", f"max-time = {SECONDS}", f'url = "{url}"']
    lines += [f'header = "{line}"' for line in headers.splitlines()]
    return "\n".join([*lines, f'write-out = "{MARK}"', ""])


def _answer(said: str) -> Answer:
    head, _, body = said.partition("\n\n")
    first, *lines = head.splitlines() or [""]
    status = HEAD.match(first)
    pairs = [line.partition(":") for line in lines]
    headers = tuple((name.lower(), value.strip()) for name, _, value in pairs)
    return Answer(0, 0, int(status[1]) if status else "no answer", body, headers)
