"""An HTTP/1.1 application that keeps what it was sent, byte by byte."""

import http
import socketserver
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from kit import ports

# As they came: names in lower case, values as bytes, every repeat.
Headers = list[tuple[str, bytes]]
ReadLine = Callable[[], bytes]


@dataclass
class Upstream:
    """A server on a free port of loopback, from `with` until the block's end.

    It answers with the headers in `answer`, 200 unless `:status` is among them, and
    appends the headers of each request to `requests`, `:method` and `:path` first.
    """

    name: str
    answer: Headers = field(default_factory=list)
    requests: list[Headers] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Listens already; answers from `with` on."""
        upstream = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while request := _read(self.rfile.readline):
                    upstream.requests.append(request)
                    self.wfile.write(upstream.respond(request))

        self._server = socketserver.ThreadingTCPServer((ports.LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        """Serves in a thread."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops listening; the threads of open connections end with them."""
        self._server.shutdown()
        self._server.socket.close()

    def respond(self, request: Headers) -> bytes:
        """The bytes of the answer to a request; its body is the server's name."""
        return response(self.answer, self.name.encode())


def response(headers: Headers, body: bytes) -> bytes:
    """A response as HTTP/1.1 writes it."""
    status = int(dict(headers).get(":status", b"200"))
    lines = [
        b"HTTP/1.1 %d %s" % (status, http.HTTPStatus(status).phrase.encode()),
        b"content-length: %d" % len(body),
    ]
    for name, value in headers:
        if name not in (":status", "content-length"):
            lines.append(name.encode() + b": " + value)
    return b"\r\n".join([*lines, b"", body])


def read_headers(readline: ReadLine) -> Headers:
    """The headers of a message up to its empty line."""
    headers = []
    while line := readline().rstrip(b"\r\n"):
        name, _, value = line.partition(b":")
        headers.append((name.decode("latin-1").lower(), value.strip(b" \t")))
    return headers


def _read(readline: ReadLine) -> Headers:
    first = readline()
    if not first:
        return []
    method, path, _ = first.split(b" ", 2)
    return [(":method", method), (":path", path), *read_headers(readline)]
