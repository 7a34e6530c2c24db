"""A real image registry on loopback: docker-registry, of the Distribution project."""

import base64
import json
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from kit import ports
from kit.envoy import die_with_parent

SECONDS = 20

USER, PASSWORD = "alice", "secret"
# PASSWORD by bcrypt, the only hash that a registry takes; the cheapest one.
HTPASSWD = f"{USER}:$2b$04$dNrACiVSAnSPLSWtuB7lI.gq9RKQWeEtuEnLSenKT9dMj1mLfvrI6\n"

SERVICE, ISSUER = "registry", "issuer"


@dataclass
class Registry:
    """A registry that runs; `host` is its address and port."""

    host: str
    authority: Path | None = None


class RegistryError(Exception):
    """The registry is missing, or did not start."""


@contextmanager
def plain(folder: Path, login: str = "") -> Iterator[Registry]:
    """A registry that speaks plain HTTP, and takes from anybody without a login."""
    folder.mkdir(exist_ok=True)
    with _serving(folder, {}, _passwords(folder) if login else {}) as host:
        yield Registry(host)


@contextmanager
def with_tls(folder: Path, login: str = "") -> Iterator[Registry]:
    """A registry behind TLS, of an authority that only `authority` knows.

    `login` is `basic` if it wants a password with each request, `token` if another
    server gives tokens for it: the two ways in which registries do it.
    """
    folder.mkdir(exist_ok=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    own = authority.issue_cert(ports.LOOPBACK)
    own.private_key_pem.write_to_path(str(folder / "key.pem"))
    own.cert_chain_pems[0].write_to_path(str(folder / "certificate.pem"))
    tls = {
        "certificate": str(folder / "certificate.pem"),
        "key": str(folder / "key.pem"),
    }
    auth: dict[str, Any] = {}
    with ExitStack() as stack:
        if login == "basic":
            auth = _passwords(folder)
        elif login == "token":
            realm = stack.enter_context(_token_server(own))
            bundle = str(folder / "authority.pem")
            token = {"realm": realm, "service": SERVICE, "issuer": ISSUER}
            auth = {"token": {**token, "rootcertbundle": bundle}}
        host = stack.enter_context(_serving(folder, {"tls": tls}, auth))
        yield Registry(host, folder / "authority.pem")


def _passwords(folder: Path) -> dict[str, Any]:
    (folder / "htpasswd").write_text(HTPASSWD)
    return {"htpasswd": {"realm": "all", "path": str(folder / "htpasswd")}}


@contextmanager
def _serving(folder: Path, http: dict[str, Any], auth: dict[str, Any]) -> Iterator[str]:
    program = shutil.which("docker-registry")
    if not program:
        raise RegistryError("no docker-registry on this machine: make deps")
    port = ports.free(1)[0]
    host = f"{ports.LOOPBACK}:{port}"
    config = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": host, **http},
        **({"auth": auth} if auth else {}),
    }
    # JSON is YAML.
    (folder / "config.yaml").write_text(json.dumps(config))
    log = folder / "registry.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "serve", str(folder / "config.yaml")],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,  # noqa: PLW1509 (one system call)
        )
    try:
        deadline = time.monotonic() + SECONDS
        while not ports.listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RegistryError(f"it does not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield host
    finally:
        process.terminate()
        process.wait(SECONDS)


@contextmanager
def _token_server(own: trustme.LeafCert) -> Iterator[str]:
    """Gives a token to USER for what is asked, and no more; yields its address.

    https://distribution.github.io/distribution/spec/auth/token/
    """
    login = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers["authorization"] != login:
                self.send_error(401)
                return
            scopes = parse_qs(urlsplit(self.path).query).get("scope", [])
            answer = json.dumps({"token": _token(own, scopes)}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    server = ThreadingHTTPServer((ports.LOOPBACK, 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://{ports.LOOPBACK}:{server.server_port}/token"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _token(own: trustme.LeafCert, scopes: list[str]) -> str:
    """A JSON Web Token with an EC key, signed by the key of a certificate."""
    access = [
        {"type": kind, "name": name, "actions": actions.split(",")}
        for kind, name, actions in (scope.split(":") for scope in scopes)
    ]
    pem = own.cert_chain_pems[0].bytes().decode()
    certificate = "".join(pem.strip().splitlines()[1:-1])
    head = {"typ": "JWT", "alg": "ES256", "x5c": [certificate]}
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": SERVICE,
        "sub": USER,
        "nbf": now - 60,
        "exp": now + 60,
        "access": access,
    }
    parts = [_base64url(json.dumps(part).encode()) for part in (head, claims)]
    key = serialization.load_pem_private_key(own.private_key_pem.bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = key.sign(".".join(parts).encode(), ec.ECDSA(hashes.SHA256()))
    numbers = utils.decode_dss_signature(signature)
    raw = b"".join(number.to_bytes(32, "big") for number in numbers)
    return ".".join([*parts, _base64url(raw)])


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
