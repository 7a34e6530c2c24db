"""Alerting rules: on series that rules_test.yaml makes up; needs no cluster."""

import watching
from report import Proof


def test_the_rules_by_promtool(proof: Proof) -> None:
    assert "SUCCESS" in watching.promtool()
    proof("promtool test rules", len(watching.alerts()))
