"""A real S3 server on this machine for tests: moto's, which keeps everything in its memory.

A test asks for `s3_bucket`; a conftest that imports the fixtures makes them known below its folder.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from wsi_patches.locations import path_of
from wsi_patches.locations.object_store import forget_connection

__all__ = ["Proxy", "S3Server", "s3_bucket", "s3_proxy", "s3_server"]

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


class Proxy:
    """Passes everything on to a server, until it is down: then nothing listens, and what was open is cut."""

    def __init__(self, port: int) -> None:
        self.target = ("127.0.0.1", port)
        self._cut: set[socket.socket] = set()
        self._listening = self._listen(0)
        self.port = self._listening.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.passed = 0
        """Bytes that were passed on, both ways."""

    def _listen(self, port: int) -> socket.socket:
        listening = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
        return listening

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                near, _ = listening.accept()
                far = socket.create_connection(self.target)
            except OSError:
                return
            self._cut |= {near, far}
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(1 << 16):
                self.passed += len(data)
                other.sendall(data)
        except OSError:
            pass
        finally:
            for end in (one, other):
                self._cut.discard(end)
                end.close()

    def down(self) -> None:
        """Refuse connections, and cut those that are open."""
        for end in (self._listening, *self._cut):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def up(self) -> None:
        """Listen again, on the same port."""
        self._listening = self._listen(self.port)


@pytest.fixture
def s3_proxy(s3_server, monkeypatch) -> Iterator[Proxy]:
    """What stands between this process and the S3 server."""
    proxy = Proxy(s3_server.port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    forget_connection()
    yield proxy
    proxy.down()
    forget_connection()


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
