"""Draws the dashboard's panels without Grafana, after real traffic: `make picture`.

A Prometheus scrapes the demo's gateway while users come and the weights move. What the
panels ask for, and how they show it, is read from the dashboard.
"""

import random
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from itertools import cycle
from math import ceil, isnan, nan
from pathlib import Path
from typing import Any

import matplotlib as mpl
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "examples/local")]

from kit import ports, watching
from kit.files import replace
from mesh import RUN, Mesh
from users import User, visit

# Of the ramp below.
STEPS = 6
STEP_SECONDS = 25
USERS = 600
AT_ONCE = 30
PAUSE_SECONDS = 0.3
# What testers pin, and how often: the second has no route, the third is no name.
PINS = {"green": 0.5, "purple": 0.1, "Green!": 0.05}

GATEWAY = RUN / "gateway.yaml"
PLUGIN = RUN / "plugin-outbound.yaml"
STAT_TAGS = ROOT / "envoyfilter/stat-tags/values.yaml"
# From Istio's bootstrap: a cluster's name has dots.
CLUSTER_TAG = r"^cluster\.((.+?(\..+?\.svc\.cluster\.local)?)\.)"

# What the dashboard's variables are, with windows as short as the ramp.
VARIABLES = {
    "rollout": "shop.shop",
    "namespace": ".+",
    "service": ".+",
    "weight": "50",
    "__rate_interval": watching.RATE_INTERVAL,
    "__range": f"{STEPS * STEP_SECONDS}s",
}
ALL = VARIABLES | {"service": "all"}
POINT_SECONDS = 2

# In inches: a cell of Grafana's grid, the space for a title, a line of the legend.
COLUMN, ROW = 0.5, 0.34
TITLE, LEGEND = 0.3, 0.14
LINE, GREY, TEXT = "#d0d7de", "#57606a", "#24292e"
# Grafana's names.
COLOURS = {
    "blue": "#3274d9",
    "green": "#37872d",
    "dark-red": "#c4162a",
    "purple": "#8f3bb8",
    "orange": "#fa6400",
    "yellow": "#e0b400",
    "red": "#e02f44",
    "text": TEXT,
}
PALETTE = ["#37872d", "#e0b400", "#3274d9", "#fa6400", "#e02f44", "#8f3bb8"]
LOOKS = {
    "axes.edgecolor": LINE,
    "font.sans-serif": ["DejaVu Sans", "sans-serif"],
    "font.size": 7,
    # Text stays text. DejaVu, by which it is measured, is wider than most.
    "svg.fonttype": "none",
    "svg.hashsalt": "bluegreen",
    "text.color": TEXT,
    "xtick.color": GREY,
    "ytick.color": GREY,
}

Panel = dict[str, Any]


@dataclass
class Series:
    """A line of a panel, a value for each point; of a number there is one."""

    name: str
    values: list[float]

    @property
    def last(self) -> float:
        """The last value that is one."""
        return next((v for v in reversed(self.values) if not isnan(v)), nan)


def main() -> None:
    """Makes the traffic, asks what the panels ask, and draws the answers."""
    panels = watching.dashboard()["panels"]
    mesh = Mesh()
    GATEWAY.write_text(with_labels(GATEWAY.read_text()))
    with mesh:
        proxy = {
            "targets": [f"{ports.LOOPBACK}:{mesh.gateway.admin_port}"],
            "labels": {"namespace": "istio-system", "pod": "istio-ingressgateway"},
        }
        with watching.prometheus([], proxies=[proxy]) as base:
            start = int(time.time())
            traffic(mesh)
            end = int(time.time())
            answers = {
                panel["id"]: list(asked(base, panel, start, end)) for panel in panels
            }
    draw(panels, answers)
    picture = watching.PICTURE
    print(f"{picture.relative_to(ROOT)}  {picture.stat().st_size} bytes")


# ---------------------------------------------------------------------- traffic


def with_labels(bootstrap: str) -> str:
    """An Envoy's bootstrap that makes labels of names, as Istio's does."""
    values = yaml.safe_load(STAT_TAGS.read_text())
    tags = {"cluster_name": CLUSTER_TAG}
    for tag in values["meshConfig"]["defaultConfig"]["extraStatTags"]:
        tags[tag] = rf"({tag}=\.=(.*?);\.;)"
    config = yaml.safe_load(bootstrap)
    config["stats_config"] = {
        "stats_tags": [{"tag_name": tag, "regex": regex} for tag, regex in tags.items()]
    }
    return yaml.safe_dump(config)


def ramp(mesh: Mesh) -> Iterator[None]:
    """A ramp that goes wrong; between two of its steps time passes."""
    good = PLUGIN.read_text()
    mesh.shift(0)
    yield
    mesh.shift(10)
    yield
    mesh.shift(30)
    replace(PLUGIN, good.replace('"role": "outbound"', '"role": "edge"'))
    yield
    mesh.shift(50)
    replace(PLUGIN, good)
    yield
    mesh.stop_app("green")
    yield
    mesh.start_app("green")
    mesh.shift(0)
    yield


def traffic(mesh: Mesh) -> None:
    """Users, more and more of them, and testers, while the ramp goes on."""
    users = [User() for _ in range(USERS)]
    began = time.monotonic()
    for step, _ in enumerate(ramp(mesh), 1):
        while (passed := time.monotonic() - began) < step * STEP_SECONDS:
            new = int((USERS - AT_ONCE) * passed / (STEPS * STEP_SECONDS))
            visit(mesh.url, random.sample(users[: AT_ONCE + new], AT_ONCE))
            for pin, often in PINS.items():
                if random.random() < often:
                    mesh.ask(f"x-version-pin: {pin}", ports.LOOPBACK)
            time.sleep(PAUSE_SECONDS)


# ---------------------------------------------------------------------- queries


def asked(base: str, panel: Panel, start: int, end: int) -> Iterator[Series]:
    """What the queries of a panel give: over time, or at its end."""
    for target in panel.get("targets", []):
        expr = watching.filled(target["expr"], VARIABLES)
        times = range(end if target.get("instant") else start, end + 1, POINT_SECONDS)
        for each in watching.query_range(base, expr, times[0], end, POINT_SECONDS):
            found = dict(each["values"])
            values = [found.get(time, nan) for time in times]
            yield Series(name(target, each["metric"]), values)


def name(target: dict[str, Any], labels: dict[str, str]) -> str:
    """What the legend calls a line: the query's text, with the line's labels."""
    legend = target.get("legendFormat", "")
    return re.sub(r"\{\{(\w+)\}\}", lambda label: labels[label[1]], legend)


# ---------------------------------------------------------------------- picture


def draw(panels: list[Panel], answers: dict[int, list[Series]]) -> None:
    """Draws the panels where Grafana's grid has them."""
    mpl.rcParams.update(LOOKS)
    places = [panel["gridPos"] for panel in panels]
    width = max(each["x"] + each["w"] for each in places) * COLUMN
    height = max(each["y"] + each["h"] for each in places) * ROW
    figure = Figure((width, height), facecolor="white")
    for panel in panels:
        place = Place(figure, panel["gridPos"])
        title = watching.filled(panel["title"], ALL)
        if panel["type"] == "row":
            place.axes(left=0.05).text(0, 0.25, title, size=9, weight="bold")
            continue
        place.frame(title)
        PAINTERS[panel["type"]](place, panel, answers[panel["id"]])
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    watching.PICTURE.write_text(rounded(text.getvalue()))


def rounded(svg: str) -> str:
    """A picture whose lines are exact to a tenth of a point."""
    path = re.compile(r'(?<= d=")[^"]+')
    return path.sub(lambda d: re.sub(r"(\.\d)\d+", r"\1", d[0]), svg)


class Place:
    """The place of a panel in the picture, in inches."""

    def __init__(self, figure: Figure, grid: dict[str, int]) -> None:
        self.width, self.height = grid["w"] * COLUMN, grid["h"] * ROW
        self._figure = figure
        self._left = grid["x"] * COLUMN
        self._bottom = figure.get_figheight() - grid["y"] * ROW - self.height

    def axes(
        self, left: float = 0, bottom: float = 0, right: float = 0, top: float = 0
    ) -> Axes:
        """Axes within margins, which show nothing by themselves."""
        across, up = self._figure.get_figwidth(), self._figure.get_figheight()
        corner = ((self._left + left) / across, (self._bottom + bottom) / up)
        width = (self.width - left - right) / across
        axes = self._figure.add_axes(
            (*corner, width, (self.height - bottom - top) / up)
        )
        axes.set_axis_off()
        return axes

    def frame(self, title: str) -> None:
        """Draws the edge, and the title."""
        edge = self.axes(0.03, 0.03, 0.03, 0.03)
        edge.set_axis_on()
        edge.set(xticks=[], yticks=[])
        upper = 1 - 0.06 / self.height
        edge.text(0.5, upper, title, ha="center", va="top", weight="bold")


def paint_stat(place: Place, panel: Panel, found: list[Series]) -> None:
    """Writes numbers, side by side."""
    looks = panel["fieldConfig"]["defaults"]
    axes = place.axes(top=TITLE)
    for number, each in enumerate(found or [Series("", [nan])]):
        across = (number + 0.5) / max(len(found), 1)
        value = looks["noValue"] if isnan(each.last) else written(each.last, looks)
        line = {"color": threshold(looks, each.last)} | overridden(panel, each.name)
        axes.text(across, 0.45, value, ha="center", size=15, color=line["color"])
        if "name" in panel["options"]["textMode"]:
            axes.text(across, 0.2, each.name, ha="center", color=GREY)


def paint_timeseries(place: Place, panel: Panel, found: list[Series]) -> None:
    """Draws lines, areas or bars over time, with their last values in the legend."""
    looks = panel["fieldConfig"]["defaults"]
    legend = LEGEND * ceil(len(found) / 2)
    axes = place.axes(0.65, TITLE + legend, 0.15, TITLE + 0.05)
    axes.set_axis_on()
    axes.grid(color=LINE, linewidth=0.4)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MultipleLocator(30))
    axes.xaxis.set_major_formatter(FuncFormatter(minutes))
    axes.yaxis.set_major_locator(MaxNLocator(5, min_n_ticks=3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: written(v, looks)))
    colours = cycle(PALETTE)
    handles = []
    below = [0.0] * (STEPS * STEP_SECONDS * 2)
    for each in found:
        line = {"color": next(colours)} | overridden(panel, each.name)
        below = paint(axes, looks["custom"], each.values, line, below)
        label = f"{each.name}: {written(each.last, looks)}"
        handles.append(Line2D([], [], label=label, **line))
    axes.set_xlim(0, STEPS * STEP_SECONDS)
    axes.set_ylim(looks["min"], looks.get("max"))
    place.axes(0.2, 0.08).legend(
        handles=handles,
        ncols=2,
        loc="lower left",
        frameon=False,
        fontsize=6.5,
        borderaxespad=0,
        borderpad=0,
        labelspacing=0.3,
    )


def paint(
    axes: Axes,
    custom: dict[str, Any],
    values: list[float],
    line: dict[str, Any],
    below: list[float],
) -> list[float]:
    """Draws one of the lines, upon those `below` if they are stacked; returns its top."""
    times = [number * POINT_SECONDS for number in range(len(values))]
    if custom["drawStyle"] == "bars":
        axes.vlines(times, 0, values, color=line["color"])
        return below
    if custom["stacking"]["mode"] == "normal":
        values = [v + under for v, under in zip(values, below, strict=False)]
    else:
        below = [0.0] * len(values)
    axes.plot(times, values, linewidth=1.2, **line)
    if alpha := custom["fillOpacity"] / 100:
        under = below[: len(values)]
        axes.fill_between(times, under, values, color=line["color"], alpha=alpha, lw=0)
    return [under if isnan(v) else v for v, under in zip(values, below, strict=False)]


PAINTERS = {"stat": paint_stat, "timeseries": paint_timeseries}


def overridden(panel: Panel, name: str) -> dict[str, Any]:
    """How a line looks, where the panel says that lines of its name look otherwise."""
    looks: dict[str, Any] = {}
    for override in panel["fieldConfig"]["overrides"]:
        options = override["matcher"]["options"]
        if not (
            options == name
            if override["matcher"]["id"] == "byName"
            else re.search(options.strip("/"), name)
        ):
            continue
        for each in override["properties"]:
            if each["id"] == "color":
                looks["color"] = COLOURS[each["value"]["fixedColor"]]
            elif each["id"] == "custom.lineStyle":
                looks["linestyle"] = {"dash": "--", "dot": ":"}[each["value"]["fill"]]
    return looks


def threshold(looks: dict[str, Any], value: float) -> str:
    """The colour of a number: that of the highest step below it."""
    steps = looks["thresholds"]["steps"]
    passed = [s for s in steps if s["value"] is None or value >= s["value"]]
    return COLOURS[passed[-1]["color"]]


def written(value: float, looks: dict[str, Any]) -> str:
    """A value with its unit."""
    unit = looks["unit"]
    if unit == "percentunit":
        return f"{value:.{looks.get('decimals', 0)}%}"
    number = f"{value:.{looks['decimals']}f}" if "decimals" in looks else f"{value:.3g}"
    return number + {"reqps": " req/s", "ms": " ms", "short": ""}[unit]


def minutes(seconds: float, _: int) -> str:
    """A time on the axis."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


if __name__ == "__main__":
    main()
