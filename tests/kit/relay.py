"""What stands between two proxies, to see the requests that go from one to the other."""

from dataclasses import dataclass

from kit import client
from kit.upstream import Headers, Upstream, response


@dataclass
class Relay(Upstream):
    """A server that passes each request on to the port `target`, and its answer back.

    Like an upstream, it keeps the headers of each request.
    """

    target: int = 0

    def respond(self, request: Headers) -> bytes:
        """The bytes of the target's answer."""
        names = {"host": ":authority"}
        sent = [(names.get(name, name), value) for name, value in request]
        answer = client.http1(self.target, sent)
        return response(answer.headers, answer.body)
