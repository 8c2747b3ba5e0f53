"""A real S3 server on this machine for tests: moto's, which keeps everything in its memory.

A test asks for `s3_bucket`; a conftest that imports the fixtures makes them known below its folder.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from wsi_patches.locations import path_of
from wsi_patches.locations.object_store import forget_connection

__all__ = ["S3Server", "s3_bucket", "s3_server"]

STARTS_WITHIN_S = 60


class S3Server:
    """The server's process and where it listens."""

    def __init__(self) -> None:
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait()
        self.buckets = 0

    def _wait(self) -> None:
        end = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with urlopen(f"{self.endpoint}/moto-api/", timeout=5):
                    return
            except (URLError, OSError):
                time.sleep(0.1)
        self.close()
        pytest.fail(f"moto's S3 server did not start on port {self.port}")

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to know of it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def make_bucket(self) -> str:
        """Make an empty bucket and return its name."""
        self.buckets += 1
        name = f"bucket-{self.buckets}"
        with urlopen(Request(f"{self.endpoint}/{name}", method="PUT"), timeout=30):
            return name

    def pause(self) -> None:
        """Stop answering; what it holds stays."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Answer again."""
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.go_on()
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A server for the session, and the environment by which it is found."""
    pytest.importorskip("s3fs", reason="needs the extra s3")
    pytest.importorskip("moto.server", reason="needs moto[server]")
    server = S3Server()
    before = dict(os.environ)
    os.environ.update(server.environment)
    forget_connection()
    yield server
    os.environ.clear()
    os.environ.update(before)
    forget_connection()
    server.close()


@pytest.fixture
def s3_bucket(s3_server):
    """The path of an empty bucket."""
    return path_of(f"s3://{s3_server.make_bucket()}")
