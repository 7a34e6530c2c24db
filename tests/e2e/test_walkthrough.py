"""The walk-through: every command of examples/blue-green/README.md, in its order."""

import cluster
import readme
from kit.envoy import ROOT
from report import Proof
from users import ask

README = ROOT / "examples/blue-green/README.md"


def settle(command: str, _: str) -> None:
    """Waits, as a person does, until the proxies have what was applied."""
    readme.settle(command)
    if "kubectl -n shop wait" in command:
        cluster.until("both versions answer, on both hops", both_answer)


def both_answer() -> bool:
    """Whether the proxies know where each version's pods are."""
    answers = [(each, ask("/", x_version_pin=each)) for each in cluster.VERSIONS]
    return all(f"stock {each} " in answer.body for each, answer in answers)


def test_every_command(shell: readme.Shell, proof: Proof) -> None:
    sections = readme.sections(README)
    for each in sections:
        each.run(shell, settle)
        if each.count and not each.different:
            proof(f"{each.heading}: commands that work as shown", each.count)
    readme.settled(README, sections)
