"""Policies for HTTPRoutes: refused, warned of, named, on an API server of their own.

The naming policy is of Kubernetes 1.36; before, an API server has it behind a feature gate,
which the cluster's own need not have.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cluster
import pytest
import second_api
from crds import EXPERIMENTAL, STANDARD, crds
from kit.envoy import ROOT
from report import Proof

FILTER = ROOT / "envoyfilter"
NAMED = FILTER / "gateway-api/admission.yaml"
NAME = "shop"
PASSED = "(server dry run)"

Rules = list[cluster.Json]

REFUSED_BY = "ValidatingAdmissionPolicy '{0}' with binding '{0}' denied request: "
DENIED = REFUSED_BY.format("bluegreen-named")
MARKED = REFUSED_BY.format("bluegreen-httproutes")
WARNED_BY = (
    "Warning: Validation failed for ValidatingAdmissionPolicy 'bluegreen-named-warnings' "
    "with binding 'bluegreen-named-warnings': "
)
STICKY = {"bluegreen": "sticky"}


# ---------------------------------------------------------------- what is written


def weighted(name: str = "", /, **weights: int) -> cluster.Json:
    """A weighted rule; `_` in names of backends is `-`. `name=""`: one without a name."""
    refs = [
        {"name": backend.replace("_", "-"), "port": 80, "weight": weight}
        for backend, weight in weights.items()
    ]
    return ({"name": name} if name else {}) | {"backendRefs": refs}


def ramp(**weights: int) -> cluster.Json:
    """A weighted rule that is named after its weights."""
    rule = weighted(**weights)
    return {"name": stated(rule)} | rule


def stated(rule: cluster.Json) -> str:
    """The name that states a rule's weights."""
    refs = [f"{ref['name']}-{ref.get('weight', 1)}" for ref in rule["backendRefs"]]
    return ".".join(["bluegreen", *refs])


def version(value: str, to: str = "") -> cluster.Json:
    """A rule that matches the version header."""
    header = {"name": "x-bluegreen-version", "value": value}
    rule = {"matches": [{"headers": [header]}]}
    return rule | {"backendRefs": [{"name": to or value, "port": 80}]}


def at(path: str, rule: cluster.Json) -> cluster.Json:
    """A rule for the paths below one."""
    return rule | {"matches": [{"path": {"type": "PathPrefix", "value": path}}]}


SHOP = ramp(shop_blue=70, shop_green=30)
LONG = "s" * 64
SIXTEEN = {f"v{n}": n for n in range(1, 17)}


@dataclass
class Row:
    """Rules that are written, what stood there before, and what is said to them."""

    what: str
    rules: Rules
    said: str = ""
    before: Rules | None = None
    labels: dict[str, str] = field(default_factory=dict)


BY_NAME = (
    "after its weights. The filter picks by the name, and Envoy would deal by weights "
    "that differ from it."
)
BY_LABEL = (
    "after its weights, because of the label `bluegreen: sticky`. Under another name its "
    "requests are dealt by chance. (Where the policy bluegreen-naming is installed, it "
    "writes the name.)"
)
UNFIT = (
    "list Services in `backendRefs`, each once and each with a name of its own of at most "
    '63 letters, digits and "-": a backend is a version, which is known by this name.'
)
ENVOY_PICKS = (
    "after its weights, and have it picked by the filter of gateway-api/. Under its name "
    "Envoy is to pick, but Istio leaves out backends of weight 0, and with one left Envoy "
    "refuses the whole route table."
)

REFUSED = [
    Row(
        "other weights than the name's",
        [weighted(SHOP["name"], shop_blue=60, shop_green=40)],
        f'{DENIED}rule "{SHOP["name"]}": name it '
        f'"bluegreen.shop-blue-60.shop-green-40", {BY_NAME}',
    ),
    Row(
        "another order than the name's",
        [weighted(SHOP["name"], shop_green=30, shop_blue=70)],
        f'{DENIED}rule "{SHOP["name"]}": name it '
        f'"bluegreen.shop-green-30.shop-blue-70", {BY_NAME}',
    ),
    Row(
        "a backend less than in the name",
        [weighted("bluegreen.shop-blue-100.shop-green-0", shop_blue=100)],
        f'{DENIED}rule "bluegreen.shop-blue-100.shop-green-0": name it '
        f'"bluegreen.shop-blue-100", {BY_NAME}',
    ),
    Row(
        "no number in the name",
        [weighted("bluegreen.shop", shop_blue=70, shop_green=30)],
        f'{DENIED}rule "bluegreen.shop": name it "{SHOP["name"]}", {BY_NAME}',
    ),
    Row(
        "the second of two weighted rules",
        [
            at("/api", ramp(api_blue=1, api_green=1)),
            weighted("bluegreen.x-1", shop_blue=70, shop_green=30),
        ],
        f'{DENIED}rule "bluegreen.x-1": name it "{SHOP["name"]}", {BY_NAME}',
    ),
    Row(
        "a backend twice",
        [
            {
                "name": "bluegreen.shop-1.shop-1",
                "backendRefs": [
                    {"name": "shop", "port": port, "weight": 1} for port in (80, 81)
                ],
            }
        ],
        f'{DENIED}rule "bluegreen.shop-1.shop-1": {UNFIT}',
    ),
    Row(
        "a backend with a dot in its name",
        [
            {
                "name": "bluegreen.shop.example-1",
                "backendRefs": [
                    {
                        "group": "networking.istio.io",
                        "kind": "Hostname",
                        "name": "shop.example",
                        "port": 80,
                    }
                ],
            }
        ],
        f'{DENIED}rule "bluegreen.shop.example-1": {UNFIT}',
    ),
    Row(
        "a name that no label is long enough for",
        [ramp(**{LONG: 1})],
        f'{DENIED}rule "bluegreen.{LONG}-1": {UNFIT}',
    ),
    Row(
        "no backends",
        [{"name": "bluegreen.shop-1"}],
        f'{DENIED}rule "bluegreen.shop-1": {UNFIT}',
    ),
    Row(
        "the label, and no name",
        [weighted(shop_primary=100, shop_canary=0)],
        f'{DENIED}rules[0]: name it "bluegreen.shop-primary-100.shop-canary-0", '
        f"{BY_LABEL}",
        labels=STICKY,
    ),
    Row(
        "the label, and another name of the second rule",
        [version("shop-blue"), weighted("main", shop_blue=1, shop_green=2)],
        f'{DENIED}rules[1]: name it "bluegreen.shop-blue-1.shop-green-2", {BY_LABEL}',
        labels=STICKY,
    ),
    *(
        Row(
            f"the name {name}",
            [weighted(name, shop_blue=100, shop_green=0)],
            f'{MARKED}rule "{name}": name it '
            f'"bluegreen.shop-blue-100.shop-green-0", {ENVOY_PICKS}',
        )
        for name in ("bluegreen", "bluegreen-2", "bluegreen-3", "bluegreen-mirror")
    ),
]

ANEW = "In another order users get another version, though the weights are the same."
PAST = (
    "and its users get another version. Write weights that move between neighbours of the "
    "list: what one loses, the one before or after it gains."
)
NO_PART = (
    "it takes no part under this name. A weighted rule is named after its weights, such as "
    "bluegreen.shop-blue-70.shop-green-30; those that match the header x-bluegreen-version "
    "may have any other name."
)

WARNED = [
    Row(
        "another order",
        [ramp(shop_green=30, shop_blue=70)],
        'rule "bluegreen.shop-green-30.shop-blue-70": keep the backends in the order that '
        f"they have: shop-blue, shop-green. {ANEW}",
        before=[SHOP],
    ),
    Row(
        "another order, of one of two rules",
        [at("/api", ramp(a=1, b=1)), at("/", ramp(d=1, c=1))],
        'rule "bluegreen.d-1.c-1": keep the backends in the order that they have: c, d. '
        f"{ANEW}",
        before=[at("/api", ramp(a=1, b=1)), at("/", ramp(c=1, d=1))],
    ),
    Row(
        "another sum",
        [ramp(shop_blue=700, shop_green=300)],
        'rule "bluegreen.shop-blue-700.shop-green-300": the weights sum to 1000; write '
        "weights that sum to 100, as before. With another sum all users are dealt anew.",
        before=[SHOP],
    ),
    Row(
        "weight moved past a version",
        [ramp(v1=70, v2=10, v3=20)],
        f'rule "bluegreen.v1-70.v2-10.v3-20": weight moves past v2, {PAST}',
        before=[ramp(v1=80, v2=10, v3=10)],
    ),
    Row(
        "a version that joins in front, with weight of the last one",
        [ramp(v0=10, v1=50, v2=40)],
        f'rule "bluegreen.v0-10.v1-50.v2-40": weight moves past v1, {PAST}',
        before=[ramp(v1=50, v2=50)],
    ),
    Row(
        "two rules of one name",
        [at("/api", SHOP), at("/", SHOP)],
        f'rule "{SHOP["name"]}": two rules have this name, which has to be unique. Make '
        "one rule of them with several `matches`, or two routes. The experimental CRDs of "
        "the Gateway API refuse such a route.",
    ),
    Row(
        "two rules with different weights",
        [at("/api", ramp(shop_blue=80, shop_green=20)), at("/", SHOP)],
        f'rule "{SHOP["name"]}": write the weights of '
        '"bluegreen.shop-blue-80.shop-green-20", in its order. With others one user meets '
        "several versions.",
    ),
    Row(
        "version rules in the same route",
        [version("shop-blue"), version("shop-green"), SHOP],
        f'rule "{SHOP["name"]}": move the rules that match the header '
        "x-bluegreen-version into a route of their own, on the same hosts. Argo Rollouts "
        "sets weights in all rules of a route, and Flagger writes all of it anew.",
    ),
    Row(
        "a version rule that leads to another version",
        [version("shop-blue"), version("shop-green", to="shop-blue")],
        "the rule that matches x-bluegreen-version: shop-green: write the backend of this "
        "name into it, and no other. The filter asks for a backend by its name, and else "
        "another one answers.",
    ),
    Row(
        "a version rule for the pin that a version answers to",
        [version("green", to="shop-green")],
        "the rule that matches x-bluegreen-version: green: write the backend of this name "
        "into it, and no other. The filter asks for a backend by its name, and else "
        "another one answers.",
    ),
    *(
        Row(
            f"the name {name}",
            [weighted(name, shop_blue=1, shop_green=1)],
            f'rule "{name}": {NO_PART}',
        )
        for name in ("bluegreen-70", "bluegreen-pin", "bluegreen4")
    ),
]

PASSES = [
    Row("70/30", [SHOP]),
    *(
        Row(
            f"from {before} to {after}",
            [ramp(shop_blue=100 - after, shop_green=after)],
            before=[ramp(shop_blue=100 - before, shop_green=before)],
        )
        for before, after in [(0, 10), (30, 50), (50, 100), (100, 0), (30, 30)]
    ),
    Row("version rules", [version("shop-blue"), version("shop-green")]),
    Row(
        "weights between neighbours",
        [ramp(v1=80, v2=5, v3=15)],
        before=[ramp(v1=80, v2=10, v3=10)],
    ),
    Row(
        "a version that joins at the end",
        [ramp(v1=80, v2=20, v3=0)],
        before=[ramp(v1=80, v2=20)],
    ),
    Row(
        "a version that leaves", [ramp(v2=20, v3=80)], before=[ramp(v1=0, v2=20, v3=80)]
    ),
    Row("sixteen versions", [ramp(**SIXTEEN)]),
    Row(
        "rules of others",
        [weighted("main", shop_blue=1, shop_green=2), weighted(shop_blue=1, x=2)],
    ),
    Row(
        "another label",
        [weighted(shop_blue=1, shop_green=2)],
        labels={"bluegreen": "no"},
    ),
    Row("the label, and names", [SHOP], labels=STICKY),
]


# ----------------------------------------------------------------------------------


@dataclass
class Server:
    """The API server, and what a kind of route is called there."""

    kubeconfig: Path

    def kubectl(
        self, *words: str | Path, text: str | None = None, check: bool = True
    ) -> str:
        """kubectl, on this server."""
        own = ("--kubeconfig", self.kubeconfig)
        return cluster.kubectl(*own, *words, text=text, check=check)

    def says(self, row: Row, kind: str = "HTTPRoute", version: str = "v1") -> str:
        """What it says to a row."""
        if row.before:
            before = route(row.before, row.labels, kind, version)
            self.kubectl("apply", "--force", "-f", "-", text=before)
        verb = "replace" if row.before else "create"
        name = NAME if row.before else f"{NAME}-new"
        text = route(row.rules, row.labels, kind, version, name)
        said = self.kubectl(verb, "--dry-run=server", "-f", "-", text=text, check=False)
        return " ".join(said.split())

    def stored(self, *words: str) -> cluster.Json:
        """What it stores of a route."""
        return json.loads(self.kubectl("get", "httproute", NAME, "-o", "json", *words))

    def names(self) -> list[str]:
        """The names of the rules of what it stores."""
        return [rule.get("name", "") for rule in self.stored()["spec"]["rules"]]

    def write(self, rules: Rules, labels: dict[str, str] | None = None) -> list[str]:
        """Applies a route; gives the names of its rules, as they are stored."""
        self.kubectl("apply", "-f", "-", text=route(rules, labels or {}))
        return self.names()


def route(
    rules: Rules,
    labels: dict[str, str],
    kind: str = "HTTPRoute",
    version: str = "v1",
    name: str = NAME,
) -> str:
    """A route with these rules."""
    return json.dumps(
        {
            "apiVersion": f"gateway.networking.k8s.io/{version}",
            "kind": kind,
            "metadata": {"name": name, "namespace": "default", "labels": labels},
            "spec": {"rules": rules},
        }
    )


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """An API server with the CRDs and what refuses and warns."""
    with second_api.alone(flags=second_api.NAMING, name="policies") as kubeconfig:
        server = Server(kubeconfig)
        server.kubectl(
            "apply", "--server-side", *crds(STANDARD, "httproutes", "grpcroutes")
        )
        server.kubectl("apply", "-f", FILTER / "admission.yaml", "-f", NAMED)
        # The API server compiles a policy, and then holds to it.
        for row in (REFUSED[0], REFUSED[-1]):
            cluster.until(
                "the policies hold", lambda row=row: row.said in server.says(row)
            )
        cluster.until("and warn", lambda: WARNED_BY in server.says(WARNED[-1]))
        yield server


def test_refused_with_what_to_write_instead(server: Server, proof: Proof) -> None:
    for row in REFUSED:
        said = server.says(row)
        assert row.said in said, (row.what, said)
        assert PASSED not in said, row.what
    proof("rules refused, each with its message", len(REFUSED))


def test_warned_of_and_let_through(server: Server, proof: Proof) -> None:
    for row in WARNED:
        said = server.says(row)
        assert f"{WARNED_BY}{row.said}" in said, (row.what, said)
        assert said.count(WARNED_BY) == 1, (row.what, said)
        assert PASSED in said, (row.what, said)
    proof("warned of, each with its message", len(WARNED))


def test_let_through_with_nothing_said(server: Server, proof: Proof) -> None:
    for row in PASSES:
        said = server.says(row)
        assert PASSED in said, (row.what, said)
        assert "Warning" not in said, (row.what, said)
    proof("let through, the whole ramp among them", len(PASSES))


def test_the_older_version_and_grpcroutes_alike(server: Server, proof: Proof) -> None:
    row = REFUSED[0]
    for kind, version in [("HTTPRoute", "v1beta1"), ("GRPCRoute", "v1")]:
        assert row.said in server.says(row, kind, version), kind
        assert PASSED in server.says(PASSES[0], kind, version), kind
    proof("the same in v1beta1, and for GRPCRoutes", "✔")


# ------------------------------------------------------------------- with the names


@pytest.fixture(scope="module")
def naming(server: Server) -> Server:
    """The server, with the policy that writes names."""
    server.kubectl("apply", "-f", "-", text=second_api.naming(FILTER))
    cluster.until(
        "the policy names",
        lambda: (
            server.write([weighted("bluegreen", a=1, b=1)]) == ["bluegreen.a-1.b-1"]
        ),
    )
    return server


def test_names_are_written_from_the_weights(naming: Server, proof: Proof) -> None:
    for what, written, stored in [
        ("`bluegreen`", "bluegreen", SHOP["name"]),
        ("a name of before", "bluegreen.shop-blue-100.shop-green-0", SHOP["name"]),
        ("the right one", SHOP["name"], SHOP["name"]),
        ("one of others", "main", "main"),
        ("none", "", ""),
    ]:
        rule = weighted(written, shop_blue=70, shop_green=30)
        assert naming.write([rule, version("shop-blue")]) == [stored, ""], what
    proof("names written by the policy; those of others left alone", 3)


def test_whoever_moves_weights_moves_nothing_else(naming: Server, proof: Proof) -> None:
    naming.write([SHOP])
    for blue, green in [(50, 50), (0, 100), (100, 0)]:
        patch = [
            {
                "op": "replace",
                "path": f"/spec/rules/0/backendRefs/{n}/weight",
                "value": w,
            }
            for n, w in enumerate((blue, green))
        ]
        naming.kubectl(
            "patch", "httproute", NAME, "--type=json", "-p", json.dumps(patch)
        )
        assert naming.names() == [f"bluegreen.shop-blue-{blue}.shop-green-{green}"]
    proof("patches of the weights alone that the name followed, 100/0 too", 3)


def test_the_label_names_rules_without_names(naming: Server, proof: Proof) -> None:
    rules = [weighted(shop_primary=100, shop_canary=0)]
    named = ["bluegreen.shop-primary-100.shop-canary-0"]
    assert naming.write(rules, STICKY) == named
    # Flagger writes its route anew each time, without names.
    naming.kubectl("replace", "-f", "-", text=route(rules, STICKY))
    assert naming.names() == named
    before = naming.stored()["metadata"]["generation"]
    naming.kubectl("replace", "-f", "-", text=route(rules, STICKY))
    assert naming.stored()["metadata"]["generation"] == before
    proof("a route without names, written anew: named, and no new generation", "✔")
    assert naming.write([*rules, version("shop-primary")], STICKY) == [*named, ""]
    naming.kubectl("delete", "httproute", NAME)
    assert naming.write(rules) == [""]
    proof("without the label it stays as it is", "✔")


def test_what_cannot_be_named_is_still_refused(naming: Server, proof: Proof) -> None:
    naming.kubectl("delete", "httproute", NAME, "--ignore-not-found")
    wrong = Row("", [weighted("bluegreen-2", shop_blue=1, shop_green=0)])
    assert f'{MARKED}rule "bluegreen-2"' in naming.says(wrong)
    twice = [{"name": "a", "port": 80}, {"name": "a", "port": 81}]
    said = naming.says(Row("", [{"name": "bluegreen", "backendRefs": twice}]))
    assert f'{DENIED}rule "bluegreen.a-1.a-1"' in said
    long = {f"{n:02}-{'s' * 30}": 1 for n in range(9)}
    said = naming.says(Row("", [weighted("bluegreen", **long)]))
    assert "may not be more than 253" in said
    proof("other names of the mesh, a backend twice, 300 letters: refused", 3)


def test_two_rules_of_one_name(naming: Server, proof: Proof) -> None:
    same = [at(path, weighted("bluegreen", a=1, b=1)) for path in ("/api", "/")]
    name = "bluegreen.a-1.b-1"
    assert naming.write(same) == [name, name]
    proof("two rules with the same weights: taken by the standard CRDs", "✔")
    naming.kubectl("delete", "httproute", NAME)
    naming.kubectl("apply", "--server-side", *crds(EXPERIMENTAL, "httproutes"))
    unique = "Rule name must be unique within the route"
    cluster.until(
        "the experimental CRDs hold", lambda: unique in naming.says(Row("", same))
    )
    proof("by the experimental ones", unique)
    one = at("/api", weighted("bluegreen", a=1, b=1))
    one["matches"] += at("/", {})["matches"]
    assert naming.write([one]) == [name]
    proof("one rule with two matches instead: taken by both", "✔")
