"""The dashboard as Grafana reads it; needs no cluster."""

import re
from html import escape
from itertools import combinations

import pytest
import yaml
from kit import watching
from kit.envoy import ROOT

PANELS = [panel for panel in watching.dashboard()["panels"] if panel["type"] != "row"]
WIDTH = 24


def test_prometheus_takes_each_query() -> None:
    with watching.prometheus([]) as base:
        for title, expr in watching.panels("shop.shop", [".+"], [".+"], ""):
            # Without proxies there is nothing to show.
            assert watching.query(base, expr) == [], title


@pytest.mark.parametrize(
    ("typed", "lines"),
    [("", []), ("0", []), ("5", [0.05]), ("30", [0.3]), ("090", [0.9]), ("100", [1])],
)
def test_the_weight_that_is_typed_is_a_line(typed: str, lines: list[float]) -> None:
    panels = watching.panels("shop.shop", [".+"], [".+"], weight=typed)
    [expr] = [expr for _, expr in panels if expr.startswith("vector(")]
    with watching.prometheus([]) as base:
        assert [each["value"] for each in watching.query(base, expr)] == lines


def test_each_variable_is_defined_and_used() -> None:
    dashboard = watching.dashboard()
    defined = {each["name"] for each in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]+)\b", str(dashboard)))
    assert used == defined


def test_each_label_is_one_that_the_proxies_are_told_to_make() -> None:
    values = yaml.safe_load((ROOT / "envoyfilter/stat-tags/values.yaml").read_text())
    made = set(values["meshConfig"]["defaultConfig"]["extraStatTags"])
    asked = {*LABEL.findall(str(watching.dashboard()))}
    assert asked | {*LABEL.findall(str(watching.rules()))} == made


LABEL = re.compile(r"\bbg_[a-z]+\b")


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_person_can_read_each_panel(panel: watching.Sample) -> None:
    assert panel["description"].endswith((".", "bluegreen"))
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    names = [target.get("legendFormat", "") for target in panel["targets"]]
    assert len(set(names)) == len(names), "each query has its name"
    for target, name in zip(panel["targets"], names, strict=True):
        assert " by (" not in target["expr"] or "{{" in name, "each line has its name"


# Of requests a second, shares from 0 to 1, milliseconds, and counts.
UNITS = {"reqps", "percentunit", "ms", "short"}


def test_no_panel_covers_another() -> None:
    for one, other in combinations(watching.dashboard()["panels"], 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one, other)
    for each in PANELS:
        assert each["gridPos"]["x"] + each["gridPos"]["w"] <= WIDTH


def test_the_picture_in_the_docs_has_each_panel() -> None:
    picture = watching.PICTURE.read_text()
    for panel in watching.dashboard()["panels"]:
        # Without variables, which have values there.
        title = escape(panel["title"].partition("$")[0].strip())
        assert title in picture, f"{title}: make picture"


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    """Whether two places on the grid have a cell in common."""
    return all(
        one[at] < other[at] + other[size] and other[at] < one[at] + one[size]
        for at, size in [("x", "w"), ("y", "h")]
    )
