"""Watching, tried: a real Prometheus with our rules, on the proxies of a cluster.

Needs prometheus and promtool (need.sh unpacks Debian's); for the proxies of a cluster
also kubectl, and pods whose addresses this machine reaches.
"""

import json
import math
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from kit import ports
from kit.envoy import ROOT, RUNS, die_with_parent
from kit.files import replace

RULES = ROOT / "envoyfilter/watching/rules.yaml"
DASHBOARD = ROOT / "envoyfilter/watching/dashboard.yaml"
PICTURE = ROOT / "docs/dashboard.svg"
RULES_TEST = ROOT / "tests/watching/rules_test.yaml"

# What `prometheus` divides the durations of the rules by: 5 minutes are 15 seconds.
SHORTENED = 20

# The window of a panel's rates, and the dashboard's time range.
RATE_INTERVAL = "10s"
RANGE = "5m"

# What a person types, for the line in the panel of the shares.
WEIGHT = "30"

PODS = "pods.json"
DISCOVERY_SECONDS = 2

START_SECONDS = 30
STOP_SECONDS = 10
POLL_SECONDS = 0.5

# From Istio's samples/addons/prometheus.yaml, job kubernetes-pods: which pods are
# scraped where, and what labels they get. The dashboard and the rules use only
# `namespace` and `pod`, which PodMonitors give as well.
ANNOTATION = "__meta_kubernetes_pod_annotation_prometheus_io"
RELABEL = [
    {"action": "keep", "source_labels": [f"{ANNOTATION}_scrape"], "regex": "true"},
    {
        "source_labels": [f"{ANNOTATION}_path"],
        "regex": "(.+)",
        "target_label": "__metrics_path__",
    },
    {
        "source_labels": [f"{ANNOTATION}_port", "__meta_kubernetes_pod_ip"],
        "regex": r"(\d+);((([0-9]+?)(\.|$)){4})",
        "replacement": "$2:$1",
        "target_label": "__address__",
    },
    {"action": "labelmap", "regex": "__meta_kubernetes_pod_label_(.+)"},
    {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
    {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
    {
        "action": "drop",
        "source_labels": ["__meta_kubernetes_pod_phase"],
        "regex": "Pending|Succeeded|Failed|Completed",
    },
]

Sample = dict[str, Any]


class WatchingError(Exception):
    """Prometheus is missing or did not start, or what we waited for did not come."""


def rules(divisor: int = 1) -> dict[str, Any]:
    """The rule file in rules.yaml; every `[Nm]` and every `for` divided by `divisor`.

    Thresholds stay as they are: they are per second, or shares.
    """

    def shorter(minutes: re.Match[str]) -> str:
        return f"{minutes[1]}{int(minutes[2]) * 60 // divisor}s{minutes[3]}"

    text = yaml.safe_dump(yaml.safe_load(RULES.read_text())["spec"])
    if divisor != 1:
        text = re.sub(r"(\[|\bfor: )(\d+)m(\]|\n)", shorter, text)
    return yaml.safe_load(text)


def alerts() -> set[str]:
    """The names of the alerts in rules.yaml."""
    groups = rules()["groups"]
    return {r["alert"] for g in groups for r in g["rules"] if "alert" in r}


def tested_alerts() -> tuple[set[str], set[str]]:
    """The alerts that rules_test.yaml makes fire, and those that it keeps silent."""
    tests = yaml.safe_load(RULES_TEST.read_text())["tests"]
    rows = [row for test in tests for row in test.get("alert_rule_test", [])]
    fires = {row["alertname"] for row in rows if row.get("exp_alerts")}
    silent = {row["alertname"] for row in rows if not row.get("exp_alerts")}
    return fires, silent


def annotation() -> tuple[str, str]:
    """What a pod template needs for Envoy's metrics by cluster, as rules.yaml says."""
    found = re.search(
        r"^#\s+(sidecar\.istio\.io/statsInclusionRegexps): (\S+)$",
        RULES.read_text(),
        re.MULTILINE,
    )
    if not found:
        raise WatchingError(f"{RULES} does not say which annotation is needed")
    return found[1], found[2]


def panels(
    rollout: str,
    namespaces: list[str],
    services: list[str],
    weight: str = WEIGHT,
) -> list[tuple[str, str]]:
    """The title and the expression of each query of the dashboard's panels.

    The variables have the given values; `weight` is what a person types, which may
    be nothing.
    """
    values = {
        "rollout": rollout,
        "namespace": "|".join(namespaces),
        "service": "|".join(services),
        "weight": weight,
        "__rate_interval": RATE_INTERVAL,
        "__range": RANGE,
    }
    return [
        (panel["title"], filled(target["expr"], values))
        for panel in dashboard()["panels"]
        for target in panel.get("targets", [])
    ]


def filled(text: str, values: dict[str, str]) -> str:
    """A text of the dashboard with the values of its variables, as Grafana fills it."""
    return re.sub(r"\$(\w+)", lambda variable: values[variable[1]], text)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana gets it."""
    data = yaml.safe_load(DASHBOARD.read_text())["data"]
    return json.loads(data["bluegreen.json"])


def promtool() -> str:
    """Runs rules_test.yaml on the rules; what promtool said."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rules.yaml").write_text(yaml.safe_dump(rules()))
        test = shutil.copy(RULES_TEST, folder)
        done = subprocess.run(
            [_program("promtool"), "test", "rules", test],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    if done.returncode:
        raise WatchingError(f"{RULES_TEST.name}: {done.stdout}")
    return done.stdout


@contextmanager
def prometheus(
    namespaces: list[str],
    divisor: int = SHORTENED,
    proxies: list[dict[str, Any]] | None = None,
) -> Iterator[str]:
    """A Prometheus that scrapes the proxies of these namespaces; gives its base URL.

    Pods that come and go are followed. It scrapes each second, and has our rules
    with durations divided by `divisor`. `proxies` are the admins of Envoys on this
    machine, as Prometheus's `static_configs`.
    """
    port = ports.free(1)[0]
    base = f"http://{ports.LOOPBACK}:{port}"
    RUNS.mkdir(parents=True, exist_ok=True)
    log = RUNS / "prometheus.log"
    with tempfile.TemporaryDirectory() as name, log.open("wb") as output:
        folder = Path(name)
        (folder / "rules.yaml").write_text(yaml.safe_dump(rules(divisor)))
        config = folder / "prometheus.yaml"
        config.write_text(yaml.safe_dump(_config(folder, proxies or [])))
        process = subprocess.Popen(
            [
                *(_program("prometheus"), f"--config.file={config}"),
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={ports.LOOPBACK}:{port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,  # noqa: PLW1509 (one system call)
        )
        try:
            if not _until(lambda: _ready(base) or process.poll(), START_SECONDS):
                raise WatchingError(f"Prometheus is not ready; {_tail(log)}")
            if process.poll() is not None:
                raise WatchingError(f"Prometheus ended by itself; {_tail(log)}")
            with _discovering(namespaces, folder):
                yield base
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def steadily(call: Callable[[], object], pause: float) -> Iterator[None]:
    """Calls again and again, with a pause in seconds, until the block ends."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(pause):
            call()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def targets(base: str) -> dict[str, str]:
    """The pods that are scraped, with `up`, or with the error of the last scrape."""
    active = _get(base, "targets", {"state": "active"})["activeTargets"]
    return {t["labels"]["pod"]: t["lastError"] or t["health"] for t in active}


def query(base: str, expr: str) -> list[Sample]:
    """What an expression gives now: `metric` with the labels, and `value`."""
    result = _get(base, "query", {"query": expr})["result"]
    return [
        {"metric": each["metric"], "value": float(each["value"][1])} for each in result
    ]


def query_range(
    base: str, expr: str, start: float, end: float, step: float
) -> list[Sample]:
    """What it gave between two times: `metric`, and `values`, pairs of time and value."""
    asked = {"query": expr, "start": str(start), "end": str(end), "step": str(step)}
    result = _get(base, "query_range", asked)["result"]
    return [
        {
            "metric": each["metric"],
            "values": [(at, float(value)) for at, value in each["values"]],
        }
        for each in result
    ]


def firing(base: str) -> dict[str, Sample]:
    """The alerts that fire now, by name; of several one."""
    found = _get(base, "alerts", {})["alerts"]
    return {a["labels"]["alertname"]: a for a in found if a["state"] == "firing"}


def silent(base: str, queries: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The queries that show nothing now; a value that is no number is nothing."""
    return [
        (title, expr)
        for title, expr in queries
        if all(math.isnan(each["value"]) for each in query(base, expr))
    ]


def check_fires(base: str, alert: str, seconds: float) -> Sample:
    """Waits until an alert fires, and gives it."""
    found: dict[str, Sample] = {}

    def fires() -> bool:
        found.update(firing(base))
        return alert in found

    if not _until(fires, seconds):
        states = [
            f"{rule['name']} {rule['state']}: {rule['query']}"
            for group in _get(base, "rules", {"type": "alert"})["groups"]
            for rule in group["rules"]
        ]
        raise WatchingError("\n".join([f"{alert} did not fire", *states]))
    return found[alert]


def check_resolves(base: str, alert: str, seconds: float) -> None:
    """Waits until an alert fires no longer."""
    if not _until(lambda: alert not in firing(base), seconds):
        raise WatchingError(f"{alert} still fires")


def check_panels(base: str, queries: list[tuple[str, str]], seconds: float) -> None:
    """Waits until each of the panels has shown something."""
    left = queries

    def all_shown() -> bool:
        nonlocal left
        left = silent(base, left)
        return not left

    if not _until(all_shown, seconds):
        lines = [f"{title}: {expr}" for title, expr in left]
        raise WatchingError("\n".join(["panels without series:", *lines]))


def _config(folder: Path, proxies: list[dict[str, Any]]) -> dict[str, Any]:
    job = {
        "job_name": "kubernetes-pods",
        "honor_labels": True,
        "file_sd_configs": [{"files": [str(folder / PODS)]}],
        "relabel_configs": RELABEL,
    }
    here = {
        "job_name": "here",
        "metrics_path": "/stats/prometheus",
        "static_configs": proxies,
    }
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [job, here],
    }


@contextmanager
def _discovering(namespaces: list[str], folder: Path) -> Iterator[None]:
    """Keeps the list of pods: Debian's Prometheus is built without Kubernetes."""
    _discover(namespaces, folder)
    with steadily(lambda: _discover(namespaces, folder), DISCOVERY_SECONDS):
        yield


def _discover(namespaces: list[str], folder: Path) -> None:
    """Writes the pods that there are now, as Prometheus itself would find them."""
    found = [_discovered(pod) for each in namespaces for pod in _pods(each)]
    replace(folder / PODS, json.dumps(found))


def _discovered(pod: dict[str, Any]) -> dict[str, Any]:
    about, status = pod["metadata"], pod["status"]
    labels = {
        "namespace": about["namespace"],
        "pod_name": about["name"],
        "pod_ip": status.get("podIP", ""),
        "pod_phase": status["phase"],
    }
    for kind in ("label", "annotation"):
        for name, value in about.get(f"{kind}s", {}).items():
            labels[f"pod_{kind}_{re.sub(r'[^a-zA-Z0-9_]', '_', name)}"] = value
    return {
        "targets": [labels["pod_ip"] or about["name"]],
        "labels": {f"__meta_kubernetes_{k}": v for k, v in labels.items()},
    }


def _pods(namespace: str) -> list[dict[str, Any]]:
    command = [_program("kubectl"), "get", "pods", "-n", namespace, "-o", "json"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return json.loads(output)["items"]


def _program(name: str) -> str:
    if not (path := shutil.which(name)):
        raise WatchingError(f"no {name} on this machine: make deps")
    return path


def _get(base: str, what: str, parameters: dict[str, str]) -> dict[str, Any]:
    url = f"{base}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            return json.load(response)["data"]
    except urllib.error.HTTPError as error:
        raise WatchingError(f"{parameters}: {error.read().decode()}") from error


def _ready(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}/-/ready", timeout=5):
            return True
    except OSError:
        return False


def _until(condition: Callable[[], Any], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _tail(log: Path, lines: int = 20) -> str:
    last = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join([f"{log}:", *last])
