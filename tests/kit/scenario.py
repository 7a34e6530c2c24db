"""The rows of tests/scenarios.yaml, with their defaults, and what they expect."""

import re
from dataclasses import dataclass
from typing import Any, Self

import yaml

from kit import bucket
from kit.envoy import ROOT
from kit.tokens import Made, Token, with_keys
from kit.upstream import Headers

TABLE = ROOT / "tests/scenarios.yaml"
APPS = ("blue", "green")

DEFAULT_PROXY = {"node": "router~t", "direction": "outbound", "labels": {}}
DEFAULT_REQUEST = {
    ":method": "GET",
    ":scheme": "http",
    ":authority": "shop.example",
    ":path": "/",
    "x-forwarded-proto": "http",
}
FIELDS = {
    *("name", "proxy", "role", "config", "route", "routeName", "envoyHeaders"),
    *("backends", "weights", "pins"),
    *("front", "salt", "token", "request", "served", "answer"),
    *("between", "upstream", "client", "counts", "calls"),
}

# A cookie with an identity, in a Set-Cookie.
IDENTITY = re.compile(rb"[^=]+=([0-9a-f]{16})(?:;|$)")
PLACEHOLDER = re.compile(rb"\$\{(?P<name>served|id|bucket)(?::(?P<of>[^}]*))?\}")


@dataclass(frozen=True)
class Row:
    """One scenario, complete."""

    name: str
    node: str
    labels: dict[str, str]
    direction: str
    config: dict[str, Any]
    route: str
    route_name: bytes
    envoy_headers: bool
    backends: str
    weights: tuple[int, int]
    pins: bool
    front: dict[str, Any] | None
    salt: str
    token: Token
    request: Headers
    served: str
    answer: str | dict[str, Any]
    between: dict[str, Any]
    upstream: dict[str, Any]
    client: dict[str, Any]
    counts: dict[str, int]

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """A row of the table; what it does not say is the default."""
        if unknown := row.keys() - FIELDS:
            raise ValueError(f"{row['name']}: unknown fields {sorted(unknown)}")
        proxy = DEFAULT_PROXY | row.get("proxy", {})
        front = row.get("front")
        route = row.get("route", "marked")
        weights = row.get("weights", [50, 50])
        named = {"routes": "named"} if route == "named" else {}
        services = [f"shop-{app}-{w}" for app, w in zip(APPS, weights, strict=True)]
        stated = ".".join(["bluegreen", *services])
        return cls(
            name=row["name"],
            node=proxy["node"],
            labels=proxy["labels"],
            direction=proxy["direction"],
            config={"role": row.get("role", "gateway")}
            | named
            | with_keys(row.get("config", {})),
            route=route,
            route_name=row.get("routeName", stated).encode("latin-1"),
            envoy_headers=row.get("envoyHeaders", True),
            backends="services" if named else row.get("backends", "subsets"),
            weights=tuple(weights),
            pins=row.get("pins", True),
            front=front and {"role": front["role"]} | front["config"],
            salt=row.get("salt", "shop.example"),
            token=Token(**row.get("token", {})),
            request=_headers(DEFAULT_REQUEST | row.get("request", {})),
            served=row.get("served", "any"),
            answer=row.get("answer", "untagged"),
            between=row.get("between", {}),
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

    @property
    def route_header(self) -> str:
        """The header in which Envoy says what became of a request."""
        return self.config.get("routeHeader", "x-bluegreen-route")

    def version(self, app: str) -> str:
        """What Istio calls the version of an application, blue or green."""
        return app if self.backends == "subsets" else f"shop-{app}"

    def answer_of(self, app: str) -> Headers:
        """The headers with which an application answers."""
        match self.answer:
            case "tagged":
                return [("x-served-version", self.version(app).encode())]
            case "untagged":
                return []
            case headers:
                return _headers(headers)

    def placeholders(
        self, served: str, response: Headers, token: Made
    ) -> "Placeholders":
        """The values of ${served}, ${id}, ${bucket} and ${token} in this run of it."""
        cookies = map(IDENTITY.match, all_of("set-cookie", response))
        minted = next((found[1] for found in cookies if found), None)
        salt = self.salt.encode("latin-1")
        return Placeholders(served.encode(), minted, salt, token)


@dataclass(frozen=True)
class Placeholders:
    """What stands in the place of ${...}, in one run of a row."""

    served: bytes
    minted: bytes | None
    salt: bytes
    token: Made

    def fill(self, template: bytes) -> bytes:
        """The template with what is known in place; the rest stays."""
        return PLACEHOLDER.sub(self._value, self.token.fill(template))

    def _value(self, found: re.Match[bytes]) -> bytes:
        match found["name"], found["of"] or self.minted:
            case b"served", _:
                return self.served
            case b"id", bytes() as identity:
                return identity
            case b"bucket", bytes() as identity:
                return b"%d" % bucket.of(identity, self.salt)
            case _:
                return found[0]


def rows() -> list[Row]:
    """The whole table."""
    table = [Row.of(row) for row in yaml.safe_load(TABLE.read_text())]
    names = [row.slug for row in table]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{TABLE}: names that are not unique: {sorted(repeated)}")
    return table


def differences(
    where: str, expected: dict[str, Any], headers: Headers, values: Placeholders
) -> list[str]:
    """A line for each header that is not as expected."""
    lines = []
    for name, value in expected.items():
        wanted = [values.fill(each) for each in _values(value)]
        if (found := all_of(name, headers)) != wanted:
            lines.append(f"{where} {name}: expected {wanted}, received {found}")
    return lines


def filled_counts(counts: dict[str, int], values: Placeholders) -> dict[str, int]:
    """The counters of a row with their placeholders replaced."""
    return {values.fill(k.encode()).decode(): v for k, v in counts.items()}


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
