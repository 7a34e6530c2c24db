"""The kit's own claims: a test that leans on it must be able to trust it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kit import bucket, envoy, istio
from kit.envoy import Envoy, EnvoyError

EMPTY = istio.bootstrap("router~t", {}, [], [])
SECONDS = 10


def test_siphash_gives_the_vector_of_the_paper() -> None:
    assert bucket.siphash_2_4(bytes(range(16)), bytes(range(15))) == 0xA129CA6149BE45E5


def test_the_bucket_of_an_identity_is_the_one_in_the_table() -> None:
    assert bucket.of(b"00c0ffee00c0ffee") == 56
    assert bucket.of(b"00c0ffee00c0ffee", weight_total=1_000_000) == 567_814
    assert bucket.of(b"00c0ffee00c0ffee", salt="other") == 93


def test_a_missing_envoy_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ENVOY", raising=False)
    with pytest.raises(EnvoyError, match=re.escape("`make target/envoy/0.0.0/.inst")):
        envoy.binary("0.0.0")


def test_an_envoy_that_cannot_start_says_why() -> None:
    with pytest.raises(EnvoyError, match=r"ended by itself; .*envoy\.log:(.|\n)*bogus"):
        Envoy(EMPTY | {"bogus": {}}, "kit-broken")


def test_after_the_block_an_envoy_is_gone() -> None:
    with Envoy(EMPTY, "kit-stopped") as running:
        assert alive(running.process.pid)
    assert not alive(running.process.pid)
    running.stop()


def test_an_envoy_does_not_outlive_the_process_that_started_it() -> None:
    script = """
import signal
from kit import envoy, istio
started = envoy.Envoy(istio.bootstrap("router~t", {}, [], []), "kit-orphan")
print(started.process.pid, flush=True)
signal.pause()
"""
    tests = Path(__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=tests, stdout=subprocess.PIPE, text=True
    ) as parent:
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + SECONDS
    while alive(pid):
        assert time.monotonic() < deadline, f"Envoy {pid} lives on"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        os.kill(pid, 0)
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except OSError:
        return False
