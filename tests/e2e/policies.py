"""The table of what the admission policies say: tests/admission.yaml."""

from dataclasses import dataclass, field
from typing import Any

import yaml
from kit.envoy import ROOT

Json = dict[str, Any]

TABLE = yaml.safe_load((ROOT / "tests/admission.yaml").read_text())


@dataclass
class Row:
    """Routes that are written, what stood there before, and what is said to them."""

    what: str
    routes: list[Json]
    said: str = ""
    before: list[Json] | None = None
    labels: dict[str, str] = field(default_factory=dict)
    by: str = ""


def rows(kind: str, verdict: str) -> list[Row]:
    """The rows of a kind of object that are `refused`, `warned` of, or that `passes`."""
    return [row_of(row) for row in TABLE[kind][verdict]]


def row_of(row: Json) -> Row:
    """A row of the file."""
    above = others(row.get("among", 0))
    before = row.get("before")
    return Row(
        row["what"],
        [*above, *row.get("http", row.get("rules"))],
        row.get("said", ""),
        None if before is None else [*above, *before],
        row.get("labels", {}),
        row.get("by", ""),
    )


def others(count: int) -> list[Json]:
    """So many http routes of others, which have all that a policy looks at."""
    to = [("blue", 90), ("plain", 10)]
    route = [
        {"destination": {"host": "shop", "subset": subset}, "weight": weight}
        for subset, weight in to
    ]
    return [
        {
            "name": f"other-{n}",
            "match": [{"uri": {"prefix": f"/{n}/"}}],
            "timeout": "5s",
            "retries": {"attempts": 3, "perTryTimeout": "2s", "retryOn": "5xx"},
            "headers": {"request": {"set": {"x-shop": "1"}}},
            "route": route,
        }
        for n in range(count)
    ]
