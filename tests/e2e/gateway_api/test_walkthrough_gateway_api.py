"""The walk-through: every command of examples/gateway-api/README.md, in its order."""

import ipaddress
import json
from pathlib import Path

import cluster
import readme
import store
from cluster import kubectl
from kit.envoy import ROOT
from report import Proof
from store import NAMESPACE
from users import ask

README = ROOT / "examples/gateway-api/README.md"


def balance() -> str:
    """Does what a cloud's load balancer would do, where there is none; gives the address."""
    service = ("-n", NAMESPACE, "service", store.GATEWAY)
    cluster.until("istiod made the Service", lambda: cluster.get(*service))
    ingress = cluster.get(*service)["status"]["loadBalancer"].get("ingress")
    if not ingress:
        address = str(ipaddress.ip_address(cluster.gateway_address()) + 1)
        ingress = [{"ip": address, "ipMode": "VIP"}]
        status = json.dumps({"status": {"loadBalancer": {"ingress": ingress}}})
        patch = ("--subresource=status", "--type=merge", "--patch", status)
        kubectl("-n", NAMESPACE, "patch", "service", store.GATEWAY, *patch)
    return ingress[0]["ip"]


def test_every_command(
    gateway_api: None, shell: readme.Shell, tmp_path: Path, proof: Proof
) -> None:
    address = ""

    def settle(command: str, _: str) -> None:
        """Waits, as a person does, until the proxies have what was applied."""
        nonlocal address
        if command == "kubectl apply -f gateway.yaml":
            address = balance()
            (tmp_path / ".curlrc").write_text(f"resolve = {store.HOST}:80:{address}\n")
        if "routes/weights-" in command:
            blue, green = store.weights_of("store")
            store.wait_for_weights(blue, green)
            cluster.until(
                "it answers", lambda: ask("/", store.HOST, address).status == 200
            )

    parts = readme.sections(README)
    for part in parts:
        part.run(shell, settle)
        if part.count and not part.different:
            proof(f"{part.heading}: commands that work as shown", part.count)
    readme.settled(README, parts)
