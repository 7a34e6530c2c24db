"""HTTP clients that send what they are told, odd bytes and repeats included."""

import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

import h2.config
import h2.connection
import h2.events

from kit import ports
from kit.upstream import Headers, read_headers

SECONDS = 10

# How many requests go out before the first of their answers is read.
AHEAD = 100


@dataclass
class Response:
    """A response; `headers` begins with `:status`."""

    headers: Headers
    body: bytes


Send = Callable[[int, Headers], Response]


def http1(port: int, headers: Headers) -> Response:
    """One request over HTTP/1.1; the pseudo headers say its first line and host."""
    with _connect(port) as connection, connection.makefile("rb") as answer:
        connection.sendall(http1_bytes(headers))
        return _http1_answer(answer)


def http1_in_a_row(port: int, requests: Iterable[Headers]) -> Iterator[Response]:
    """Many requests over one connection of HTTP/1.1, some ahead of their answers."""
    with _connect(port) as connection, connection.makefile("rb") as answers:
        rest = iter(requests)
        while ahead := list(islice(rest, AHEAD)):
            connection.sendall(b"".join(map(http1_bytes, ahead)))
            for _ in ahead:
                yield _http1_answer(answers)


def _http1_answer(answers: BinaryIO) -> Response:
    status = answers.readline().split()[1]
    received = read_headers(answers.readline)
    length = dict(received).get("content-length", b"0")
    return Response([(":status", status), *received], answers.read(int(length)))


def http1_bytes(headers: Headers) -> bytes:
    """The request as HTTP/1.1 writes it."""
    pseudo = dict(headers)
    lines = [
        pseudo[":method"] + b" " + pseudo[":path"] + b" HTTP/1.1",
        b"host: " + pseudo[":authority"],
    ]
    for name, value in headers:
        if not name.startswith(":"):
            lines.append(name.encode("latin-1") + b": " + value)
    return b"\r\n".join([*lines, b"", b""])


def http2(port: int, headers: Headers) -> Response:
    """One request over HTTP/2 without TLS."""
    config = h2.config.H2Configuration(
        header_encoding=None,
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
        validate_inbound_headers=False,
    )
    protocol = h2.connection.H2Connection(config)
    protocol.initiate_connection()
    fields = [(name.encode("latin-1"), value) for name, value in headers]
    protocol.send_headers(1, fields, end_stream=True)

    received: Headers = []
    body = b""
    with _connect(port) as connection:
        while True:
            connection.sendall(protocol.data_to_send())
            data = connection.recv(65536)
            if not data:
                raise ConnectionError("closed before the response ended")
            for event in protocol.receive_data(data):
                match event:
                    case h2.events.ResponseReceived():
                        received = [
                            (name.decode("latin-1"), value)
                            for name, value in event.headers
                        ]
                    case h2.events.DataReceived():
                        body += event.data
                    case h2.events.StreamReset():
                        raise ConnectionError(f"stream reset: {event.error_code}")
                    case h2.events.StreamEnded():
                        return Response(received, body)


def _connect(port: int) -> socket.socket:
    return socket.create_connection((ports.LOOPBACK, port), SECONDS)
