"""Further Kubernetes API servers: real ones, of processes on this machine.

One is empty and has an etcd of its own (`alone`); the other serves the cluster of
KUBECONFIG, as a second one of several does (`beside`). They take kube-apiserver and etcd
from PATH. No controllers and no nodes belong to the one that is alone: it stores objects,
and its admission decides.
"""

import base64
import json
import secrets
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import programs
import trustme
import yaml
from cluster import ClusterError, kubectl, until
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from kit import ports
from kit.envoy import die_with_parent

SERVICES = "10.97.0.0/16"
# MutatingAdmissionPolicy, before Kubernetes 1.36.
NAMING = (
    "--feature-gates=MutatingAdmissionPolicy=true",
    "--runtime-config=admissionregistration.k8s.io/v1beta1=true",
)
# Seconds until it serves, which is 5 where nothing else runs.
STARTS = 90


@contextmanager
def alone(
    address: str = ports.LOOPBACK, flags: Iterable[str] = (), name: str = "second"
) -> Iterator[Path]:
    """An API server with nothing in it; the kubeconfig of its administrator.

    It listens at `address`, which has to be one of this machine's: where pods call it, one
    that they reach. `flags` are kube-apiserver's. `name` is the one of its logs.
    """
    port, client, peer = ports.free(3)
    with TemporaryDirectory(prefix="second-api-") as temporary, ExitStack() as stack:
        folder = Path(temporary)
        key, certificate, authority = _certificate(folder, address)
        etcd = f"http://{ports.LOOPBACK}:{client}"
        stack.enter_context(_etcd(folder, etcd, peer, name))
        token = secrets.token_hex(16)
        (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
        command = [
            "kube-apiserver",
            *("--etcd-servers", etcd),
            *("--bind-address", address, "--advertise-address", address),
            *("--secure-port", str(port), "--service-cluster-ip-range", SERVICES),
            *("--tls-cert-file", certificate, "--tls-private-key-file", key),
            *("--cert-dir", folder / "certificates"),
            *("--token-auth-file", folder / "tokens.csv"),
            *("--authorization-mode", "RBAC", "--allow-privileged"),
            *("--endpoint-reconciler-type", "none"),
            *("--service-account-issuer", f"https://{address}:{port}"),
            *("--service-account-key-file", folder / "accounts.key"),
            *("--service-account-signing-key-file", folder / "accounts.key"),
            *flags,
        ]
        kubeconfig = folder / "kubeconfig"
        _write(
            kubeconfig, f"https://{address}:{port}", authority, {"token": token}, name
        )
        stack.enter_context(_apiserver(name, command))
        _wait(kubeconfig, name)
        yield kubeconfig


@contextmanager
def beside(flags: Iterable[str], name: str = "beside") -> Iterator[Path]:
    """One more API server of the cluster of KUBECONFIG, with further flags.

    Who writes through it meets its admission; what it writes is in the same etcd, and the
    cluster's own reads it. So a feature can be on for one writer, and nothing of the
    cluster restarts. It needs a kube-apiserver on this machine, whose command line it
    repeats.
    """
    config = json.loads(
        kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
    )
    server = config["clusters"][0]["cluster"]["server"]
    address, _, port = server.removeprefix("https://").rpartition(":")
    command = _command_line(port)
    with TemporaryDirectory(prefix="beside-api-") as temporary:
        own = str(ports.free(1)[0])
        command = [
            *command,
            *("--secure-port", own),
            # The cluster's own is the one that pods call.
            *("--endpoint-reconciler-type", "none"),
            *("--cert-dir", f"{temporary}/certificates"),
            *flags,
        ]
        config["clusters"][0]["cluster"]["server"] = f"https://{address}:{own}"
        kubeconfig = Path(temporary) / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(config))
        kubeconfig.chmod(0o600)
        with _apiserver(name, command):
            _wait(kubeconfig, name)
            yield kubeconfig


def naming(folder: Path) -> str:
    """naming.yaml of a copy of envoyfilter/, for such a server: as its head says."""
    text = (folder / "gateway-api/naming.yaml").read_text()
    return text.replace("registration.k8s.io/v1\n", "registration.k8s.io/v1beta1\n")


def _command_line(port: str) -> list[str]:
    """The command line of the kube-apiserver of this machine that has this port."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_text().split("\0")[:-1]
            if not words or Path(words[0]).name != "kube-apiserver":
                continue
            if f"--secure-port {port} " in " ".join(words).replace("=", " ") + " ":
                return [str((process / "exe").readlink().parent / words[0]), *words[1:]]
    raise ClusterError(f"no kube-apiserver of this machine has the port {port}")


def _certificate(folder: Path, address: str) -> tuple[Path, Path, bytes]:
    """A key and a certificate for an address, and who signed it."""
    authority = trustme.CA()
    own = authority.issue_cert(address)
    key, certificate = folder / "server.key", folder / "server.crt"
    own.private_key_pem.write_to_path(str(key))
    for each in own.cert_chain_pems:
        each.write_to_path(str(certificate), append=True)
    # An elliptic curve's, as trustme makes them, is none that service accounts take.
    accounts = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "accounts.key").write_bytes(
        accounts.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return key, certificate, authority.cert_pem.bytes()


def _write(file: Path, server: str, authority: bytes, user: dict, name: str) -> None:
    """Writes a kubeconfig."""
    signed_by = base64.b64encode(authority).decode()
    cluster = {"server": server, "certificate-authority-data": signed_by}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": "admin"}}],
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": "admin", "user": user}],
    }
    file.write_text(yaml.safe_dump(config))
    file.chmod(0o600)


@contextmanager
def _etcd(folder: Path, client: str, peer: int, name: str) -> Iterator[None]:
    own = f"http://{ports.LOOPBACK}:{peer}"
    command = [
        *("--name", name, "--data-dir", folder / "etcd"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", own, "--initial-advertise-peer-urls", own),
        *("--initial-cluster", f"{name}={own}", "--logger", "zap"),
    ]
    # It asks for more address space than others may have, and uses little of it.
    log = f"{name}-etcd"
    with programs.program("etcd", *command, log=log, before=die_with_parent):
        yield


def _apiserver(name: str, command: list) -> AbstractContextManager[None]:
    return programs.program(*command, log=f"{name}-apiserver")


def _wait(kubeconfig: Path, name: str) -> None:
    """Waits until an API server serves."""
    ready = ("--kubeconfig", kubeconfig, "get", "--raw", "/readyz")
    until(f"the API server {name} is ready", lambda: kubectl(*ready), STARTS)
