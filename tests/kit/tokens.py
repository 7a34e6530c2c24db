"""Signed pins, made by PyJWT and by nothing of the project's own.

Texts are as in tests/scenarios.yaml: a character is a byte, NOW is the time.
"""

import base64
import re
import time
from dataclasses import dataclass

import jwt

from kit.envoy import ROOT

KEYS = ROOT / "tests/keys"
ALGORITHMS = {"es": "ES256", "other": "ES256", "rs": "RS256", "public": "HS256"}


@dataclass(frozen=True)
class Token:
    """A token of a row, with what is the default where the row says nothing."""

    key: str = "es"
    header: str = '{"alg":"ES256","typ":"JWT"}'
    claims: str = (
        '{"aud":"bluegreen:shop.example:green","sub":"ci@shop",'
        '"iat":NOW,"exp":NOW+7200}'
    )
    signs: str | None = None

    def made(self) -> "Made":
        """The token as of now."""
        now = int(time.time())
        header, claims, signed = (
            _encoded(_timed(text, now).encode("latin-1"))
            for text in (self.header, self.claims, self.signs or self.claims)
        )
        signature = _encoded(_signature(self.key, header + b"." + signed))
        return Made(header, claims, signature)


@dataclass(frozen=True)
class Made:
    """A token that was made: its parts in base64."""

    header: bytes
    claims: bytes
    signature: bytes

    @property
    def text(self) -> bytes:
        """The whole token."""
        return b".".join([self.header, self.claims, self.signature])

    def fill(self, template: bytes) -> bytes:
        """The template with the token in the place of ${token} and its parts."""
        return (
            template.replace(b"${token}", self.text)
            .replace(b"${token.header}", self.header)
            .replace(b"${token.claims}", self.claims)
            .replace(b"${token.signature}", self.signature)
        )


def pem(name: str) -> str:
    """A file of tests/keys."""
    return (KEYS / f"{name}.pem").read_text()


def with_keys(value: object) -> object:
    """A configuration with keys in the place of ${key:es} and the like."""
    match value:
        case dict():
            return {name: with_keys(each) for name, each in value.items()}
        case list():
            return [with_keys(each) for each in value]
        case str():
            return re.sub(r"\$\{key:(\w+)\}", lambda m: pem(f"{m[1]}.pub"), value)
        case _:
            return value


def signed(audience: str | list[str], key: str = "es", **more: object) -> str:
    """A token for an hour, with more claims, or others."""
    now = int(time.time())
    claims = {"aud": audience, "sub": "ci@shop", "iat": now, "exp": now + 3600}
    return jwt.encode(claims | more, pem(key), ALGORITHMS[key])


def _signature(key: str, message: bytes) -> bytes:
    if key == "none":
        return b""
    algorithm = jwt.get_algorithm_by_name(ALGORITHMS[key])
    if key == "public":
        # PyJWT itself takes no public key for a secret.
        return algorithm.sign(message, pem("es.pub").encode())
    return algorithm.sign(message, algorithm.prepare_key(pem(key)))


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _timed(text: str, now: int) -> str:
    return re.sub(r"NOW([+-]\d+)?", lambda m: str(now + int(m[1] or 0)), text)
