"""A web server of one thread that answers Prometheus, one question after another."""

from __future__ import annotations

import errno
import select
import socket
import threading
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from edge.config.settings import Metrics
from edge.errors import ConfigError
from edge.publish.waker import Waker

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

SILENCE_S = 5.0
"""Whoever connects and says nothing for so long makes room for the next."""
GOODBYE_S = 0.5


class MetricsServer:
    """Listens from the start; ConfigError where it cannot."""

    def __init__(self, settings: Metrics, registry: CollectorRegistry) -> None:
        from prometheus_client import make_wsgi_app

        self._server = _listening(settings)
        self._server.set_app(make_wsgi_app(registry))
        self._waker = Waker()
        self._is_closing = False
        # A daemon thread: nothing that a client does may keep the process from ending.
        self._thread = threading.Thread(target=self._serve, name="metrics", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        """Sleeps until somebody asks, or until `close`."""
        poll = select.poll()
        for file in (self._server, self._waker):
            poll.register(file, select.POLLIN)
        while not self._is_closing:
            poll.poll()
            if not self._is_closing:
                self._server.handle_request()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port in use."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def close(self) -> None:
        """Let go of the port; a client that is slow to ask is left behind."""
        self._is_closing = True
        self._waker.wake()
        self._thread.join(GOODBYE_S)
        self._server.server_close()
        self._waker.close()


class _Handler(WSGIRequestHandler):
    timeout = SILENCE_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature is the base class's
        """A scrape every few seconds is no news."""


class _Server(WSGIServer):
    def server_bind(self) -> None:
        """Without the base class's question to a name server, which may take half a minute."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves early is its own affair."""


def _listening(settings: Metrics) -> _Server:
    try:
        family, *_, place = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise _unusable("metrics.host", settings.host, str(error), "an address of this box") from error
    made = _Server((str(place[0]), int(place[1])), _Handler, bind_and_activate=False)
    made.socket.close()
    made.address_family = family
    made.socket = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.server_bind()
        made.server_activate()
    except OSError as error:
        made.server_close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise _unusable("metrics.host", settings.host, str(error.strerror), "an address of this box") from error
        raise _unusable("metrics.port", settings.port, str(error.strerror), "a free port above 1023") from error
    return made


def _unusable(key: str, value: object, problem: str, expected: str) -> ConfigError:
    hint = "Each camera's daemon needs a port of its own. `ss -tlnp` tells who has one."
    return ConfigError(f"nobody can listen there ({problem})", where=f"{key} {value}", expected=expected, hint=hint)
