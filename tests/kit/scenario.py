"""The rows of tests/scenarios.yaml, with their defaults, and what they expect."""

import re
from dataclasses import dataclass
from typing import Any, Self

import yaml

from kit import bucket
from kit.envoy import ROOT
from kit.upstream import Headers

TABLE = ROOT / "tests/scenarios.yaml"

DEFAULT_CONFIG = {"rollouts": [{"name": "myapp", "versions": ["blue", "green"]}]}
DEFAULT_PROXY = {"node": "router~t", "direction": "outbound", "labels": {}}
DEFAULT_REQUEST = {
    ":method": "GET",
    ":scheme": "http",
    ":authority": "shop.example",
    ":path": "/",
    "x-forwarded-proto": "http",
}
FIELDS = {
    *("name", "proxy", "role", "config", "weights", "pins", "request"),
    *("served", "answer", "upstream", "client", "counts", "calls"),
}

# A cookie with an identity, in a Set-Cookie.
IDENTITY = re.compile(rb"[^=]+=([0-9a-f]{16})(?:;|$)")


@dataclass(frozen=True)
class Row:
    """One scenario, complete."""

    name: str
    node: str
    labels: dict[str, str]
    direction: str
    config: dict[str, Any]
    weights: tuple[int, int]
    pins: bool
    request: Headers
    served: str
    answer: str | dict[str, Any]
    upstream: dict[str, Any]
    client: dict[str, Any]
    counts: dict[str, int]

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """A row of the table; what it does not say is the default."""
        if unknown := row.keys() - FIELDS:
            raise ValueError(f"{row['name']}: unknown fields {sorted(unknown)}")
        proxy = DEFAULT_PROXY | row.get("proxy", {})
        role = {"role": row.get("role", "gateway")}
        return cls(
            name=row["name"],
            node=proxy["node"],
            labels=proxy["labels"],
            direction=proxy["direction"],
            config=role | DEFAULT_CONFIG | row.get("config", {}),
            weights=tuple(row.get("weights", [50, 50])),
            pins=row.get("pins", True),
            request=_headers(DEFAULT_REQUEST | row.get("request", {})),
            served=row.get("served", "any"),
            answer=row.get("answer", "tagged"),
            upstream=row.get("upstream", {}),
            client={":status": "200"} | row.get("client", {}),
            counts=row.get("counts", {}),
        )

    @property
    def slug(self) -> str:
        """The name as one word."""
        return re.sub(r"\W+", "_", self.name)

    @property
    def pin_header(self) -> str:
        """The header that the pin routes match."""
        return (self.config.get("pin") or {}).get("header", "x-version-pin")

    @property
    def bucket_header(self) -> str:
        """The header from which the weighted route takes its random number."""
        return self.config.get("bucketHeader", "x-bluegreen-bucket")

    def answer_of(self, version: str) -> Headers:
        """The headers with which the upstream of `version` answers."""
        match self.answer:
            case "tagged":
                return [("x-served-version", version.encode())]
            case "untagged":
                return []
            case headers:
                return _headers(headers)

    def version_of(self, bucket: int) -> str:
        """What the weights say about a bucket."""
        return "blue" if bucket % sum(self.weights) < self.weights[0] else "green"

    def placeholders(self, served: str, response: Headers) -> dict[str, str]:
        """The values of ${served}, ${id} and ${bucket} in this run of the row."""
        values = {"served": served}
        for cookie in all_of("set-cookie", response):
            if found := IDENTITY.match(cookie):
                rollout = self.config["rollouts"][0]
                values["id"] = found[1].decode()
                values["bucket"] = str(
                    bucket.of(
                        found[1],
                        rollout.get("salt", rollout["name"]),
                        rollout.get("weightTotal", 100),
                    )
                )
        return values


def rows() -> list[Row]:
    """The whole table."""
    table = [Row.of(row) for row in yaml.safe_load(TABLE.read_text())]
    names = [row.slug for row in table]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{TABLE}: names that are not unique: {sorted(repeated)}")
    return table


def differences(
    where: str, expected: dict[str, Any], headers: Headers, values: dict[str, str]
) -> list[str]:
    """A line for each header that is not as expected."""
    lines = []
    for name, value in expected.items():
        wanted = [_filled(each, values) for each in _values(value)]
        if (found := all_of(name, headers)) != wanted:
            lines.append(f"{where} {name}: expected {wanted}, received {found}")
    return lines


def filled_counts(counts: dict[str, int], values: dict[str, str]) -> dict[str, int]:
    """The counters of a row with their placeholders replaced."""
    return {_filled(k.encode(), values).decode(): v for k, v in counts.items()}


def all_of(name: str, headers: Headers) -> list[bytes]:
    """All values of a header, in order."""
    return [value for each, value in headers if each == name]


def _headers(table: dict[str, Any]) -> Headers:
    return [
        (name, value)
        for name, values in table.items()
        if values is not None
        for value in _values(values)
    ]


def _values(value: str | list[str]) -> list[bytes]:
    if value == "absent":
        return []
    values = value if isinstance(value, list) else [value]
    return [each.encode("latin-1") for each in values]


def _filled(template: bytes, values: dict[str, str]) -> bytes:
    for name, value in values.items():
        template = template.replace(b"${%s}" % name.encode(), value.encode())
    return template
