"""The alerting rules, on series that rules_test.yaml makes up; needs no cluster."""

from kit import watching


def test_each_alert_fires_on_its_cause_and_not_beside_it() -> None:
    assert "SUCCESS" in watching.promtool()


def test_each_alert_is_tested_both_ways() -> None:
    fires, silent = watching.tested_alerts()
    assert fires == silent == watching.alerts()
