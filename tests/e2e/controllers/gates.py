"""What Flagger asks before a step."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kit.ports import LOOPBACK


class Gates:
    """What Flagger asks before a step: closed until somebody opens them.

    A gate is APP/NAME. That of a step lets one through, and is closed again.
    """

    def __init__(self) -> None:
        self._open: set[str] = set()
        self._lock = threading.Lock()
        gates = self

        class Gate(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.send_response(200 if gates.passes(self.path[1:]) else 403)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Flagger's own log has it."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Gate)
        self.address = f"http://{LOOPBACK}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def open(self, gate: str) -> None:
        """Opens one."""
        with self._lock:
            self._open.add(gate)

    def close(self, gate: str) -> None:
        """Closes it."""
        with self._lock:
            self._open.discard(gate)

    def passes(self, gate: str) -> bool:
        """Whether it is open; that of a step is closed then."""
        with self._lock:
            is_open = gate in self._open
            if gate.endswith("/step"):
                self._open.discard(gate)
            return is_open

    def end(self) -> None:
        """No further answer."""
        self._server.shutdown()
        self._server.server_close()
