"""Pushes an image to a registry (https://github.com/opencontainers/distribution-spec)."""

import json
import ssl
from pathlib import Path

import login
import requests
import truststore
from dxf import DXF, DXFBase
from dxf.exceptions import DXFAuthInsecureError, DXFError, DXFUnauthorizedError
from urllib3.exceptions import InsecureRequestWarning

# Docker Hub's registry is not where its images' names say.
HOSTS = {"docker.io": "registry-1.docker.io"}
SECONDS = 60

INSECURE = "to push there all the same: TLS_VERIFY=false"
LOG_IN = (
    "log in as one who may push: docker login {} (or podman, skopeo, ...), or set "
    "REGISTRY_USER and REGISTRY_PASSWORD"
)


class RefusedError(Exception):
    """A registry did not take an image; `hint` says what to do, where that is known."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.hint = hint


def push(image: Path, registry: str, name: str, tag: str, verify: bool) -> str:
    """Pushes an OCI layout, and returns the digest of its manifest."""
    truststore.inject_into_ssl()
    host = HOSTS.get(registry, registry)
    try:
        plain = not verify and speaks_plain_http(host)
        user, password = login.find(registry, name) or (None, None)

        def log_in(client: DXFBase, response: requests.Response) -> None:
            client.authenticate(user, password, response=response)

        with DXF(host, name, log_in, plain, None, verify, SECONDS) as client:
            return upload(image, client, tag)
    except DXFAuthInsecureError:
        why = "it wants a login, and no password goes over plain HTTP"
        raise RefusedError(why) from None
    except DXFUnauthorizedError:
        raise RefusedError("unauthorized", LOG_IN.format(registry)) from None
    except requests.HTTPError as error:
        denied = error.response.status_code == requests.codes.forbidden
        hint = LOG_IN.format(registry) if denied else ""
        raise RefusedError(message(error.response), hint) from None
    except requests.exceptions.SSLError as error:
        raise RefusedError(tls_problem(error), INSECURE if verify else "") from None
    except (DXFError, requests.RequestException) as error:
        raise RefusedError(first_cause(error)) from None


def upload(image: Path, client: DXF, tag: str) -> str:
    """Pushes the blobs of an OCI layout, then its manifest, which names them."""
    (manifest,) = json.loads((image / "index.json").read_text())["manifests"]
    content = blob(image, manifest["digest"]).read_text()
    named = json.loads(content)
    for each in (*named["layers"], named["config"]):
        client.push_blob(str(blob(image, each["digest"])))
    client.set_manifest(tag, content)
    return manifest["digest"]


def blob(image: Path, digest: str) -> Path:
    """Returns the file of a layout that has this digest."""
    return image / "blobs" / digest.replace(":", "/")


def speaks_plain_http(host: str) -> bool:
    """Returns whether a registry speaks no TLS, not even with a bad certificate."""
    requests.packages.urllib3.disable_warnings(InsecureRequestWarning)
    try:
        requests.get(f"https://{host}/v2/", verify=False, timeout=SECONDS)
    except requests.exceptions.SSLError:
        return True
    return False


def message(response: requests.Response) -> str:
    """Returns what a registry says in a response that is an error."""
    try:
        errors = [each["message"] for each in response.json()["errors"]]
    except (ValueError, KeyError, TypeError):
        errors = [response.reason]
    return f"{response.status_code}: {', '.join(errors)}"


def tls_problem(error: requests.exceptions.SSLError) -> str:
    """Returns what is wrong with a registry's TLS."""
    cause = first_cause(error)
    if cause.startswith("certificate"):
        return cause
    return f"no TLS, but plain HTTP, as it seems: {cause}"


def first_cause(error: BaseException) -> str:
    """Returns the first cause of an error, without what libraries wrap around it."""
    wrapped = (getattr(error, "reason", None), *error.args[:1], error.__cause__)
    for each in wrapped:
        if isinstance(each, BaseException):
            return first_cause(each)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    return str(error) or type(error).__name__
