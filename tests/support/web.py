"""Web servers on localhost: a folder, and one that takes its time."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.tls import Pair


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@contextmanager
def serve(handler: Callable[..., BaseHTTPRequestHandler], pair: Pair | None = None) -> Iterator[str]:
    """Its address, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    scheme = "http"
    if pair is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.cert, pair.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def web_server(folder: Path, pair: Pair | None = None) -> Iterator[str]:
    """A folder behind an address."""
    with serve(partial(_Quiet, directory=str(folder)), pair) as address:
        yield address


class _Slow:
    """Says 404 to a root, and to anything else 200 and then a byte each `pause_s`."""

    def __init__(self, body: bytes, pause_s: float, *, slow_headers: bool) -> None:
        self.stop = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(0.05)
        self._body, self._pause_s, self._slow_headers = body, pause_s, slow_headers

    def accept(self) -> None:
        threads = []
        while not self.stop.is_set():
            try:
                connection, _ = self.listener.accept()
            except TimeoutError:
                continue
            threads.append(threading.Thread(target=self._answer, args=(connection,)))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            head = connection.recv(65536)
            if self._slow_headers:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                self._drip(connection, itertools.repeat(120))
            elif b".root.json" in head:
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            else:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                self._drip(connection, self._body)
                self.stop.wait()

    def _drip(self, connection: socket.socket, data: Iterable[int]) -> None:
        for byte in data:
            if self.stop.wait(self._pause_s):
                return
            connection.sendall(bytes([byte]))


@contextmanager
def slow_server(body: bytes, *, pause_s: float, slow_headers: bool = False) -> Iterator[str]:
    """Its address; the body comes byte by byte, or headers without end."""
    slow = _Slow(body, pause_s, slow_headers=slow_headers)
    accepting = threading.Thread(target=slow.accept)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{slow.listener.getsockname()[1]}"
    finally:
        slow.stop.set()
        accepting.join()
        slow.listener.close()
