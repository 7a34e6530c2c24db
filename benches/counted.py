"""An Envoy under valgrind's callgrind, which counts the instructions of its worker."""

import contextlib
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from kit import ports
from kit.envoy import RUNS, Envoy

# Valgrind is slow, and the machine may be busy.
START_SECONDS = 300
ANSWER_SECONDS = 60

# Envoy's own code lies below this address, and what V8 compiled above.
COMPILED_FROM = 0x1000_0000


@dataclass(frozen=True)
class Count:
    """Instructions: all of them, and those in code that V8 compiled."""

    total: float
    compiled: float

    def __truediv__(self, requests: float) -> "Count":
        return Count(self.total / requests, self.compiled / requests)

    def __add__(self, other: "Count") -> "Count":
        return Count(self.total + other.total, self.compiled + other.compiled)

    def differs(self, other: "Count") -> float:
        """By how much, in parts."""
        return abs(self.total - other.total) / self.total


class Counted(Envoy):
    """An Envoy with one worker. It counts nothing until it is told to."""

    def __init__(self, bootstrap: dict[str, Any], name: str) -> None:
        """Starts it and returns once it serves."""
        self._profile = RUNS / name / "callgrind"
        self._dumps = 0
        callgrind = (
            *("valgrind", "--tool=callgrind", "--instr-atstart=no"),
            *("--separate-threads=yes", f"--callgrind-out-file={self._profile}"),
        )
        super().__init__(
            bootstrap,
            name,
            log_level="error",
            workers=1,
            under=callgrind,
            start_seconds=START_SECONDS,
        )

    def stop(self) -> None:
        """Ends it at once: it has nothing to say any more."""
        self.process.kill()
        super().stop()

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Counts within the block, where it is four times as slow."""
        self._tell("instrumentation on")
        yield
        self._tell("instrumentation off")

    def zero(self) -> None:
        """Forgets what was counted."""
        self._tell("zero")

    def dump(self) -> Path:
        """Writes what was counted since `zero`: the profile of the worker's thread.

        The other threads have no part in a request: V8's compile, the main one waits.
        """
        self._tell("dump")
        self._dumps += 1
        found = self._profile.parent.glob(f"{self._profile.name}.{self._dumps}-*")
        worker, *others = sorted(found, key=total, reverse=True)
        for other in others:
            other.unlink()
        return worker

    def _tell(self, command: str) -> None:
        subprocess.run(
            ["vgdb", f"--pid={self.process.pid}", "-c", command],
            check=True,
            capture_output=True,
            timeout=ANSWER_SECONDS,
        )


@dataclass
class Connection:
    """A client that keeps its connection, and waits for each answer."""

    port: int
    # Seconds before each request.
    pause: float = 0
    _socket: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        """Connects."""
        where = (ports.LOOPBACK, self.port)
        self._socket = socket.create_connection(where, ANSWER_SECONDS)

    def send(self, requests: Sequence[bytes], times: int = 1) -> bytes:
        """Sends them in turn, so many: the last answer, whose body must be `ok`."""
        answer = b""
        for request in islice(cycle(requests), times):
            time.sleep(self.pause)
            self._socket.sendall(request)
            answer = self._socket.recv(65536)
            while not answer.endswith(b"\r\n\r\nok\n"):
                more = self._socket.recv(65536)
                if not more:
                    raise ConnectionError(f"closed after {answer!r}")
                answer += more
        return answer

    def close(self) -> None:
        """Ends it."""
        self._socket.close()


def total(profile: Path) -> int:
    """All instructions of a profile."""
    found = re.search(r"^(?:summary|totals): (\d+)", profile.read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def count(profile: Path) -> Count:
    """What a profile says: its lines are in callgrind's format.

    A line that starts with a number or a sign is a cost of the function named last;
    the one after `calls=` is that of a callee, which is listed by itself.
    """
    compiled = 0
    names: dict[str, str] = {}
    in_compiled = of_callee = False
    for line in profile.read_text().splitlines():
        if match := re.match(r"(c?)fn=(\(\d+\))(?: (.*))?", line):
            callee, number, name = match.groups()
            name = names.setdefault(number, name)
            if not callee:
                in_compiled = is_compiled(name)
        elif line.startswith("calls="):
            of_callee = True
        elif re.match(r"[0-9+*-]", line):
            if in_compiled and not of_callee:
                compiled += int(line.split()[1])
            of_callee = False
    return Count(total(profile), compiled)


def is_compiled(function: str) -> bool:
    """Whether V8 compiled it: it has an address for a name, and not one in Envoy."""
    address = re.fullmatch(r"0x([0-9a-f]+)(?:'\d+)?", function)
    return bool(address) and int(address[1], 16) >= COMPILED_FROM
